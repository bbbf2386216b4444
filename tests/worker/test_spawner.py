"""The spawner with real processes: what workers inherit, and that none of theirs is left."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from tests.worker.spawning import (
    PATIENCE_S,
    PLUGGY,
    SPAWNER,
    STUBBORN_CHILD,
    Control,
    alive,
    eventually,
    parent_of,
    watched,
)

from rldlib.worker.output import OLDER, read_output


@pytest.fixture
def control():
    with Control() as control:
        yield control


@pytest.fixture
def log(tmp_path):
    return tmp_path / "logs" / "worker.log"


def test_a_worker_inherits_what_is_named_and_nothing_else(control, log, tmp_path):
    code = """
    import json, os, signal, socket
    channel = socket.socket(fileno=3)
    channel.send(json.dumps({
        "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:-1],
        "env": dict(os.environ),
        "cwd": os.getcwd(),
        "session": os.getsid(0) == os.getpid(),
        "stdin": os.readlink("/proc/self/fd/0"),
        "ignored": [n for n in (1, 2, 15, 17) if signal.getsignal(n) is signal.SIG_IGN],
    }).encode())
    """
    with control.spawn(code, log, cwd=str(tmp_path)) as channel:
        told = json.loads(channel.recv(65536))

    assert told.pop("env").keys() <= {"MARK", "LC_CTYPE"}
    assert told == {
        "fds": [0, 1, 2, 3],
        "cwd": str(tmp_path),
        "session": True,
        "stdin": os.devnull,
        "ignored": [],
    }


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        pytest.param("os._exit(0)", 0, id="quits quietly"),
        pytest.param("os._exit(3)", 3, id="quits with an error"),
        pytest.param("os.kill(os.getpid(), 9)", -9, id="killed"),
    ],
)
def test_every_end_of_a_worker_is_told_with_its_status(control, log, ending, code):
    with control.spawn(f"import os; {ending}", log):
        control.hear_spawned()

        assert control.hear_ended() == code


def test_a_program_that_cannot_be_executed_is_told_with_the_reason(control, log):
    with control.spawn("", log, argv=["/nowhere/python"]):
        message = control.hear()

    assert message["is"] == "failed"
    assert "/nowhere/python" in message["reason"]
    assert "No such file" in message["reason"]


def test_an_end_is_told_after_the_last_descendant_is_gone(control, log):
    code = STUBBORN_CHILD + "channel.recv(1)"
    with control.spawn(code, log) as channel:
        control.hear_spawned()
        stubborn = int(channel.recv(64))
        channel.send(b".")

        assert control.hear_ended() == 0
        assert not alive(stubborn)


def test_what_cleared_its_environment_and_left_is_gone_with_its_worker_alone(control, log):
    """Two workers leave orphans; the end of one takes its own and no other's."""
    code = """
    import os, socket, subprocess, sys
    channel = socket.socket(fileno=3)
    sleeper = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(1000)"]
    if os.fork() == 0:
        channel.send(b"%d" % subprocess.Popen(sleeper, env={}, start_new_session=True).pid)
        os._exit(0)
    os.wait()
    channel.recv(1)
    """
    with control.spawn(code, log) as one, control.spawn(code, log, number=2) as two:
        control.hear()
        control.hear()
        first, second = int(one.recv(64)), int(two.recv(64))
        one.send(b".")

        assert control.hear_ended(1) == 0
        assert not alive(first)
        assert alive(second)
        two.send(b".")
        assert control.hear_ended(2) == 0
        assert not alive(second)


def test_kill_takes_the_worker_and_a_child_that_ignores_every_signal(control, log):
    with control.spawn(STUBBORN_CHILD + "time.sleep(1000)", log) as channel:
        control.hear_spawned()
        stubborn = int(channel.recv(64))
        control.say(do="kill", id=1)

        assert control.hear_ended() == -9
        assert not alive(stubborn)


def test_kill_takes_what_is_stopped(control, log):
    with control.spawn("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", log):
        pid = control.hear_spawned()
        assert eventually(lambda: not alive(pid) or _state(pid) == "T")
        control.say(do="kill", id=1)

        assert control.hear_ended() == -9


def _state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_kill_outruns_a_process_that_keeps_forking(control, log):
    """Each generation ends at once and leaves one child: none is there for long."""
    code = """
    import os, socket
    channel = socket.socket(fileno=3)
    if os.fork() == 0:
        os.setsid()
        channel.send(b".")
        while True:
            if os.fork():
                os._exit(0)
    channel.recv(1)
    """
    with control.spawn(code, log) as channel:
        control.hear_spawned()
        channel.recv(1)
        control.say(do="kill", id=1)

        assert control.hear_ended() == -9
        channel.close()
        control.say(do="status")
        assert control.hear() == {"is": "status", "workers": {}}


def test_term_reaches_the_worker(control, log):
    code = """
    import os, signal, socket
    signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
    socket.socket(fileno=3).send(b".")
    signal.pause()
    """
    with control.spawn(code, log) as channel:
        control.hear_spawned()
        channel.recv(1)
        control.say(do="term", id=1)

        assert control.hear_ended() == 7


def test_output_is_kept_after_the_end(control, log):
    with control.spawn("import sys; print('out'); print('err', file=sys.stderr)", log):
        control.hear_spawned()
        control.hear_ended()

    assert sorted(read_output(str(log)).split()) == [b"err", b"out"]


