"""What holds for every test: a host of its own, and nothing left behind."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path

import pytest

from tests.faults import tally

# How long what a test stopped may take to be gone.
_GRACE_S = 3.0
_PROC = Path("/proc/self")
# Python's own helper processes live as long as the interpreter.
_PYTHONS_OWN = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


@pytest.hookimpl(trylast=True)  # once pytest knows its temporary folder
def pytest_configure(config):
    """Point everything that is kept per user into a folder of this run, before any test is imported.

    What people configure for pip and for version managers stays in force.
    """
    home = Path.home()
    base = Path(config._tmp_path_factory.getbasetemp()) / "home"
    (base / "tmp").mkdir(parents=True, exist_ok=True)
    for variable, kept in (
        ("PIP_CONFIG_FILE", (".config/pip/pip.conf", ".pip/pip.conf")),
        ("NETRC", (".netrc",)),
        ("PYENV_ROOT", (".pyenv",)),
    ):
        there = [home / path for path in kept if (home / path).exists()]
        if there:
            os.environ.setdefault(variable, str(there[0]))
    os.environ["HOME"] = str(base)
    for variable in ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "RLDLIB_ROOT"):
        os.environ.pop(variable, None)
    os.environ["RLDLIB_HOST_DIR"] = str(base / "host")
    tally.begin(base / "injected")


def pytest_terminal_summary(terminalreporter):
    """Tell how many faults were injected."""
    if faults := tally.told():
        terminalreporter.write_line(faults)


@pytest.fixture(autouse=True)
def _own_root(monkeypatch, request):
    """No test meets another's root by accident."""
    base = Path(os.environ["HOME"])
    monkeypatch.setenv("RLDLIB_ROOT", str(base / "roots" / f"{abs(hash(request.node.nodeid)):x}"))


@pytest.fixture
def host_dir(monkeypatch, tmp_path):
    """A host directory that only this test uses: no promises, scores or skeletons of other tests."""
    folder = tmp_path / "host"
    monkeypatch.setenv("RLDLIB_HOST_DIR", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _nothing_left_behind():
    """Fail a test that leaves a child process or an open descriptor."""
    if not _PROC.exists():
        yield
        return
    children, descriptors = _children(), _descriptors()
    yield
    left = _left(children, descriptors)
    deadline = time.monotonic() + _GRACE_S
    while left and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
        left = _left(children, descriptors)
    if left:
        pytest.fail(f"left behind: {', '.join(left)}", pytrace=False)


def _left(children, descriptors):
    new_children = [f"process {pid} ({_command(pid)})" for pid in sorted(_children() - children)]
    new_descriptors = [f"descriptor {fd} -> {target}" for fd, target in sorted(_descriptors() - descriptors)]
    return [one for one in new_children if not any(own in one for own in _PYTHONS_OWN)] + new_descriptors


def _children():
    """Direct children, those that ended unreaped included."""
    found = set()
    for task in (_PROC / "task").iterdir():
        try:
            found.update(map(int, (task / "children").read_text().split()))
        except OSError:  # the thread has just ended
            continue
    return found


def _descriptors():
    found = set()
    for fd in (_PROC / "fd").iterdir():
        try:
            found.add((int(fd.name), str(fd.readlink())))
        except OSError:  # the descriptor that lists the folder
            continue
    return found


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "gone"
