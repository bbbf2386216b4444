"""The page for people: what it shows, that nothing in it is believed, and how a browser shows it."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser

import pytest
import requests
from tests.e2e.serving import serve
from tests.server.browsing import CHROMIUM, browser
from tests.services import service_wheel

from rldlib.server.responder.forms import arguments, form
from rldlib.server.responder.markup import Markup, element, joined, table

HOSTILE = "<script>alert('1')</script> & \"x\""


class Page(HTMLParser):
    """Every element of a page, with its attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def test_text_is_escaped_wherever_it_stands():
    told = element("p", HOSTILE, element("b", HOSTILE), title=HOSTILE)
    assert "<script" not in told
    page = Page(told)
    assert page.all("p") == [{"title": HOSTILE}]
    assert page.text == HOSTILE * 2
    assert Page(table(HOSTILE, (HOSTILE,), [(HOSTILE,)])).text == HOSTILE * 3
    assert joined([None, "<", Markup("<br>")]) == "&lt;<br>"


def test_attributes_without_a_value_and_those_that_are_none():
    assert element("input", required=True, checked=False, value=None, aria_label="x") == (
        '<input required aria-label="x">'
    )


@pytest.fixture
def there(tmp_path):
    offered = tmp_path / "offered"
    offered.mkdir()
    operations = {
        "table": {
            "arguments": {
                "type": "object",
                "properties": {
                    "state": {"type": "string", "description": HOSTILE},
                    "amounts": {"type": "array", "items": {"format": "decimal"}},
                    "kind": {"enum": ["<i>", 1]},
                },
                "required": ["state"],
            }
        }
    }
    service_wheel(offered, summary=HOSTILE.replace('"', "'"), operations=operations)
    service_wheel(offered, "tax", demand={"memory_peak_bytes": 150_000_000})
    with serve("--wheels", offered, "--root", tmp_path / "there") as there:
        yield there


def _get(there, path):
    with requests.Session() as session:
        session.trust_env = False
        return session.get(there.url + path, timeout=30)


@pytest.mark.e2e
@pytest.mark.slow
def test_the_pages_show_services_needs_operations_load_and_ledger(there):
    answer = _get(there, "/")
    assert answer.status_code == 200
    page = Page(answer.text)
    for text in ("echo", "tax", "Load", "Ledger", "Nobody holds anything"):
        assert text in page.text
    assert "/services/tax" in [link.get("href") for link in page.all("a")]

    service = Page(_get(there, "/services/echo").text)
    for text in ("table", "state", "list of decimal", '["<i>", 1]', HOSTILE.replace('"', "'")):
        assert text in service.text
    assert "143 MiB" in Page(_get(there, "/services/tax").text).text
    missing = _get(there, "/services/<b>none")
    assert missing.status_code == 404
    assert "<b>" not in missing.text


@pytest.mark.e2e
@pytest.mark.slow
def test_a_page_runs_nothing_and_takes_nothing_from_elsewhere(there):
    for path in ("/", "/services/echo", "/services/none"):
        answer = _get(there, path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        page = Page(answer.text)
        assert not page.all("script")
        assert not re.search(r"\son\w+=|style=|javascript:", answer.text)
        for _, attributes in page.elements:
            address = attributes.get("href") or attributes.get("action") or "/"
            assert address.startswith(("/", "#"))


@pytest.mark.e2e
@pytest.mark.slow
def test_a_page_can_be_used_without_seeing_it(there):
    for path in ("/", "/services/echo"):
        page = Page(_get(there, path).text)
        tags = [tag for tag, _ in page.elements]
        assert page.all("html")[0]["lang"] == "en"
        assert {"main", "header", "footer", "title"} <= set(tags)
        assert tags.count("h1") == tags.count("main") == 1
        levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
        assert len(page.all("caption")) == len(page.all("table"))
        labelled = {label.get("for") for label in page.all("label")}
        for tag in ("input", "select", "textarea"):
            shown = [one for one in page.all(tag) if one.get("type") != "hidden"]
            assert {one["id"] for one in shown} <= labelled


FORM = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "times": {"type": "integer"},
        "loud": {"type": "boolean"},
        "names": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["text", "times"],
}


