"""What a service author imports.

::

    from rldlib.plugin import Service, operation


    class SalesTax(Service):
        def start(self, resources):  # once, before the first call
            self.rates = resources.json("rates")

        @operation(idempotent=True)
        def rate(self, state: str) -> Decimal: ...

In unit tests a service is an ordinary class: nothing here needs a worker.
"""

from __future__ import annotations

from contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Protocol, TypeVar, overload

    _Operation = TypeVar("_Operation", bound=Callable[..., Any])
    hookimpl: Callable[[Callable[..., Any]], Callable[..., Any]]

    class _Call(Protocol):
        cancelled: bool

        def progress(self, done: float, total: float | None, text: str) -> None: ...


__all__ = ["Resources", "Service", "cancelled", "hookimpl", "operation", "progress"]

_MARK = "__rldlib_operation__"
_current: ContextVar[_Call | None] = ContextVar("rldlib_call", default=None)


class Service:
    """Base of a service: its operations are the methods marked with `operation`.

    All hooks may be left out. `start` may take `resources` or nothing; with
    one thread, hooks and operations all run on the same.
    """

    def start(self, resources: Resources) -> Any:
        """Get ready to serve. What it raises is told to whoever wanted the service."""

    def check(self) -> Any:
        """Raise if the service is not well. It may be called while operations run."""

    def stop(self) -> Any:
        """Let go of everything. It is not called if the worker is killed."""

    def operations(self) -> Mapping[str, Callable[..., Any]]:
        """The marked methods, by name."""
        names = {name: None for kind in reversed(type(self).__mro__) for name in vars(kind)}
        found = {name: getattr(self, name) for name in names if _marked(type(self), name)}
        return {name: method for name, method in found.items() if callable(method)}


def _marked(kind: type, name: str) -> bool:
    # Asked of the class: a property of the instance is not to be run for this.
    return hasattr(getattr(kind, name, None), _MARK)


if TYPE_CHECKING:

    @overload
    def operation(function: _Operation, /) -> _Operation: ...

    @overload
    def operation(
        *,
        idempotent: bool = False,
        cache_for: dt.timedelta | float | None = None,
        media_type: str | None = None,
    ) -> Callable[[_Operation], _Operation]: ...


def operation(
    function: Any = None,
    /,
    *,
    idempotent: bool = False,
    cache_for: dt.timedelta | float | None = None,
    media_type: str | None = None,
) -> Any:
    """Mark a function as an operation. Functions, generators and their async kinds will do.

    Args:
        function: The function, where the mark is used bare.
        idempotent: Whether calling it twice is as good as once.
        cache_for: For how long an answer stays true; a number is in seconds.
        media_type: What the result is, where it is a document of its own.
    """
    # Told by its method: importing datetime for this would cost every worker's start.
    known: Any = cache_for
    seconds = known.total_seconds() if hasattr(known, "total_seconds") else known
    facts = {"idempotent": idempotent, "cache_for_s": seconds, "media_type": media_type}
    if seconds is not None and seconds < 0:
        raise ValueError(f"cache_for is {seconds:g} seconds; an answer stays true for 0 or more")

    def mark(marked: Any) -> Any:
        setattr(marked, _MARK, facts)
        return marked

    return mark if function is None else mark(function)


def facts_of(function: Any) -> dict[str, Any]:
    """What `operation` said of a function; the defaults where it said nothing."""
    return {"idempotent": False, "cache_for_s": None, "media_type": None, **getattr(function, _MARK, {})}


class Resources:
    """The resources of the service's profile, in the order they become usable.

    They are files that the worker may read and nobody changes.
    """

    def __init__(self, resources: Iterable[Mapping[str, Any]] = ()) -> None:
        self._paths = {str(resource["name"]): str(resource["path"]) for resource in resources}

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in order."""
        return tuple(self._paths)

    def path(self, name: str) -> str:
        """Where the resource is, as an absolute path.

        Raises:
            KeyError: There is no such resource; the message names those there are.
        """
        if name not in self._paths:
            raise KeyError(f"no resource {name!r}; this service has {', '.join(self._paths) or 'none'}")
        return self._paths[name]

    def bytes(self, name: str) -> bytes:
        """The resource's content. Raises as `path` does."""
        with open(self.path(name), "rb") as file:  # noqa: PTH123 - pathlib would cost every worker's start
            return file.read()

    def text(self, name: str) -> str:
        """The content as text, UTF-8. Raises as `path` does."""
        return self.bytes(name).decode("utf-8")

    def json(self, name: str) -> Any:
        """The content read as JSON. Raises as `path` does."""
        import json

        return json.loads(self.bytes(name))


def cancelled() -> bool:
    """Whether the caller of the running operation gave up: long loops should ask, and return."""
    call = _current.get()
    return call is not None and call.cancelled


def progress(done: float, total: float | None = None, text: str = "") -> None:
    """Tell the caller of the running operation how far it is; does nothing elsewhere."""
    call = _current.get()
    if call is not None:
        call.progress(done, total, text)


def __getattr__(name: str) -> Any:
    # Late, since it needs pluggy, and a service made of a class does not.
    if name == "hookimpl":
        from rldlib.hooks import PROJECT, pluggy

        return globals().setdefault("hookimpl", pluggy().HookimplMarker(PROJECT))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
