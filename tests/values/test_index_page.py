"""The root page of an index is read for names, whatever else is on it."""

from __future__ import annotations

import json

import pytest

from rldlib.values.index_page import parse_names
from rldlib.values.project_page import HTML_PAGE, JSON_PAGE, MalformedPageError


def test_names_come_normalised_and_once_from_json():
    page = {"meta": {}, "projects": [{"name": "Rld.Tax"}, {"name": "rld-tax"}, {"name": "../x"}, {}, 7]}
    assert parse_names(JSON_PAGE, json.dumps(page).encode()) == ("rld-tax",)


def test_names_are_the_last_part_of_a_link_in_html():
    page = b"<!DOCTYPE html><a href='/simple/Rld_Tax/'>x</a><a href='echo/'>Echo</a><a href='..'>up</a>"
    assert parse_names(f"{HTML_PAGE}; charset=utf-8", page) == ("rld-tax", "echo")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        pytest.param(JSON_PAGE, b"{", id="half"),
        pytest.param(JSON_PAGE, b"[" * 100_000, id="deep"),
        pytest.param(JSON_PAGE, b'{"projects": {}}', id="no list"),
        pytest.param(JSON_PAGE, b"\xff", id="no text"),
        pytest.param(HTML_PAGE, b"<a href='http://[/'>x</a>", id="no link"),
        pytest.param("image/png", b"", id="another kind"),
    ],
)
def test_what_is_no_page_is_refused(kind, body):
    with pytest.raises(MalformedPageError):
        parse_names(kind, body)