@pytest.mark.slow
def test_a_flood_of_output_neither_fills_the_disk_nor_holds_the_worker_up(control, log):
    """64 MiB go through; the newest are kept."""
    code = """
    import os
    block = b"x" * 65535 + b"\\n"
    for _ in range(1024):
        os.write(1, block)
    os.write(1, b"the last line\\n")
    """
    with control.spawn(code, log, log_bytes=100_000):
        control.hear_spawned()
        assert control.hear_ended() == 0

    sizes = [path.stat().st_size for path in log.parent.iterdir()]
    assert sum(sizes) <= 100_000
    assert read_output(str(log)).endswith(b"the last line\n")
    assert {path.name for path in log.parent.iterdir()} == {log.name, log.name + OLDER}


def test_a_log_that_cannot_be_written_does_not_stop_the_worker(control, tmp_path):
    (tmp_path / "file").touch()
    with control.spawn("print('x' * 1_000_000)", tmp_path / "file" / "worker.log"):
        control.hear_spawned()

        assert control.hear_ended() == 0


def test_room_is_held_until_the_worker_is_gone(control, log, tmp_path):
    """Also where the host has closed its own descriptor."""
    with (tmp_path / "promise").open("w") as mine, (tmp_path / "promise").open("w") as others:
        fcntl.flock(mine, fcntl.LOCK_EX)
        with control.spawn(
            "import socket; socket.socket(fileno=3).recv(1)", log, promise=mine.fileno()
        ) as channel:
            mine.close()
            control.hear_spawned()
            with pytest.raises(BlockingIOError):
                fcntl.flock(others, fcntl.LOCK_EX | fcntl.LOCK_NB)
            channel.send(b".")
            control.hear_ended()

            fcntl.flock(others, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_killed_guard_takes_its_worker_along_and_no_other(control, log):
    with (
        control.spawn(STUBBORN_CHILD + "time.sleep(1000)", log) as channel,
        control.spawn("import socket; socket.socket(fileno=3).recv(1)", log, number=2) as other,
    ):
        pids = {message["id"]: message["pid"] for message in (control.hear(), control.hear())}
        stubborn = int(channel.recv(64))
        os.kill(parent_of(pids[1]), signal.SIGKILL)

        assert control.hear_ended() == -9
        assert not alive(stubborn)
        assert alive(pids[2])
        other.send(b".")
        assert control.hear_ended(2) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_spawner_s_own_end_takes_everything_along(control, log, number):
    with control.spawn(STUBBORN_CHILD + "time.sleep(1000)", log) as channel:
        worker = control.hear_spawned()
        stubborn = int(channel.recv(64))
        guard = parent_of(worker)
        with watched(worker) as worker_gone, watched(stubborn) as stubborn_gone, watched(guard) as guard_gone:
            control.process.send_signal(number)

            assert all(gone(1.0) for gone in (worker_gone, stubborn_gone, guard_gone))


def test_an_interrupt_at_the_terminal_is_the_host_s_affair(control, log):
    control.say(do="status")
    control.hear()
    control.process.send_signal(signal.SIGINT)
    with control.spawn("pass", log):
        control.hear_spawned()

        assert control.hear_ended() == 0


def test_the_host_s_kill_takes_all_of_it_within_a_second(tmp_path):
    """The worker, a child that ignores all signals, and the room, though a forked child holds on."""
    host = textwrap.dedent(
        f"""
        import fcntl, os, sys, time
        sys.path.insert(0, {str(Path.cwd())!r})
        from tests.worker.spawning import STUBBORN_CHILD, Control
        promise = os.open({str(tmp_path / "promise")!r}, os.O_RDWR | os.O_CREAT)
        fcntl.flock(promise, fcntl.LOCK_EX)
        control = Control()
        channel = control.spawn(STUBBORN_CHILD + "time.sleep(1000)", {str(tmp_path / "log")!r}, promise=promise)
        worker, stubborn = control.hear_spawned(), int(channel.recv(64))
        child = os.fork()
        if child == 0:
            time.sleep(1000)
        print(worker, stubborn, control.process.pid, child, flush=True)
        time.sleep(1000)
        """
    )
    with subprocess.Popen([sys.executable, "-c", host], stdout=subprocess.PIPE) as process:
        worker, stubborn, spawner, child = map(int, process.stdout.readline().split())
        with (
            watched(worker) as worker_gone,
            watched(stubborn) as stubborn_gone,
            watched(spawner) as spawner_gone,
        ):
            process.kill()
            began = time.monotonic()
            gone = [each(1.0) for each in (worker_gone, stubborn_gone, spawner_gone)]
            took = time.monotonic() - began
        try:
            assert alive(child)
            with (tmp_path / "promise").open("w") as others:
                fcntl.flock(others, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.kill(child, signal.SIGKILL)
    assert gone == [True, True, True]
    assert took < 1.0


def test_a_spawner_that_finds_its_host_gone_ends_at_once(tmp_path):
    """It is told a process that is not its parent, as when the host ended while it started."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SPAWNER), str(theirs.fileno()), str(os.getppid()), PLUGGY],
            pass_fds=[theirs.fileno()],
        )

        assert process.wait(PATIENCE_S) == 0


def test_a_host_that_does_not_listen_blocks_nobody(control, log):
    """More events than the socket holds wait for the host; none is lost."""
    for _ in range(2000):
        control.say(do="status")

    for _ in range(2000):
        assert control.hear()["is"] == "status"
