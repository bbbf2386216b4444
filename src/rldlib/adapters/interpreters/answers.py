"""What an interpreter says of itself, read into a value.

Tags come in groups with their platforms written once: a thousand of them, of
each interpreter, would cost a warm start more than all else of it.
"""

from __future__ import annotations

from typing import Any, Final

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
        tags = _tags(answer["platforms"], answer["tags"])
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


def _tags(platforms: list[list[str]], groups: list[tuple[str, str, int]]) -> tuple[Tag, ...]:
    found = []
    for interpreter, abi, position in groups:
        for platform in platforms[position]:
            key = interpreter, abi, platform
            tag = _TAGS.get(key)
            if tag is None:
                tag = _TAGS[key] = Tag(interpreter, abi, platform)
            found.append(tag)
    return tuple(found)
