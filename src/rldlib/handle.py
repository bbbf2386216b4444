"""What the user holds of a service."""

from __future__ import annotations

import math
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from rldlib.errors import ArgumentsError, OperationNotFoundError, UsageError
from rldlib.values import schema
from rldlib.values.operations import CALL, STREAM
from rldlib.values.profile import HostSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future
    from types import TracebackType

    from rldlib.ports import Items, Target


class Handle:
    """A service that was acquired. Its operations are its attributes.

    Safe for many threads. Where its calls go may change at any time: nobody
    may rely on one worker's identity. `LocalDaemon.acquire` makes it.

    Attributes:
        service: The service's name.
        version: Its version.
    """

    __slots__ = (
        "_guard",
        "_on_release",
        "_on_why",
        "_released",
        "_settings",
        "_target",
        "service",
        "version",
    )

    def __init__(
        self,
        *,
        service: str,
        version: str,
        target: Target,
        settings: HostSettings | None = None,
        on_release: Callable[[Handle], None] | None = None,
        on_why: Callable[[], Sequence[Mapping[str, Any]]] | None = None,
    ) -> None:
        self.service = service
        self.version = version
        self._target = target
        self._settings = settings or HostSettings()
        self._on_release = on_release
        self._on_why = on_why
        self._released = False
        self._guard = threading.Lock()

    def call(self, operation: str, /, *, deadline: float | timedelta | None = None, **arguments: Any) -> Any:
        """Perform an operation, and wait for its result.

        The call is sent once. rldlib never repeats it by itself, since only
        the caller knows whether doing it twice is safe.

        Args:
            operation: Its name.
            deadline: The longest wait, in seconds or as a duration; None is the profile's.
            arguments: Its arguments, by name.

        Raises:
            OperationNotFoundError: The service has no such operation.
            ArgumentsError: The arguments do not fit; nothing was sent.
            CallTimeoutError: No reply in time; the call was cancelled.
            WorkerLostError: The worker ended first; it says whether the call may have been executed.
            WorkerStartError: The worker was lost before, and could not be started again.
            ServiceFaultError: The service raised.
            UsageError: It is a stream, or this handle was released.
        """
        target = self._checked(operation, CALL, arguments)
        return target.call(operation, arguments, self._seconds(deadline))

    def submit(
        self, operation: str, /, *, deadline: float | timedelta | None = None, **arguments: Any
    ) -> Future[Any]:
        """Perform an operation in the background.

        Returns:
            A future that ends as `call` would; ``cancel()`` cancels the call,
            also while it runs. Its callbacks must be short: they run in the
            thread that reads replies.

        Raises:
            OperationNotFoundError: The service has no such operation.
            ArgumentsError: The arguments do not fit; nothing was sent.
            UsageError: It is a stream, or this handle was released.
        """
        target = self._checked(operation, CALL, arguments)
        return target.submit(operation, arguments, self._seconds(deadline))

    def stream(
        self, operation: str, /, *, deadline: float | timedelta | None = None, **arguments: Any
    ) -> Items:
        """Perform a streaming operation.

        The worker is never far ahead of who takes the items. Closing the
        iterator, or dropping it, cancels the call. The deadline holds for all
        items together.

        Returns:
            An iterator over the items; taking one may raise what `call` does.

        Raises:
            OperationNotFoundError: The service has no such operation.
            ArgumentsError: The arguments do not fit; nothing was sent.
            UsageError: It is no stream, or this handle was released.
        """
        target = self._checked(operation, STREAM, arguments)
        return target.stream(operation, arguments, self._seconds(deadline))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        # Only names that the class itself lacks come here.
        operation = None if name.startswith("_") else self._target.operations.get(name)
        if operation is None:
            known = ", ".join(sorted(self._target.operations)) if not name.startswith("__") else ""
            raise AttributeError(
                f"{self.service} has no operation {name}; it has {known or 'none'}", obj=self, name=name
            )
        way = self.stream if operation["kind"] == STREAM else self.call

        def perform(*, deadline: float | timedelta | None = None, **arguments: Any) -> Any:
            return way(name, deadline=deadline, **arguments)

        perform.__name__ = perform.__qualname__ = name
        return perform

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._target.operations})

    def __repr__(self) -> str:
        state = "released" if self._released else self.placement
        return f"<Handle {self.service} {self.version} ({state})>"

    @property
    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        """The operations by name, each with the schemas of its arguments and its result."""
        return self._target.operations

    @property
    def placement(self) -> str:
        """Where calls go now: ``local`` or ``remote``."""
        return self._target.placement

    @property
    def worker(self) -> dict[str, Any] | None:
        """``{"pid", "python", "environment"}`` of the worker; None where there is none now."""
        worker = self._target.worker
        return None if worker is None else dict(worker)

    def why(self) -> Sequence[Mapping[str, Any]]:
        """What was decided about the service, with the numbers, the oldest first."""
        return self._on_why() if self._on_why is not None else ()

    def retarget(self, target: Target) -> None:
        """Send calls elsewhere from now on; those under way finish where they are."""
        self._target = target

    def release(self) -> None:
        """Give the service back; what becomes of it, profile and host say. May be called again."""
        with self._guard:
            if self._released:
                return
            self._released = True
        if self._on_release is not None:
            self._on_release(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _checked(self, operation: str, kind: str, arguments: Mapping[str, Any]) -> Target:
        """The target, once the call was seen to fit what it has."""
        if self._released:
            raise UsageError(f"this handle of {self.service} was released; acquire the service again")
        target = self._target
        described = target.operations.get(operation)
        if described is None:
            raise OperationNotFoundError(self.service, operation, sorted(target.operations))
        if described["kind"] != kind:
            instead = "stream" if kind == CALL else "call"
            raise UsageError(f"{self.service}.{operation} is a {described['kind']}: use {instead}()")
        wanted = described["arguments"]
        if not schema.fits(wanted, arguments):
            issues = schema.check(wanted, arguments)
            if issues:
                raise ArgumentsError(self.service, operation, issues)
        return target

    def _seconds(self, deadline: float | timedelta | None) -> float | None:
        if deadline is None:
            return self._settings.call_deadline_s
        seconds = deadline.total_seconds() if isinstance(deadline, timedelta) else float(deadline)
        if math.isnan(seconds) or seconds <= 0:
            raise UsageError(
                f"a deadline of {seconds:g} s is over before it begins; give a positive one, or none"
            )
        return None if math.isinf(seconds) else seconds
