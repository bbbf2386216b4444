"""The links of an HTML page. Few indexes send any, and the parser is dear: hence a module of its own."""

from __future__ import annotations

from codecs import getincrementaldecoder
from html.parser import HTMLParser

# One element of a page is never longer; beyond it an HTML parser starts over and over.
_MAX_TAG_BYTES = 256 * 1024
_FEED_BYTES = 64 * 1024
# The most files of one project on the public index are some tens of thousands.
_MAX_LINKS = 100_000
# Over all elements together; a file's link has five.
_MAX_ATTRIBUTES = 500_000
# All that is read of an element.
_ATTRIBUTES = frozenset(
    {
        *("href", "name", "content", "data-requires-python", "data-yanked"),
        *("data-core-metadata", "data-dist-info-metadata", "data-rldlib-profile"),
    }
)


class NoLinksError(ValueError):
    """The page is no HTML; the message says why."""


class Links(HTMLParser):
    """The anchors of a page, and what its head says of the project."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.base: str | None = None
        self.status: dict[str, str] = {}
        self.anchors: list[dict[str, str]] = []
        self.attributes = 0
        self.unread = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for each tag that opens."""
        self.attributes += len(attrs)
        if self.attributes > _MAX_ATTRIBUTES:
            raise NoLinksError(f"its elements have more than {_MAX_ATTRIBUTES:,} attributes")
        said = {name: value or "" for name, value in reversed(attrs) if name in _ATTRIBUTES}
        if tag == "a" and said.get("href"):
            if len(self.anchors) == _MAX_LINKS:
                raise NoLinksError(f"it has more than {_MAX_LINKS:,} links")
            self.anchors.append(said)
        elif tag == "base" and self.base is None and said.get("href"):
            self.base = said["href"]
        elif tag == "meta" and said.get("name", "").startswith("pypi:project-status"):
            self.status[said["name"]] = said.get("content", "")

    def feed(self, data: str) -> None:
        """Read on; what is left over belongs to an element that has no end yet."""
        super().feed(data)
        self.unread = len(self.rawdata)


def links_of(body: bytes) -> Links:
    """The links of a page.

    Raises:
        NoLinksError: It is none.
    """
    links = Links()
    # In pieces: one character of four bytes makes every other of the same text as large.
    decoder = getincrementaldecoder("utf-8")("replace")
    try:
        # Without `close`: what is never closed is read once, not once for each byte.
        for start in range(0, len(body), _FEED_BYTES):
            links.feed(decoder.decode(body[start : start + _FEED_BYTES]))
            if links.unread > _MAX_TAG_BYTES:
                raise NoLinksError(f"it has an element of more than {_MAX_TAG_BYTES:,} characters")
    except AssertionError as exc:
        # How `html.parser` refuses declarations that are none.
        raise NoLinksError(f"it is no HTML ({exc})") from exc
    if not links.anchors and b"<" not in body[:_FEED_BYTES]:
        raise NoLinksError("it is no HTML")
    return links
