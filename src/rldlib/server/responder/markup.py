"""HTML that is escaped by construction: text is text, only what `element` made is markup."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Elements without content.
_VOID: Final = frozenset({"meta", "link", "input", "br"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, *content: str | None, **attributes: str | bool | None) -> Markup:
    """One element.

    Args:
        tag: Its name.
        content: What is in it: `Markup` as it is, any other text escaped; None is nothing.
        attributes: Its attributes; ``_`` at the end of a name is left out, one inside is a hyphen. True is
            one without a value, None and False are none.
    """
    told = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Markup(f"<{tag}{told}>")
    return Markup(f"<{tag}{told}>{joined(content)}</{tag}>")


def joined(content: Iterable[str | None]) -> Markup:
    """Contents one after the other, escaped where they are text."""
    return Markup("".join(_escaped(part) for part in content if part is not None))


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """A table with a caption; the first cell of a row is its head. Where it is too wide, it scrolls."""
    head = element("tr", *(element("th", name, scope="col") for name in heads))
    body = (
        element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:]))
        for row in rows
    )
    told = element("table", element("caption", caption), element("thead", head), element("tbody", *body))
    return element("div", told, class_="wide", tabindex="0", role="region", aria_label=caption)


def _attribute(name: str, value: str | bool | None) -> str:  # noqa: FBT001 - HTML has such attributes
    if value is None or value is False:
        return ""
    shown = name.rstrip("_").replace("_", "-")
    return f" {shown}" if value is True else f' {shown}="{html.escape(value)}"'


def _escaped(part: str) -> str:
    return part if isinstance(part, Markup) else html.escape(part)
