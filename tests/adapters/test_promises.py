"""Promises: real processes, real locks, and every way to end."""

from __future__ import annotations

import array
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from rldlib.adapters import promises as promises_module
from rldlib.adapters.promises import Promises
from rldlib.errors import StorageError
from rldlib.values.promise import Promise

DEADLINE_S = 20

# A host of its own: admits by the sum of what lives, says what came of it, and holds on until told.
HOST = """
import sys
from pathlib import Path
from rldlib.adapters.promises import Promises
from rldlib.values.promise import Promise

folder, host, wishes, room = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
promises, held = Promises(folder), []
print("ready", flush=True)
sys.stdin.readline()
for number in range(wishes):
    with promises.admission() as living:
        if sum(one.memory_bytes for one in living) + 10 <= room:
            held.append(promises.make(Promise(id=f"h{host}n{number}", service="s", version="1", root="/r",
                host_pid=1, memory_bytes=10, disk_bytes=0, cpu_idle_rcu=0)))
print(len(held), flush=True)
sys.stdin.readline()
"""

# Keeps one received descriptor open until told; knows nothing of promises.
KEEPER = """
import array, socket, sys
line = socket.socket(fileno=int(sys.argv[1]))
_, ancillary, _, _ = line.recvmsg(1, socket.CMSG_SPACE(4))
print("held", flush=True)
sys.stdin.readline()
"""


def promise(number, memory=10):
    return Promise(
        id=f"p{number}",
        service="s",
        version="1",
        root="/r",
        host_pid=os.getpid(),
        memory_bytes=memory,
        disk_bytes=0,
        cpu_idle_rcu=0,
        since=f"2026-01-01T00:00:{number:02}+00:00",
    )


@pytest.fixture
def start():
    """Starts helper processes; none outlives the test."""
    running = []

    def start(code, *arguments, **options):
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def told(process):
    return process.stdout.readline().strip()


def tell(process):
    process.stdin.write("\n")
    process.stdin.flush()


