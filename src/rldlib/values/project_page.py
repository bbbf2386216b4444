"""A project's page of a package index, as JSON (PEP 691) or HTML (PEP 503).

The page may be hostile: whatever is wrong with it is a `MalformedPageError`.
Files that are no wheels of the project are left out, as pip does.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit, urlunsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename

from rldlib.values.digest import is_sha256
from rldlib.values.wheel import WheelFile, wheel_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

JSON_PAGE = "application/vnd.pypi.simple.v1+json"
HTML_PAGE = "application/vnd.pypi.simple.v1+html"
# JSON first: it says size and status. Any index that knows neither name sends HTML.
ACCEPT = f"{JSON_PAGE}, {HTML_PAGE};q=0.2, text/html;q=0.1"
# The public index's largest page has 10 MiB as JSON.
MAX_PAGE_BYTES = 32 * 1024 * 1024
# The largest page has some half a million of these in its JSON; each becomes ninety bytes at the worst.
_MAX_MARKS = 2_000_000
_MARKS = (b",", b":", b"[", b"{")
# Over all files together; most have one or two.
_MAX_TAGS = 400_000
# A longer one is none. It also keeps every number below what `int` reads (4,300 digits).
_MAX_SPECIFIER = 1_000
# An address that is what it is joined with whatever: nearly every one on a large page.
_WHOLE = re.compile(r"https?://[a-z0-9][a-z0-9.-]*/[A-Za-z0-9/._+=~-]*\Z")
_OWN_PROFILE_KEY = "rldlib-profile"


class MalformedPageError(ValueError):
    """The answer is no page of a project; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectPage:
    """What an index says of one project.

    Attributes:
        wheels: Its wheels, in the page's order.
        status: Its status (PEP 792): ``active``, ``archived``, ``quarantined`` or ``deprecated``.
        reason: Why it has that status, in the index's words.
    """

    wheels: tuple[WheelFile, ...]
    status: str = "active"
    reason: str = ""

    @property
    def is_quarantined(self) -> bool:
        """Whether nothing of it may be offered."""
        return self.status == "quarantined"


def parse_page(name: str, url: str, media_type: str, body: bytes) -> ProjectPage:
    """Read the page of the project with the normalised `name`, which came from `url`.

    Raises:
        MalformedPageError: It is none.
    """
    kind = media_type.partition(";")[0].strip().lower()
    if kind in {JSON_PAGE, "application/json"}:
        return _parse_json(name, url, body)
    if kind in {HTML_PAGE, "text/html", "application/xhtml+xml"}:
        return _parse_html(name, url, body)
    raise MalformedPageError(f"it is {kind or 'of no media type'}, no page of a package index")


# --- PEP 691 -------------------------------------------------------------------


def _parse_json(name: str, url: str, body: bytes) -> ProjectPage:
    if sum(map(body.count, _MARKS)) > _MAX_MARKS:
        raise MalformedPageError(f"its JSON has more than {_MAX_MARKS:,} values and names")
    try:
        page = json.loads(body)
    except RecursionError as exc:
        raise MalformedPageError("its JSON is nested too deeply") from exc
    except ValueError as exc:
        raise MalformedPageError(f"it is no JSON ({exc})") from exc
    files = page.get("files") if isinstance(page, dict) else None
    meta = page.get("meta") if isinstance(page, dict) else None
    if not isinstance(files, list) or not isinstance(meta, dict):
        raise MalformedPageError("it lacks 'meta' and 'files' (PEP 691)")
    if not str(meta.get("api-version", "")).startswith("1."):
        raise MalformedPageError(f"its api-version is {meta.get('api-version')!r}; 1.x is read")
    status = page.get("project-status", meta.get("project-status"))
    status = (
        status
        if isinstance(status, dict)
        else {"status": status, "reason": meta.get("project-status-reason")}
    )
    return ProjectPage(
        wheels=_bounded(_json_wheels(name, url, files)),
        status=_text(status.get("status")) or "active",
        reason=_text(status.get("reason")),
    )


