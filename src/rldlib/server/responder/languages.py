"""The two languages that calls are made in: JSON for anyone, and the wire's own for daemons."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from rldlib.errors import ArgumentsError, ServiceFaultError
from rldlib.values.arguments import typed
from rldlib.values.calls import CALL_TYPE
from rldlib.values.foreign import MalformedDocumentError
from rldlib.values.operations import STREAM
from rldlib.values.plain import plain
from rldlib.wire import messages
from rldlib.wire.codec import EncodingError, decode, encode
from rldlib.wire.frames import HEADER, MAX_FRAME_BYTES, FrameReader, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# JSON is for people and small programs; daemons send what is larger in their own language.
MAX_JSON_BYTES: Final = 16 * 1024 * 1024
JSON_TYPE: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Said:
    """A body and what it is."""

    body: bytes
    media_type: str


class Language(Protocol):
    """How a call is read, and its result written."""

    max_bytes: int

    def arguments(self, body: bytes, service: str, name: str, operation: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments in a body.

        Raises:
            MalformedDocumentError: It is none of this language.
            ArgumentsError: They are not those of the operation.
        """
        ...

    def result(self, value: Any, service: str, name: str) -> Said:
        """A result.

        Raises:
            ServiceFaultError: It is nothing that can be written.
        """
        ...


class Json:
    """``{"arguments": {...}}`` and ``{"result": ...}``, as `rld call --json` reads and prints them.

    Args:
        document: The media type where the result is a document of its own, written as it is.
    """

    max_bytes = MAX_JSON_BYTES

    def __init__(self, document: str | None = None) -> None:
        self._document = document

    def arguments(self, body: bytes, service: str, name: str, operation: Mapping[str, Any]) -> dict[str, Any]:
        """See `Language.arguments`."""
        try:
            said = json.loads(body) if body else {}
        except (ValueError, RecursionError) as exc:
            raise MalformedDocumentError([f"no JSON: {exc}"[:200]]) from exc
        unknown = sorted(said.keys() - {"arguments"}) if isinstance(said, dict) else []
        given = said.get("arguments", {}) if isinstance(said, dict) else None
        if not isinstance(given, dict) or unknown:
            raise MalformedDocumentError(['a call is {"arguments": {...}} and no more'])
        issues: list[str] = []
        try:
            values = typed(operation["arguments"], given, issues)
        except RecursionError as exc:
            raise MalformedDocumentError(["the arguments are nested too deep"]) from exc
        if issues:
            raise ArgumentsError(service, name, issues)
        return values

    def result(self, value: Any, service: str, name: str) -> Said:
        """See `Language.result`."""
        if self._document is not None and isinstance(value, str):
            return Said(value.encode(), self._document)
        if self._document is not None and isinstance(value, (bytes, bytearray)):
            return Said(bytes(value), self._document)
        return Said(self._written({"result": self._plain(value, service, name)}, service, name), JSON_TYPE)

    def items(self, items: Iterable[Any], service: str, name: str) -> Said:
        """All items of a stream in one list; one that is too long is given up."""
        plain_items, size = [], 0
        for item in items:
            plain_items.append(self._plain(item, service, name))
            size += len(self._written(plain_items[-1], service, name)) + 1
            if size > MAX_JSON_BYTES:
                raise _too_large(service, name, MAX_JSON_BYTES)
        return Said(self._written({"result": plain_items}, service, name), JSON_TYPE)

    def _plain(self, value: Any, service: str, name: str) -> Any:
        try:
            return plain(value)
        except (TypeError, RecursionError) as exc:
            raise ServiceFaultError(service, name, "EncodingError", str(exc)) from exc

    def _written(self, document: Any, service: str, name: str) -> bytes:
        try:
            written = json.dumps(document).encode()
        except (ValueError, TypeError, RecursionError) as exc:
            raise ServiceFaultError(service, name, "EncodingError", str(exc)) from exc
        if len(written) > MAX_JSON_BYTES:
            raise _too_large(service, name, MAX_JSON_BYTES)
        return written


class Wire:
    """The wire's own: frames, with bytes and arrays in them as they are."""

    max_bytes = HEADER.size + MAX_FRAME_BYTES

    def arguments(self, body: bytes, service: str, name: str, operation: Mapping[str, Any]) -> dict[str, Any]:
        """See `Language.arguments`."""
        del operation
        frames = FrameReader()
        frames.feed(body)
        try:
            frame = frames.next()
            message = decode(frame) if frame is not None else []
            kind = messages.verify(message, messages.FROM_HOST)
        except ProtocolError as exc:
            raise MalformedDocumentError([str(exc)]) from exc
        if kind != messages.CALL or frames.pending_bytes or message[2] != name:
            raise MalformedDocumentError([f"one frame with a call of {service}.{name} is taken, and no more"])
        arguments: dict[str, Any] = message[3]
        return arguments

    def result(self, value: Any, service: str, name: str) -> Said:
        """See `Language.result`."""
        return Said(self._frame([messages.REPLY, 0, value], service, name), CALL_TYPE)

    def item(self, value: Any, service: str, name: str) -> bytes:
        """One item of a stream."""
        return self._frame([messages.ITEM, 0, value], service, name)

    def end(self, error: Mapping[str, Any] | None = None) -> bytes:
        """The end of a stream: well, or in an error."""
        message = [messages.END, 0] if error is None else [messages.FAILED, dict(error)]
        return b"".join(encode(message))

    def _frame(self, message: list[Any], service: str, name: str) -> bytes:
        try:
            return b"".join(encode(message))
        except EncodingError as exc:
            raise ServiceFaultError(service, name, "EncodingError", f"{service}.{name} gave: {exc}") from exc


def is_stream(operation: Mapping[str, Any]) -> bool:
    """Whether its result comes in items."""
    return bool(operation["kind"] == STREAM)


def _too_large(service: str, name: str, most: int) -> ServiceFaultError:
    told = f"the result takes more than {most:,} bytes as JSON; ask for less of it, or acquire the service"
    return ServiceFaultError(service, name, "ResultTooLarge", told)
