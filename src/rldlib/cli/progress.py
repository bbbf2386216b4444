"""Shows the main job's progress: a moving line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from rldlib.reporter import Reporter

if TYPE_CHECKING:
    from rich.status import Status

_STEPS = {
    "ask": "asking for its profile",
    "decide": "comparing its demand with this host",
    "lock": "finding the wheels it requires",
    "promise": "setting room aside",
    "fetch": "fetching its wheels",
    "environment": "building its environment",
    "start": "starting it",
}
# What takes less is not worth a line in a log.
_WORTH_A_LINE_S = 0.5


class PlainProgress(Reporter):
    """One line on stderr for each step that took its time."""

    def step_ended(self, service: str, step: str, seconds: float) -> None:
        """See `Reporter.step_ended`."""
        if seconds >= _WORTH_A_LINE_S:
            print(f"{service}: {_STEPS.get(step, step)}: {seconds:.1f} s", file=sys.stderr)

    def noted(self, service: str, text: str) -> None:
        """See `Reporter.noted`."""
        print(f"{service}: {text}", file=sys.stderr)

    def close(self) -> None:
        """Leave nothing on the terminal."""


class TerminalProgress(PlainProgress):
    """A line that moves while a step lasts, and is gone afterwards."""

    def __init__(self, status: Status) -> None:
        self._status = status
        self._guard = threading.Lock()

    def step_began(self, service: str, step: str) -> None:
        """See `Reporter.step_began`."""
        with self._guard:
            self._status.update(f"{service}: {_STEPS.get(step, step)}")
            self._status.start()

    def step_ended(self, service: str, step: str, seconds: float) -> None:
        """See `Reporter.step_ended`."""
        with self._guard:
            self._status.stop()
        super().step_ended(service, step, seconds)

    def bytes_fetched(self, what: str, done: int, total: int | None) -> None:
        """See `Reporter.bytes_fetched`."""
        share = f"{done / total:.0%} of {total / 1e6:.1f} MB" if total else f"{done / 1e6:.1f} MB"
        with self._guard:
            self._status.update(f"{what}: {share}")

    def close(self) -> None:
        """See `PlainProgress.close`; a step may have ended in an error."""
        with self._guard:
            self._status.stop()


def progress() -> PlainProgress:
    """What suits the present stderr: rich draws only on a terminal, and only where it is installed."""
    if not sys.stderr.isatty():
        return PlainProgress()
    try:
        from rich.console import Console
    except ImportError:
        return PlainProgress()
    return TerminalProgress(Console(stderr=True).status(""))
