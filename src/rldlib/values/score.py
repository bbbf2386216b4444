"""What one hardware thread of a host does under one interpreter, in RCU."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# The suite of kernels that scores are comparable within.
SUITE = 1
# What a host without a score is taken for: less than a single-board computer
# of 2019 does, so that an unknown host is refused rather than overrun.
CONSERVATIVE_RCU = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The processor capacity of one hardware thread: 1000 is the reference thread.

    Attributes:
        rcu: Capacity of one hardware thread, in RCU.
        spread: How far two interleaved halves of the measurement disagree, as a fraction.
        measured: Whether it was measured here; else it is the conservative figure.
        suite: The version of the suite of kernels.
        executable: The interpreter it holds for.
        python: That interpreter's version.
        processor: The processor it holds for, as the system names it.
        rounds: How often each kernel ran.
        kernels_us: The shortest time of each kernel, in microseconds.
        load: Runnable tasks during the minute before (load average).
        pressure: Share of the last ten seconds in which some task waited for
            a processor, in percent; None where the system does not tell.
        taken: When it was taken, an RFC 3339 instant.
    """

    rcu: int
    spread: float = 0.0
    measured: bool = True
    suite: int = SUITE
    executable: str = ""
    python: str = ""
    processor: str = ""
    rounds: int = 0
    kernels_us: Mapping[str, float] = field(default_factory=dict)
    load: float | None = None
    pressure: float | None = None
    taken: str = ""

    def __post_init__(self) -> None:
        if self.rcu < 1:
            raise ValueError(f"a score of {self.rcu} RCU is none: at least 1")

    def __str__(self) -> str:
        if not self.measured:
            return (
                f"{self.rcu:,} RCU assumed: this interpreter has no score here, 'rld calibrate' measures one"
            )
        return f"{self.rcu:,} RCU +-{self.spread:.1%}, measured {self.taken}"

    def facts(self) -> dict[str, Any]:
        """The score as plain data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {
            "kernels_us": dict(self.kernels_us)
        }


def conservative_score(executable: str = "", python: str = "") -> Score:
    """What an interpreter without a score is taken for."""
    return Score(rcu=CONSERVATIVE_RCU, measured=False, executable=executable, python=python)
