"""Fuzzes by what an input reaches: ``python -m tests.fuzz SECONDS [TARGET ...]``; `nox -s fuzz` runs it.

Each target gets so many seconds of processor time in a process of its own.
What is new and short goes into ``corpus/TARGET``: inputs that reach what no
kept one reaches, and findings, made as short as they come, by what they are.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import atheris

# Whether what is in these is reached is what guides the search.
with atheris.instrument_imports(include=["rldlib", "packaging", "tomllib"]):
    from tests.fuzz.targets import CORPUS, TARGETS, Target, kept

from tests.fuzz.trial import arcs, attempt, place

_MAX_INPUT_BYTES = 16 * 1024
_MAX_KEPT_BYTES = 2 * 1024
_MAX_FOLDER_BYTES = 48 * 1024
# All bounds are measured for one input of so many; it costs twenty times as much.
_MEASURED = 64
_SHORTENINGS = 400


def main(seconds: int, names: list[str]) -> int:
    """Fuzz the targets one after the other; 1 where something was found."""
    found = 0
    for name in names or TARGETS:
        done = subprocess.run([sys.executable, "-m", "tests.fuzz", "--one", name, str(seconds)], check=False)
        found += done.returncode
    return int(found > 0)


def one(name: str, seconds: int) -> None:
    """Fuzz one target; the exit status is how many kinds of findings there were."""
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate([*target.seeds(), *kept(name).values()]):
            (Path(folder) / f"seed{number}").write_bytes(data)
        search = _Search(name, Path(folder), time.process_time() + seconds)
        arguments = [name, folder, f"-max_len={_MAX_INPUT_BYTES}", "-rss_limit_mb=2048", "-timeout=60"]
        arguments += [f"-artifact_prefix={folder}/", "-verbosity=0"]
        atheris.Setup(arguments, search.try_one, custom_mutator=search.mutate)
        atheris.Fuzz()


class _Search:
    def __init__(self, name: str, folder: Path, until: float) -> None:
        self._name = name
        self._target: Target = TARGETS[name]
        self._folder = folder
        self._until = until
        self.tried = 0
        self.findings: dict[str, bytes] = {}

    def try_one(self, data: bytes) -> None:
        if time.process_time() > self._until and self.tried:
            # Whatever ends a search ends the process: nothing returns from it.
            self._end()
        self.tried += 1
        exc = attempt(self._target, data, measured=self.tried % _MEASURED == 0)
        if exc is not None:
            known = self.findings.get(place(exc))
            if known is None or len(data) < len(known):
                self.findings[place(exc)] = data

    def _end(self) -> None:
        spent = time.process_time()
        for kind, data in self.findings.items():
            _write(self._name, kind, _shortened(self._target, kind, data))
        paths = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_size)
        new = _keep(self._name, self._target, paths)
        told = f"{self._name}: {self.tried:,} executions in {spent:.0f} s, {new} new inputs kept"
        print(f"{told}, {len(self.findings)} findings {[*self.findings]}", flush=True)
        shutil.rmtree(self._folder)
        os._exit(len(self.findings))

    def mutate(self, data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)
        changed = self._target.mutate(data, random) if random.random() < 0.6 else data
        return (atheris.Mutate(changed[:max_size], max_size) if random.random() < 0.5 else changed)[:max_size]


def _keep(name: str, target: Target, paths: list[Path]) -> int:
    """The shortest inputs that reach what nothing kept or seeded reaches."""
    reached = set().union(*(arcs(target, data) for data in (*target.seeds(), *kept(name).values())))
    written, room = 0, _MAX_FOLDER_BYTES - sum(map(len, kept(name).values()))
    for path in paths:
        data = path.read_bytes()
        if len(data) > min(_MAX_KEPT_BYTES, room):
            continue
        new = arcs(target, data) - reached
        if new:
            reached |= new
            room -= len(data)
            written += 1
            _write(name, "reaches", data)
    return written


def _shortened(target: Target, kind: str, data: bytes) -> bytes:
    """A shorter input with the same finding."""
    size, tries = len(data) // 2, 0
    while size and tries < _SHORTENINGS:
        for start in range(0, len(data), size):
            tries += 1
            shorter = data[:start] + data[start + size :]
            exc = attempt(target, shorter)
            if exc is not None and place(exc) == kind:
                data = shorter
                break
        else:
            size //= 2
    return data


def _write(name: str, kind: str, data: bytes) -> None:
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{kind}-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        one(sys.argv[2], int(sys.argv[3]))
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
