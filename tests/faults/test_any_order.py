"""Acquire, call, kill, corrupt, release and collect, in any order, against a simple model."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.faults.harness import Scene
from tests.faults.tally import injected
from tests.faults.test_killed import _wait_gone

import rldlib
from rldlib.adapters.host_directory import host_directory
from rldlib.adapters.promises import Promises
from rldlib.cli.host import run_gc

pytestmark = [pytest.mark.faults, pytest.mark.slow]
_PATIENCE_S = 20.0


class AnyOrder(RuleBasedStateMachine):
    """One root, one daemon at a time, one service.

    The model: whether a daemon performs the service (`running`), how many handles
    it gave (`handles`), and whether the root pins it (`pinned`).
    """

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp(prefix="any-order-", dir=Path(os.environ["HOME"]) / "tmp"))
        self.scene = Scene(self.folder)
        self.host = self.scene.daemon()
        self.handles = []
        self.running = self.pinned = False

    def teardown(self):
        if hasattr(self, "host"):
            self.host.close()
            # What is damaged and not needed may stay so; what is needed may not.
            with self.scene.daemon() as host:
                assert host.acquire("echo").echo(value=1) == 1
            self.scene.expect_nothing_left()
            shutil.rmtree(self.folder)

    # --- what users do -------------------------------------------------------------

    @rule()
    def acquire(self):
        self.handles.append(self.host.acquire("echo"))
        self.running = self.pinned = True

    @precondition(lambda self: self.running and self.handles)
    @rule(value=st.one_of(st.none(), st.integers(), st.text(max_size=5)))
    def call(self, value):
        assert self.handles[-1].call("echo", value=value, deadline=_PATIENCE_S) == value

    @precondition(lambda self: self.handles)
    @rule()
    def give_back(self):
        """The last handle gone, the worker is retained for the next."""
        self.handles.pop().release()

    @rule()
    def release(self):
        if self.pinned or self.running:
            assert self.host.release("echo")["service"] == "echo"
        else:
            with pytest.raises(rldlib.ServiceNotFoundError):
                self.host.release("echo")
        self.handles.clear()
        self.running = self.pinned = False

    @rule()
    def collect(self):
        removed = run_gc(argparse.Namespace(root=self.scene.root)).document["removed"]
        assert not (self.running and any("environments" in path for path in removed))

    @rule()
    def another_daemon(self):
        self.host.close()
        self.host = self.scene.daemon()
        self.handles.clear()
        self.running = False

    @precondition(lambda self: not self.running)
    @rule()
    def prepare(self):
        self.host.prepare("echo")
        self.pinned = True

    # --- what happens to them ------------------------------------------------------

    @precondition(lambda self: self.running and self.handles)
    @rule()
    def kill_the_worker(self):
        # One that is being replaced is waited for: a service is given up after some losses in a row.
        self.handles[-1].call("echo", value=1, deadline=_PATIENCE_S)
        pid = self.handles[-1].worker["pid"]
        if self.killed_often():
            return
        os.kill(pid, signal.SIGKILL)
        injected("SIGKILL")
        _wait_gone(pid)

    def killed_often(self):
        """Three starts again in a minute are allowed; the third loss would end it."""
        self.kills = getattr(self, "kills", {})
        count = self.kills[id(self.host)] = self.kills.get(id(self.host), 0) + 1
        return count > 2

    @rule(which=st.integers(0, 50), content=st.sampled_from([b"", b"raise ImportError('damaged')\n", None]))
    def corrupt_an_environment(self, which, content):
        self._corrupt(list((self.scene.root / "environments").glob("*/lib/*/*/**/*")), which, content)

    @rule(which=st.integers(0, 50), content=st.sampled_from([b"", b"other bytes", None]))
    def corrupt_the_store(self, which, content):
        self._corrupt(list((self.scene.root / "store").rglob("*")), which, content)

    def _corrupt(self, paths, which, content):
        files = sorted(path for path in paths if path.is_file() and path.suffix != ".pyc")
        if not files:
            return
        path = files[which % len(files)]
        # As another writer would: who has it open keeps what was there.
        path.unlink()
        if content is not None:
            path.write_bytes(content)

    # --- what always holds -----------------------------------------------------------

    @invariant()
    def one_promise_for_what_runs(self):
        if hasattr(self, "host"):
            assert len(Promises(host_directory()).living()) == int(self.running)

    @invariant()
    def nothing_lies_aside(self):
        aside = self.scene.root / "tmp" if hasattr(self, "scene") else None
        assert aside is None or not aside.exists() or not list(aside.iterdir())


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=30,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
