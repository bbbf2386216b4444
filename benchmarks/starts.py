"""From nothing, from caches, from what is there: how long until the first result."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measuring import Row, in_turns
from services import module, service

import rldlib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

BARE = "bare python -c"
OURS = "rldlib"
_CALL = "rld call"
# State -> what a contestant may keep of an earlier run.
EMPTY, WARM, THERE = "empty", "warm", "there"
_TOLD = {EMPTY: "empty caches", WARM: "caches warm", THERE: "environment there"}
# (kind, state) -> against, target; with a lock.
_LOCKED: dict[tuple[str, str], tuple[str, float]] = {
    ("small", EMPTY): ("uv sync", 0.8),
    ("small", WARM): ("uv sync", 0.5),
    ("small", THERE): (BARE, 1.3),
    ("numpy", EMPTY): ("uv sync", 1.0),
    ("numpy", WARM): ("uv sync", 0.6),
    ("numpy", THERE): (BARE, 1.2),
}
_HOLDS = {
    EMPTY: "every wheel passes the gate and is flushed; its files are written twice, and compared with their "
    "hashes, where the peer links them; what is imported is compiled, as at the peer",
    WARM: "files are copied and compared with their hashes where the peer links them; a worker is more than its "
    "imports. Nothing is compiled",
    THERE: "a worker is more than its imports: a spawner is started, with the wire and the hooks, and forks twice",
}


class Stage:
    """Where one service is brought to, again and again, by everybody in turn."""

    def __init__(self, folder: Path, url: str, kind: str) -> None:
        self.folder = folder / kind
        self.folder.mkdir(parents=True)
        self.url, self.kind = url, kind
        self.python = os.path.realpath(sys.executable)
        self.host_steps: dict[str, list[dict[str, float]]] = {}
        self._locks = self.folder / "locks"
        # What keeps Python from writing bytecode would have each process compile all it imports.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self._environment = inherited | {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": url,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_CACHE_DIR": str(self.folder / "pip-cache"),
            "UV_CACHE_DIR": str(self.folder / "uv-cache"),
            "UV_DEFAULT_INDEX": url,
            "UV_NO_CONFIG": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "VIRTUAL_ENV": "",
        }
        self._make_lock()

    def _make_lock(self) -> None:
        """By rldlib; its services/ holds the lock, and the peers read the very file."""
        root = self.folder / "root"
        with rldlib.LocalDaemon(index_url=self.url, root=root) as daemon:
            daemon.prepare(service(self.kind))
        shutil.copytree(root / "services", self._locks)

    @property
    def lock(self) -> Path:
        """The lock as pylock.toml."""
        (found,) = self._locks.rglob("*.pylock.toml")
        beside = self.folder / "pylock.toml"
        if not beside.exists():
            shutil.copyfile(found, beside)
        return beside

    # --- contestants ---------------------------------------------------------------

    def ours(self, state: str, *, locked: bool) -> float:
        """A daemon in this process: its making, acquire, and the first call."""
        root = self.folder / "root"
        if state == EMPTY:
            _remove(root)
            root.mkdir()
            if locked:
                shutil.copytree(self._locks, root / "services")
            os.sync()
        elif state == WARM:
            _remove(root / "environments")
            os.sync()
        began = time.perf_counter()
        with rldlib.LocalDaemon(index_url=self.url, root=root) as daemon:
            daemon.acquire(service(self.kind)).call("answer")
            taken = time.perf_counter() - began
            steps = {step["name"]: step["seconds"] * 1000 for step in daemon.steps(service(self.kind))}
        self.host_steps.setdefault(state if locked else "unlocked", []).append(steps)
        return taken * 1000

    def ours_anew(self) -> float:
        """``rld call``: a process of its own, from its start to its end."""
        options = ["--index-url", self.url, "--root", str(self.folder / "root")]
        return self._timed([[_program("rld"), *options, "call", service(self.kind), "answer"]])

    def bare(self) -> float:
        """The environment's python, and the same import."""
        environment = next((self.folder / "root" / "environments").iterdir())
        return self._timed([[str(environment / "bin" / "python"), "-c", f"import {module(self.kind)}"]])

    def uv(self, state: str, *, locked: bool) -> float:
        """``uv venv``, then sync or install, then the import."""
        cache, place = self.folder / "uv-cache", self.folder / "uv-env"
        result = [str(place / "bin" / "python"), "-c", f"import {module(self.kind)}"]
        if state == THERE:
            return self._timed([result])
        _remove(place, *([cache] if state == EMPTY else []))
        uv = _program("uv")
        into = [str(self.lock)] if locked else [service(self.kind)]
        how = ["sync", "--preview-features", "pylock"] if locked else ["install"]
        return self._timed(
            [
                [uv, "venv", "--quiet", "--python", self.python, str(place)],
                [uv, "pip", *how, "--quiet", "--python", str(place / "bin" / "python"), *into],
                result,
            ]
        )

    def uvx(self, state: str) -> float:
        """``uvx``, which keeps its environments in its cache."""
        cache = self.folder / "uvx-cache"
        if state == EMPTY:
            _remove(cache)
        elif state == WARM:
            _remove(*cache.glob("environments-*"))
        command = [_program("uvx"), "--quiet", "--python", self.python, "--from", service(self.kind)]
        return self._timed([[*command, service(self.kind)]], UV_CACHE_DIR=str(cache))

    def isolate(self, state: str) -> float:
        """The isolate of fal, as a library in this process."""
        backends = importlib.import_module("isolate.backends.virtualenv")
        settings = importlib.import_module("isolate.backends.settings")
        cache = self.folder / "isolate-cache"
        if state != THERE:
            _remove(cache, *([self.folder / "isolate-pip-cache"] if state == EMPTY else []))
        code = partial(eval, f"__import__({module(self.kind)!r}).answer()")
        with _environment(self._environment | {"PIP_CACHE_DIR": str(self.folder / "isolate-pip-cache")}):
            began = time.perf_counter()
            chosen = settings.IsolateSettings(cache_dir=cache, log_hook=lambda _: None)
            environment = backends.VirtualPythonEnvironment.from_config(
                {"requirements": [service(self.kind)]}, chosen
            )
            with environment.open_connection(environment.create()) as connection:
                if connection.run(code) != 42:
                    raise SystemExit("isolate answers differently")
                return (time.perf_counter() - began) * 1000

    def virtualenv(self, state: str) -> float:
        """``virtualenv``, its own pip, then the import."""
        place = self.folder / "virtualenv"
        result = [str(place / "bin" / "python"), "-c", f"import {module(self.kind)}"]
        if state == THERE:
            return self._timed([result])
        _remove(place, *([self.folder / "pip-cache"] if state == EMPTY else []))
        return self._timed(
            [
                [sys.executable, "-m", "virtualenv", "--quiet", "--python", self.python, str(place)],
                [str(place / "bin" / "pip"), "install", "--quiet", service(self.kind)],
                result,
            ]
        )

    def _timed(self, commands: Sequence[Sequence[str]], **environment: str) -> float:
        began = time.perf_counter()
        for command in commands:
            done = subprocess.run(
                command,
                env=self._environment | environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
            if done.returncode != 0:
                raise SystemExit(f"{command}: status {done.returncode}\n{done.stderr.decode()}")
        return (time.perf_counter() - began) * 1000


def measure(folder: Path, url: str, kind: str, rounds: int, wanted: Callable[[str], bool]) -> Iterator[Row]:
    """The rows of one service that are wanted."""
    names = {state: f"{kind}-locked-{state}" for state in _TOLD}
    names |= {"anew": f"{kind}-call-anew", "unlocked": f"{kind}-unlocked-empty"}
    if not any(map(wanted, names.values())):
        return
    stage = Stage(folder, url, kind)
    for state, told in _TOLD.items():
        if wanted(names[state]):
            against, target = _LOCKED[kind, state]
            samples = in_turns(_contestants(stage, state), rounds)
            yield Row(
                name=names[state],
                title=f"{kind}, with a lock, {told}",
                unit="ms",
                samples=samples,
                ours=OURS,
                against=against,
                target=target,
                facts={"steps_ms": _medians(stage.host_steps[state])},
                holds=_HOLDS[state],
            )
    if wanted(names["anew"]):
        yield _anew(stage, names["anew"], rounds)
    if wanted(names["unlocked"]):
        samples = in_turns(
            {
                OURS: partial(stage.ours, EMPTY, locked=False),
                "uv install": partial(stage.uv, EMPTY, locked=False),
            },
            rounds,
        )
        yield Row(
            name=names["unlocked"],
            title=f"{kind}, without a lock, resolution included, empty caches",
            unit="ms",
            samples=samples,
            ours=OURS,
            against="uv install",
            target=1.0,
            facts={"steps_ms": _medians(stage.host_steps["unlocked"])},
            holds="resolving in Python, and all that holds the row with a lock",
        )


def _anew(stage: Stage, name: str, rounds: int) -> Row:
    """From the start of a process to its end, with the environment there."""
    # Once each before: what is there is there, and bytecode of what they import is too.
    stage.ours(EMPTY, locked=True)
    for prepare in (stage.ours_anew, stage.bare):
        prepare()
    return Row(
        name=name,
        title=f"{stage.kind}, 'rld call' in a process anew, environment there",
        unit="ms",
        samples=in_turns({_CALL: stage.ours_anew, BARE: stage.bare}, rounds),
        ours=_CALL,
        against=BARE,
        target=2.0,
        holds="the host's own imports, and the spawner's, which two processors share with them",
    )


def _contestants(stage: Stage, state: str) -> dict[str, Callable[[], float]]:
    found: dict[str, Callable[[], float]] = {
        OURS: partial(stage.ours, state, locked=True),
        "uv sync": partial(stage.uv, state, locked=True),
        "uvx": partial(stage.uvx, state),
        "isolate": partial(stage.isolate, state),
        "virtualenv + pip": partial(stage.virtualenv, state),
    }
    if state == THERE and not (stage.folder / "uv-env").exists():
        # Of the peers an environment is kept, which another row has left, unless this one is run alone.
        stage.uv(EMPTY, locked=True)
        stage.virtualenv(EMPTY)
    # Each has been here before, so that what the state says is there is there.
    for prepare in found.values():
        prepare()
    if state == THERE:
        found[BARE] = stage.bare
        stage.bare()
    stage.host_steps.clear()
    return found


def _medians(steps: Sequence[dict[str, float]]) -> dict[str, float]:
    import statistics

    names = dict.fromkeys(name for step in steps for name in step)
    return {name: round(statistics.median(step.get(name, 0.0) for step in steps), 1) for name in names}


def _remove(*paths: Path) -> None:
    """Out of the way by name only.

    A file system that has just deleted thousands of files is slow to make new ones: ext4 passes over
    inodes that went in the last seconds, one by one. What is left is deleted when all is over.
    """
    for path in paths:
        if os.path.lexists(path):
            path.rename(path.with_name(f".gone-{uuid.uuid4().hex}"))


def _program(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else name


@contextmanager
def _environment(environment: dict[str, str]) -> Iterator[None]:
    kept: Any = dict(os.environ)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)
