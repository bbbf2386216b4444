"""What every test of a fault builds on: a service, a root, and what has to hold after anything happened.

```
scene = Scene(tmp_path)
scene.expect_nothing_half_done()     nothing under its final name that is not whole
scene.expect_next_acquire()          no manual step: it answers
scene.expect_nothing_left()          after `rld gc`: no promise, no process, no file of ours
```
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import os
import shutil
import threading
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pytest
from tests.faults.tally import injected
from tests.services import ECHO, service_wheel
from tests.wheels import make_wheel

from rldlib import daemon, defaults
from rldlib.adapters import pylock
from rldlib.adapters.compiling import Compiling
from rldlib.adapters.environments import Environments
from rldlib.adapters.files import FileSystem
from rldlib.adapters.holdings import Holdings
from rldlib.adapters.host_directory import host_directory
from rldlib.adapters.journal import Journal
from rldlib.adapters.promises import Promises
from rldlib.adapters.store import Store
from rldlib.cli.host import run_gc
from rldlib.errors import StorageError
from rldlib.reporter import Reporter
from rldlib.values.bytecode import Bytecode
from rldlib.values.image import Image
from rldlib.values.policy import Policy

CALLS = ("create", "write", "flush", "make_folder", "link", "rename", "lock")
STEPS = ("ask", "decide", "lock", "promise", "fetch", "environment", "start")
DEPENDENCY = {
    "shared/__init__.py": "VERSION = '1.0'\n",
    "shared/data.bin": bytes(range(256)) * 64,
    "shared/inner/deep.py": "",
}
USES_DEPENDENCY = ECHO.replace("import os\n", "import os\nimport shared\n", 1)


class Scene:
    """One service of two wheels, one root; everything in it is made by rldlib itself."""

    def __init__(self, folder: Path, *, root: Path | None = None, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self.wheels = folder / "wheels"
        self.root = root or folder / "root"
        if not self.wheels.exists():
            make_wheel(self.wheels, "shared", "1.0", DEPENDENCY)
            service_wheel(
                self.wheels, code=USES_DEPENDENCY, requires=["shared"], host={"stop_s": 1, "heartbeat_s": 1}
            )

    def daemon(self, files: FileSystem | None = None, reporter: Reporter | None = None) -> daemon.LocalDaemon:
        """A daemon of this root; with `files`, every write of its root goes through that."""
        return daemon.LocalDaemon(self.outside(files, reporter))

    def outside(self, files: FileSystem | None = None, reporter: Reporter | None = None):
        """What that daemon asks of the world."""
        out = defaults.outside(
            source=defaults.source(None, self.wheels),
            root=self.root,
            policy=self.policy,
            reporter=reporter or Reporter(),
        )
        if files is None:
            return out
        store = Store(self.root, files=files)
        return replace(
            out,
            store=store,
            compiling=Compiling(store, wait_s=self.policy.bytecode_wait_s, files=files),
            environments=Environments(self.root, host_directory(), files=files),
            holdings=Holdings(self.root, read=pylock.read, write=pylock.write, files=files),
            journal=Journal(self.root, files=files),
        )

    @cached_property
    def environments(self) -> Environments:
        """Looks only."""
        return Environments(self.root, host_directory())

    # --- what has to hold ----------------------------------------------------------

    def expect_nothing_half_done(self, *, after_power_cut: bool = False) -> None:
        """Whatever has its final name is what the name says.

        After a power cut an image or an environment may have its name and not its
        content, if it tells so itself and is not used.
        """
        for kind in ("wheels", "blobs"):
            for path in _entries(self.root / "store" / kind / "sha256"):
                whole = hashlib.sha256(path.read_bytes()).hexdigest() == path.name
                assert whole or after_power_cut, f"a damaged object of {kind}: {path.name}"
        if not after_power_cut:
            self._expect_whole_images()
        for place in _entries(self.root / "environments"):
            found = self.environments.find(place.name)
            assert found or after_power_cut, f"{place.name} is there and not complete"
            assert not found or not self.environments.verify(place), self.environments.verify(place)
        for path in (self.root / "services").glob("*/*/*"):
            if path.suffix == ".json":
                json.loads(path.read_bytes())
            elif path.suffix == ".toml":
                pylock.read(path.read_text())
        Journal(self.root).decisions("echo")
        assert not (self.root / "journal.damaged").exists()

    def _expect_whole_images(self) -> None:
        for image in _entries(self.root / "store" / "images"):
            _expect_whole_image(image)
        for bytecode in (self.root / "store" / "bytecode").glob("*/*"):
            assert Bytecode.parse(bytecode.read_bytes()).files
            assert (self.root / "store" / "images" / bytecode.parent.name).exists()

    def expect_next_acquire(self) -> None:
        """It works with no manual step, and what it made is whole."""
        with self.daemon() as host:
            echo = host.acquire("echo")
            assert echo.echo(value="still here") == "still here"
            assert not self.environments.verify(Path(echo.worker["environment"]))

    def expect_next_prepare(self) -> None:
        """As `expect_next_acquire`, short of a worker."""
        with self.daemon() as host:
            assert not self.environments.verify(Path(host.prepare("echo")["environment"]))

    def expect_nothing_left(self) -> None:
        """No promise lives; once collected, no temporary file is there."""
        assert Promises(host_directory()).living() == ()
        run_gc(argparse.Namespace(root=self.root))
        left = [*_entries(self.root / "tmp"), *self.root.rglob("*.tmp")]
        left += [*host_directory().rglob("*.tmp"), *host_directory().glob("promises/*")]
        assert not left, left

    def expect_all_is_well(self) -> None:
        """All of it, in the order in which a user would meet it."""
        assert Promises(host_directory()).living() == ()
        self.expect_nothing_half_done()
        self.expect_next_acquire()
        self.expect_nothing_left()

    def expect_heals(self) -> None:
        """As `expect_all_is_well`, where something was damaged: whole once it was used again."""
        self.expect_next_acquire()
        self.expect_nothing_half_done()
        self.expect_nothing_left()


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _expect_whole_image(image: Path) -> None:
    data = image.read_bytes()
    found = Image.read(data)
    for start, file in zip(found.starts(), found.files, strict=True):
        content = data[start : start + file.size]
        assert hashlib.sha256(content).hexdigest() == file.sha256, f"{image.name}: {file.path}"


# --- file systems ----------------------------------------------------------------------


class Watched(FileSystem):
    """A file system whose calls are seen: override `meet`, which is called before each, and may raise."""

    def meet(self, call: str, path: str) -> None:
        """`path` is what the call is about: a rename's target, a descriptor's file."""

    def create(self, path, mode=0o666):
        self.meet("create", path)
        return super().create(path, mode)

    def write(self, fd, data):
        self.meet("write", path_of(fd))
        super().write(fd, data)

    def write_at(self, fd, data, at):
        self.meet("write", path_of(fd))
        super().write_at(fd, data, at)

    def flush(self, fd):
        self.meet("flush", path_of(fd))
        super().flush(fd)

    def make_folder(self, path):
        self.meet("make_folder", path)
        super().make_folder(path)

    def link(self, target, path):
        self.meet("link", path)
        super().link(target, path)

    def rename(self, source, target):
        self.meet("rename", target)
        super().rename(source, target)

    def lock(self, fd, *, shared=False):
        self.meet("lock", path_of(fd))
        return super().lock(fd, shared=shared)


class Counting(Watched):
    """Knows every call that was made: ``(call, path)``."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []

    def meet(self, call, path):
        self.made.append((call, path))


