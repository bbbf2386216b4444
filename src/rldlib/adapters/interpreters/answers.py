"""What an interpreter says of itself, read into a value.

Tags come in groups with their platforms written once, and are made when the
first is asked for: a thousand of them, of each interpreter, would cost a warm
start more than all else of it, and it asks for none.
"""

from __future__ import annotations

from typing import Any

from packaging.version import InvalidVersion, Version

from rldlib.adapters.interpreters.whereabouts import own_executable
from rldlib.values.interpreter import OLDEST_PYTHON, Interpreter
from rldlib.values.tags import Tags


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


def _tags(platforms: list[list[str]], groups: list[tuple[str, str, int]]) -> Tags:
    # All of it is looked at here: what is no answer is found now, not where a tag is needed.
    known = [tuple(map(str, each)) for each in platforms]
    return Tags((str(interpreter), str(abi), known[position]) for interpreter, abi, position in groups)
