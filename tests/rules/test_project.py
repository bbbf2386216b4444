"""What a project does not say about its service comes from its distribution."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from rldlib.rules.project import Distribution, is_inside, profile_of, read_metadata, service_of

TAX = Distribution(name="RLD.Sales_Tax", version="1.0", summary="Sales tax")


def pin(file):
    raise ValueError(f"{file} is not there")


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("rld-sales-tax", "sales-tax"),
        ("RLD_Sales.Tax", "sales-tax"),
        ("sales-tax", "sales-tax"),
        ("rldlib", "rldlib"),
    ],
)
def test_a_service_is_called_like_its_distribution_without_the_prefix(name, service):
    assert service_of(name) == service


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("Name: a\nVersion: 1\nSummary: Steuern für alle\n", "Steuern für alle"),
        ("Name: a\nVersion: 1\nSummary: in\n  two lines\n", "in two lines"),
        ("Name: a\nVersion: 1\nSummary: UNKNOWN\n", ""),
        ("Name: a\nVersion: 1\n\nSummary: of the text\n", ""),
    ],
)
def test_the_summary_is_the_distributions_in_one_line(text, summary):
    assert read_metadata(text.encode()) == Distribution(name="a", version="1", summary=summary)


def test_the_table_goes_before_the_distribution():
    profile, faults = profile_of({"service": "vat", "summary": "VAT"}, TAX, pin)
    assert not faults
    assert (profile.service, profile.summary, profile.version) == ("vat", "VAT", "1.0")


def test_a_file_that_cannot_be_pinned_is_one_fault_among_the_others():
    table = {"resources": [{"name": "a", "kind": "data", "file": "x"}], "demand": {"threads": 0}}
    profile, faults = profile_of(table, TAX, pin)
    assert profile is None
    assert set(faults) == {
        "tool.rldlib.resources[0].file: x is not there",
        "tool.rldlib.demand.threads: 0 is below 1",
    }


@pytest.mark.parametrize(
    ("path", "inside"),
    [("a/b", True), ("a", True), ("", False), ("/a", False), ("../a", False), ("a/../../b", False)],
)
def test_a_path_stays_in_its_folder(path, inside):
    assert is_inside(PurePosixPath(path)) == inside
