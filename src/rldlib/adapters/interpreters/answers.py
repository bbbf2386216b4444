"""What an interpreter says of itself, read into a value.

Tags come in groups with their platforms written once, and are made when the
first is asked for: a thousand of them, of each interpreter, would cost a warm
start more than all else of it, and it asks for none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, overload

from packaging.tags import Tag
from packaging.version import InvalidVersion, Version

from rldlib.adapters.interpreters.whereabouts import own_executable
from rldlib.values.interpreter import OLDEST_PYTHON, Interpreter

# Most tags are those of other interpreters too.
_TAGS: Final[dict[tuple[str, str, str], Tag]] = {}


class MalformedAnswerError(ValueError):
    """An answer is not what the question asks for."""


def read_answer(answer: dict[str, Any]) -> Interpreter | None:
    """The interpreter; None where it is one that no worker can run on.

    Raises:
        MalformedAnswerError: The answer is none.
    """
    try:
        executable, version = str(answer["executable"]), Version(answer["version"])
        if answer["implementation"] != "cpython" or not answer["complete"] or version < OLDEST_PYTHON:
            return None
        tags = _Tags(answer["platforms"], answer["tags"])
        markers = {str(name): str(value) for name, value in answer["markers"].items()}
    except (AttributeError, IndexError, InvalidVersion, KeyError, TypeError, ValueError) as exc:
        raise MalformedAnswerError(str(exc)) from exc
    if not tags:
        raise MalformedAnswerError("it takes no wheels")
    return Interpreter(
        executable=executable,
        version=version,
        tags=tags,
        markers=markers,
        own=executable == own_executable(),
    )


class _Tags(Sequence[Tag]):
    """The tags of an interpreter, made when they are needed."""

    def __init__(self, platforms: list[list[str]], groups: list[tuple[str, str, int]]) -> None:
        # All of it is looked at here: what is no answer is found now, not where a tag is needed.
        self._groups = [(str(one), str(abi), [*map(str, platforms[at])]) for one, abi, at in groups]
        self._made: tuple[Tag, ...] | None = None

    @overload
    def __getitem__(self, index: int) -> Tag: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Tag, ...]: ...

    def __getitem__(self, index: int | slice) -> Tag | tuple[Tag, ...]:
        return self._all()[index]

    def __len__(self) -> int:
        return sum(len(platforms) for _, _, platforms in self._groups)

    def __iter__(self) -> Iterator[Tag]:
        # One after another: who wants to know the first has no need of the rest.
        return self._making() if self._made is None else iter(self._made)

    def __hash__(self) -> int:
        return hash(self._all())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._all() == tuple(other)

    def _all(self) -> tuple[Tag, ...]:
        if self._made is None:
            self._made = tuple(self._making())
        return self._made

    def _making(self) -> Iterator[Tag]:
        for interpreter, abi, platforms in self._groups:
            for platform in platforms:
                yield _tag(interpreter, abi, platform)


def _tag(interpreter: str, abi: str, platform: str) -> Tag:
    key = interpreter, abi, platform
    tag = _TAGS.get(key)
    if tag is None:
        tag = _TAGS[key] = Tag(interpreter, abi, platform)
    return tag
