"""Bytecode for later starts: made behind a running service, and gone with its host."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import pytest

from rldlib.adapters.compiling import Compiling
from rldlib.adapters.compiling.compiler import Compiler
from rldlib.cli.main import main
from rldlib.values.places import BYTECODE_KEPT
from rldlib.values.policy import Policy

pytestmark = [pytest.mark.faults, pytest.mark.slow]
TAG = sys.implementation.cache_tag


def _bytecode(scene):
    """Of the newest environment: the name of each file, and when it was written."""
    return {path.name: path.stat().st_mtime_ns for path in (scene.root / "environments").rglob("*.pyc")}


def _forget_environments(scene):
    (scene.root / "environments").rename(scene.root.with_name("gone"))


def test_an_environment_that_is_built_again_compiles_nothing(scene):
    scene.expect_next_acquire()
    _forget_environments(scene)
    scene.expect_next_prepare()
    before = _bytecode(scene)
    assert before

    scene.expect_next_acquire()

    assert _bytecode(scene) == before
    scene.expect_all_is_well()


def test_a_service_in_this_process_has_its_bytecode_kept_too(scene, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    with scene.daemon() as host:
        assert host.acquire("echo", mode="inprocess").echo(value=1) == 1
    _forget_environments(scene)
    scene.expect_next_prepare()

    assert _bytecode(scene)


def test_a_start_where_all_is_kept_begins_nothing(scene, monkeypatch):
    for _ in range(2):
        scene.expect_next_acquire()
    assert list((scene.root / "environments").glob(f"*/{BYTECODE_KEPT}"))
    monkeypatch.setattr(Compiler, "__init__", lambda *_, **__: pytest.fail("a process was started"))

    with scene.daemon() as host:
        host.acquire("echo")
        assert "rldlib-compiling" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("call", ["create", "write", "rename", "lock"])
def test_a_host_killed_while_bytecode_is_kept_leaves_nothing(call, scene, warden, tmp_path):
    report = warden(
        folder=tmp_path, root=scene.root, instant={"call": call, "below": "/bytecode", "nth": 1}, closes=True
    )

    assert "/bytecode" in report["reached"]
    assert (report["status"], report["left"]) == (-signal.SIGKILL, [])
    assert not list((scene.root / "store").glob("bytecode/*/*"))
    scene.expect_all_is_well()


def test_damaged_bytecode_that_keeps_a_worker_from_starting_heals(scene):
    scene.expect_next_acquire()
    _forget_environments(scene)
    scene.expect_next_prepare()
    (victim,) = (scene.root / "environments").rglob(f"shared/__pycache__/__init__.{TAG}.pyc")
    # Its head is right, so that Python takes it.
    victim.write_bytes(victim.read_bytes()[:16] + b"no code")

    scene.expect_next_acquire()

    scene.expect_all_is_well()


def test_a_daemon_that_shall_not_wait_does_not(scene):
    scene.policy = Policy(bytecode_wait_s=0)
    scene.expect_next_acquire()

    assert not list((scene.root / "store").glob("bytecode/*/*"))
    scene.expect_all_is_well()


def test_a_call_prints_its_result_before_it_waits_for_bytecode(scene, monkeypatch, capsys):
    printed = []
    real = Compiler.compiled

    def compiled(self, rows):
        printed.append(capsys.readouterr().out)
        return real(self, rows)

    monkeypatch.setattr(Compiler, "compiled", compiled)
    # Nothing begins before the daemon is closed.
    monkeypatch.setitem(Compiling.__init__.__kwdefaults__, "after_s", 600.0)
    status = main(
        ["call", "--root", str(scene.root), "--wheels", str(scene.wheels), "echo", "echo", 'value="here"']
    )

    assert status == 0
    assert printed == ["here\n"]
    assert Path(scene.root / "store" / "bytecode").is_dir()
