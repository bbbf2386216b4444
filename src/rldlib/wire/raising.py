"""Raising: the values in the place of their tags, after JSON was read."""

from __future__ import annotations

from rldlib.wire.frames import ProtocolError
from rldlib.wire.tags import MAX_DEPTH, READERS, TAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rldlib.wire.segments import Outside

_CONTAINERS = frozenset((dict, list))


class Raising:
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
            return raise_array(described, self._writable(reference))
        if code == "bytes":
            return bytes(self._buffer(*content))
        if code == "view":
            return memoryview(self._writable(*content)).cast("B")
        raise ValueError(f"the code {code!r:.40} is unknown")

    def _escaped(self, value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise ValueError("an escaped dict that is none")
        return {key: self._value(item) if type(item) in _CONTAINERS else item for key, item in value.items()}

    def _writable(self, reference: Any) -> Any:
        found = self._buffer(reference)
        # What lies outside is the receiver's own already.
        return bytearray(found) if isinstance(found, memoryview) else found

    def _buffer(self, reference: Any) -> Any:
        """The bytes a tag refers to; the inline ones strictly one after the other.

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
        return self._tail[start : self._at]


def bound_depth(message: list[Any]) -> None:
    """Refuse a message that is nested deeper than `MAX_DEPTH`."""
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
