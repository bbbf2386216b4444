"""The codec: plain data and a few typed values, to frames and back.

A message is JSON; what JSON lacks travels as a tag, a dict with the one key
``"$"``: ``{"$": ["decimal", "19.99"]}``. A user's dict that has that key is
wrapped in a tag itself, so every dict comes back as it was. Buffers follow
the JSON in the frame's tail in the order of their tags, or lie outside it.

Plain messages stay in C: the encoder looks at types by the container, and the
decoder looks for tags only where the text has the key.
"""

from __future__ import annotations

import json
from enum import Enum
from json import encoder as json_encoder

from rldlib.wire.frames import MAX_FRAME_BYTES, Frame, ProtocolError, header
from rldlib.wire.segments import LARGE_BYTES
from rldlib.wire.tags import READERS, WRITERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rldlib.wire.segments import Outside

TAG = "$"
# Of the message as it is written, the message and its tags included.
MAX_DEPTH = 100
# What the kernel takes in one `sendmsg` is bounded (IOV_MAX is 1024).
_MAX_PARTS = 64
_PLAIN = frozenset((str, int, float, bool, type(None)))
_STR = frozenset((str,))
_CONTAINERS = frozenset((dict, list))
_TAG_TEXT = '"$"'


class EncodingError(TypeError):
    """A value that does not travel.

    Attributes:
        path: Where it is, within the message's element, for example ``rows[2].price``.
        reason: What it is, and what would travel.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path or 'the value'} {self.reason}"


class _UnfitError(Exception):
    """Raised at the value, caught in `encode`; the path grows on the way."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.steps: list[str] = []


def encode(message: list[Any], outside: Outside | None = None) -> list[bytes | memoryview]:
    """The parts of the message's frame, for ``sendmsg``: header and head first.

    Args:
        message: A list; its elements may be any values that travel.
        outside: Where large buffers go; None sends them inline.

    Raises:
        EncodingError: A value does not travel, or is too large. Nothing is
            left in `outside` then.
    """
    lowering = _Lowering(outside)
    try:
        try:
            lowered = [item if type(item) in _PLAIN else lowering.value(item, 2) for item in message]
        except _UnfitError as unfit:
            raise EncodingError("".join(reversed(unfit.steps)).removeprefix("."), unfit.reason) from None
        return _parts(lowered, lowering.settle())
    except EncodingError:
        lowering.undo()
        raise


def decode(frame: Frame, outside: Outside | None = None) -> list[Any]:
    """The message in a frame.

    Args:
        frame: As `FrameReader` gave it.
        outside: Where large buffers are; None refuses them.

    Raises:
        ProtocolError: The frame is no message. Nothing else comes out.
    """
    try:
        text = str(frame.head, "utf-8", "surrogatepass")
        message, end = _read(text)
    except (ValueError, RecursionError) as exc:
        raise ProtocolError(f"a frame whose head is no JSON: {exc}") from exc
    if end != len(text) or type(message) is not list:
        raise ProtocolError("a frame whose head is no JSON list")
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _bound_depth(message)
    if _TAG_TEXT in text:
        _Raising(frame.tail, outside).message(message)
    elif frame.tail:
        raise ProtocolError(f"a frame with {len(frame.tail):,} bytes that nothing refers to")
    return message


# --- writing -----------------------------------------------------------------


