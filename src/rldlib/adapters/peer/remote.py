"""Calls that a responder performs: the same results and errors as those of a worker here."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any, Final, Self

from rldlib.adapters.calls import CallFuture
from rldlib.adapters.http_exchange import BrokenExchangeError, Exchange
from rldlib.adapters.peer.faults import error_of
from rldlib.adapters.peer.pool import Pool
from rldlib.errors import ArgumentsError, CallTimeoutError, WorkerLostError
from rldlib.values.calls import CALL_TYPE, DEADLINE_HEADER, VERSION_HEADER
from rldlib.wire import messages
from rldlib.wire.codec import EncodingError, decode, encode
from rldlib.wire.frames import HEADER, MAX_FRAME_BYTES, FrameReader, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rldlib.adapters.http import Http
    from rldlib.errors import RldlibError

# A responder ends each call by itself before that.
_LONGEST_S: Final = 660.0
_MAX_ERROR_BYTES: Final = 1024 * 1024
_NO_END: Final = "its answer broke off before the end of the stream"


class RemoteTarget:
    """See `rldlib.ports.Target`: a responder performs the service.

    A call is sent once. It is sent again only where it cannot have arrived, over another pathway, or where
    the operation is idempotent.

    Args:
        service: The service.
        version: Its version, and no other.
        operations: What it performs.
        identity: The responder.
        urls: Its addresses, the preferred one first.
        http: How it is asked.
        headers: Sent with every call.
    """

    placement: Final = "remote"
    worker: Final = None

    def __init__(
        self,
        *,
        service: str,
        version: str,
        operations: Mapping[str, Mapping[str, Any]],
        identity: str,
        urls: Sequence[str],
        http: Http,
        headers: Mapping[str, str],
    ) -> None:
        self.operations = operations
        self._service = service
        self._identity = identity
        self._urls = tuple(f"{url}/rld/v1/call/{service}" for url in urls)
        self._http = http
        self._headers = {
            **headers,
            "Content-Type": CALL_TYPE,
            "Accept": f"{CALL_TYPE}, application/json;q=0.1",
            VERSION_HEADER: version,
        }
        self._pool = Pool(f"rldlib-remote-{service}")

    def call(self, operation: str, arguments: Mapping[str, Any], deadline_s: float | None) -> Any:
        """See `Target.call`."""
        return _Call(self, operation, arguments, deadline_s).result()

    def submit(self, operation: str, arguments: Mapping[str, Any], deadline_s: float | None) -> CallFuture:
        """See `Target.submit`."""
        call, future = _Call(self, operation, arguments, deadline_s), CallFuture()
        future.on_cancel = call.break_off
        self._pool.run(call.result, future)
        return future

    def stream(self, operation: str, arguments: Mapping[str, Any], deadline_s: float | None) -> RemoteItems:
        """See `Target.stream`."""
        return RemoteItems(_Call(self, operation, arguments, deadline_s))

    def close(self) -> None:
        """Let go of what waits for answers; calls under way still get theirs."""
        self._pool.close()

    def pathways(self, operation: str) -> Sequence[str]:
        """Where a call is sent, one after the other, while it cannot have arrived or may be repeated."""
        urls = [f"{url}/{operation}" for url in self._urls]
        return urls * 2 if self.operations[operation]["idempotent"] else urls

    def exchange(self, url: str, body: bytes, deadline_s: float | None, until: float) -> Exchange:
        """One attempt."""
        told = {}
        if deadline_s is not None:
            left_ms = math.ceil((until - time.monotonic()) * 1000)
            told = {DEADLINE_HEADER: str(max(1, left_ms))}
        return Exchange(self._http, url, body, {**self._headers, **told}, until)

    def lost(self, reason: str, *, executed: bool | None = None) -> WorkerLostError:
        """The error of a call whose end is not known."""
        return WorkerLostError(self._service, f"its responder {self._identity[:23]}: {reason}", executed)

    @property
    def service(self) -> str:
        """The service."""
        return self._service


class _Call:
    """One call, and the exchange that it is in."""

    def __init__(
        self, target: RemoteTarget, operation: str, arguments: Mapping[str, Any], deadline_s: float | None
    ) -> None:
        self.operation = operation
        self._target = target
        self._deadline_s = deadline_s
        self._until = time.monotonic() + (_LONGEST_S if deadline_s is None else deadline_s)
        self._exchange: Exchange | None = None
        self._broken_off = False
        try:
            message = [messages.CALL, 0, operation, dict(arguments), deadline_s]
            self._body = b"".join(encode(message))
        except EncodingError as exc:
            raise ArgumentsError(target.service, operation, [str(exc)]) from exc

    def result(self) -> Any:
        """Send it, and give its result."""
        with self:
            found = list(self.messages(HEADER.size + MAX_FRAME_BYTES))
            if len(found) != 1 or found[0][0] != messages.REPLY:
                raise self._target.lost("it sent no reply, or more than one")
            return found[0][2]

    def messages(self, max_bytes: int | None = None) -> Iterator[list[Any]]:
        """What is answered, message by message."""
        exchange = self._sent()
        frames = FrameReader()
        try:
            if exchange.status != 200:
                raise self._refused(b"".join(exchange.chunks(_MAX_ERROR_BYTES)), exchange.status)
            if exchange.media_type != CALL_TYPE:
                told = f"its answer is {exchange.media_type[:60] or 'of no type'}, and not {CALL_TYPE}"
                raise self._target.lost(told)
            for chunk in exchange.chunks(max_bytes):
                frames.feed(chunk)
                while (frame := frames.next()) is not None:
                    message = decode(frame)
                    messages.verify(message, messages.FROM_WORKER)
                    yield message
        except BrokenExchangeError as exc:
            raise self._ended(exc) from exc
        except ProtocolError as exc:
            raise self._target.lost(f"it sent what is no answer: {exc}") from exc
        if frames.pending_bytes:
            raise self._target.lost("its answer broke off")

    def _sent(self) -> Exchange:
        """The exchange, once the head of an answer is there."""
        sent, last = False, None
        repeatable = self._target.operations[self.operation]["idempotent"]
        for url in self._target.pathways(self.operation):
            self._exchange = self._target.exchange(url, self._body, self._deadline_s, self._until)
            if self._broken_off:
                break
            try:
                return self._exchange.open()
            except BrokenExchangeError as exc:
                sent, last = sent or exc.sent, exc
                if exc.late or (sent and not repeatable):
                    break
        if last is None:
            raise self._target.lost("nobody waits for it any more", executed=False)
        raise self._ended(BrokenExchangeError(last.reason, sent=sent, late=last.late)) from last

    def _ended(self, exc: BrokenExchangeError) -> RldlibError:
        if exc.late:
            return self.late()
        return self._target.lost(exc.reason, executed=None if exc.sent else False)

    def late(self) -> CallTimeoutError:
        """The error of its deadline."""
        return CallTimeoutError(self._target.service, self.operation, self._deadline_s or _LONGEST_S)

    def _refused(self, body: bytes, status: int) -> RldlibError:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = {}
        error = document.get("error") if isinstance(document, dict) else None
        return self.error(error if isinstance(error, dict) else {}, status)

    def error(self, told: Mapping[str, Any], status: int = 200) -> RldlibError:
        """The error that was told."""
        deadline_s = self._deadline_s or _LONGEST_S
        return error_of(self._target.service, self.operation, told, status, deadline_s)

    def lost(self, reason: str) -> RldlibError:
        """The error of an answer that is none."""
        return self._target.lost(reason)

    def break_off(self) -> None:
        """Nobody waits any more; the responder sees the connection end, and cancels the call."""
        self._broken_off = True
        if self._exchange is not None:
            self._exchange.break_off()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._exchange is not None:
            if kind is not None:
                self._exchange.break_off()
            self.close()

    def close(self) -> None:
        """Let go of the exchange."""
        if self._exchange is not None:
            self._exchange.close()


class RemoteItems:
    """See `rldlib.ports.Items`."""

    def __init__(self, call: _Call) -> None:
        self._call = call
        self._messages = call.messages()
        self._over = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._over:
            raise StopIteration
        try:
            message = next(self._messages, None)
        except BaseException:
            self.close()
            raise
        kind = message[0] if message is not None else ""
        if message is not None and kind == messages.ITEM:
            return message[2]
        if message is None or kind != messages.END:
            self.close()
            told = message[1] if message is not None and kind == messages.FAILED else None
            raise self._call.lost(_NO_END) if told is None else self._call.error(told)
        # To its end, so that the connection can be kept.
        next(self._messages, None)
        self._over = True
        self._call.close()
        raise StopIteration

    def close(self) -> None:
        """See `Items.close`."""
        if not self._over:
            self._over = True
            self._call.break_off()
            self._call.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_over"):
            self.close()
