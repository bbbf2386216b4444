"""The guard that waits for the next order, and its child."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from tests.worker.spawning import Control, alive, eventually, parent_of, watched

from rldlib.worker.containment import children
from rldlib.worker.launching import NAME as BLANK

WAITING = "import socket; socket.socket(fileno=3).recv(1)"


@pytest.fixture
def control():
    with Control() as control:
        yield control


@pytest.fixture
def log(tmp_path):
    return tmp_path / "logs" / "worker.log"


def _listed(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _reserves(control):
    """Each guard that has no worker yet, with its child."""
    return [
        (guard, child)
        for guard in children(control.process.pid)
        for child in children(guard)
        if _listed(child) == BLANK and _waits(child)
    ]


def _waits(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def _reserve(control):
    assert eventually(lambda: len(_reserves(control)) == 1)
    return _reserves(control)[0]


def test_the_guard_in_reserve_and_its_child_are_those_of_the_next_worker(control, log):
    guard, child = _reserve(control)
    with control.spawn(WAITING, log):
        assert control.hear_spawned() == child
        assert parent_of(child) == guard
        control.say(do="status")
        assert control.hear()["workers"] == {"1": child}


def test_a_reserve_is_used_once_and_another_made(control, log):
    first = _reserve(control)
    with control.spawn("pass", log):
        control.hear_spawned()
        assert control.hear_ended() == 0
    second = _reserve(control)

    assert set(first).isdisjoint(second)


def test_a_reserve_is_no_worker_and_holds_nothing(control):
    _, child = _reserve(control)
    control.say(do="status")

    assert control.hear()["workers"] == {}
    held = sorted(str(entry.readlink()).partition(":")[0] for entry in Path(f"/proc/{child}/fd").iterdir())
    assert held == ["/dev/null", "pipe", "pipe", "socket"]
    assert os.getsid(child) == child


@pytest.mark.parametrize("killed", ["guard", "child", "both"])
def test_an_order_is_obeyed_though_the_reserve_was_killed(control, log, killed):
    guard, child = _reserve(control)
    with watched(guard) as guard_gone, watched(child) as child_gone:
        if killed != "guard":
            os.kill(child, signal.SIGKILL)
        if killed != "child":
            os.kill(guard, signal.SIGKILL)
            assert guard_gone()
        assert child_gone()
    with control.spawn(WAITING, log) as channel:
        worker = control.hear_spawned()

        assert worker != child
        assert (parent_of(worker) == guard) is (killed == "child")
        channel.send(b".")
        assert control.hear_ended() == 0


def test_an_order_that_meets_the_end_of_the_reserve_is_obeyed_or_told(control, log):
    """Killed and ordered at once: who comes first is chance, and either is answered."""
    for number in range(10):
        guard, _ = _reserve(control)
        os.kill(guard, signal.SIGKILL)
        with control.spawn("pass", log, number=number):
            message = control.hear()
            if message["is"] == "spawned":
                message = control.hear()
            assert (message["is"], message["id"]) == ("ended", number)
            assert message["code"] in {0, -signal.SIGKILL}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_reserve_ends_with_its_spawner(control, number):
    guard, child = _reserve(control)
    with watched(guard) as guard_gone, watched(child) as child_gone:
        control.process.send_signal(number)

        assert guard_gone(1.0)
        assert child_gone(1.0)


def test_a_reserve_ends_with_its_host(control):
    guard, child = _reserve(control)
    with watched(guard) as guard_gone, watched(child) as child_gone:
        control.socket.close()

        assert guard_gone(1.0)
        assert child_gone(1.0)


def test_a_reserve_s_child_ends_with_its_guard(control):
    guard, child = _reserve(control)
    with watched(child) as child_gone:
        os.kill(guard, signal.SIGKILL)

        assert child_gone(1.0)


def test_two_orders_at_once_get_a_process_each(control, log):
    """One has what is in reserve, the other does not wait for a reserve."""
    guard, _ = _reserve(control)
    with control.spawn(WAITING, log), control.spawn(WAITING, log, number=2):
        pids = {message["id"]: message["pid"] for message in (control.hear(), control.hear())}

        assert [parent_of(pids[1]) == guard, parent_of(pids[2]) == guard] == [True, False]
        os.kill(pids[1], signal.SIGKILL)
        assert control.hear_ended(1) == -signal.SIGKILL
        assert alive(pids[2])
        # The end of a worker's tree leaves the reserve alone.
        assert alive(_reserve(control)[1])


def test_a_killed_guard_s_worker_ends_and_the_reserve_stays(control, log):
    with control.spawn(WAITING, log):
        worker = control.hear_spawned()
        reserve = _reserve(control)
        os.kill(parent_of(worker), signal.SIGKILL)
        assert control.hear_ended() == -signal.SIGKILL

        assert _reserve(control) == reserve


def test_a_program_that_is_not_there_is_told_and_the_next_order_obeyed(control, log):
    _reserve(control)
    with control.spawn("", log, argv=["/nowhere/python"]):
        message = control.hear()
    assert (message["is"], message["id"]) == ("failed", 1)
    assert message["reason"].startswith("/nowhere/python: ")
    assert "No such file" in message["reason"]


def test_nobody_in_reserve_wakes_up_by_itself(control):
    pids = (control.process.pid, *_reserve(control))

    def in_a_moment():
        before = [_sleeps(pid) for pid in pids]
        threading.Event().wait(0.1)
        return [_sleeps(pid) for pid in pids] == before

    # What making it has left to do is done within the first moments.
    assert eventually(in_a_moment)


def _sleeps(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches"):
            return int(line.split()[1])
    raise AssertionError(f"{pid} tells no context switches")
