"""What the price-list service answers, called without a worker."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rld_price_list import Item, PriceList
from rldlib.plugin import Resources

FOLDER = Path(__file__).parents[1] / "src" / "rld_price_list"


@pytest.fixture
def prices():
    return started(FOLDER / "items.json")


@pytest.fixture
def hostile(tmp_path):
    """A list whose every text is an attack on whoever shows it."""
    rows = [
        {**ROW, "sku": "=1+1", "name": "<script>alert(1)</script>"},
        {**ROW, "sku": "+A1", "name": '" onmouseover="alert(1)'},
        {**ROW, "sku": "-A1", "name": "{{ 7 * 7 }}"},
        {**ROW, "sku": "@SUM(A1)", "name": "</td></tr></table><h1>"},
        {**ROW, "sku": "\t=1", "name": "a\r\nb"},
        {**ROW, "sku": "\r=1", "name": 'a","b'},
    ]
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"items": rows}))
    return started(path)


ROW = {"sku": "A", "name": "a", "category": "c", "unit_price": "1.00", "currency": "USD"}


def started(items):
    service = PriceList()
    page = {"name": "page", "kind": "data", "path": str(FOLDER / "page.html"), "use": ""}
    service.start(Resources([{"name": "items", "kind": "data", "path": str(items), "use": ""}, page]))
    return service


def cells(document):
    return list(csv.reader(io.StringIO(document, newline="")))


class Page(HTMLParser):
    """What a browser would make of a page: its tags, and its text by tag."""

    def __init__(self, document):
        super().__init__()
        self.tags = []
        self.texts = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, attrs))

    def handle_data(self, data):
        self.texts.append(data)


def test_the_list_has_twenty_items_with_unique_numbers(prices):
    items = prices.items()
    assert len(items) == 20
    assert len({item.sku for item in items}) == 20
    assert all(item.unit_price > 0 for item in items)
    assert items[0] == Item(
        sku="MUG-0350",
        name="Stoneware mug, 350 ml",
        category="Kitchen",
        unit_price=Decimal("12.50"),
        currency="USD",
    )


def test_items_can_be_asked_for_by_category(prices):
    assert {item.category for item in prices.items("Paper")} == {"Paper"}
    assert prices.items("No such shelf") == []


def test_the_stream_gives_the_same_items_in_the_same_order(prices):
    assert list(prices.stream_items()) == prices.items()
    assert list(prices.stream_items("Light")) == prices.items("Light")


def test_json_keeps_every_cent_as_text(prices):
    rows = json.loads(prices.as_json())
    assert [row["sku"] for row in rows] == [item.sku for item in prices.items()]
    assert rows[0]["unit_price"] == "12.50"


def test_csv_reads_back_as_the_items(prices):
    heading, *rows = cells(prices.as_csv())
    assert heading == ["sku", "name", "category", "unit_price", "currency"]
    assert [Item(*row[:3], Decimal(row[3]), row[4]) for row in rows] == prices.items()


def test_csv_has_one_line_for_each_item_with_the_ends_of_the_standard(prices):
    document = prices.as_csv()
    assert document.count("\r\n") == 21
    assert document.endswith("\r\n")


def test_html_has_a_row_for_each_item(prices):
    page = Page(prices.as_html())
    assert [tag for tag, _ in page.tags].count("tr") == 21
    assert "Stoneware mug, 350 ml" in page.texts
    assert "12.50 USD" in page.texts


def test_html_shows_the_title_that_was_asked_for(prices):
    assert Page(prices.as_html(title="Spring & summer")).texts.count("Spring & summer") == 2


@pytest.mark.parametrize("format_", ["json", "csv", "html"])
def test_a_file_holds_the_document_in_utf_8(prices, format_):
    document = {"json": prices.as_json, "csv": prices.as_csv, "html": prices.as_html}[format_]()
    assert prices.file(format_) == document.encode()


def test_hostile_text_stays_text_in_html(prices, hostile):
    """
    No tag and no attribute that the page of the true list does not have.
    """
    allowed = {(tag, tuple(attrs)) for tag, attrs in Page(prices.as_html()).tags}

    page = Page(hostile.as_html(title="<img src=x onerror=alert(1)>"))

    assert {(tag, tuple(attrs)) for tag, attrs in page.tags} == allowed
    assert "<script>alert(1)</script>" in page.texts
    assert "{{ 7 * 7 }}" in page.texts
    assert "<img src=x onerror=alert(1)>" in page.texts


def test_no_cell_of_the_csv_starts_like_a_formula(hostile):
    _, *rows = cells(hostile.as_csv())
    assert [row[0] for row in rows] == ["'=1+1", "'+A1", "'-A1", "'@SUM(A1)", "'\t=1", "'\r=1"]


def test_quotes_and_line_breaks_stay_inside_their_cell(hostile):
    _, *rows = cells(hostile.as_csv())
    assert [len(row) for row in rows] == [5] * 6
    assert [row[1] for row in rows][-2:] == ["a\r\nb", 'a","b']
