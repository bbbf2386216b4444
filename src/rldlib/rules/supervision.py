"""When a worker is started again, when it is given up, and when it counts as dead."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldlib.values.profile import HostSettings

# The first restart is at once: most ends are single ones, and somebody may be waiting.
_SECOND_RESTART_S = 0.1
_LONGEST_BACKOFF_S = 10.0
# A worker is silent when so many heartbeats did not come.
_MISSED_BEATS = 3


@dataclass(frozen=True, slots=True)
class Restart:
    """Start it again, after so many seconds."""

    after_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Leave it; whoever calls is told the reason."""

    reason: str


def next_start(ends: Sequence[float], now: float, settings: HostSettings) -> Restart | GiveUp:
    """What follows the newest of `ends`, the monotonic times at which workers were lost.

    Each restart within the period waits twice as long as the one before.
    """
    recent = sum(1 for end in ends if now - end <= settings.restart_period_s)
    if recent > settings.restarts:
        return GiveUp(
            f"it ended {recent} times within {settings.restart_period_s:g} s, "
            f"and is started again at most {settings.restarts} times"
        )
    if recent <= 1:
        return Restart(0.0)
    return Restart(min(_SECOND_RESTART_S * 2 ** (recent - 2), _LONGEST_BACKOFF_S))


def silent_after_s(settings: HostSettings) -> float:
    """How long no heartbeat may come before a worker is looked at."""
    return _MISSED_BEATS * settings.heartbeat_s


def is_hung(
    silence_s: float, settings: HostSettings, worked_before_s: float | None, worked_s: float | None
) -> bool:
    """Whether a worker is to be killed: silent, and its processor time stands still.

    A call that holds the interpreter's lock keeps the heartbeat from being
    sent, and works: that is no dead worker.

    Args:
        silence_s: How long nothing has come from it.
        settings: What its profile says.
        worked_before_s: Its processor time a heartbeat ago; None where that was not looked at.
        worked_s: Its processor time now; None where nobody can know.
    """
    if silence_s < silent_after_s(settings) or worked_before_s is None or worked_s is None:
        return False
    return worked_s <= worked_before_s


def is_stuck(overdue: int, threads: int) -> bool:
    """Whether calls that nobody waits for any more hold every thread of a worker.

    Args:
        overdue: Calls that were cancelled, and still run after the time to stop.
        threads: How many calls it performs at once.
    """
    return overdue >= threads


def told_end(code: int) -> str:
    """How a worker ended, in words, from its exit code as `os.waitstatus_to_exitcode` gives it."""
    if code >= 0:
        return f"exited with status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