class Failing(Watched):
    """Fails one use of one call, over all threads; if it `stays`, every later one too, as on a full disk."""

    def __init__(self, call: str, nth: int, number: int, *, stays: bool = False) -> None:
        self._call, self._left, self._number, self._stays = call, nth, number, stays
        self._counting = threading.Lock()
        self.failed: list[str] = []

    def meet(self, call, path):
        if call != self._call:
            return
        with self._counting:
            self._left -= 1
            due = self._left == 0 or (self._stays and self._left < 0)
        if due:
            self.failed.append(path)
            injected(f"{errno.errorcode[self._number]} of the file system")
            raise OSError(self._number, os.strerror(self._number), path)


def path_of(fd: int) -> str:
    """What a descriptor is open on."""
    return str(Path(f"/proc/self/fd/{fd}").readlink())


def calls_of_a_first_acquire(folder: Path) -> list[tuple[str, str]]:
    """Every call that a first acquisition makes of the file system, in order; the host's facts are known."""
    counting = Counting()
    scene = Scene(folder)
    scene.expect_next_prepare()
    shutil.rmtree(scene.root)
    with scene.daemon(counting) as host:
        host.prepare("echo")
    shutil.rmtree(scene.root)
    return [(call, os.path.relpath(path, scene.root)) for call, path in counting.made]


@contextmanager
def refused():
    """A fault that was met must be told as one clear error that names a path, with the system's words."""
    with pytest.raises(StorageError) as told:
        yield
    assert told.value.reason
    assert told.value.path.startswith("/")
    assert told.value.path in str(told.value)
