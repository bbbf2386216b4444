"""What an empty virtualenv of each interpreter looks like, kept per host.

virtualenv makes one, once; what it consists of is noted: some folders, some
links, one or two small files. Every environment is laid out from the note; one
that stays empty lies beside it, for what is to run as if in an environment and
see nothing of anybody's.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from rldlib.adapters.files import (
    REAL,
    HostLock,
    erase,
    flush_tree,
    publish,
    replace_atomically,
    storage_errors,
    write_file,
)
from rldlib.errors import InterpreterNotFoundError, StorageError
from rldlib.values.skeleton import SKELETONS, skeleton_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rldlib.adapters.files import FileSystem
    from rldlib.values.interpreter import Interpreter

_DEADLINE_S: Final = 120
# Notes for the tool that made it, and a command that would name our temporary folder.
_LEFT_OUT: Final = frozenset({"CACHEDIR.TAG", ".gitignore"})
_LEFT_OUT_SETTINGS: Final = ("command ", "command=", "prompt ", "prompt=")
# virtualenv's discovery keeps a cache in a module global, without a lock.
_ONE_AT_A_TIME: Final = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """An empty virtualenv, as a note.

    Attributes:
        folders: Every folder below it, outer ones first.
        links: Where each symbolic link points.
        files: The content of each file, in base64, and whether it can be run.
        site: Its site-packages.
    """

    folders: tuple[str, ...]
    links: Mapping[str, str]
    files: Mapping[str, tuple[str, bool]]
    site: str

    def lay_out(self, folder: str, *, files: FileSystem = REAL) -> None:
        """Make it in an empty folder. Raises `OSError`."""
        for inner in self.folders:
            files.make_folder(f"{folder}/{inner}")
        for path, target in self.links.items():
            files.link(target, f"{folder}/{path}")
        for path, (content, executable) in self.files.items():
            mode = 0o777 if executable else 0o666
            write_file(f"{folder}/{path}", base64.b64decode(content), mode=mode, files=files)

    def dump(self) -> bytes:
        """The note: a line with the hash of the rest, and the rest."""
        body = json.dumps(asdict(self)).encode()
        return hashlib.sha256(body).hexdigest().encode() + b"\n" + body

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """Read a note; None where it is damaged."""
        told, _, body = data.partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != told:
            return None
        read = json.loads(body)
        files = {path: (content, executable) for path, (content, executable) in read["files"].items()}
        return cls(folders=tuple(read["folders"]), links=read["links"], files=files, site=read["site"])


class Skeletons:
    """The skeletons of one host."""

    def __init__(self, host_dir: Path, *, files: FileSystem = REAL) -> None:
        self._folder = host_dir / SKELETONS
        self._host_dir = host_dir
        self._files = files

    def of(self, interpreter: Interpreter) -> Skeleton:
        """The skeleton of an interpreter, made once.

        Raises:
            InterpreterNotFoundError: virtualenv cannot make one.
            StorageError: It cannot be kept.
        """
        key = _key(interpreter)
        path = self._folder / f"{key}.json"
        found = _read(path)
        if found is not None:
            return found
        with HostLock(self._folder / "lock", deadline_s=_DEADLINE_S, files=self._files):
            found = _read(path)
            if found is None:
                found = self._make(interpreter)
                self._lay_out_empty(found, self._folder / key)
                replace_atomically(path, found.dump(), files=self._files)
        return found

    def _lay_out_empty(self, skeleton: Skeleton, folder: Path) -> None:
        """Beside, then renamed: it is there whole or not at all, and on the disk before the note is."""
        scratch = self._folder / "scratch"
        try:
            with storage_errors(scratch):
                self._files.make_folder(str(scratch))
                skeleton.lay_out(str(scratch), files=self._files)
                flush_tree(str(scratch), files=self._files)
            erase(folder)  # the note beside it was damaged, or is gone
            publish(scratch, folder, files=self._files)
        finally:
            erase(scratch)

    def _make(self, interpreter: Interpreter) -> Skeleton:
        scratch = self._folder / "scratch"
        try:
            erase(scratch)  # what a killed process left; the lock is ours
            with _ONE_AT_A_TIME:
                _create(scratch, interpreter, self._host_dir / "virtualenv")
            return _noted(scratch)
        finally:
            erase(scratch)


def _key(interpreter: Interpreter) -> str:
    """What changes when the interpreter is another one, though at the same path."""
    executable = os.path.realpath(interpreter.executable)
    try:
        found = os.stat(executable)  # noqa: PTH116 - beside a string
    except OSError as exc:
        raise InterpreterNotFoundError(
            "the environment", executable, [f"{executable}: {exc.strerror}"]
        ) from exc
    return skeleton_name(executable, found.st_size, found.st_mtime_ns, str(interpreter.version))


def _read(path: Path) -> Skeleton | None:
    try:
        return Skeleton.parse(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise StorageError(str(path), exc.strerror or str(exc)) from exc


def _create(folder: Path, interpreter: Interpreter, app_data: Path) -> None:
    from virtualenv import cli_run

    options = [str(folder), "--no-seed", "--activators", "", "--no-vcs-ignore", "--no-periodic-update"]
    options += [
        "--no-venv-redirect",
        "--app-data",
        str(app_data),
        "-p",
        os.path.realpath(interpreter.executable),
    ]
    try:
        # An empty environment, so that no VIRTUALENV_* of the user has a say.
        cli_run(options, setup_logging=False, env={})
    except OSError as exc:
        raise StorageError(str(exc.filename or folder), exc.strerror or str(exc)) from exc
    # virtualenv ends the process for some of its refusals.
    except (RuntimeError, SystemExit, ValueError) as exc:
        reason = f"{interpreter}: virtualenv made no environment of it, {exc}"
        raise InterpreterNotFoundError("the environment", str(interpreter), [reason]) from exc


def _noted(folder: Path) -> Skeleton:
    folders, links, files = [], {}, {}
    for place, inner, names in os.walk(folder):
        inner.sort()
        for name in sorted([*inner, *names]):
            path = Path(place) / name
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink():
                links[relative] = str(path.readlink())
            elif path.is_dir():
                folders.append(relative)
            elif name not in _LEFT_OUT:
                content = _settings(path) if relative == "pyvenv.cfg" else path.read_bytes()
                files[relative] = base64.b64encode(content).decode(), os.access(path, os.X_OK)
    site = next(path for path in folders if path.endswith("/site-packages"))
    # What virtualenv adds to change the start of the interpreter: nothing is in an
    # environment but what the lock says.
    added = {path for path in files if path.startswith(f"{site}/")}
    kept = {path: content for path, content in files.items() if path not in added}
    return Skeleton(folders=tuple(folders), links=links, files=kept, site=site)


def _settings(path: Path) -> bytes:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(_LEFT_OUT_SETTINGS)).encode()