class _Lowering:
    """Turns values into what JSON has, and collects their buffers."""

    def __init__(self, outside: Outside | None) -> None:
        self._outside = outside
        self._buffers: list[tuple[list[Any], memoryview]] = []
        self._placed: list[int] = []

    def value(self, value: Any, depth: int) -> Any:
        """The value as JSON has it; plain containers as they are.

        Raises:
            _UnfitError: It does not travel.
        """
        kind = type(value)
        if kind in _PLAIN:
            return value
        if depth > MAX_DEPTH:
            raise _UnfitError(f"is nested more than {MAX_DEPTH} deep, or contains itself")
        if kind is dict:
            return self._mapping(value, depth)
        if kind is list or kind is tuple:
            return self._sequence(value, depth)
        return self._special(value, depth)

    def _mapping(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        if not _STR.issuperset(map(type, value)):
            value = {_key(key): item for key, item in value.items()}
        if TAG in value:
            return {TAG: ["dict", self._items(value, depth + 2)]}
        if _PLAIN.issuperset(map(type, value.values())):
            return value
        return self._items(value, depth)

    def _items(self, value: dict[str, Any], depth: int) -> dict[str, Any]:
        key = ""
        try:
            lowered = {}
            for key, item in value.items():
                lowered[key] = item if type(item) in _PLAIN else self.value(item, depth + 1)
        except _UnfitError as unfit:
            unfit.steps.append(f".{key}")
            raise
        return lowered

    def _sequence(self, value: list[Any] | tuple[Any, ...], depth: int) -> list[Any] | tuple[Any, ...]:
        if _PLAIN.issuperset(map(type, value)):
            return value
        lowered: list[Any] = []
        try:
            for item in value:
                lowered.append(item if type(item) in _PLAIN else self.value(item, depth + 1))  # noqa: PERF401  # its length tells where it failed
        except _UnfitError as unfit:
            unfit.steps.append(f"[{len(lowered)}]")
            raise
        return lowered

    def _special(self, value: Any, depth: int) -> Any:
        if isinstance(value, Enum):
            return self.value(value.value, depth)
        for kind in type(value).__mro__:
            name = f"{kind.__module__}.{kind.__qualname__}"
            if name in WRITERS:
                return {TAG: WRITERS[name](value)}
            if name in _WRITERS:
                return _WRITERS[name](self, value, depth)
        if hasattr(type(value), "__dataclass_fields__"):
            # It could not be one had nobody imported the module.
            from dataclasses import fields

            return self._mapping({field.name: getattr(value, field.name) for field in fields(value)}, depth)
        raise _UnfitError(f"is a {type(value).__module__}.{type(value).__qualname__}, which does not travel")

    def _bytes(self, value: Any, _depth: int) -> dict[str, Any]:
        return self._buffer(["bytes"], memoryview(value))

    def _view(self, value: memoryview, _depth: int) -> dict[str, Any]:
        from rldlib.wire.arrays import lower_view

        try:
            typed = lower_view(value)
        except ValueError as exc:
            raise _UnfitError(str(exc)) from exc
        if typed is not None:
            return self._buffer(["array", *typed[0]], typed[1])
        whole = value if value.c_contiguous else memoryview(value.tobytes())
        return self._buffer(["view"], whole.cast("B"))

    def _array(self, value: Any, _depth: int) -> dict[str, Any]:
        from rldlib.wire.arrays import lower_array

        try:
            described, data = lower_array(value)
        except ValueError as exc:
            raise _UnfitError(str(exc)) from exc
        return self._buffer(["array", *described], data)

    def _scalar(self, value: Any, depth: int) -> Any:
        if value.dtype.kind in "Mm":
            # Python's instants end at microseconds; finer ones would come out as bare numbers.
            value = value.astype(f"{value.dtype.kind}8[us]")
        plain = value.item()
        if type(plain) is type(value):
            raise _UnfitError(f"is a {type(value).__name__}, which Python has no number for")
        return self.value(plain, depth)

    def _buffer(self, tag: list[Any], data: memoryview) -> dict[str, Any]:
        tag.append(len(data))
        self._buffers.append((tag, data))
        return {TAG: tag}

    def settle(self) -> list[memoryview]:
        """Put the large buffers outside, now that every value is known to travel; what stays inline."""
        inline = []
        for tag, data in self._buffers:
            placed = self._outside.put(data) if self._outside and len(data) >= LARGE_BYTES else None
            if placed is None:
                inline.append(data)
            else:
                self._placed.append(placed[0])
                tag[-1] = list(placed)
        return inline

    def undo(self) -> None:
        """Take back what was put outside: the message is not sent."""
        for segment_id in self._placed:
            if self._outside is not None:
                self._outside.take_back(segment_id)


_WRITERS: dict[str, Callable[[_Lowering, Any, int], Any]] = {
    "builtins.bytes": _Lowering._bytes,
    "builtins.bytearray": _Lowering._bytes,
    "builtins.memoryview": _Lowering._view,
    "numpy.ndarray": _Lowering._array,
    "numpy.generic": _Lowering._scalar,
    # Subclasses only, for example namedtuples: the types themselves never come here.
    "builtins.dict": lambda lowering, value, depth: lowering._mapping(dict(value), depth),
    "builtins.list": lambda lowering, value, depth: lowering._sequence(list(value), depth),
    "builtins.tuple": lambda lowering, value, depth: lowering._sequence(tuple(value), depth),
    "builtins.str": lambda _lowering, value, _depth: str.__str__(value),
    "builtins.int": lambda _lowering, value, _depth: int(value),
    "builtins.float": lambda _lowering, value, _depth: float(value),
}


def _key(key: Any) -> str:
    if isinstance(key, str) and not isinstance(key, Enum):
        return str.__str__(key)
    raise _UnfitError(f"has the key {key!r:.80} of type {type(key).__qualname__}; only str keys travel")


def _parts(lowered: list[Any], buffers: list[memoryview]) -> list[bytes | memoryview]:
    try:
        head = _write(lowered).encode("utf-8", "surrogatepass")
    except ValueError as exc:
        raise EncodingError("", f"cannot be written: {exc}") from exc
    size = len(head) + sum(map(len, buffers))
    if size > MAX_FRAME_BYTES:
        raise EncodingError(
            "", f"takes {size:,} bytes in one frame, and at most {MAX_FRAME_BYTES:,} are allowed; no shared memory was to be had"
        )
    first = header(size, len(head)) + head
    if len(buffers) >= _MAX_PARTS:
        return [first + b"".join(buffers)]
    return [first, *(buffer for buffer in buffers if buffer)]


def _writer() -> Callable[[list[Any]], str]:
    json_text = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))
    make = getattr(json_encoder, "c_make_encoder", None)
    if make is None:
        return json_text.encode
    # `JSONEncoder.encode` makes this object anew each time: a third of what a small message costs.
    # The markers (None) would look for cycles; the depth was bounded already.
    chunks = make(None, json_text.default, json_encoder.encode_basestring, None, ":", ",", False, False, True)  # noqa: FBT003
    return lambda message: "".join(chunks(message, 0))


