"""Operations: each bound once, before READY, with what the host is told of it."""

from __future__ import annotations

import inspect

from rldlib.plugin import facts_of
from rldlib.worker.arguments import Binding
from rldlib.worker.schemas import arguments_schema, hints_of, is_stream, result_schema

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


class Operation:
    """One callable of the service.

    Attributes:
        name: How it is called.
        function: What is called.
        stream: Whether it hands out items.
        asynchronous: Whether it runs on the event loop.
        binding: How its arguments are bound.
        facts: What READY tells of it.
    """

    __slots__ = ("asynchronous", "binding", "facts", "function", "name", "stream")

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        """Read the function.

        Raises:
            TypeError: It cannot be called by name.
        """
        hints = hints_of(function)
        signature = inspect.signature(function)
        called = (
            function if inspect.isroutine(function) or hasattr(function, "func") else type(function).__call__
        )
        async_generator = inspect.isasyncgenfunction(called)
        self.name = name
        self.function = function
        self.asynchronous = async_generator or inspect.iscoroutinefunction(called)
        self.stream = (
            async_generator or inspect.isgeneratorfunction(called) or _hands_out(hints, self.asynchronous)
        )
        self.binding = Binding(signature, hints)
        self.facts = {
            "arguments": arguments_schema(signature, hints),
            "result": result_schema(hints, stream=self.stream),
            **facts_of(function),
            "kind": "stream" if self.stream else "call",
        }


def _hands_out(hints: Mapping[str, Any], asynchronous: bool) -> bool:  # noqa: FBT001 - private
    return not asynchronous and is_stream(hints.get("return"))


def bound(functions: Mapping[str, Callable[..., Any]]) -> dict[str, Operation]:
    """Every operation, by name.

    Raises:
        TypeError: One of them is none; the message names it.
    """
    found = {}
    for name, function in functions.items():
        if not str(name).isidentifier() or not callable(function):
            raise TypeError(f"the operation {name!r} is none: it needs a name to call it by, and a function")
        try:
            found[name] = Operation(name, function)
        except (TypeError, ValueError) as exc:
            raise TypeError(f"the operation {name} cannot be called: {exc}") from exc
    return found
