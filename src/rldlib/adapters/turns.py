"""Whose turn it is to read from a socket that many threads wait on."""

from __future__ import annotations

from threading import Lock, get_ident
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rldlib.adapters.calls import WaitingCall


class Turns:
    """Leader and followers: one thread at a time leads, and reads for all.

    Args:
        lock: Held around every method that says so; it is the line's.
        arm: Called with the lock held whenever somebody leads where nobody did, or the other way round.

    Attributes:
        leader: The thread that leads; None where none does.
        over: Whether there is nothing to read any more.
    """

    def __init__(self, lock: Lock, arm: Callable[[], None]) -> None:
        self.leader: int | None = None
        self.over = False
        self._lock = lock
        self._arm = arm
        self._followers: dict[int, WaitingCall] = {}

    @property
    def alone(self) -> bool:
        """Whether nobody follows."""
        return not self._followers

    def mine(self) -> bool:
        """Whether this thread leads."""
        return self.leader == get_ident()

    def claim(self) -> bool:
        """Lead, where nobody does. With the lock held."""
        if self.leader is not None or self.over:
            return False
        self.leader = get_ident()
        self._arm()
        return True

    def leave(self) -> bool:
        """Hand the lead on, which this thread has; whether there is anybody for it. With the lock held."""
        self.leader = None
        return self._appoint()

    def follow(self, call: WaitingCall, seconds: float | None) -> None:
        """Sleep until the call is ready, the lead is free for it, or so many seconds."""
        call.lie_down()
        # Before it looks: who leaves from now on finds it. So it needs no lock, for which all would queue.
        self._followers[call.id] = call
        if self.leader is not None or self.over:
            call.sleep(seconds)

    def follow_no_more(self, call: WaitingCall) -> None:
        """It may have been woken to lead, and leaves instead: wake another."""
        if self._followers.pop(call.id, None) is not None and self.leader is None:
            with self._lock:
                self._hand_on()

    def _hand_on(self) -> None:
        # Asked again: meanwhile another may have taken it.
        if self.leader is None and not self._appoint():
            self._arm()

    def _appoint(self) -> bool:
        """Wake one who waits to take the lead; False where nobody does."""
        if self._followers:
            for call in tuple(self._followers.values()):
                if not call.ready:
                    call.wake()
                    return True
        return False