def _json_wheels(name: str, url: str, files: list[Any]) -> Iterator[WheelFile]:
    for file in files:
        if not isinstance(file, dict):
            raise MalformedPageError(f"a file of it is {type(file).__name__}, no object")
        yanked = file.get("yanked")
        core = _first(file, "core-metadata", "data-dist-info-metadata", "dist-info-metadata")
        size = file.get("size")
        hashes = file.get("hashes")
        wheel = _wheel(
            name,
            _text(file.get("filename")),
            urljoin_or_none(url, _text(file.get("url"))),
            sha256=_sha256(hashes.get("sha256")) if isinstance(hashes, dict) else None,
            size=size if isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 2**60 else None,
            requires_python=_text(file.get("requires-python")),
            yanked=(yanked if isinstance(yanked, str) else "") if yanked else None,
            metadata_sha256=_advertised(core),
            profile_sha256=_advertised(file.get(_OWN_PROFILE_KEY)),
        )
        if wheel is not None:
            yield wheel


def _first(file: Mapping[str, Any], *keys: str) -> Any:
    return next((file[key] for key in keys if file.get(key) is not None), None)


def _advertised(value: Any) -> str | None:
    """A sibling as JSON advertises it: false, true, or its hashes."""
    if isinstance(value, dict):
        return _sha256(value.get("sha256")) or ""
    return "" if value is True else None


# --- PEP 503 -------------------------------------------------------------------


def _parse_html(name: str, url: str, body: bytes) -> ProjectPage:
    from rldlib.values.links import NoLinksError, links_of

    try:
        links = links_of(body)
    except NoLinksError as exc:
        raise MalformedPageError(str(exc)) from exc
    base = urljoin_or_none(url, links.base) if links.base else url
    return ProjectPage(
        wheels=_bounded(_html_wheels(name, base or url, links.anchors)),
        status=links.status.get("pypi:project-status", "") or "active",
        reason=links.status.get("pypi:project-status-reason", ""),
    )


def _html_wheels(name: str, base: str, anchors: list[dict[str, str]]) -> Iterator[WheelFile]:
    for said in anchors:
        joined = urljoin_or_none(base, said["href"])
        locator, fragment = urldefrag(joined) if joined else ("", "")
        digest = dict(part.partition("=")[::2] for part in fragment.split("&"))
        core = said.get("data-core-metadata", said.get("data-dist-info-metadata"))
        wheel = _wheel(
            name,
            unquote(urlsplit(locator).path.rpartition("/")[2]) if locator else "",
            locator or None,
            sha256=_sha256(digest.get("sha256")),
            size=None,
            requires_python=said.get("data-requires-python", ""),
            yanked=said.get("data-yanked"),
            metadata_sha256=_attribute(core),
            profile_sha256=_attribute(said.get(f"data-{_OWN_PROFILE_KEY}")),
        )
        if wheel is not None:
            yield wheel


def _attribute(value: str | None) -> str | None:
    """A sibling as HTML advertises it: ``true`` or ``sha256=HEX``."""
    if value is None or value.strip().lower() in {"false", ""}:
        return None
    return _sha256(value.partition("=")[2]) or ""


# --- both ------------------------------------------------------------------------


def urljoin_or_none(base: str, reference: str) -> str | None:
    """An http or https URL named on a page; None where it is none.

    Credentials in it are taken off: they are never sent, and a lock would keep them.
    """
    if _WHOLE.match(reference):
        return reference
    try:
        joined = urljoin(base, reference.strip())
        parts = urlsplit(joined)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    if not usable:
        return None
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _bounded(wheels: Iterator[WheelFile]) -> tuple[WheelFile, ...]:
    found = []
    tags = 0
    for wheel in wheels:
        tags += len(wheel.tags)
        if tags > _MAX_TAGS:
            raise MalformedPageError(f"its files have more than {_MAX_TAGS:,} tags")
        found.append(wheel)
    return tuple(found)


def _wheel(
    name: str, filename: str, locator: str | None, *, requires_python: str, **known: Any
) -> WheelFile | None:
    if locator is None or not filename.endswith(".whl"):
        return None
    try:
        wheel = wheel_file(filename, locator, requires_python=_specifier(requires_python), **known)
    except InvalidWheelFilename:
        return None
    # A file of another project on this page is nobody's word.
    return wheel if wheel.name == name else None


@lru_cache(maxsize=256)
def _specifier(text: str) -> SpecifierSet:
    try:
        return SpecifierSet(text) if len(text) <= _MAX_SPECIFIER else SpecifierSet()
    except InvalidSpecifier:
        return SpecifierSet()


def _sha256(value: Any) -> str | None:
    text = value.lower() if isinstance(value, str) else ""
    return text if is_sha256(text) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
