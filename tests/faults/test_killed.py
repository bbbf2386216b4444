"""SIGKILL, at every named instant of the main job and at instants of chance."""

from __future__ import annotations

import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.faults.harness import CALLS, STEPS, Scene, calls_of_a_first_acquire
from tests.faults.tally import injected
from tests.services import service_wheel

import rldlib

pytestmark = [pytest.mark.faults, pytest.mark.slow]
# So many kills of each kind at instants of chance; the seed makes a failure come again.
_RANDOM_KILLS = 10
_SEED = 20261123


@pytest.mark.parametrize("when", ["began", "ended"])
@pytest.mark.parametrize("step", STEPS)
def test_a_host_killed_in_a_step_leaves_nothing(step, when, scene, warden, tmp_path):
    report = warden(folder=tmp_path, root=scene.root, instant={"step": step, "when": when})

    assert report == {"reached": step, "status": -signal.SIGKILL, "left": []}
    scene.expect_all_is_well()


@pytest.mark.parametrize("during", ["call", "idle"])
def test_a_host_killed_during_a_call_takes_all_its_processes_along(during, scene, warden, tmp_path):
    report = warden(folder=tmp_path, root=scene.root, instant={"during": during}, breeds=True)

    assert report["left"] == []
    assert report["reached"].startswith("[")
    scene.expect_all_is_well()


@pytest.mark.parametrize("call", CALLS)
def test_a_host_killed_before_any_call_of_the_file_system_leaves_nothing(call, warden, tmp_path):
    """The first, the last, and some between, of each kind; each on a root of its own."""
    total = sum(made == call for made, _ in calls_of_a_first_acquire(tmp_path))
    assert total > 0
    some = {1, 2, total, total // 2, 3 * total // 4} & set(range(1, total + 1))
    for nth in sorted(some):
        scene = Scene(tmp_path, root=tmp_path / f"root-{nth}")
        report = warden(folder=tmp_path, root=scene.root, instant={"call": call, "nth": nth})

        assert report["reached"].startswith(str(tmp_path)), (nth, report)
        assert report["left"] == []
        scene.expect_nothing_half_done()
        scene.expect_next_prepare()
        scene.expect_nothing_left()
    scene.expect_next_acquire()


@pytest.mark.parametrize("kept", ["nothing there", "all there"])
def test_a_host_killed_at_any_instant_leaves_nothing(kept, warden, tmp_path):
    chance = random.Random(_SEED)
    began = time.monotonic()
    scene = Scene(tmp_path, root=tmp_path / "timed")
    warden(folder=tmp_path, root=scene.root)
    took = (time.monotonic() - began) * (1.2 if kept == "nothing there" else 0.6)
    for number in range(_RANDOM_KILLS):
        if kept == "nothing there":
            scene = Scene(tmp_path, root=tmp_path / f"root-{number}")
        report = warden(folder=tmp_path, root=scene.root, after_s=chance.uniform(0, took))

        assert report["left"] == []
        scene.expect_nothing_half_done()
        scene.expect_next_prepare()
        scene.expect_nothing_left()
    scene.expect_next_acquire()


def _parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _family(echo):
    worker = echo.worker["pid"]
    guard = _parent(worker)
    return {"worker": worker, "guard": guard, "spawner": _parent(guard)}


@pytest.mark.parametrize("who", ["worker", "guard", "spawner"])
@pytest.mark.parametrize("when", ["idle", "during a call"])
def test_a_killed_process_costs_its_calls_and_nothing_else(who, when, scene):
    with scene.daemon() as host:
        echo = host.acquire("echo")
        family, child = _family(echo), echo.breed()[1]
        waiting = echo.submit("wait", seconds=600) if when == "during a call" else None

        os.kill(family[who], signal.SIGKILL)
        injected("SIGKILL")

        if waiting is not None:
            with pytest.raises(rldlib.WorkerLostError):
                waiting.result(timeout=20)
        _wait_gone(family[who], family["worker"], child)
        assert echo.call("echo", value=1, deadline=20) == 1
        assert echo.worker["pid"] != family["worker"]
    scene.expect_all_is_well()


@pytest.mark.parametrize("who", ["worker", "guard", "spawner"])
def test_a_process_killed_while_it_starts_is_told_and_the_next_acquire_works(who, scene, tmp_path):
    """The module waits, once, until it is killed."""
    first = tmp_path / "first"
    os.mkfifo(first)
    code = (
        "import os\n"
        f"if os.path.exists({str(first)!r}):\n"
        f"    open({str(first)!r}, 'w').write(str(os.getpid()))\n"
        "    import time; time.sleep(600)\n"
        "from rldlib.plugin import Service, operation\n"
        "class Echo(Service):\n"
        "    @operation\n"
        "    def echo(self, value):\n"
        "        return value\n"
    )
    service_wheel(scene.wheels, code=code)
    with scene.daemon() as host, ThreadPoolExecutor(1) as pool:
        acquired = pool.submit(host.acquire, "echo")
        worker = int(first.read_text())
        pids = {"worker": worker, "guard": _parent(worker), "spawner": _parent(_parent(worker))}
        first.unlink()

        os.kill(pids[who], signal.SIGKILL)
        injected("SIGKILL")

        with pytest.raises(rldlib.WorkerStartError):
            acquired.result(timeout=20)
        assert host.acquire("echo").echo(value=1) == 1
    scene.expect_all_is_well()


def _wait_gone(*pids):
    until = time.monotonic() + 4
    while any(_lives(pid) for pid in pids):
        assert time.monotonic() < until, pids
        time.sleep(0.01)


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
