"""Figures, each beside its alternative: turns, spreads, ratios, targets."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PROCESSORS = 2


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        name: What `--only` names it by.
        title: What it is, for people.
        unit: Of the samples.
        samples: What was measured, by who did it, in the order of the rounds.
        ours: Whose samples are judged.
        against: What they are held against; None where the target is a figure by itself.
        target: What the ratio, or the figure, is to reach; None where the row only tells.
        more_is_better: Whether the target is a least.
        inverse: Whether the ratio is the other's figure over ours.
        facts: What else was found.
        holds: What holds the figure, where it misses its target.
    """

    name: str
    title: str
    unit: str
    samples: Mapping[str, Sequence[float]]
    ours: str
    against: str | None = None
    target: float | None = None
    more_is_better: bool = False
    inverse: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    holds: str = ""

    def told(self) -> dict[str, Any]:
        """The row as it is written down."""
        told: dict[str, Any] = {
            "name": self.name,
            "title": self.title,
            "unit": self.unit,
            "ours": self.ours,
            "against": self.against,
            "target": self.target,
            "more_is_better": self.more_is_better,
            "inverse": self.inverse,
            "figures": {who: spread(taken) for who, taken in self.samples.items()},
            "ratio": spread(self._ratios()) if self.against is not None else None,
            "facts": dict(self.facts),
            "holds": self.holds,
        }
        return told | _verdict(told)

    def _ratios(self) -> list[float]:
        """Round by round: what slowed the machine down slowed both of a round."""
        assert self.against is not None
        pairs = zip(self.samples[self.ours], self.samples[self.against], strict=True)
        return [theirs / ours if self.inverse else ours / theirs for ours, theirs in pairs]


def _verdict(told: Mapping[str, Any]) -> dict[str, Any]:
    if told["target"] is None:
        return {"met": None, "missed_by": None}
    figure = (told["ratio"] or told["figures"][told["ours"]])["median"]
    short = figure < told["target"] if told["more_is_better"] else figure > told["target"]
    missed = abs(figure / told["target"] - 1) if short else None
    return {"met": not short, "missed_by": None if missed is None else round(missed, 3)}


def spread(taken: Sequence[float]) -> dict[str, float]:
    """Median, least and most, and of how many."""
    return {
        "median": round(statistics.median(taken), 4),
        "least": round(min(taken), 4),
        "most": round(max(taken), 4),
        "rounds": len(taken),
    }


def in_turns(contestants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Let each have its turn in each round; who begins moves on: nobody always follows the same one."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            # What others left to be written is not written on our time.
            os.sync()
            taken[name].append(contestants[name]())
    return taken


def pin() -> list[int]:
    """Hold this process, and all it starts, to the same few processors; their numbers."""
    chosen = sorted(os.sched_getaffinity(0))[:PROCESSORS]
    os.sched_setaffinity(0, chosen)
    return chosen


def machine(folder: Path) -> dict[str, Any]:
    """What kind of machine this is; nothing that names it."""
    import platform

    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in _lines("/proc/cpuinfo")
            if line.startswith(("model name", "Model"))
        ),
        platform.machine(),
    )
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "architecture": platform.machine(),
        "processor": cpu,
        "processors_used": len(os.sched_getaffinity(0)),
        "processors": os.cpu_count(),
        "memory_gib": round(pages * page / 2**30),
        "python": platform.python_version(),
        "file_system": _file_system(folder),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _file_system(folder: Path) -> str:
    mounts = [line.split() for line in _lines("/proc/self/mounts")]
    inside = [mount for mount in mounts if folder.is_relative_to(mount[1])]
    return max(inside, key=lambda mount: len(mount[1]))[2] if inside else "unknown"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8").splitlines()
    except OSError:
        return []
