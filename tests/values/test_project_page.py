from __future__ import annotations

import contextlib
import json
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rldlib.values.project_page import HTML_PAGE, JSON_PAGE, MAX_PAGE_BYTES, MalformedPageError, parse_page

_URL = "https://index.example/simple/tax/"
_HEX = "ab" * 32
_FILE = "tax-1.0-py3-none-any.whl"


def _json(files, **more):
    page = {"meta": {"api-version": "1.1"}, "name": "tax", "files": files, **more}
    return parse_page("tax", _URL, f"{JSON_PAGE}; charset=utf-8", json.dumps(page).encode())


def _html(body: str):
    return parse_page("tax", _URL, "text/html", body.encode())


def test_json_and_html_say_the_same():
    by_json = _json(
        [
            {
                "filename": _FILE,
                "url": f"../../files/{_FILE}",
                "hashes": {"sha256": _HEX},
                "requires-python": ">=3.10",
                "yanked": "bad",
                "core-metadata": {"sha256": _HEX},
                "rldlib-profile": {"sha256": _HEX},
            }
        ]
    )
    by_html = _html(
        f'<a href="../../files/{_FILE}#sha256={_HEX}" data-requires-python="&gt;=3.10" data-yanked="bad"'
        f' data-core-metadata="sha256={_HEX}" data-rldlib-profile="sha256={_HEX}">x</a>'
    )

    assert by_json == by_html
    (wheel,) = by_json.wheels
    assert wheel.locator == f"https://index.example/files/{_FILE}"
    assert (wheel.sha256, wheel.metadata_sha256, wheel.profile_sha256) == (_HEX, _HEX, _HEX)
    assert wheel.yanked == "bad"


@pytest.mark.parametrize(
    ("said", "meant"),
    [({}, None), ({"yanked": False}, None), ({"yanked": True}, ""), ({"yanked": "why"}, "why")],
)
def test_yanked_in_json(said, meant):
    (wheel,) = _json([{"filename": _FILE, "url": _FILE, "hashes": {}, **said}]).wheels

    assert wheel.yanked == meant


def test_metadata_offered_without_a_hash_is_an_empty_one():
    (by_json,) = _json([{"filename": _FILE, "url": _FILE, "hashes": {}, "dist-info-metadata": True}]).wheels
    (by_html,) = _html(f'<a href="{_FILE}" data-dist-info-metadata="true">x</a>').wheels

    assert by_json.metadata_sha256 == by_html.metadata_sha256 == ""
    assert by_json.sha256 is None


@pytest.mark.parametrize(
    "page",
    [
        lambda: _json([], **{"project-status": {"status": "quarantined", "reason": "malware"}}),
        lambda: _html(
            '<meta name="pypi:project-status" content="quarantined"><meta name="pypi:project-status-reason" content="malware">'
        ),
    ],
)
def test_quarantine_is_read(page):
    assert page().is_quarantined
    assert page().reason == "malware"


def test_what_is_no_wheel_of_the_project_is_left_out():
    names = [
        "tax-1.0.tar.gz",
        "other-1.0-py3-none-any.whl",
        "tax-one-py3-none-any.whl",
        "tax.whl",
        "",
        "x" * 300 + ".whl",
    ]
    links = "".join(f'<a href="{name}">{name}</a>' for name in names)
    links += f'<a href="file:///etc/{_FILE}">x</a><a href="javascript:{_FILE}">x</a><a href="http://[::1/{_FILE}">x</a><a>x</a>'

    assert _json([{"filename": name, "url": name} for name in names]).wheels == ()
    assert _html(links).wheels == ()


def test_a_base_holds_for_every_link():
    (wheel,) = _html(f'<base href="https://files.example/deep/"><a href="{_FILE}">x</a>').wheels

    assert wheel.locator == f"https://files.example/deep/{_FILE}"


def test_credentials_in_a_link_are_taken_off():
    """
    They are never sent, and would stand in every lock.
    """
    linked = f"https://me:hidden@files.example/{_FILE}?version=2"
    wheels = [*_json([{"filename": _FILE, "url": linked}]).wheels, *_html(f'<a href="{linked}">x</a>').wheels]

    assert [wheel.locator for wheel in wheels] == [f"https://files.example/{_FILE}?version=2"] * 2


