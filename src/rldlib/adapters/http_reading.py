"""One answer: what is read of it, within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urljoin, urlsplit

from rldlib.errors import OversizeError, SourceUnavailableError
from rldlib.values.address import origin_of, told_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import requests

    Sink = Callable[[bytes], None]

_CHUNK_BYTES = 64 * 1024
_BODILESS = frozenset({204, 304})
REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer, whole.

    Attributes:
        url: Where it came from, redirects followed; without credentials.
        status: Its status.
        headers: Its headers, names in lower case.
        body: Its body; what is read of it depends on the method.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where an answer sends us, and whether that is another origin."""

    url: str
    leaves: bool


def redirected(response: requests.Response, url: str) -> Redirect | None:
    """Where the answer for ``url`` sends us; None where it is no redirect."""
    target = response.headers.get("Location")
    if response.status_code not in REDIRECTS or target is None:
        return None
    try:
        joined = urljoin(url, target)
        return Redirect(joined, origin_of(urlsplit(joined)) != origin_of(urlsplit(url)))
    except ValueError:
        return Redirect(target, leaves=True)


def check_answer(response: requests.Response, told: str) -> None:
    """Refuse what is no answer: an outage, a locked door, compressed bytes."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise SourceUnavailableError(told, f"it sent {encoding!r} where only plain bytes were asked for")
    if response.status_code >= 500:
        raise SourceUnavailableError(told, f"status {response.status_code}")
    if response.status_code in {401, 403, 407}:
        raise SourceUnavailableError(told, f"status {response.status_code}: {_locked(response)}")


def _locked(response: requests.Response) -> str:
    if response.status_code == 407:
        return "a proxy asks for credentials; put them into its URL"
    if "Authorization" in response.request.headers:
        return "it refused the credentials of netrc, or of the URL that was given; correct them"
    return "put credentials into netrc, or into the URL that was given"


def read_body(response: requests.Response, sink: Sink, max_bytes: int, told: str) -> None:
    """Give the whole body to ``sink``, at most ``max_bytes`` of it."""
    length = length_of(response)
    if response.request.method == "HEAD" or response.status_code in _BODILESS:
        # The reading of nothing gives the connection back.
        response.raw.read()
        return
    if length is not None and length > max_bytes:
        raise over(told, max_bytes, length)
    count = 0
    for chunk in body_chunks(response, _CHUNK_BYTES):
        count += len(chunk)
        if count > max_bytes:
            raise over(told, max_bytes)
        sink(chunk)


def whole(response: requests.Response, max_bytes: int, told: str) -> Response:
    """The answer with all of its body, at most ``max_bytes`` of it."""
    body = bytearray()
    read_body(response, body.extend, max_bytes, told)
    return answer_of(response, bytes(body))


def body_chunks(response: requests.Response, length: int) -> Iterator[bytes]:
    """The body as it comes; pieces of at most ``length`` bytes, nothing decoded."""
    chunks: Iterator[bytes] = response.raw.stream(min(length, _CHUNK_BYTES), decode_content=False)
    return chunks


def answer_of(response: requests.Response, body: bytes) -> Response:
    """The answer as a value."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(url=response.url or "", status=response.status_code, headers=headers, body=body)


def length_of(response: requests.Response) -> int | None:
    """How long the body claims to be; None where nothing or nonsense is claimed."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def continues(response: requests.Response, done: int) -> bool:
    """Whether a partial answer begins where the ``done`` bytes ended."""
    return done > 0 and response.headers.get("Content-Range", "").replace("bytes ", "").startswith(f"{done}-")


def over(told: str, max_bytes: int, length: int | None = None) -> OversizeError:
    """The error of a body longer than what is read."""
    has = f"{length:,} bytes" if length is not None else "more"
    return OversizeError(told, f"{has} where at most {max_bytes:,} bytes are read")


def elsewhere(told: str, target: Redirect) -> SourceUnavailableError:
    """The error of an answer that sends us to another server."""
    return SourceUnavailableError(told, f"it redirects to another origin, {told_url(target.url)}")


def split_url(url: str) -> SplitResult:
    """The parts of a URL that a page named."""
    try:
        parts = urlsplit(url)
        origin_of(parts)
    except ValueError as exc:
        raise SourceUnavailableError(told_url(url), f"it is no URL ({exc})") from exc
    return parts
