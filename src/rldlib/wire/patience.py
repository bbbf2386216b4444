"""Patience: whether to ask again and again for what comes next, or to sleep until it is there.

To be woken takes longer than a small call takes. Whoever asks again instead
spends a processor on it, so that is done for a moment only, while messages
follow each other quickly, and where the peer has a processor of its own.
"""

from __future__ import annotations

import os

# As long as being woken may take: to ask for longer could not win more than it costs.
SPIN_S = 50e-6
# What took longer than this did not come quickly; or others had the processor meanwhile.
_QUICK_S = 2 * SPIN_S
# How many waits in a row may be won ahead, and how many of these one that is lost costs.
_AHEAD = 8
_LOST = 3
# How many waits are slept through once none is left; twice as many each time, until it is won again.
_PAUSE = 4
_LONGEST_PAUSE = 1024


class Patience:
    """Learns from each wait. For one thread at a time.

    Attributes:
        left: Whether to spin now: above 0. Below, how many waits are to be slept through.
    """

    __slots__ = ("_pause", "_usable", "left")

    def __init__(self) -> None:
        self.left = 0
        self._pause = _PAUSE
        self._usable = len(os.sched_getaffinity(0)) > 1

    def spun(self, waited_s: float) -> None:
        """What was waited for came while spinning."""
        if waited_s > _QUICK_S:
            self._lost()
        else:
            self.left = min(self.left + 1, _AHEAD)
            self._pause = max(self._pause // 2, _PAUSE)

    def slept(self, waited_s: float) -> None:
        """It did not, or nobody spun; it came after so long."""
        if not self._usable:
            return
        if self.left > 0:
            self._lost()
        elif self.left < 0:
            self.left += 1
        elif waited_s < _QUICK_S:
            self.left = 1

    def _lost(self) -> None:
        self.left -= _LOST
        if self.left <= 0:
            self.left = -self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
