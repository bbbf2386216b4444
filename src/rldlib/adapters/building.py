"""Builds a project's wheel with the caller's own pip, and stamps it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from rldlib.adapters.stamping import stamp
from rldlib.errors import ProfileError, StorageError, UsageError, WheelRefusedError
from rldlib.rules.project import TABLE, Distribution, files_of, is_inside, profile_of, read_metadata
from rldlib.values.document import render
from rldlib.values.shapes import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MAX_PYPROJECT_BYTES = 4 * 1024 * 1024
_TOLD_LINES = 15


def build(project: Path, out: Path) -> Path:
    """Build the wheel of a project and put the profile of its ``[tool.rldlib]`` into it.

    The build is pip's (PEP 517), with the caller's pip configuration and
    environment; dependencies are not built. A resource's ``file`` that is
    not in the wheel is copied to ``OUT/blobs/sha256/HEX``, where a directory
    of wheels is looked into for it.

    Args:
        project: The folder with the ``pyproject.toml``.
        out: Where the wheel goes; made where it is missing.

    Returns:
        The wheel, stamped. What was there under its name is replaced at once.

    Raises:
        UsageError: There is no project with such a table, or it does not build.
        ProfileError: The table is no profile; every fault has its path.
        WheelRefusedError: What was built is no wheel.
        StorageError: ``out`` cannot be written.
    """
    document = _pyproject(project)
    table = _table(project, document)
    # Before the build as well: a slip in the table should not cost one.
    _profile(project, table, _unbuilt(document))
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".building-") as folder:
            built = _wheel(project, Path(folder))
            profile = _profile(project, table, _built(built))
            stamp(built, profile)
            for blob in _blobs(project, table, built):
                _publish(blob, out / "blobs" / "sha256", Path(folder))
            # Some backends write through a private temporary file: a wheel is as readable as its project.
            built.chmod((project / "pyproject.toml").stat().st_mode & 0o666)
            return built.replace(out / built.name)


def _table(project: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    tool = document.get("tool")
    table = tool.get("rldlib") if isinstance(tool, dict) else None
    if not isinstance(table, dict):
        raise UsageError(
            f"{project / 'pyproject.toml'} has no table [{TABLE}]: it says what the service needs"
        )
    return table


def _pyproject(project: Path) -> dict[str, Any]:
    path = project / "pyproject.toml"
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_PYPROJECT_BYTES + 1)
        if len(text) > _MAX_PYPROJECT_BYTES:
            raise UsageError(f"{path} has over {_MAX_PYPROJECT_BYTES:,} bytes")
        return tomllib.loads(text.decode())
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise UsageError(f"{path} is no TOML: {exc}") from exc


def _unbuilt(document: Mapping[str, Any]) -> Distribution:
    """What the wheel will say of itself, as far as the project says it and the table's faults need it."""
    told = document.get("project")
    name = told.get("name") if isinstance(told, dict) else None
    return Distribution(name=name if isinstance(name, str) else "unbuilt", version="0", summary="")


def _profile(project: Path, table: Mapping[str, Any], distribution: Distribution) -> bytes:
    profile, faults = profile_of(table, distribution, lambda file: _pin(project, file))
    if profile is None:
        raise ProfileError(str(project / "pyproject.toml"), faults)
    return render(profile)


def _wheel(project: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-input", "--disable-pip-version-check"]
    command += ["--wheel-dir", str(folder.absolute()), str(project.absolute())]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        lines = [line.rstrip() for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
        told = "\n".join(f"  {line}" for line in lines[-_TOLD_LINES:])
        raise UsageError(f"{project} does not build: pip exited with status {done.returncode}\n{told}")
    (wheel,) = folder.glob("*.whl")
    return wheel


def _built(wheel: Path) -> Distribution:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
        if len(names) != 1:
            raise WheelRefusedError(wheel.name, [f"zip: it has {len(names)} METADATA; a wheel has one"])
        return read_metadata(archive.read(names[0]))


def _pin(project: Path, file: str) -> tuple[str, int]:
    """The hash and size of a file of the project.

    Raises:
        ValueError: It is none; the message says why.
    """
    if not is_inside(PurePosixPath(file)):
        raise ValueError(f"{shown(file)} is no path below the project")
    path = project / file
    try:
        if not path.resolve().is_relative_to(project.resolve()):
            raise ValueError(f"{shown(file)} leads out of the project")
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest(), os.fstat(opened.fileno()).st_size
    except OSError as exc:
        raise ValueError(f"{shown(file)} cannot be read: {exc.strerror}") from exc


def _blobs(project: Path, table: Mapping[str, Any], wheel: Path) -> Iterator[Path]:
    """The files of resources that are not in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        for file in files_of(table):
            pinned = _pin(project, file)
            same_size = [member for member in archive.infolist() if member.file_size == pinned[1]]
            if not any(hashlib.sha256(archive.read(member)).hexdigest() == pinned[0] for member in same_size):
                yield project / file


def _publish(blob: Path, into: Path, folder: Path) -> None:
    """Copy a file under its hash, whole or not at all."""
    into.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    copy = folder / "blob"
    with blob.open("rb") as source, copy.open("wb") as target:
        while chunk := source.read(1024 * 1024):
            digest.update(chunk)
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())
    copy.replace(into / digest.hexdigest())


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StorageError(str(out), exc.strerror or str(exc)) from exc
