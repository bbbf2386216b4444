"""A directory of wheels as a package index on loopback: ``rld index DIR``.

It speaks PEP 503 and 691, with sizes (700), METADATA and profiles beside the
files (658, 714, and a key of our own), hashes, ETags and ranges.
"""

from __future__ import annotations

import hashlib
import html
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from packaging.utils import canonicalize_name
from starlette.applications import Starlette
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from rldlib.errors import SourceUnavailableError
from rldlib.server.running import serve
from rldlib.server.shelf import Shelf, ShelvedWheel
from rldlib.values.digest import is_sha256
from rldlib.values.project_page import HTML_PAGE, JSON_PAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    Page = Callable[[Request], Response]

_API_VERSION = "1.1"
_JSON_NAMES = frozenset({JSON_PAGE, "application/vnd.pypi.simple.latest+json", "application/json"})
_HTML_NAMES = frozenset({HTML_PAGE, "application/vnd.pypi.simple.latest+html", "text/html", "*/*", "text/*"})


def create_index_app(directory: Path) -> Starlette:
    """The index as an ASGI application. Wheels that come, change or go later are seen."""
    index = Index(Path(directory).absolute())
    return Starlette(
        routes=[
            Route("/", index.people),
            *index.routes(lambda page: page),
            Route("/blobs/sha256/{sha256}", index.blob),
            Route("/healthz", lambda _: Response("ok\n", media_type="text/plain")),
        ],
        exception_handlers={SourceUnavailableError: _outage},
    )


def serve_index(
    directory: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    on_ready: Callable[[str, int], None] | None = None,
) -> None:
    """Serve until interrupted.

    Args:
        directory: Where the wheels lie, flat.
        host: The address to listen on. There is no authentication: leave it on loopback.
        port: The port; 0 takes a free one.
        on_ready: Told the index's URL and this process's id once connections are taken.

    Raises:
        OSError: The address cannot be listened on.
    """

    def ready(url: str, pid: int) -> None:
        if on_ready is not None:
            on_ready(f"{url}/simple/", pid)

    serve(create_index_app(directory), host=host, port=port, on_ready=ready)


class Index:
    """The pages. They run in threads: hashing a large wheel holds up nobody else."""

    def __init__(self, path: Path) -> None:
        self._shelf = Shelf(path)
        self._blobs = path / "blobs" / "sha256"

    def routes(self, guarded: Callable[[Page], Page]) -> list[Route]:
        """The simple index and its files.

        Args:
            guarded: Put around each page; may refuse.
        """
        return [
            Route("/simple", guarded(lambda _: RedirectResponse("/simple/", 301))),
            Route("/simple/", guarded(self.projects)),
            Route("/simple/{name}", guarded(self.elsewhere)),
            Route("/simple/{name}/", guarded(self.project)),
            Route("/files/{filename}", guarded(self.file)),
        ]

    def people(self, _: Request) -> Response:
        """For who comes by: how many projects there are."""
        count = len(self._shelf.names())
        text = f"<!DOCTYPE html><title>rld index</title><p>{count} projects: <a href='/simple/'>/simple/</a></p>\n"
        return Response(text, media_type="text/html")

    def projects(self, request: Request) -> Response:
        """The names of all projects."""
        names = self._shelf.names()
        if _wants_json(request):
            page = {"meta": {"api-version": _API_VERSION}, "projects": [{"name": name} for name in names]}
            return _page(request, json.dumps(page), JSON_PAGE)
        return _page(
            request, _document("Simple index", [f'<a href="{name}/">{name}</a>' for name in names]), HTML_PAGE
        )

    def elsewhere(self, request: Request) -> Response:
        """Where a project's page is: at its normalised name."""
        return RedirectResponse(f"/simple/{canonicalize_name(request.path_params['name'])}/", 301)

    def project(self, request: Request) -> Response:
        """The wheels of a project."""
        asked = request.path_params["name"]
        name = canonicalize_name(asked)
        if name != asked:
            return self.elsewhere(request)
        wheels = self._shelf.wheels(name)
        if wheels is None:
            return _not_found()
        if _wants_json(request):
            return _page(request, json.dumps(_project(name, wheels)), JSON_PAGE)
        return _page(request, _document(f"Links for {name}", [_anchor(wheel) for wheel in wheels]), HTML_PAGE)

    def file(self, request: Request) -> Response:
        """A wheel, or what lies beside it."""
        filename: str = request.path_params["filename"]
        for suffix, media_type in (
            (".metadata", "text/plain; charset=utf-8"),
            (".rldlib.json", "application/json"),
        ):
            if filename.endswith(f".whl{suffix}"):
                body = self._shelf.sibling(filename.removesuffix(suffix), suffix)
                return _not_found() if body is None else _page(request, body, media_type)
        # The name comes out of the directory's own listing, never off the request's path.
        if not self._shelf.has(filename):
            return _not_found()
        return FileResponse(self._shelf.path / filename, media_type="application/octet-stream")

    def blob(self, request: Request) -> Response:
        """A data resource by its hash."""
        sha256: str = request.path_params["sha256"]
        path = self._blobs / sha256
        if not is_sha256(sha256) or not path.is_file():
            return _not_found()
        return FileResponse(path, media_type="application/octet-stream")


