"""What is measured: services as wheels, and the index they come from."""

from __future__ import annotations

import hashlib
import multiprocessing
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.wheels import make_wheel  # noqa: E402 - the one builder of small wheels that the project has

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection

# The service, and what it imports: the same import is done by everybody.
REQUIRED = {"small": ("pluggy", "attrs", "python-dateutil", "six"), "numpy": ("numpy",)}
_IMPORTS = {
    "small": "import attr\nimport dateutil.parser\nimport pluggy\nimport six\n",
    "numpy": "import numpy\n",
}
_ANSWER = """
def answer():
    return 42


def main():
    print(answer())
"""
_SERVICE = """
from rldlib.plugin import Service, operation

import {module}


class Bench(Service):
    @operation
    def answer(self) -> int:
        return {module}.answer()

    @operation
    def echo(self, value):
        return value

    @operation
    def length(self, array) -> int:
        return len(array)

    @operation
    def memory(self) -> dict[str, int]:
        with open("/proc/self/smaps_rollup") as rollup:
            lines = [line.split() for line in rollup]
        return {{line[0].rstrip(":"): int(line[1]) for line in lines if len(line) == 3}}
"""
_TINY = """
from rldlib.plugin import Service, operation

import {module}


class Bench(Service):
    @operation
    def answer(self) -> int:
        return {module}.answer()
"""


def service(kind: str) -> str:
    """The service's name, and its distribution's."""
    return f"bench-{kind}"


def module(kind: str) -> str:
    """The module that everybody imports."""
    return f"bench_{kind}"


def download(folder: Path) -> None:
    """The wheels that the services require, from wherever pip is configured to look; once."""
    if folder.exists():
        return
    partial = folder.with_suffix(".partial")
    names = [name for names in REQUIRED.values() for name in names]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--dest"]
    subprocess.run([*command, str(partial), *names], check=True)
    partial.rename(folder)


def make_service(folder: Path, kind: str) -> None:
    """The wheel of one of the measured services."""
    name = module(kind)
    make_wheel(
        folder,
        service(kind),
        "1.0.0",
        files={
            f"{name}/__init__.py": _IMPORTS[kind] + "\n" + _ANSWER,
            f"{name}/service.py": _SERVICE.format(module=name),
        },
        requires=REQUIRED[kind],
        profile=_profile(service(kind)),
        entry_points={
            "rldlib.services": {service(kind): f"{name}.service:Bench"},
            "console_scripts": {service(kind): f"{name}:main"},
        },
    )


def make_tiny(folder: Path, names: Sequence[str]) -> None:
    """Services that require nothing; the module of each has the service's name."""
    for name in names:
        own = name.replace("-", "_")
        make_wheel(
            folder,
            name,
            "1.0.0",
            files={f"{own}.py": _ANSWER, f"{own}_service.py": _TINY.format(module=own)},
            profile=_profile(name),
            entry_points={"rldlib.services": {name: f"{own}_service:Bench"}},
        )


def _profile(name: str) -> dict[str, Any]:
    return {
        "schema": 1,
        "service": name,
        "version": "1.0.0",
        "demand": {"memory_peak_bytes": 2**20, "startup_s": 30},
    }


def hashes(folder: Path) -> dict[str, str]:
    """The sha256 of every wheel by file name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.whl")}


@contextmanager
def index(folder: Path) -> Iterator[str]:
    """Serve a folder of wheels as ``rld index`` does, in a process of its own; its URL."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(str(folder), theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def _serve(folder: str, told: Connection) -> None:
    from rldlib.server.index import serve_index

    serve_index(Path(folder), on_ready=lambda url, _: told.send(url))