def test_what_is_filled_in_is_read_by_the_schema():
    issues = []
    filled = {"text": '"<quoted>"', "times": "2", "loud": "true", "names": ""}
    assert arguments(FORM, filled, issues) == {"text": '"<quoted>"', "times": 2, "loud": True}
    assert issues == []
    assert arguments(FORM, {"text": "", "times": "two", "other": "1"}, issues) == {"text": "", "loud": False}
    assert [issue.partition(":")[0] for issue in issues] == ["times", "other"]


@pytest.mark.parametrize("schema", [{}, {"properties": []}, {"properties": {"a": True}, "required": 1}])
def test_a_schema_that_says_nothing_still_makes_a_form(schema):
    assert Page(form("echo", "say", schema, {})).all("button")


def test_what_was_filled_in_is_shown_again_escaped():
    page = Page(form("echo", "say", FORM, {"text": HOSTILE, "names": HOSTILE, "loud": "true"}))
    assert page.all("input")[0]["value"] == HOSTILE
    assert HOSTILE in page.text
    assert "checked" in page.all("input")[1]
    assert page.all("form") == [{"method": "post", "action": "/services/echo/say"}]


def _taking(**arguments):
    """As a worker tells it of an operation."""
    return {
        "type": "object",
        "properties": arguments,
        "required": list(arguments),
        "additionalProperties": False,
    }


@pytest.fixture
def performing(tmp_path):
    offered = tmp_path / "performed"
    offered.mkdir()
    decimal = {"type": "string", "format": "decimal"}
    operations = {
        "double": {"arguments": _taking(amount=decimal), "result": decimal},
        "fail": {"arguments": _taking(text={"type": "string"}), "result": {"type": "null"}},
        "count": {"arguments": _taking(to={"type": "integer"})},
    }
    service_wheel(offered, operations=operations)
    with serve("--wheels", offered, "--root", tmp_path / "performer") as there:
        yield there


@pytest.mark.e2e
@pytest.mark.slow
def test_a_form_performs_a_call_and_shows_its_result(performing):
    with requests.Session() as session:
        session.trust_env = False

        def send(operation, origin=performing.url, **fields):
            headers = {"Origin": origin} if origin else {}
            url = f"{performing.url}/services/echo/{operation}"
            return session.post(url, data=fields, headers=headers, timeout=120)

        done = send("double", amount="19.99")
        assert done.status_code == 200, done.text
        assert "39.98" in Page(done.text).text
        assert "2" in Page(send("count", to="3").text).text
        refused = send("double", amount=HOSTILE)
        assert refused.status_code == 422
        assert "<script" not in refused.text
        assert {"role": "alert"} in Page(refused.text).all("div")
        raised = send("fail", text=HOSTILE)
        assert raised.status_code == 500
        assert "<script" not in raised.text
        for foreign in ("https://elsewhere.example", "null", None, performing.url + "0"):
            assert send("double", foreign, amount="1").status_code == 403
        assert send("none").status_code == 404
        assert send("double", amount="x" * 2_000_000).status_code == 413


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_person_fills_in_a_form_in_chromium_and_sees_the_result(performing, tmp_path):
    with browser(tmp_path / "profile") as chromium:
        chromium.open(f"{performing.url}/services/echo")
        chromium.evaluate("document.getElementById('double-amount').value = '19.99'")
        chromium.evaluate("document.querySelector('form[action$=\"/double\"] button').click()")
        chromium.wait("Page.loadEventFired")
        assert "39.98" in chromium.evaluate("document.querySelector('[role=status]').innerText")
        # It fits a phone, in width, and nothing of it was stopped by its own policy.
        assert chromium.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert chromium.evaluate("getComputedStyle(document.querySelector('button')).minHeight") == "44px"
        assert not [event for event in chromium.events if event["method"] == "Log.entryAdded"]
        assert len(chromium.picture()) > 5_000
