"""What it costs to be there: the import, a worker's memory, a hundred idle ones, the gate, large stores."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from measuring import Row, in_turns
from services import index, make_tiny, module, service

import rldlib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OURS = "rldlib"
_IDLE_SERVICES = 100
_IDLE_S = 30.0
_MANY, _FEW = 5_000, 10
_KIB = 1024
_ALONE = "bench-alone"
_WAIT_FOR_END = "import os, sys; print(flush=True); sys.stdin.read()"


def measure(
    folder: Path, url: str, wheels: Path, rounds: int, wanted: Callable[[str], bool]
) -> Iterator[Row]:
    """The rows that are wanted."""
    if wanted("import"):
        yield _import(rounds)
    if wanted("warm-parent") or wanted("worker-memory"):
        yield from _worker(folder, url, rounds, wanted)
    if wanted("idle-100"):
        yield _idle(folder)
    if wanted("gate"):
        yield _gate(next(wheels.glob("numpy-*.whl")), rounds)
    for state in ("there", "warm"):
        if wanted(f"scale-{state}"):
            yield _scale(folder, state, rounds)


def _import(rounds: int) -> Row:
    """Of a process that imports it, what one that imports nothing does not take."""

    def timed(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return (time.perf_counter() - began) * 1000

    taken = in_turns({"with": partial(timed, "import rldlib"), "without": partial(timed, "pass")}, rounds)
    return Row(
        name="import",
        title="import rldlib",
        unit="ms",
        samples={
            OURS: [a - b for a, b in zip(taken["with"], taken["without"], strict=True)],
            "python -c pass": taken["without"],
        },
        ours=OURS,
        target=50,
    )


# --- one worker ------------------------------------------------------------------------


def _worker(folder: Path, url: str, rounds: int, wanted: Callable[[str], bool]) -> Iterator[Row]:
    """READY from a spawner that runs, of a service alone and of a small one; memory once it is ready."""
    root = folder / "worker"
    make_tiny(folder / "tiny", [_ALONE])
    with ExitStack() as stack:
        alone = stack.enter_context(
            rldlib.LocalDaemon(index_url=stack.enter_context(index(folder / "tiny")), root=root)
        )
        small = stack.enter_context(rldlib.LocalDaemon(index_url=url, root=root))
        # The environments are there, and the empty one that a spawner needs: those that follow have it.
        for daemon, name in ((alone, _ALONE), (small, service("small"))):
            daemon.prepare(name)
        if wanted("warm-parent"):
            yield _warm_parent(
                "warm-parent",
                "a worker with no import but its own module, from a spawner that runs",
                partial(_ready, alone, _ALONE),
                partial(_bare, _python(alone, _ALONE), f"import {_ALONE.replace('-', '_')}"),
                rounds,
                target=0.4,
            )
            yield _warm_parent(
                "warm-parent-small",
                "the same for the four small wheels: nobody has imported those",
                partial(_ready, small, service("small")),
                partial(_bare, _python(small, service("small")), f"import {module('small')}"),
                rounds,
            )
        if wanted("worker-memory"):
            handle = small.acquire(service("small"))
            python = _python(small, service("small"))
            yield _memory(handle, python, f"import {module('small')}", rounds)


def _python(daemon: rldlib.LocalDaemon, name: str) -> str:
    return f"{daemon.prepare(name)['environment']}/bin/python"


def _warm_parent(
    name: str,
    what: str,
    ready: Callable[[], float],
    bare: Callable[[], float],
    rounds: int,
    target: float | None = None,
) -> Row:
    # The first of each starts the spawner, and compiles.
    for first in (ready, bare):
        first()
    return Row(
        name=name,
        title=f"READY of {what}, against bare python -c of the same import",
        unit="ms",
        samples=in_turns({OURS: ready, "bare python -c": bare}, rounds),
        ours=OURS,
        against="bare python -c",
        target=target,
        holds="site, the service's module and its hooks; what a machine that does other things adds",
    )


def _ready(daemon: rldlib.LocalDaemon, name: str) -> float:
    handle = daemon.acquire(name)
    taken = next(step["seconds"] for step in daemon.steps(name) if step["name"] == "start") * 1000
    handle.release()
    _stop(daemon, name)
    return float(taken)


def _stop(daemon: rldlib.LocalDaemon, name: str) -> None:
    """Stop a worker and keep what was prepared; a daemon has no public way for that."""
    running = daemon._running.pop(name)  # noqa: SLF001 - see above
    daemon._stop(running)  # noqa: SLF001


def _bare(python: str, imports: str) -> float:
    began = time.perf_counter()
    subprocess.run([python, "-c", imports], check=True)
    return (time.perf_counter() - began) * 1000


def _memory(handle: rldlib.Handle, python: str, imports: str, rounds: int) -> Row:
    assert handle.worker is not None
    samples: dict[str, list[float]] = {OURS: [], "worker": [], "bare interpreter": []}
    facts: dict[str, Any] = {}
    for _ in range(rounds):
        command = [python, "-I", "-c", f"{imports}\n{_WAIT_FOR_END}"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bare:
            assert bare.stdout is not None
            bare.stdout.readline()
            mine, theirs = _rollup(handle.worker["pid"]), _rollup(bare.pid)
            bare.communicate()
        facts = {f"{kind}_mib": [mine[kind], theirs[kind]] for kind in mine}
        samples[OURS].append(mine["rss"] - theirs["rss"])
        samples["worker"].append(mine["rss"])
        samples["bare interpreter"].append(theirs["rss"])
    return Row(
        name="worker-memory",
        title="a worker's resident memory over a bare interpreter with the same imports",
        unit="MiB",
        samples=samples,
        ours=OURS,
        target=8,
        facts=facts,
    )


def _rollup(pid: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8").splitlines():
        name, _, rest = line.partition(":")
        if rest.endswith("kB"):
            found[name] = int(rest.split()[0]) / _KIB
    private = found["Private_Clean"] + found["Private_Dirty"]
    return {"rss": round(found["Rss"], 1), "pss": round(found["Pss"], 1), "private": round(private, 1)}


# --- a hundred ---------------------------------------------------------------------------


def _idle(folder: Path) -> Row:
    """A hundred services nobody calls: all that their daemon runs, this process included."""
    names = [f"bench-idle-{number}" for number in range(_IDLE_SERVICES)]
    make_tiny(folder / "idle", names)
    with rldlib.LocalDaemon(wheels=folder / "idle", root=folder / "idle-root") as daemon:
        handles = [daemon.acquire(name) for name in names]
        workers = [handle.worker["pid"] for handle in handles if handle.worker is not None]
        # Other rows have left processes of their own: servers, and who tracks what they share.
        spawner = psutil.Process(workers[0]).parents()[1]
        everything = [psutil.Process(), spawner, *spawner.children(recursive=True)]
        pids = [process.pid for process in everything if process.is_running()]
        began, before = time.monotonic(), {pid: _used(pid) for pid in pids}
        time.sleep(_IDLE_S)
        passed = time.monotonic() - began
        after = {pid: _used(pid) for pid in pids}
        spent = {pid: after[pid][0] - before[pid][0] for pid in pids}
        woken = {pid: after[pid][1] - before[pid][1] for pid in pids}
        memory = {pid: _rollup(pid) for pid in pids}
        beat_s = 5.0
        beats = len(workers) * passed / beat_s
        helpers = [pid for pid in pids if pid not in workers and pid != os.getpid()]
    minute = 60 / passed
    return Row(
        name="idle-100",
        title=f"{_IDLE_SERVICES} idle services: processor time of everything, a minute",
        unit="s/min",
        samples={
            OURS: [sum(spent.values()) * minute],
            "workers": [sum(spent[pid] for pid in workers) * minute],
            "host": [spent[os.getpid()] * minute],
        },
        ours=OURS,
        facts={
            "processes": len(pids),
            "private_mib_per_worker": round(sum(memory[pid]["private"] for pid in workers) / len(workers), 1),
            "pss_mib_per_worker": round(sum(memory[pid]["pss"] for pid in workers) / len(workers), 1),
            "pss_mib_per_guard": round(sum(memory[pid]["pss"] for pid in helpers) / len(helpers), 1),
            "heartbeats": round(beats),
            "wake_ups_of_workers": sum(woken[pid] for pid in workers),
            "wake_ups_of_guards_and_spawner": sum(woken[pid] for pid in helpers),
            "wake_ups_of_the_host": woken[os.getpid()],
        },
    )


def _used(pid: int) -> tuple[float, int]:
    """Processor seconds, and how often any of its threads went to sleep."""
    times = psutil.Process(pid).cpu_times()
    sleeps = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for line in (thread / "status").read_text("utf-8").splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                sleeps += int(line.split()[1])
    # The scheduler's own count, in nanoseconds: ticks are too coarse for idlers.
    nanoseconds = sum(
        int((thread / "schedstat").read_text("utf-8").split()[0])
        for thread in Path(f"/proc/{pid}/task").iterdir()
    )
    return (nanoseconds / 1e9 or times.user + times.system), sleeps


# --- the gate ----------------------------------------------------------------------------


def _gate(wheel: Path, rounds: int) -> Row:
    from zipfile import ZipFile

    from rldlib.adapters import gate

    size = wheel.stat().st_size / 1e6
    with ZipFile(wheel) as opened:
        unpacked = sum(info.file_size for info in opened.infolist()) / 1e6

    def timed() -> float:
        began = time.perf_counter()
        gate.check(wheel)
        return size / (time.perf_counter() - began)

    return Row(
        name="gate",
        title=f"the gate, on a wheel of {size:.1f} MB",
        unit="MB/s",
        samples=in_turns({OURS: timed}, rounds),
        ours=OURS,
        target=70,
        more_is_better=True,
        facts={"unpacked_mb": round(unpacked, 1)},
        holds="inflating and hashing: zlib's speed",
    )


# --- large stores and indexes --------------------------------------------------------------


def _scale(folder: Path, state: str, rounds: int) -> Row:
    """One service of an index of ten or of five thousand, in a store of as many images."""
    sizes = {"ten": _FEW, "five thousand": _MANY}
    with ExitStack() as stack:
        contestants = {}
        for told, count in sizes.items():
            place = folder / "scale" / str(count)
            if not place.exists():
                make_tiny(place / "wheels", [f"bench-many-{number}" for number in range(count)])
                _fill_store(place / "root", count)
            url = stack.enter_context(index(place / "wheels"))
            contestants[told] = partial(_acquired, place / "root", url, state)
            for _ in range(2):
                contestants[told]()
        samples = in_turns(contestants, rounds)
    return Row(
        name=f"scale-{state}",
        title="acquire in a store of 5,000 images from an index of 5,000 services, against ten: "
        + ("environment there" if state == "there" else "all steps"),
        unit="ms",
        samples=samples,
        ours="five thousand",
        against="ten",
        target=1.2,
    )


def _acquired(root: Path, url: str, state: str) -> float:
    name = "bench-many-3"
    if state == "warm":
        # All but the store: it is asked for, decided, locked, and built again.
        for part in ("services", "environments"):
            if (root / part).exists():
                # Not deleted: see `starts`.
                (root / part).rename(root.with_name(f".gone-{uuid.uuid4().hex}"))
    else:
        _follow(root, name, url)
    began = time.perf_counter()
    with rldlib.LocalDaemon(index_url=url, root=root) as daemon:
        daemon.acquire(name).call("answer")
        return (time.perf_counter() - began) * 1000


def _follow(root: Path, name: str, url: str) -> None:
    """The lock that an earlier index left names its port: nothing to do with what is measured."""
    kept = next((root / "services").glob(f"{name}/*/*.pylock.toml"), None) if root.exists() else None
    if kept is not None and url not in kept.read_text("utf-8"):
        shutil.rmtree(root / "services")


def _fill_store(root: Path, count: int) -> None:
    """As many images and wheels as the store of a large host holds; nobody asks for these."""
    for number in range(count):
        key = f"{number:064x}"
        for folder in ("images", "wheels/sha256"):
            path = root / "store" / folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