@pytest.mark.parametrize(
    ("media_type", "body", "told"),
    [
        (JSON_PAGE, b"[" * 200_000, "nested too deeply"),
        (JSON_PAGE, b"{", "no JSON"),
        (JSON_PAGE, b"\xff\xfe", "no JSON"),
        (JSON_PAGE, b"[]", "PEP 691"),
        (JSON_PAGE, b'{"meta": {"api-version": "2.0"}, "files": []}', "api-version"),
        (JSON_PAGE, b'{"meta": {"api-version": "1.0"}, "files": [1]}', "no object"),
        (JSON_PAGE, b'{"meta": {"api-version": "1.0"}, "files": ' + b"9" * 10_000 + b"}", "no JSON"),
        (HTML_PAGE, b"<a " + b"x" * 500_000, "an element of more than"),
        (HTML_PAGE, b"<!--" * 200_000, "an element of more than"),
        (HTML_PAGE, b"nothing", "no HTML"),
        ("application/octet-stream", b"", "no page"),
        ("", b"", "no media type"),
    ],
)
def test_what_is_no_page_is_told(media_type, body, told):
    began = time.monotonic()
    with pytest.raises(MalformedPageError, match=told):
        parse_page("tax", _URL, media_type, body)
    assert time.monotonic() - began < 5


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from([_FILE, _HEX]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "filename",
                    "url",
                    "hashes",
                    "sha256",
                    "size",
                    "yanked",
                    "requires-python",
                    "core-metadata",
                    "rldlib-profile",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(files=st.lists(_PLAIN, max_size=3), status=_PLAIN)
def test_any_json_is_a_page_or_none(files, status):
    try:
        page = _json(files, **{"project-status": status})
    except MalformedPageError:
        return
    assert all(wheel.name == "tax" for wheel in page.wheels)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "<a href=",
                _FILE,
                '"',
                ">",
                "<",
                "<!",
                "<!--",
                "<![CDATA[",
                "<?",
                "&#",
                "script",
                "</",
                "\0",
                " ",
                "<base href=x>",
                "#sha256=",
                _HEX,
            ]
        ),
        max_size=40,
    )
)
def test_any_html_is_a_page_or_none(pieces):
    try:
        page = _html("".join(pieces))
    except MalformedPageError:
        return
    assert all(wheel.name == "tax" for wheel in page.wheels)


_TINY = {
    "nested lists": (JSON_PAGE, b"[" * 90 + b"]" * 90 + b","),
    "nested objects": (JSON_PAGE, b'{"":' * 90 + b"0" + b"}" * 90 + b","),
    "pairs": (JSON_PAGE, b'{"":0},'),
    "links": (HTML_PAGE, b"<a href=x>"),
    "attributes": (HTML_PAGE, b"<a href=x " + b"b " * 50_000 + b">"),
    "a character of four bytes in each": (HTML_PAGE, "<a href=\U0001f600>".encode() + b"x" * 300),
    "tags": (
        HTML_PAGE,
        f"<a href=tax-1.0-py3{'.a' * 20}-none{'.a' * 20}-any.whl><a href=tax-1-py3{'.a' * 80}-none{'.a' * 5}-any.whl>".encode(),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("media_type", "piece"), _TINY.values(), ids=_TINY)
def test_the_largest_page_of_tiny_things_stays_within_its_memory(media_type, piece):
    """Read without bounds, thirty-two megabytes of some of these become more than a thousand."""
    page = piece * (MAX_PAGE_BYTES // len(piece))
    if media_type == JSON_PAGE:
        page = b'{"meta":{"api-version":"1.0"},"files":[' + page[:-1] + b"]}"

    tracemalloc.start()
    try:
        with contextlib.suppress(MalformedPageError):
            parse_page("tax", _URL, media_type, page)
        assert tracemalloc.get_traced_memory()[1] < 256 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_a_name_of_countless_tags_is_no_wheel():
    assert _html(f"<a href=tax-1.0-py3{'.a' * 60}-none{'.a' * 60}-any.whl>").wheels == ()
