"""Reading: whoever has nothing to do reads what the host says."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock, Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Work(Protocol):
        """What there is to do."""

        @property
        def waits(self) -> bool:
            """Whether a call waits to be performed, or nothing is performed any more."""
            ...

        @property
        def roused(self) -> int:
            """How often somebody who had nothing to do was woken."""
            ...

        @property
        def ended(self) -> bool:
            """Whether nothing more is begun."""
            ...


# While calls are performed, the host is heard after two of these at the latest.
_TICK_S = 0.002


class Reading:
    """One thread at a time reads: whoever performs calls, while there is none.

    So a call that comes is performed by the thread that read it, and costs no
    hand-over. While all threads perform calls, nobody reads; where that lasts,
    a thread of its own stands in, so that a cancellation is heard. That thread
    looks at the clock while calls come, and sleeps while none do.

    Args:
        take_in: Waits for what the host says next, and deals with it; False once nothing more comes.
            Told whether it may spend the processor on waiting.
        work: What there is to do.
    """

    def __init__(self, take_in: Callable[[bool], bool], work: Work) -> None:
        self.over = False
        self._take_in = take_in
        self._work = work
        self._turn = Lock()
        # How often a turn has ended: while this stands still, nobody listens, or nobody talks.
        self._turns = 0
        self._resting = True
        self._urgent = False
        self._bell = Lock()
        self._bell.acquire()
        Thread(target=self._stand_in, name="rldlib-reader", daemon=True).start()

    @property
    def free(self) -> bool:
        """Whether it is nobody's turn, and there is something to read."""
        return not self.over and not self._turn.locked()

    def read(self) -> bool:
        """Read until there is something to do; False where that is another's turn."""
        if self.over or not self._turn.acquire(blocking=False):
            return False
        try:
            spin = self._turns > 0
            while not self.over and not self._work.waits:
                self.over = not self._take_in(spin)
                spin = False
        finally:
            self._turns += 1
            self._turn.release()
        # After the turn was given back: whoever goes to rest looks at it last.
        if self._resting or self.over:
            self._ring()
        return True

    def hurry(self) -> None:
        """Somebody waits for what the host says, and reads nothing: have it read at once."""
        self._urgent = True
        self._ring()

    def _ring(self) -> None:
        self._resting = False
        with suppress(RuntimeError):  # it rings already
            self._bell.release()

    # --- the thread that stands in -----------------------------------------------

    def _stand_in(self) -> None:
        while not self.over:
            self._bell.acquire()
            self._look_after()

    def _look_after(self) -> None:
        """While calls come, see to it that the host is heard."""
        seen = -1
        while not self.over:
            if not self._urgent:
                self._bell.acquire(timeout=_TICK_S)
            urgent, self._urgent = self._urgent, False
            if self._turns != seen and not urgent:
                seen = self._turns
            elif self._turn.acquire(blocking=False):
                try:
                    self._read_meanwhile()
                finally:
                    self._turn.release()
            else:
                # Somebody listens, and nobody talks.
                self._resting = True
                if self._turn.locked() and self._turns == seen:
                    return
                self._resting = False

    def _read_meanwhile(self) -> None:
        """Read until somebody was given something to do: that one reads again, once it is through."""
        roused = self._work.roused
        while not self.over and (self._work.ended or self._work.roused == roused):
            self.over = not self._take_in(False)  # noqa: FBT003 - told above
