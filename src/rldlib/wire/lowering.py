"""Lowering: values into what JSON has, with tags for the rest."""

from __future__ import annotations

from enum import Enum

from rldlib.wire.segments import LARGE_BYTES
from rldlib.wire.tags import MAX_DEPTH, TAG, WRITERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rldlib.wire.segments import Outside

PLAIN = frozenset((str, int, float, bool, type(None)))
_STR = frozenset((str,))
# Nesting that is plain for sure; what is deeper is looked at exactly.
_SHALLOW = MAX_DEPTH // 2


def is_plain(value: Any, levels: int = _SHALLOW) -> bool:
    """Whether JSON has all of it already, as it is, and it is not too deep to say.

    Every message asks this, so the types of a container are looked at in one step, not in a loop.
    """
    kind = type(value)
    if kind is dict:
        if TAG in value or not _STR.issuperset(map(type, value)):
            return False
        value = value.values()
    elif kind is not list and kind is not tuple:
        return kind in PLAIN
    if PLAIN.issuperset(map(type, value)):
        return True
    if not levels:
        return False
    for item in value:  # noqa: SIM110 - a generator would cost more than what it looks at
        if type(item) not in PLAIN and not is_plain(item, levels - 1):
            return False
    return True


class UnfitError(Exception):
    """Raised at the value, caught in `encode`; the path grows on the way."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.steps: list[str] = []


class Lowering:
    """Turns values into what JSON has, and collects their buffers."""

    def __init__(self, outside: Outside | None) -> None:
        self._outside = outside
        self._buffers: list[tuple[list[Any], memoryview]] = []
        self._placed: list[int] = []

    def value(self, value: Any, depth: int) -> Any:
        """The value as JSON has it; plain containers as they are.

        Raises:
            UnfitError: It does not travel.
        """
        kind = type(value)
        if kind in PLAIN:
            return value
        if depth > MAX_DEPTH:
            raise UnfitError(f"is nested more than {MAX_DEPTH} deep, or contains itself")
        if kind is dict:
            return self.mapping(value, depth)
        if kind is list or kind is tuple:
            return self.sequence(value, depth)
        return self._special(value, depth)

    def mapping(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        """A dict; one that looks like a tag is wrapped in one."""
        if not _STR.issuperset(map(type, value)):
            value = {_key(key): item for key, item in value.items()}
        if TAG in value:
            return {TAG: ["dict", self._items(value, depth + 2)]}
        if PLAIN.issuperset(map(type, value.values())):
            return value
        return self._items(value, depth)

    def _items(self, value: dict[str, Any], depth: int) -> dict[str, Any]:
        key = ""
        try:
            lowered = {}
            for key, item in value.items():
                lowered[key] = item if type(item) in PLAIN else self.value(item, depth + 1)
        except UnfitError as unfit:
            unfit.steps.append(f".{key}")
            raise
        return lowered

    def sequence(self, value: list[Any] | tuple[Any, ...], depth: int) -> list[Any] | tuple[Any, ...]:
        """A list or a tuple, both a list at the receiver."""
        if PLAIN.issuperset(map(type, value)):
            return value
        lowered: list[Any] = []
        try:
            for item in value:
                lowered.append(item if type(item) in PLAIN else self.value(item, depth + 1))  # noqa: PERF401  # its length tells where it failed
        except UnfitError as unfit:
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

            return self.mapping({field.name: getattr(value, field.name) for field in fields(value)}, depth)
        raise UnfitError(f"is a {type(value).__module__}.{type(value).__qualname__}, which does not travel")

    def raw(self, value: Any, _depth: int) -> dict[str, Any]:
        """Bytes or a bytearray."""
        return self._buffer(["bytes"], memoryview(value))

    def view(self, value: memoryview, _depth: int) -> dict[str, Any]:
        """A memoryview: of numbers it is an array, else it comes back as a writable view."""
        from rldlib.wire.arrays import lower_view

        try:
            typed = lower_view(value)
        except ValueError as exc:
            raise UnfitError(str(exc)) from exc
        if typed is not None:
            return self._buffer(["array", *typed[0]], typed[1])
        whole = value if value.c_contiguous else memoryview(value.tobytes())
        return self._buffer(["view"], whole.cast("B"))

    def array(self, value: Any, _depth: int) -> dict[str, Any]:
        """An array of numpy's."""
        from rldlib.wire.arrays import lower_array

        try:
            described, data = lower_array(value)
        except ValueError as exc:
            raise UnfitError(str(exc)) from exc
        return self._buffer(["array", *described], data)

    def scalar(self, value: Any, depth: int) -> Any:
        """A single number of numpy's, as Python's."""
        if value.dtype.kind in "Mm":
            # Python's instants end at microseconds; finer ones would come out as bare numbers.
            value = value.astype(f"{value.dtype.kind}8[us]")
        plain = value.item()
        if type(plain) is type(value):
            raise UnfitError(f"is a {type(value).__name__}, which Python has no number for")
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


_WRITERS: dict[str, Callable[[Lowering, Any, int], Any]] = {
    "builtins.bytes": Lowering.raw,
    "builtins.bytearray": Lowering.raw,
    "builtins.memoryview": Lowering.view,
    "numpy.ndarray": Lowering.array,
    "numpy.generic": Lowering.scalar,
    # Subclasses only, for example namedtuples: the types themselves never come here.
    "builtins.dict": lambda lowering, value, depth: lowering.mapping(dict(value), depth),
    "builtins.list": lambda lowering, value, depth: lowering.sequence(list(value), depth),
    "builtins.tuple": lambda lowering, value, depth: lowering.sequence(tuple(value), depth),
    "builtins.str": lambda _lowering, value, _depth: str.__str__(value),
    "builtins.int": lambda _lowering, value, _depth: int(value),
    "builtins.float": lambda _lowering, value, _depth: float(value),
}


def _key(key: Any) -> str:
    if isinstance(key, str) and not isinstance(key, Enum):
        return str.__str__(key)
    raise UnfitError(f"has the key {key!r:.80} of type {type(key).__qualname__}; only str keys travel")
