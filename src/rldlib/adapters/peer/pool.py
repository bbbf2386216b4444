"""Threads in which submitted calls wait for their answers."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import InvalidStateError
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

# More at once a responder of few processors would only queue, or turn away.
_THREADS: Final = 8


class Pool:
    """A few threads, started as they are needed. They end with the process, whatever they wait for.

    Args:
        name: What they are called.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._guard = threading.Lock()
        self._threads = self._idle = 0

    def run(self, work: Callable[[], Any], future: Future[Any]) -> None:
        """Have it done; the future ends as it does."""
        with self._guard:
            start = self._idle <= self._work.qsize() and self._threads < _THREADS
            self._threads += start
        self._work.put((work, future))
        if start:
            threading.Thread(target=self._serve, name=self._name, daemon=True).start()

    def close(self) -> None:
        """End the threads once they have nothing more to do."""
        with self._guard:
            for _ in range(self._threads):
                self._work.put(None)

    def _serve(self) -> None:
        while True:
            with self._guard:
                self._idle += 1
            task = self._work.get()
            with self._guard:
                self._idle -= 1
                if task is None:
                    self._threads -= 1
                    return
            work, future = task
            if not future.cancelled():
                _complete(work, future)
            del task, work, future


def _complete(work: Callable[[], Any], future: Future[Any]) -> None:
    try:
        result = work()
    except BaseException as exc:  # noqa: BLE001 - whoever has the future is told
        with contextlib.suppress(InvalidStateError):  # cancelled
            future.set_exception(exc)
    else:
        with contextlib.suppress(InvalidStateError):
            future.set_result(result)
