"""Another daemon over HTTP, as a requestor sees it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from rldlib.adapters.peer.bytes import PeerSource
from rldlib.adapters.peer.remote import RemoteTarget
from rldlib.errors import (
    MismatchError,
    NoCommonProtocolError,
    ServiceNotFoundError,
    SourceUnavailableError,
    UnsatisfiableError,
)
from rldlib.values.foreign import MalformedDocumentError
from rldlib.values.support import (
    MAX_ANSWER_BYTES,
    PROTOCOLS,
    Acknowledgement,
    Support,
    SupportAnswer,
    SupportRequest,
    read,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from rldlib.adapters.http import Http
    from rldlib.adapters.http_reading import Response
    from rldlib.values.lock import Lock

T = TypeVar("T")
_JSON: Final = "application/json"
# A receipt waits for nobody: what is not taken now is said again.
_RECEIPT_S: Final = 2.0
_TOLD: Final = 300


class Trusted(Protocol):
    """What another domain signed; `rldlib.adapters.trust.Trusted` is it."""

    @property
    def root_sha256(self) -> str:
        """The domain's identity."""
        ...

    def refresh(self) -> None:
        """Ask for all that is new, and verify it."""
        ...

    def target(self, name: str) -> bytes | None:
        """A target that is signed and true now; None where the domain signs no such thing."""
        ...


@dataclass(frozen=True, slots=True)
class Way:
    """One pathway to a domain.

    Attributes:
        url: Its address, without a slash at the end.
        trusted: The domain's trust, asked for over this pathway.
    """

    url: str
    trusted: Trusted


class Peer:
    """See `rldlib.ports.Peer`. Safe for many threads.

    Args:
        ways: The pathways to it, the first one preferred; where one fails the next is used.
        http: How it is asked.
        read_lock: Reads the text of a lock.
        token: Shows who asks; sent to its addresses alone.
        deadline_s: The longest that an answer may take.
    """

    def __init__(
        self,
        ways: Sequence[Way],
        http: Http,
        *,
        read_lock: Callable[[str], Lock],
        token: str | None = None,
        deadline_s: float = 30,
    ) -> None:
        self._ways = tuple(ways)
        self._http = http
        self._read_lock = read_lock
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._deadline_s = deadline_s
        # The pathway that answered last is asked first for calls: not all of them may be sent twice.
        self._answering: Way | None = None
        self._source = PeerSource(self.identity, [way.url for way in ways], http, self._headers)

    @property
    def identity(self) -> str:
        """See `Peer.identity`."""
        return f"rldlib:{self._ways[0].trusted.root_sha256}"

    @property
    def source(self) -> PeerSource:
        """See `Peer.source`."""
        return self._source

    def close(self) -> None:
        """See `Peer.close`."""
        self._http.close()

    def support(self, asked: SupportRequest) -> Support:
        """See `Peer.support`."""
        return self._over_some_way(lambda way: self._support(way, asked))

    def perform(
        self, service: str, version: str, operations: Mapping[str, Mapping[str, Any]]
    ) -> RemoteTarget:
        """See `Peer.perform`."""
        first = [way for way in self._ways if way is self._answering]
        ways = [*first, *(way for way in self._ways if way is not self._answering)]
        return RemoteTarget(
            service=service,
            version=version,
            operations=operations,
            identity=self.identity,
            urls=[way.url for way in ways],
            http=self._http,
            headers=self._headers,
        )

    def acknowledge(self, said: Acknowledgement) -> None:
        """See `Peer.acknowledge`."""

        def hand_over(way: Way) -> None:
            answer = self._post(way, "/rld/v1/ack", write(said), _RECEIPT_S)
            if answer.status >= 300:
                raise _unusable(way, answer)

        self._over_some_way(hand_over)

    def _over_some_way(self, ask: Callable[[Way], T]) -> T:
        silent: list[SourceUnavailableError] = []
        for way in self._ways:
            try:
                answer = ask(way)
            except SourceUnavailableError as exc:
                silent.append(exc)
            else:
                self._answering = way
                return answer
        if len(silent) == 1:
            raise silent[0]
        reasons = "; ".join(f"{exc.source}: {exc.reason}" for exc in silent)
        raise SourceUnavailableError(self.identity, reasons or "no pathway to it is known")

    def _support(self, way: Way, asked: SupportRequest) -> Support:
        answer = self._answer(way, asked)
        way.trusted.refresh()
        profile = self._signed(way, answer.profile)
        if not answer.locks:
            return Support(answer=answer, profile=profile)
        chosen = answer.locks[0]
        if chosen.interpreter >= len(asked.interpreters):
            told = f"one of {len(asked.interpreters)} interpreters"
            raise MismatchError(f"the lock that {self.identity} names", told, f"number {chosen.interpreter}")
        try:
            lock = self._read_lock(self._signed(way, chosen.target).decode())
        except UnicodeDecodeError as exc:
            raise MismatchError(chosen.target, "a lock", "no text") from exc
        return Support(answer=answer, profile=profile, lock=lock, interpreter=chosen.interpreter)

    def _answer(self, way: Way, asked: SupportRequest) -> SupportAnswer:
        answer = self._post(way, "/rld/v1/support", write(asked), self._deadline_s)
        if answer.status == 406:
            raise UnsatisfiableError(asked.service, [f"{self.identity}: {_message(answer)}"])
        if answer.status == 404:
            raise ServiceNotFoundError(asked.service, self.identity, _message(answer))
        if answer.status == 409:
            raise NoCommonProtocolError(PROTOCOLS, _spoken(answer))
        if answer.status != 200:
            raise _unusable(way, answer)
        try:
            found = read(SupportAnswer, answer.body)
        except MalformedDocumentError as exc:
            raise SourceUnavailableError(way.url, f"its answer is none: {exc}") from exc
        if found.service != asked.service or found.protocol not in asked.protocols:
            raise MismatchError(
                f"the answer of {self.identity}",
                f"{asked.service} by protocol {', '.join(map(str, asked.protocols))}",
                f"{found.service} by protocol {found.protocol}",
            )
        return found

    def _signed(self, way: Way, name: str) -> bytes:
        data = way.trusted.target(name)
        if data is None:
            raise MismatchError(f"{name} of {self.identity}", "a target that its domain signs", "none")
        return data

    def _post(self, way: Way, path: str, body: bytes, deadline_s: float) -> Response:
        return self._http.post(
            f"{way.url}{path}",
            body,
            content_type=_JSON,
            max_bytes=MAX_ANSWER_BYTES,
            deadline_s=deadline_s,
            headers=self._headers,
            repeatable=True,
        )


def _unusable(way: Way, answer: Response) -> SourceUnavailableError:
    """A status that is no answer to what was asked."""
    told = _message(answer)
    if answer.status in {401, 403}:
        told += "; put the token that its operator handed out into netrc, as the password for that host"
    if "retry-after" in answer.headers:
        told += f"; it asks to wait {answer.headers['retry-after'][:20]} s"
    return SourceUnavailableError(way.url, f"status {answer.status}: {told}")


def _message(answer: Response) -> str:
    """What a refusal says for people: one line, bounded."""
    message = _error(answer).get("message")
    text = message if isinstance(message, str) else "it did not say why"
    return " ".join(text.split())[:_TOLD]


def _spoken(answer: Response) -> list[int]:
    spoken = _error(answer).get("spoken")
    return [each for each in spoken[:16] if type(each) is int] if isinstance(spoken, list) else []


def _error(answer: Response) -> Mapping[str, object]:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    error = document.get("error") if isinstance(document, dict) else None
    return error if isinstance(error, dict) else {}
