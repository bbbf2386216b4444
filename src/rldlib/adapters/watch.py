"""What the loop waits for on one worker's socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rldlib.adapters.io_loop import READABLE, WRITABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Lock

    from rldlib.adapters.io_loop import IoLoop

# How quickly one call follows another where they come in a row, and how soon the loop sees that none does.
_BUSY_S = 0.01


class Watch:
    """Tells the loop what to wait for, as seldom as that will do.

    While calls follow each other, somebody reads nearly always. To tell the
    loop so with every call, and the contrary after it, would be half of what
    the system is asked for. So it is told once, and looks itself whether calls
    still come: where they do not, it reads again. While it does not read, it
    is told of the worker's end all the same.

    Args:
        loop: Reads where nobody else does.
        fd: The socket.
        on_ready: Called in the loop's thread.
        lock: The line's; held around every method, but for what the loop calls.
        arm: Has `adjust` called with what is so now.
    """

    def __init__(
        self, loop: IoLoop, fd: int, on_ready: Callable[[int], None], lock: Lock, arm: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._fd = fd
        self._on_ready = on_ready
        self._lock = lock
        self._arm = arm
        # None where the loop does not wait at all.
        self._events: int | None = READABLE
        self._over = False
        self._busy = False
        # Whether the loop will look, and how many ends of calls there were when it looked last.
        self._looking = False
        self._rests = self._rests_seen = 0
        self._rested_at = 0.0
        loop.watch(fd, on_ready)

    def adjust(self, *, read: bool, write: bool) -> None:
        """Have the loop wait for what nobody else does."""
        events = (READABLE if read and not self._busy else 0) | (WRITABLE if write else 0)
        if events == self._events or self._over:
            return
        if self._events is not None:
            self._loop.change(self._fd, events)
        elif events & READABLE:
            self._loop.watch(self._fd, self._on_ready, events)
        else:
            return
        self._events = events

    def rest(self, heard: float) -> None:
        """A thread has read what it waited for, at that instant, and nobody waits for anything more."""
        self._rests += 1
        if self._busy or self._over:
            return
        self._rested_at, before = heard, self._rested_at
        self._busy = heard - before < _BUSY_S
        if self._busy and not self._looking:
            self._looking = True
            self._loop.later(_BUSY_S, self._look)

    def attend(self) -> None:
        """Something will come that no thread waits for: the loop is to read at once."""
        self._busy = False

    def pause(self) -> None:
        """Wait for nothing until there is something to read again that nobody else does."""
        self._loop.forget(self._fd)
        self._events = None

    def close(self) -> None:
        """Wait for nothing any more."""
        self._over = True
        self._loop.forget(self._fd)

    def abandon(self) -> None:
        """In a forked child: the loop is its parent's, and is told nothing."""
        self._over = True

    def _look(self) -> None:
        with self._lock:
            self._looking = self._busy and self._rests != self._rests_seen and not self._over
            if self._looking:
                self._rests_seen = self._rests
                self._loop.later(_BUSY_S, self._look)
            else:
                self._busy = False
                self._arm()