def until(condition):
    """The kernel frees a lock while it tears a process down: a moment, seen from outside."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def make(promises, *wanted):
    with promises.admission():
        return [promises.make(one) for one in wanted]


def test_a_promise_lives_until_it_is_closed(tmp_path):
    promises = Promises(tmp_path)
    first, second = make(promises, promise(1), promise(2))
    assert promises.living() == (promise(1), promise(2))
    first.close()
    first.close()
    assert promises.living() == (promise(2),)
    second.close()
    assert promises.living() == ()
    assert list((tmp_path / "promises").iterdir()) == []


def test_a_dropped_promise_is_closed(tmp_path):
    promises = Promises(tmp_path)
    make(promises, promise(1))
    assert promises.living() == ()


def test_what_is_noted_between_two_looks_is_seen_by_the_second(tmp_path):
    promises = Promises(tmp_path)
    (held,) = make(promises, promise(1))
    with closing(held):
        assert [one.worker_pid for one in promises.living()] == [None]
        held.note(worker_pid=4711)

        assert [one.worker_pid for one in promises.living()] == [4711]
        assert [one.worker_pid for one in Promises(tmp_path).living()] == [4711]


def test_a_promise_that_is_as_it_was_is_not_read_again(tmp_path, monkeypatch):
    """A thousand promises are a thousand files, and each admission looks at them all."""
    promises = Promises(tmp_path)
    held = make(promises, *map(promise, range(5)))
    before = promises.living()
    monkeypatch.setattr(promises_module, "_read", lambda _: pytest.fail("it was read again"))

    assert promises.living() == before
    for one in held:
        one.close()
    assert promises.living() == ()


def test_nothing_is_made_by_looking(tmp_path):
    assert Promises(tmp_path / "host").living() == ()
    assert not (tmp_path / "host").exists()


def test_admission_gives_the_living_and_removes_the_dead(tmp_path):
    promises = Promises(tmp_path)
    (held,) = make(promises, promise(1))
    dead = tmp_path / "promises" / "dead-5-0-0.promise"
    dead.write_bytes(b"{}")
    unfinished = tmp_path / "promises" / ".half.new"
    unfinished.write_bytes(b"{")
    foreign = tmp_path / "promises" / "README"
    foreign.write_bytes(b"not ours")
    with promises.admission() as living:
        assert living == (promise(1),)
        assert not dead.exists()
        assert not unfinished.exists()
    assert foreign.exists()
    held.close()


def test_what_is_noted_is_seen_by_others(tmp_path):
    (held,) = make(Promises(tmp_path), promise(1))
    held.note(worker_pid=7)
    held.note(environment="e")
    (seen,) = Promises(tmp_path).living()
    assert (seen.worker_pid, seen.environment) == (7, "e")
    assert seen == held.promise
    held.close()


@pytest.mark.parametrize("noted", [{"memory_bytes": 0}, {"id": "x"}, {"colour": "red"}])
def test_a_note_changes_neither_figures_nor_what_is_no_field(tmp_path, noted):
    (held,) = make(Promises(tmp_path), promise(1))
    with pytest.raises(TypeError):
        held.note(**noted)
    assert Promises(tmp_path).living() == (promise(1),)
    held.close()


def test_a_promise_given_up_is_not_held(tmp_path):
    (held,) = make(Promises(tmp_path), promise(1))
    held.close()
    with pytest.raises(ValueError, match="not held"):
        held.fileno()
    with pytest.raises(ValueError, match="not held"):
        held.note(worker_pid=1)


def test_its_descriptor_is_not_inherited_by_programs(tmp_path):
    (held,) = make(Promises(tmp_path), promise(1))
    assert not os.get_inheritable(held.fileno())
    held.close()


def test_making_one_outside_an_admission_is_a_bug(tmp_path):
    promises = Promises(tmp_path)
    with pytest.raises(RuntimeError, match="within admission"):
        promises.make(promise(1))
    with promises.admission():
        pass
    with pytest.raises(RuntimeError, match="within admission"):
        promises.make(promise(1))
    assert promises.living() == ()


def test_an_admission_inside_another_is_a_bug_and_leaves_the_outer_one(tmp_path):
    promises = Promises(tmp_path)
    with promises.admission():
        with pytest.raises(RuntimeError, match="already"), promises.admission():
            pass
        promises.make(promise(1)).close()


def test_a_promise_of_the_same_id_is_refused_and_the_first_stays(tmp_path):
    promises = Promises(tmp_path)
    (held,) = make(promises, promise(1))
    (tmp_path / "promises" / ".p2.new").touch()
    with promises.admission():
        # Made by a hand that knows no locks: the file is there, and is not overwritten.
        (tmp_path / "promises" / ".p2.new").touch()
        with pytest.raises(StorageError):
            promises.make(promise(2))
    assert promises.living() == (promise(1),)
    held.close()


def test_a_held_promise_that_is_damaged_still_counts(tmp_path):
    promises = Promises(tmp_path)
    (held,) = make(promises, promise(1, memory=77))
    (file,) = (tmp_path / "promises").iterdir()
    file.write_bytes(b"\x00 garbage")
    (seen,) = promises.living()
    assert (seen.id, seen.memory_bytes, seen.is_readable) == ("p1", 77, False)
    held.close()
    assert promises.living() == ()


def test_a_folder_that_cannot_be_written_is_told_with_its_path(tmp_path):
    (tmp_path / "promises").touch()
    with pytest.raises(StorageError, match="promises"), Promises(tmp_path).admission():
        pass


def test_looking_during_an_admission_neither_waits_nor_removes(tmp_path):
    promises = Promises(tmp_path)
    with promises.admission():
        held = promises.make(promise(1))
        dead = tmp_path / "promises" / "dead-5-0-0.promise"
        dead.touch()
        assert Promises(tmp_path).living() == (promise(1),)
        assert dead.exists()
    held.close()


def test_threads_of_one_process_never_promise_more_than_there_is(tmp_path):
    promises, held, together = Promises(tmp_path), [], threading.Barrier(8)

    def admit(number):
        together.wait(DEADLINE_S)
        with promises.admission() as living:
            if sum(one.memory_bytes for one in living) + 10 <= 35:
                held.append(promises.make(promise(number)))

    threads = [threading.Thread(target=admit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert len(held) == 3
    assert len(promises.living()) == 3
    for one in held:
        one.close()


def test_hosts_that_admit_at_once_never_promise_more_than_there_is(tmp_path, start):
    hosts = [start(HOST, tmp_path, number, 4, 70) for number in range(3)]
    assert [told(host) for host in hosts] == ["ready"] * 3
    for host in hosts:
        tell(host)
    assert sum(int(told(host)) for host in hosts) == 7
    assert sum(one.memory_bytes for one in Promises(tmp_path).living()) == 70


def test_a_killed_host_frees_its_promises(tmp_path, start):
    host = start(HOST, tmp_path, 1, 3, 1000)
    told(host)
    tell(host)
    assert told(host) == "3"
    promises = Promises(tmp_path)
    assert len(promises.living()) == 3
    host.send_signal(signal.SIGKILL)
    host.wait(DEADLINE_S)
    assert promises.living() == ()
    assert list((tmp_path / "promises").iterdir()) == []


def test_a_descriptor_passed_on_keeps_the_promise_after_its_maker_died(tmp_path, start):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        keeper = start(KEEPER, theirs.fileno(), pass_fds=[theirs.fileno()])
        (held,) = make(Promises(tmp_path), promise(1))
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [held.fileno()]))]
        ours.sendmsg([b"x"], rights)
        assert told(keeper) == "held"
    held.close()
    promises = Promises(tmp_path)
    assert promises.living() == (promise(1),)
    with promises.admission() as living:
        assert living == (promise(1),)
    keeper.send_signal(signal.SIGKILL)
    keeper.wait(DEADLINE_S)
    assert promises.living() == ()


def _child(gate, work):
    """Forks; the child does `work`, then lives until `gate` is closed."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os.close(gate[1])
            os.read(gate[0], 1)
        finally:
            os._exit(0)
    return pid


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_keeps_neither_promise_nor_lock(tmp_path):
    promises, gate = Promises(tmp_path), os.pipe()
    try:
        with promises.admission():
            held = promises.make(promise(1))
            child = _child(gate, held.close)
        held.close()
        until(lambda: promises.living() == ())
        with Promises(tmp_path, limit_s=0.01).admission():
            pass
    finally:
        os.close(gate[1])
        os.close(gate[0])
        os.waitpid(child, 0)


