"""The service `price-list`: one merchandise list in the forms people ask for."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator  # noqa: TC003 - read from the annotation of a stream
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from jinja2 import Environment, StrictUndefined

from rldlib.plugin import Service, operation

if TYPE_CHECKING:
    from jinja2 import Template

    from rldlib.plugin import Resources

__all__ = ["Item", "PriceList"]

# What a spreadsheet takes for the start of a formula, or skips before one (OWASP, CSV injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True)
class Item:
    """One line of the list.

    Attributes:
        sku: The shop's own number of the article; unique in the list.
        name: What it is called.
        category: The shelf it stands on.
        unit_price: What one costs, before tax.
        currency: The currency's ISO 4217 code.
    """

    sku: str
    name: str
    category: str
    unit_price: Decimal
    currency: str


class PriceList(Service):
    """A merchandise list as rows, as documents, and as a stream."""

    _items: list[Item]
    _page: Template

    def start(self, resources: Resources) -> None:
        """Read the items and compile the page once."""
        rows = resources.json("items")["items"]
        self._items = [Item(**{**row, "unit_price": Decimal(row["unit_price"])}) for row in rows]
        environment = Environment(autoescape=True, undefined=StrictUndefined)
        self._page = environment.from_string(resources.text("page"))

    @operation(idempotent=True)
    def items(self, category: str | None = None) -> list[Item]:
        """The items of one category, or all of them; none where there is no such category."""
        return list(self._of(category))

    @operation(idempotent=True)
    def stream_items(self, category: str | None = None) -> Iterator[Item]:
        """The same items one by one, for a caller that shows them as they come."""
        yield from self._of(category)

    @operation(idempotent=True, media_type="application/json")
    def as_json(self) -> str:
        """The list as an array of objects; prices are text, since a JSON number may lose a cent."""
        rows = [{**asdict(item), "unit_price": str(item.unit_price)} for item in self._items]
        return json.dumps(rows, ensure_ascii=False, indent=2)

    @operation(idempotent=True, media_type="text/csv; charset=utf-8")
    def as_csv(self) -> str:
        """The list in lines as of RFC 4180, headings first; text that a spreadsheet would run is defused."""
        document = io.StringIO(newline="")
        lines = csv.writer(document, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n")
        lines.writerow(field.name for field in fields(Item))
        for item in self._items:
            lines.writerow(_cell(value) for value in asdict(item).values())
        return document.getvalue()

    @operation(idempotent=True, media_type="text/html; charset=utf-8")
    def as_html(self, title: str = "Price list") -> str:
        """The list as a page of its own, every value escaped.

        Args:
            title: Plain text for the heading and the tab; no markup.
        """
        return self._page.render(title=title, items=self._items)

    @operation(idempotent=True)
    def file(self, format: Literal["json", "csv", "html"]) -> bytes:  # noqa: A002 - a caller's word
        """The list as a file's content, in UTF-8."""
        documents = {"json": self.as_json, "csv": self.as_csv, "html": self.as_html}
        return documents[format]().encode()

    def _of(self, category: str | None) -> Iterator[Item]:
        return (item for item in self._items if category is None or item.category == category)


def _cell(value: str | Decimal) -> str | Decimal:
    """The value as a spreadsheet shows it: text that starts like a formula gets an apostrophe."""
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return "'" + value
    return value
