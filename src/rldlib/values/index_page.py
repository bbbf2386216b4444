"""The root page of a package index, as JSON (PEP 691) or HTML (PEP 503): the names of its projects."""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import unquote, urlsplit

from packaging.utils import InvalidName, canonicalize_name

from rldlib.values.project_page import HTML_PAGE, JSON_PAGE, MalformedPageError

# The public index has some 700,000.
MAX_NAMES: Final = 2_000_000


def parse_names(media_type: str, body: bytes) -> tuple[str, ...]:
    """The normalised names on a page; what is no name is left out.

    Raises:
        MalformedPageError: It is no such page.
    """
    kind = media_type.partition(";")[0].strip().lower()
    if kind in {JSON_PAGE, "application/json"}:
        told = _json_names(body)
    elif kind in {HTML_PAGE, "text/html", "application/xhtml+xml"}:
        told = _html_names(body)
    else:
        raise MalformedPageError(f"it is {kind or 'of no media type'}, no page of a package index")
    names = dict.fromkeys(filter(None, map(_normalised, told)))
    return tuple(names)


def _json_names(body: bytes) -> list[str]:
    if body.count(b"{") > MAX_NAMES:
        raise MalformedPageError(f"it has more than {MAX_NAMES:,} projects")
    try:
        page = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise MalformedPageError("it is no JSON") from exc
    projects = page.get("projects") if isinstance(page, dict) else None
    if not isinstance(projects, list):
        raise MalformedPageError("it lacks 'projects' (PEP 691)")
    names = (project.get("name") for project in projects if isinstance(project, dict))
    return [name for name in names if isinstance(name, str)]


def _html_names(body: bytes) -> list[str]:
    from rldlib.values.links import NoLinksError, links_of

    try:
        anchors = links_of(body).anchors
        return [unquote(urlsplit(said["href"]).path.rstrip("/").rpartition("/")[2]) for said in anchors]
    except (NoLinksError, ValueError) as exc:
        raise MalformedPageError(str(exc)) from exc


def _normalised(name: str) -> str | None:
    try:
        return canonicalize_name(name, validate=True)
    except InvalidName:
        return None