def test_an_admission_waits_for_the_one_before_it(tmp_path):
    promises, entered = Promises(tmp_path), threading.Event()

    def enter():
        with promises.admission():
            entered.set()

    with promises.admission():
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.05)
    assert entered.wait(DEADLINE_S)
    thread.join(DEADLINE_S)


def test_an_admission_that_never_ends_is_told_instead_of_waited_for(tmp_path):
    promises = Promises(tmp_path)
    with promises.admission():
        with (
            pytest.raises(StorageError, match=r"kept this lock for 0\.01 s"),
            Promises(tmp_path, limit_s=0.01).admission(),
        ):
            pass
        # The one that gave up took nothing from the one that holds it.
        held = promises.make(promise(1))
    until(lambda: not [one for one in threading.enumerate() if one.name == "rldlib-admission"])
    with Promises(tmp_path, limit_s=0.01).admission() as living:
        assert living == (promise(1),)
    held.close()


def test_a_host_killed_during_its_admission_holds_nobody_up(tmp_path, start):
    code = HOST.replace("sys.stdin.readline()", "", 1).replace(
        "if sum(", "print('inside', flush=True) or sys.stdin.readline()\n        if sum(", 1
    )
    host = start(code, tmp_path, 1, 1, 1000)
    assert told(host) == "ready"
    assert told(host) == "inside"
    host.send_signal(signal.SIGKILL)
    host.wait(DEADLINE_S)
    with Promises(tmp_path, limit_s=1).admission() as living:
        assert living == ()