_write = _writer()
_read = json.JSONDecoder().raw_decode


# --- reading -----------------------------------------------------------------


class _Raising:
    """Puts the values in the place of their tags, from the outside in."""

    def __init__(self, tail: memoryview, outside: Outside | None) -> None:
        self._tail = tail
        self._at = 0
        self._outside = outside

    def message(self, message: list[Any]) -> None:
        """Raise all tags of a message, in place.

        Raises:
            ProtocolError: A tag is malformed, or bytes are left over.
        """
        try:
            self._value(message)
        except (ValueError, TypeError, ArithmeticError, RecursionError) as exc:
            raise ProtocolError(f"a tag that cannot be read: {exc!r:.200}") from exc
        if self._at != len(self._tail):
            raise ProtocolError(f"a frame with {len(self._tail) - self._at:,} bytes that nothing refers to")

    def _value(self, value: Any) -> Any:
        if type(value) is dict:
            if TAG in value:
                return self._tagged(value)
            for key, item in value.items():
                if type(item) in _CONTAINERS:
                    value[key] = self._value(item)
        else:
            for index, item in enumerate(value):
                if type(item) in _CONTAINERS:
                    value[index] = self._value(item)
        return value

    def _tagged(self, value: dict[str, Any]) -> Any:
        tag = value[TAG]
        if len(value) != 1 or type(tag) is not list or not tag or type(tag[0]) is not str:
            raise ValueError("no list with a code")
        code, *content = tag
        if code in READERS:
            return READERS[code](*content)
        if code == "dict":
            return self._escaped(*content)
        if code == "array":
            from rldlib.wire.arrays import raise_array

            *described, reference = content
            return raise_array(*described, self._buffer(reference))
        if code == "bytes":
            return bytes(self._buffer(*content))
        if code == "view":
            return memoryview(self._buffer(*content)).cast("B")
        raise ValueError(f"the code {code!r:.40} is unknown")

    def _escaped(self, value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise ValueError("an escaped dict that is none")  # noqa: TRY004  # to the peer it is bad content
        return {key: self._value(item) if type(item) in _CONTAINERS else item for key, item in value.items()}

    def _buffer(self, reference: Any) -> Any:
        """The bytes a tag refers to, writable; the inline ones strictly one after the other.

        Were they free to overlap, a small frame could ask for any amount of memory.
        """
        if type(reference) is list:
            segment_id, length = reference
            if self._outside is None or type(segment_id) is not int or type(length) is not int:
                raise ValueError("a segment where there can be none")
            return self._outside.get(segment_id, length)
        if type(reference) is not int or not 0 <= reference <= len(self._tail) - self._at:
            raise ValueError(f"{reference!r:.40} bytes of {len(self._tail) - self._at}")
        start, self._at = self._at, self._at + reference
        return bytearray(self._tail[start : self._at])


def _bound_depth(message: list[Any]) -> None:
    level: list[Any] = [message]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for container in level
            for item in (container.values() if type(container) is dict else container)
            if type(item) in _CONTAINERS
        ]
        if not level:
            return
    raise ProtocolError(f"a message nested more than {MAX_DEPTH} deep")
