"""What the end-to-end tests share: wheels that cost a download or a build are made once a run."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parent.parent.parent / "plugins"


@contextmanager
def _once(folder):
    """Only the first of several test processes makes what lies in `folder`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not folder.exists()


def _shared(tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    # With xdist each worker has a folder of its own below the run's.
    return (base.parent if base.name.startswith("popen-") else base) / "shared"


@pytest.fixture(scope="session")
def pip_download(tmp_path_factory):
    """``pip_download(folder, requirement, python=None)``: wheels from wherever pip is configured to look."""

    def download(folder, requirement, python=None):
        key = "".join(letter if letter.isalnum() else "-" for letter in f"{requirement}-{python}")
        kept = _shared(tmp_path_factory) / "downloads" / key
        with _once(kept) as first:
            if first:
                target = ["--python-version", python] if python else []
                partial = kept.with_suffix(".partial")
                subprocess.run(
                    [
                        sys.executable,
                        "-m",
                        "pip",
                        "download",
                        "--quiet",
                        "--only-binary",
                        ":all:",
                        *target,
                        "--dest",
                        partial,
                        requirement,
                    ],
                    check=True,
                )
                partial.rename(kept)
        for wheel in kept.iterdir():
            shutil.copy(wheel, folder)

    return download


@pytest.fixture(scope="session")
def example_wheels(tmp_path_factory):
    """The example services, built by `rld build` as their authors do."""
    out = _shared(tmp_path_factory) / "examples"
    with _once(out) as first:
        if first:
            partial = out.with_suffix(".partial")
            for project in sorted(PLUGINS.glob("rld-*")):
                subprocess.run(
                    [sys.executable, "-m", "rldlib", "build", project, "--out", partial], check=True
                )
            partial.rename(out)
    return out
