"""Watches one worker: is it heard of, does it work, does it still take calls."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rldlib.rules.supervision import is_hung, is_stuck, silent_after_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from rldlib.adapters.channel import Channel
    from rldlib.adapters.io_loop import IoLoop, Timer
    from rldlib.values.profile import ResourceProfile


class Liveness:
    """Kills a worker that is hung or stuck. It wakes up no oftener than heartbeats may fail to come.

    Args:
        pid: The worker's process.
        channel: What it is heard through.
        profile: Its heartbeat, its threads, its time to stop.
        loop: Where the looking happens.
        kill: Ends it, with the reason.
    """

    def __init__(
        self,
        pid: int,
        channel: Channel,
        profile: ResourceProfile,
        loop: IoLoop,
        kill: Callable[[str], None],
    ) -> None:
        self._pid = pid
        self._channel = channel
        self._settings = profile.host
        self._threads = profile.demand.threads
        self._loop = loop
        self._kill = kill
        self._worked_s: float | None = None
        self._timer: Timer | None = loop.later(silent_after_s(self._settings), self._look)

    def close(self) -> None:
        """Watch no more."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def left_running(self) -> None:
        """A call was cancelled: look whether it has ended once the time to stop is over."""
        self._loop.later(self._settings.stop_s, self._count_overdue)

    def _look(self) -> None:
        if self._timer is None:
            return
        line = self._channel.line
        # This thread may have been busy: what lies unread is no silence.
        line.read_now()
        silence_s = time.monotonic() - line.last_heard
        due_s = silent_after_s(self._settings)
        if silence_s < due_s:
            self._worked_s = None
            self._timer = self._loop.later(due_s - silence_s, self._look)
            return
        worked_s = processor_time_s(self._pid)
        if is_hung(silence_s, self._settings, self._worked_s, worked_s):
            self._kill(f"killed, since nothing came from it for {silence_s:.1f} s and it did no work")
            return
        self._worked_s = worked_s
        self._timer = self._loop.later(self._settings.heartbeat_s, self._look)

    def _count_overdue(self) -> None:
        overdue = self._channel.overdue(self._settings.stop_s)
        if self._timer is not None and is_stuck(overdue, self._threads):
            self._kill(
                f"killed, since {overdue} calls that were cancelled held its {self._threads} threads "
                f"for more than {self._settings.stop_s:g} s"
            )


def processor_time_s(pid: int) -> float | None:
    """What a process has used of the processors; None where it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name in brackets may hold blanks: count from behind it. Fields 14 and 15 of proc(5).
    user, system = stat.rpartition(b")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
