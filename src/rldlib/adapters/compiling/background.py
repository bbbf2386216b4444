"""Makes the bytecode of one environment after the other, and has the store keep it.

A worker's own bytecode is never taken. Its environment tells by names alone
which modules were imported; what is compiled are sources that equal the hash
in the manifest of their image.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rldlib.adapters.compiling.compiler import Compiler, CompilerEndedError
from rldlib.adapters.files import REAL, write_file
from rldlib.errors import StorageError
from rldlib.rules.compiling import cache_tag, uncompiled
from rldlib.values.bytecode import Bytecode
from rldlib.values.places import BYTECODE_KEPT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rldlib.adapters.files import FileSystem
    from rldlib.ports import Store
    from rldlib.values.interpreter import Interpreter
    from rldlib.values.lock import Lock, LockedWheel

    # Its wheel, its path below site-packages, the hash and the size of its source.
    _Module = tuple[LockedWheel, str, str, int]

_LOG: Final = logging.getLogger(__name__)
# A process that was killed is reaped at once, on any machine that still works.
_END_S: Final = 1.0
_PACKAGES: Final = "lib/python*/site-packages"
# No package has so many modules in one folder; a worker may put any number of files there.
_MOST_NAMES: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One environment whose worker is ready."""

    environment: Path
    lock: Lock
    interpreter: Interpreter


class Background:
    """One thread and one process at a time; neither lives longer than there is something to do.

    Args:
        store: Keeps the bytecode.
        after_s: How long the first task is left alone.
        files: The file system.
    """

    def __init__(self, store: Store, *, after_s: float, files: FileSystem = REAL) -> None:
        self._store = store
        self._after_s = after_s
        self._files = files
        self._guard = threading.Lock()
        self._tasks: deque[Task] = deque()
        self._thread: threading.Thread | None = None
        self._compiler: Compiler | None = None
        self._awaited = threading.Event()
        self._given_up = False

    def add(self, task: Task) -> None:
        """Perform a task once those before it are done."""
        with self._guard:
            self._tasks.append(task)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="rldlib-compiling", daemon=True)
                self._thread.start()

    def close(self, wait_s: float) -> None:
        """Finish, and end what is not finished in so many seconds; what is compiled by then is kept."""
        with self._guard:
            self._awaited.set()
            thread = self._thread
            if self._compiler is not None:
                self._compiler.hurry()
        if thread is None:
            return
        try:
            thread.join(wait_s)
        finally:
            with self._guard:
                self._given_up = True
                if self._compiler is not None:
                    self._compiler.kill()
            thread.join(_END_S)

    # --- in the thread -----------------------------------------------------------------

    def _work(self) -> None:
        self._awaited.wait(self._after_s)
        while True:
            with self._guard:
                if not self._tasks or self._given_up:
                    self._thread = None
                    return
                task = self._tasks.popleft()
            try:
                self._perform(task)
            except (OSError, StorageError) as exc:
                _LOG.info("bytecode of %s was not kept: %s", task.lock.service, exc)

    def _perform(self, task: Task) -> None:
        packages = next(task.environment.glob(_PACKAGES), None)
        if packages is None:
            return  # it was removed meanwhile
        wanted, kept = self._wanted(task, str(packages))
        made, whole = self._compiled(task.interpreter, str(packages), wanted) if wanted else ({}, True)
        added = [self._keep(task, wheel, files) for wheel, files in made.items()]
        if whole and kept and not any(added):
            # Nothing more is to be had of this environment: no later start looks again.
            write_file(str(task.environment / BYTECODE_KEPT), b"", files=self._files)

    def _wanted(self, task: Task, packages: str) -> tuple[list[_Module], bool]:
        """The modules to be compiled, and whether bytecode of others is kept."""
        tag, kind = cache_tag(task.interpreter), task.interpreter.label
        names_in = functools.cache(lambda folder: _names(f"{packages}/{folder}"))
        found: list[_Module] = []
        any_kept = False
        for wheel in task.lock.wheels:
            image = self._store.content(wheel)
            if image is not None:
                kept = self._store.bytecode(wheel, kind)
                any_kept = any_kept or kept is not None
                missing = uncompiled(image, tag, kept.files if kept is not None else (), names_in)
                found += [(wheel, path, file.sha256, file.size) for path, file in missing.items()]
        return found, any_kept

    def _compiled(
        self, interpreter: Interpreter, packages: str, wanted: list[_Module]
    ) -> tuple[Mapping[LockedWheel, dict[str, bytes]], bool]:
        """The bytecode of each, as far as it could be made, and whether all was tried."""
        made: dict[LockedWheel, dict[str, bytes]] = {}
        rows = [(f"{packages}/{path}", path, sha256, size) for _, path, sha256, size in wanted]
        with self._guard:
            if self._given_up:
                return made, False
            compiler = self._compiler = Compiler(
                interpreter.executable, cache_tag(interpreter), in_haste=self._awaited.is_set()
            )
        try:
            for (wheel, path, _, _), content in zip(wanted, compiler.compiled(rows), strict=True):
                if content:
                    made.setdefault(wheel, {})[path] = content
        except CompilerEndedError as exc:
            _LOG.info("not everything was compiled: %s", exc)
            return made, False
        finally:
            with self._guard:
                self._compiler = None
            compiler.close()
        return made, True

    def _keep(self, task: Task, wheel: LockedWheel, files: dict[str, bytes]) -> bool:
        made = Bytecode(tag=cache_tag(task.interpreter), files=files)
        return self._store.keep_bytecode(wheel, task.interpreter.label, made)


def _names(folder: str) -> frozenset[str]:
    found = set()
    try:
        with os.scandir(folder) as entries:
            for entry, _ in zip(entries, range(_MOST_NAMES), strict=False):
                found.add(entry.name)
    except OSError:
        return frozenset()  # nothing of it was imported
    return frozenset(found)