def _project(name: str, wheels: list[ShelvedWheel]) -> dict[str, Any]:
    return {
        "meta": {"api-version": _API_VERSION},
        "name": name,
        "versions": list(dict.fromkeys(wheel.version for wheel in wheels)),
        "files": [_file(wheel) for wheel in wheels],
    }


def _file(wheel: ShelvedWheel) -> dict[str, Any]:
    told: dict[str, Any] = {
        "filename": wheel.filename,
        "url": f"/files/{quote(wheel.filename)}",
        "hashes": {"sha256": wheel.sha256},
        "size": wheel.size,
    }
    if wheel.requires_python:
        told["requires-python"] = wheel.requires_python
    if wheel.metadata_sha256 is not None:
        # Under its later name too (PEP 714).
        told["core-metadata"] = told["dist-info-metadata"] = {"sha256": wheel.metadata_sha256}
    if wheel.profile_sha256 is not None:
        told["rldlib-profile"] = {"sha256": wheel.profile_sha256}
    return told


def _anchor(wheel: ShelvedWheel) -> str:
    said = {"href": f"/files/{quote(wheel.filename)}#sha256={wheel.sha256}"}
    if wheel.requires_python:
        said["data-requires-python"] = wheel.requires_python
    if wheel.metadata_sha256 is not None:
        said["data-core-metadata"] = said["data-dist-info-metadata"] = f"sha256={wheel.metadata_sha256}"
    if wheel.profile_sha256 is not None:
        said["data-rldlib-profile"] = f"sha256={wheel.profile_sha256}"
    attributes = " ".join(f'{name}="{html.escape(value)}"' for name, value in said.items())
    return f"<a {attributes}>{html.escape(wheel.filename)}</a>"


def _document(title: str, links: list[str]) -> str:
    head = (
        f'<meta name="pypi:repository-version" content="{_API_VERSION}"><title>{html.escape(title)}</title>'
    )
    body = "".join(f"{link}<br>\n" for link in links)
    return f"<!DOCTYPE html>\n<html><head>{head}</head><body>\n{body}</body></html>\n"


def _page(request: Request, body: str | bytes, media_type: str) -> Response:
    content = body.encode() if isinstance(body, str) else body
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Vary": "Accept", "Cache-Control": "no-cache"}
    asked = [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]
    if etag in asked or "*" in asked:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)


def _wants_json(request: Request) -> bool:
    """JSON where it is asked for by name and not liked less than HTML; HTML is the default (PEP 691)."""
    best = {"json": 0.0, "html": 0.0}
    for part in request.headers.get("accept", "").split(","):
        kind, *parameters = (text.strip().lower() for text in part.split(";"))
        wish = next((_number(text.removeprefix("q=")) for text in parameters if text.startswith("q=")), 1.0)
        for name, kinds in (("json", _JSON_NAMES), ("html", _HTML_NAMES)):
            if kind in kinds:
                best[name] = max(best[name], wish)
    return best["json"] > 0 and best["json"] >= best["html"]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _not_found() -> Response:
    return Response("not found\n", 404, media_type="text/plain")


def _outage(_: Request, exc: Exception) -> Response:
    return Response(f"{exc}\n", 503, media_type="text/plain")
