"""Who is told what comes from a worker."""

from __future__ import annotations

from typing import Protocol


class Listener(Protocol):
    """Who is told what comes from a worker beside the ends of calls. It must not block."""

    def logged(self, level: int, logger: str, text: str) -> None:
        """The service logged something."""
        ...

    def progressed(self, operation: str, done: float, total: float | None, text: str) -> None:
        """A call told how far it is."""
        ...

    def left_running(self) -> None:
        """A call was cancelled, and may still run."""
        ...

    def broken(self) -> None:
        """The connection is of no more use: the worker must be killed if it lives."""
        ...
