"""The links of an HTML page. Few indexes send any, and the parser is dear: hence a module of its own."""

from __future__ import annotations

from html.parser import HTMLParser

# One element of a page is never longer; beyond it an HTML parser starts over and over.
_MAX_TAG_BYTES = 256 * 1024
_FEED_BYTES = 64 * 1024


class NoLinksError(ValueError):
    """The text is no HTML; the message says why."""


class Links(HTMLParser):
    """The anchors of a page, and what its head says of the project."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.base: str | None = None
        self.status: dict[str, str] = {}
        self.anchors: list[dict[str, str]] = []
        self.unread = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for each tag that opens."""
        said = {name: value or "" for name, value in reversed(attrs)}
        if tag == "a" and said.get("href"):
            self.anchors.append(said)
        elif tag == "base" and self.base is None and said.get("href"):
            self.base = said["href"]
        elif tag == "meta" and said.get("name", "").startswith("pypi:project-status"):
            self.status[said["name"]] = said.get("content", "")

    def feed(self, data: str) -> None:
        """Read on; what is left over belongs to an element that has no end yet."""
        super().feed(data)
        self.unread = len(self.rawdata)


def links_of(text: str) -> Links:
    """The links of a page.

    Raises:
        NoLinksError: It is none.
    """
    links = Links()
    try:
        # In pieces, and without `close`: what is never closed is read once, not once for each byte.
        for start in range(0, len(text), _FEED_BYTES):
            links.feed(text[start : start + _FEED_BYTES])
            if links.unread > _MAX_TAG_BYTES:
                raise NoLinksError(f"it has an element of more than {_MAX_TAG_BYTES:,} characters")
    except AssertionError as exc:
        # How `html.parser` refuses declarations that are none.
        raise NoLinksError(f"it is no HTML ({exc})") from exc
    if not links.anchors and "<" not in text[:_FEED_BYTES]:
        raise NoLinksError("it is no HTML")
    return links
