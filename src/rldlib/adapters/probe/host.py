"""The probe: reads the host, and leaves the arithmetic to `rldlib.rules.allowance`.

On Linux the kernel's files are read directly: a decision costs about a
millisecond, and psutil's import alone costs several.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Protocol, TypeVar

from rldlib.adapters.probe.cgroups import Cgroups
from rldlib.adapters.probe.devices import device_classes
from rldlib.adapters.probe.gpus import gpu_memory
from rldlib.adapters.probe.hardware import Hardware
from rldlib.adapters.probe.processes import memory_used
from rldlib.adapters.probe.tree import Tree
from rldlib.rules import allowance
from rldlib.values.measurement import HostFacts, Measurement, MemoryLevel
from rldlib.values.score import Score, conservative_score

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from rldlib.values.interpreter import Interpreter
    from rldlib.values.policy import Policy
    from rldlib.values.promise import Promise
    from rldlib.values.room import Room

T = TypeVar("T")

# What Linux lets a process open at most, unless told otherwise (fs.nr_open).
_MOST_OPEN_FILES = 1024 * 1024


class ScoreKeeper(Protocol):
    """Who knows the scores of this host."""

    def find(self, interpreter: Interpreter) -> Score | None:
        """The score that was measured; None where none was. Never measures."""
        ...


class Probe:
    """See `rldlib.ports.Probe`. Nothing it reads makes it raise: what cannot be read is counted as none.

    Args:
        host_dir: Where facts of the host are kept.
        policy: What the host's owner keeps back.
        scores: Who knows the scores of this host.
        filesystem: Where ``proc`` and ``sys`` lie; tests name a folder of their own.
    """

    def __init__(self, host_dir: Path, policy: Policy, scores: ScoreKeeper, *, filesystem: str = "/") -> None:
        self._policy = policy
        self._scores = scores
        self._tree = Tree(filesystem)
        self._cgroups = Cgroups(self._tree)
        self._hardware = Hardware(self._tree, host_dir)
        self._is_linux = self._tree.find("proc/meminfo") is not None

    def room(self, interpreter: Interpreter, root: Path, promises: Iterable[Promise]) -> Room:
        """See `rldlib.ports.Probe.room`."""
        living = tuple(promises)
        return allowance.room(self.measure(root, living), living, self._score(interpreter), self._policy)

    def host_facts(self, interpreter: Interpreter, root: Path, promises: Iterable[Promise]) -> HostFacts:
        """The same, with all the figures it came from, for ``rld room``."""
        living = tuple(promises)
        measurement, score, system = self.measure(root, living), self._score(interpreter), os.uname()
        return HostFacts(
            system=system.sysname,
            machine=system.machine,
            processor=self._hardware.processor,
            interpreter=str(interpreter),
            score=score,
            measurement=measurement,
            room=allowance.room(measurement, living, score, self._policy),
        )

    def measure(self, root: Path, promises: Sequence[Promise]) -> Measurement:
        """Read everything; `Measurement.failed` names what could not be."""
        failed: dict[str, str] = {}

        def attempt(fields: Sequence[str], otherwise: T, reading: Callable[[], T]) -> T:
            try:
                return reading()
            except (OSError, ValueError, LookupError, ImportError) as exc:
                failed.update(dict.fromkeys(fields, f"{type(exc).__name__}: {exc}"))
                return otherwise

        no_names: frozenset[str] = frozenset()
        free, elsewhere = attempt(["disk_bytes"], (0, no_names), lambda: _disk(root, promises))
        return Measurement(
            memory=attempt(["memory_bytes"], (), self._memory_levels),
            worker_memory_bytes={
                promise.id: self._memory_used(promise.worker_pid)
                for promise in promises
                if promise.worker_pid is not None
            },
            disk_free_bytes=free,
            disk_elsewhere=elsewhere,
            threads=attempt(["threads", "cpu_idle_rcu"], 0.0, self._threads),
            open_files=attempt(["open_files"], 0, _open_files),
            hardware=attempt(["hardware"], no_names, self._hardware.functions),
            devices=attempt(["devices"], no_names, self._devices),
            gpu_memory_bytes=attempt(["gpu_memory_bytes"], None, lambda: gpu_memory(self._tree)),
            failed=failed,
            notes=() if self._is_linux else (f"figures by psutil: {sys.platform} has no /proc to read",),
        )

    def _score(self, interpreter: Interpreter) -> Score:
        return self._scores.find(interpreter) or conservative_score(
            interpreter.executable, str(interpreter.version)
        )

    def _memory_levels(self) -> tuple[MemoryLevel, ...]:
        if self._is_linux:
            return (_machine(self._tree.read("proc/meminfo")), *self._cgroups.memory_levels())
        from rldlib.adapters.probe import portable

        return tuple(portable.memory_levels())

    def _memory_used(self, pid: int) -> int:
        if self._is_linux:
            return memory_used(self._tree, pid)
        from rldlib.adapters.probe import portable

        return portable.memory_used(pid)

    def _threads(self) -> float:
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        quota = self._cgroups.quota_threads()
        return usable if quota is None else min(usable, quota)

    def _devices(self) -> frozenset[str]:
        if not self._tree.names("sys/class"):
            raise OSError("there is no /sys/class to read them from")
        return device_classes(self._tree)


def _machine(meminfo: str) -> MemoryLevel:
    values = {}
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        if name in {"MemTotal", "MemFree", "MemAvailable"}:
            values[name] = int(value.split()[0]) * 1024
    total = values["MemTotal"]
    # Kernels before 3.14 do not say what is available: less, then, than there is.
    available = values.get("MemAvailable", values["MemFree"])
    return MemoryLevel(name="machine", limit_bytes=total, used_bytes=total - available)


def _disk(root: Path, promises: Sequence[Promise]) -> tuple[int, frozenset[str]]:
    folder = _existing(str(root))
    disk, device = os.statvfs(folder), os.stat(folder).st_dev  # noqa: PTH116 - of a str, in every decision
    # An unreadable promise has no root; it counts here, as it may well be.
    roots = {promise.root for promise in promises if promise.root}
    away = {other for other in roots if os.stat(_existing(other)).st_dev != device}  # noqa: PTH116 - as above
    elsewhere = frozenset(promise.id for promise in promises if promise.root in away)
    return disk.f_bavail * disk.f_frsize, elsewhere


def _existing(path: str) -> str:
    """The nearest folder that is there: a root is made on first use."""
    while not os.path.exists(path) and path != os.path.dirname(path):  # noqa: PTH110, PTH120 - as above
        path = os.path.dirname(path)  # noqa: PTH120 - as above
    return path


def _open_files() -> int:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_OPEN_FILES if soft == resource.RLIM_INFINITY else soft
