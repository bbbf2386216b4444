"""The one thread that waits for everything nobody else waits for."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import os
import select
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG = logging.getLogger(__name__)
READABLE = select.EPOLLIN
WRITABLE = select.EPOLLOUT
HANGUP = select.EPOLLHUP | select.EPOLLERR
# Cancelled timers are swept once there are so many, and they are the most.
_SWEEP_AT = 256


class Timer:
    """Something that will be done, unless it is cancelled."""

    __slots__ = ("_loop", "do")

    def __init__(self, do: Callable[[], None], loop: IoLoop) -> None:
        self.do: Callable[[], None] | None = do
        self._loop = loop

    def cancel(self) -> None:
        """Do not do it; does nothing where it was done."""
        if self.do is not None:
            self.do = None
            self._loop.swept()


class IoLoop:
    """Descriptors and timers, served by one thread that sleeps until one of them is due.

    The thread starts with the first use. Every method may be called from any
    thread; what is called back runs in the loop's, and must not block it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake, READABLE)
        self._lock = threading.Lock()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._cancelled = 0
        self._thread: threading.Thread | None = None
        self._closing = False

    def watch(self, fd: int, on_ready: Callable[[int], None], events: int = READABLE) -> None:
        """Have ``on_ready(events)`` called whenever the descriptor is ready for one of `events`."""
        self._handlers[fd] = on_ready
        self._epoll.register(fd, events)
        self._start()

    def change(self, fd: int, events: int) -> None:
        """Wait for other events; 0 waits for none but the end."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Wait for a descriptor no more; to be called before it is closed."""
        if self._handlers.pop(fd, None) is not None:
            with contextlib.suppress(OSError):
                self._epoll.unregister(fd)

    def later(self, delay_s: float, do: Callable[[], None]) -> Timer:
        """Do something after so many seconds."""
        timer = Timer(do, self)
        due = time.monotonic() + delay_s
        with self._lock:
            heapq.heappush(self._timers, (due, next(self._order), timer))
            first = self._timers[0][2] is timer
        self._start()
        if first:
            self._rouse()
        return timer

    def soon(self, do: Callable[[], None]) -> None:
        """Do something in the loop's thread, as soon as it can."""
        self.later(0, do)

    def swept(self) -> None:
        """A timer was cancelled: drop such ones once they are the most."""
        with self._lock:
            self._cancelled += 1
            if self._cancelled > max(_SWEEP_AT, len(self._timers) // 2):
                self._timers = [entry for entry in self._timers if entry[2].do is not None]
                heapq.heapify(self._timers)
                self._cancelled = 0

    def close(self) -> None:
        """End the thread and wait for it. Nothing is called back afterwards."""
        self._closing = True
        thread = self._thread
        if thread is None:
            self.abandon()
        elif thread is not threading.current_thread():
            self._rouse()
            thread.join()
            self.abandon()

    def abandon(self) -> None:
        """Close the descriptors alone: for a forked child, where the thread does not exist."""
        if not self._epoll.closed:
            self._epoll.close()
            os.close(self._wake)

    def _start(self) -> None:
        if self._thread is None:
            with self._lock:
                if not self._closing and self._thread is None:
                    self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    self._thread.start()

    def _rouse(self) -> None:
        if threading.current_thread() is not self._thread:
            os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        while not self._closing:
            for fd, events in self._epoll.poll(self._until_next()):
                if fd == self._wake:
                    with contextlib.suppress(BlockingIOError):
                        os.eventfd_read(self._wake)
                    continue
                handler = self._handlers.get(fd)
                if handler is not None:
                    self._call(lambda: handler(events))  # noqa: B023 - called before the next turn
            self._do_what_is_due()

    def _until_next(self) -> float:
        with self._lock:
            return max(self._timers[0][0] - time.monotonic(), 0) if self._timers else -1

    def _do_what_is_due(self) -> None:
        while True:
            with self._lock:
                if not self._timers or self._timers[0][0] > time.monotonic():
                    return
                timer = heapq.heappop(self._timers)[2]
                do, timer.do = timer.do, None
                if do is None:
                    self._cancelled -= 1
            if do is not None:
                self._call(do)

    @staticmethod
    def _call(do: Callable[[], None]) -> None:
        try:
            do()
        except Exception:  # noqa: BLE001 - whatever it is
            # A bug in one callback must not leave every other worker unattended.
            _LOG.exception("a callback of the I/O thread failed; please report this")
