"""Workers from start to end, with real processes."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.adapters.working import PEER, Promised, empty_environment, environment, order
from tests.worker.spawning import alive, eventually, parent_of, watched

from rldlib.adapters.spawner import WorkerHost
from rldlib.errors import ServiceFaultError, WorkerLostError, WorkerStartError
from rldlib.values.profile import OperationProfile
from rldlib.worker.output import read_output

PATIENCE_S = 10.0
ECHO = """
    import os, subprocess, sys
    from rldlib.plugin import Service, operation

    class Provided(Service):
        def start(self, resources):
            print("the service has started")

        @operation(idempotent=True)
        def echo(self, value):
            return value

        @operation
        def environment(self) -> dict:
            return dict(os.environ)

        @operation
        def numbers(self, count: int):
            yield from range(count)
"""

ORPHANING = """
    import os, signal
    from rldlib.plugin import Service, operation

    class Provided(Service):
        @operation
        def orphan(self) -> int:
            read, write = os.pipe()
            if os.fork() == 0:
                os.setsid()
                child = os.fork()
                if child:
                    os._exit(0)
                os.write(write, b"%d" % os.getpid())
                while True:
                    signal.pause()
            os.wait()
            return int(os.read(read, 32))
"""


@pytest.fixture
def promise(tmp_path):
    promise = Promised(tmp_path)
    yield promise
    promise.close()


@pytest.fixture
def peers():
    with WorkerHost(main=PEER) as workers:
        yield workers


@pytest.fixture(params=["executed", "forked"])
def services(request, tmp_path):
    """What starts real workers, in either way."""
    if request.param == "forked":
        empty_environment(tmp_path / "host")
    with WorkerHost(host_dir=tmp_path / "host") as workers:
        yield workers


@pytest.fixture
def echo(tmp_path, services, promise):
    """A real worker with a real service in an environment of its own."""
    python = environment(tmp_path, "an-echo", ECHO)
    return services.start(order(tmp_path, "an-echo", python=python), promise)


# --- a real worker ---------------------------------------------------------------


def test_a_service_answers_from_its_own_environment(echo, promise, tmp_path):
    assert echo.call("echo", {"value": {"a": [1, 2.5, None]}}, PATIENCE_S) == {"a": [1, 2.5, None]}
    assert echo.worker["environment"] == str(tmp_path)
    assert echo.worker["pid"] == promise.notes["worker_pid"]
    assert echo.worker["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}")


def test_operations_are_what_the_worker_says(echo):
    assert set(echo.operations) == {"echo", "environment", "numbers"}
    assert echo.operations["echo"]["idempotent"] is True
    assert echo.operations["numbers"]["kind"] == "stream"


def test_a_thousand_calls_from_sixteen_threads_are_all_right(echo):
    with ThreadPoolExecutor(16) as threads:
        replies = list(threads.map(lambda n: echo.call("echo", {"value": n}, PATIENCE_S), range(1000)))

    assert replies == list(range(1000))


def test_a_stream_comes_through(echo):
    assert list(echo.stream("numbers", {"count": 200}, PATIENCE_S)) == list(range(200))


def test_a_worker_s_environment_is_scrubbed(tmp_path, services, promise, monkeypatch):
    for name in ("PYTHONPATH", "PIP_INDEX_URL", "SECRET_TOKEN", "LD_PRELOAD_NOT"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("LC_NUMERIC", "C")
    python = environment(tmp_path, "an-echo", ECHO)
    worker = services.start(order(tmp_path, "an-echo", python=python), promise)
    seen = worker.call("environment", {}, PATIENCE_S)

    assert set(seen) <= {"PATH", "HOME", "LANG", "LC_NUMERIC", "LC_CTYPE", "TZ", "TMPDIR", "RLDLIB_WORKER"}
    assert seen["LC_NUMERIC"] == "C"


def test_output_goes_to_the_log(echo, tmp_path):
    echo.stop(PATIENCE_S)

    assert b"the service has started" in read_output(str(tmp_path / "logs" / "an-echo.log"))


def test_a_megabyte_goes_there_and_back_outside_the_socket(echo):
    block = os.urandom(1024 * 1024)
    for _ in range(20):
        assert bytes(echo.call("echo", {"value": block}, PATIENCE_S)) == block

    # Kept and reused: twenty there and back did not make forty.
    assert echo.channel._memory.segments.total_bytes() <= 8 * 1024 * 1024


@pytest.mark.slow
def test_a_64_mib_array_goes_there_and_back(echo):
    """What came back is a view on shared memory, and stays good when the next call is made."""
    block = bytes(64 * 1024 * 1024)
    one = echo.call("echo", {"value": block}, 60)
    two = echo.call("echo", {"value": b"1" * len(block)}, 60)

    assert (len(one), bytes(one[:1]), bytes(two[-1:])) == (len(block), b"\0", b"1")


def test_a_stop_is_obeyed(echo):
    told = []
    echo.on_end(told.append)
    echo.stop(PATIENCE_S)

    assert told == ["exited with status 0"]
    assert not alive(echo.pid)


# --- a worker that does not get ready ----------------------------------------------


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        pytest.param("never-ready", "was not ready within 0.3 s", id="never ready"),
        pytest.param("dies-early", "ended before it was ready: exited with status 3", id="dies early"),
        pytest.param("other-protocol", "its protocol is 99, and not 1", id="another protocol"),
        pytest.param("other-service", "its service is 'another'", id="another service"),
        pytest.param("true-protocol", "its protocol is True, and not 1", id="a protocol that equals 1"),
        pytest.param("array-service", "its service is a ndarray, and not", id="an array for a service"),
        pytest.param("fails-oddly", "failed at the stage ''", id="a failure told in no text"),
        pytest.param(
            "does-not-load", "'load': ModuleNotFoundError: No module named 'nothing'", id="no plugin"
        ),
        pytest.param("reserved", "submit is named like an attribute", id="a reserved name"),
        pytest.param("garbage", "broke the protocol", id="no protocol at all"),
    ],
)
def test_a_worker_that_does_not_get_ready_is_told_and_gone(peers, promise, tmp_path, service, reason):
    startup_s = 0.3 if service == "never-ready" else PATIENCE_S
    with pytest.raises(WorkerStartError) as caught:
        peers.start(order(tmp_path, service, startup_s=startup_s), promise)

    assert reason in caught.value.reason
    assert caught.value.service == service
    assert peers._workers == {}
    assert promise.notes == {}


def test_a_python_told_as_no_text_is_not_shown(peers, promise, tmp_path):
    worker = peers.start(order(tmp_path, "odd-python"), promise)

    assert worker.worker["python"] == ""
    assert worker.call("echo", {"value": 1}, PATIENCE_S) == 1


def test_a_service_whose_start_raises_is_a_fault_of_the_service(peers, promise, tmp_path):
    with pytest.raises(ServiceFaultError) as caught:
        peers.start(order(tmp_path, "raises"), promise)

    assert (caught.value.operation, caught.value.fault_type) == ("start", "ValueError")
    assert peers._workers == {}


def test_an_interpreter_that_is_not_there_is_told(peers, promise, tmp_path):
    with pytest.raises(WorkerStartError, match=r"/nowhere/python: .*No such file"):
        peers.start(order(tmp_path, python="/nowhere/python"), promise)


def test_a_worker_that_is_not_what_its_profile_declares_is_refused(peers, promise, tmp_path):
    declared = {"echo": OperationProfile(result={"type": "string"})}
    with pytest.raises(WorkerStartError, match=r"echo\.result is declared as"):
        peers.start(order(tmp_path, operations=declared), promise)

    assert peers._workers == {}


# --- who owns them -----------------------------------------------------------------


def test_workers_are_gone_when_their_host_is_closed(promise, tmp_path):
    with WorkerHost(main=PEER) as workers:
        several = [workers.start(order(tmp_path), promise) for _ in range(3)]
        held = several[0].submit("hang", {}, None)

    assert not any(alive(worker.pid) for worker in several)
    assert isinstance(held.exception(PATIENCE_S), WorkerLostError)
    with pytest.raises(WorkerStartError, match="closed"):
        workers.start(order(tmp_path), promise)


def test_a_host_that_started_nothing_has_no_spawner_and_no_thread():
    before = threading.active_count()
    with WorkerHost(main=PEER) as workers:
        assert workers._spawner is None
        assert threading.active_count() == before


def test_workers_are_forked_as_soon_as_there_is_something_to_fork_them_from(promise, tmp_path):
    """The first environment of a host is made while the spawner is started already."""
    python = environment(tmp_path, "an-echo", ECHO)
    with WorkerHost(host_dir=tmp_path / "host") as workers:
        workers.warm_up()
        empty_environment(tmp_path / "host")
        worker = workers.start(order(tmp_path, "an-echo", python=python), promise)

        assert _listed(worker) == "rld:an-echo"
        assert workers.start(order(tmp_path, "an-echo", python=python), promise).pid != worker.pid
        assert alive(worker.pid)


def test_a_worker_is_executed_where_there_is_nothing_to_fork_it_from(promise, tmp_path):
    python = environment(tmp_path, "an-echo", ECHO)
    with WorkerHost(host_dir=tmp_path / "host") as workers:
        worker = workers.start(order(tmp_path, "an-echo", python=python), promise)
        empty_environment(tmp_path / "host")
        another = workers.start(order(tmp_path, "an-echo", python=python), promise)

        # A spawner goes on as long as it has a worker.
        assert [_listed(each) for each in (worker, another)] == ["python", "python"]


def _listed(worker):
    return Path(f"/proc/{worker.pid}/comm").read_text().strip()


@pytest.mark.parametrize("killed", ["its spawner", "its guard and then its spawner"])
def test_nothing_is_left_of_a_forked_worker_whose_spawner_is_killed(killed, promise, tmp_path):
    """Not of its child either, which a session of its own and no parent would keep."""
    python = environment(tmp_path, "an-orphan", ORPHANING)
    empty_environment(tmp_path / "host")
    with WorkerHost(host_dir=tmp_path / "host") as workers:
        worker = workers.start(order(tmp_path, "an-orphan", python=python), promise)
        orphan, guard = worker.call("orphan", {}, PATIENCE_S), parent_of(worker.pid)
        with (
            watched(worker.pid) as worker_gone,
            watched(orphan) as orphan_gone,
            watched(guard) as guard_gone,
        ):
            spawner = workers._spawner._process.pid
            if "guard" in killed:
                os.kill(spawner, signal.SIGSTOP)
                os.kill(guard, signal.SIGKILL)
            os.kill(spawner, signal.SIGKILL)

            assert all(gone(PATIENCE_S) for gone in (worker_gone, orphan_gone, guard_gone))
        assert eventually(lambda: workers._spawner is None)


def test_several_threads_start_workers_at_once(peers, promise, tmp_path):
    with ThreadPoolExecutor(6) as threads:
        workers = list(threads.map(lambda _: peers.start(order(tmp_path), promise), range(6)))

    assert len({worker.pid for worker in workers}) == 6


def test_a_forked_child_of_the_host_has_no_part_in_its_workers(peers, promise, tmp_path):
    """Its calls are refused at once, and the parent's go on."""
    worker = peers.start(order(tmp_path), promise)
    child = os.fork()
    if child == 0:
        try:
            worker.call("echo", {"value": 1}, 5)
            os._exit(1)
        except WorkerLostError as exc:
            os._exit(0 if "forked" in exc.how and exc.executed is False else 2)
        finally:
            os._exit(3)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert worker.call("echo", {"value": 1}, PATIENCE_S) == 1


def test_an_idle_worker_wakes_its_host_for_heartbeats_only(peers, promise, tmp_path):
    worker = peers.start(order(tmp_path, heartbeat_s=1000), promise)
    worker.call("echo", {"value": 1}, PATIENCE_S)
    reader = Path(f"/proc/self/task/{peers._loop._thread.native_id}")
    processes = (peers._spawner._process.pid, parent_of(worker.pid), worker.pid)
    tasks = [reader, *(task for pid in processes for task in Path(f"/proc/{pid}/task").iterdir())]

    def in_a_moment():
        before = [_wakeups(task) for task in tasks]
        threading.Event().wait(0.1)
        return sum(_wakeups(task) for task in tasks) - sum(before)

    # What the call has left to do is done within the first moments.
    assert eventually(lambda: in_a_moment() == 0)


def _wakeups(task):
    """Voluntary context switches of a thread: each is one sleep, and so one waking up."""
    for line in (task / "status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches"):
            return int(line.split()[1])
    raise AssertionError(f"{task} tells no context switches")


@pytest.mark.faults
def test_the_host_s_kill_takes_workers_and_their_children_within_a_second(tmp_path):
    """Though a forked child of the host, made without Python's knowledge, keeps every descriptor open."""
    host = textwrap.dedent(
        f"""
        import ctypes, fcntl, os, sys, time
        from pathlib import Path
        sys.path.insert(0, {str(Path.cwd())!r})
        from rldlib.adapters.spawner import WorkerHost
        from tests.adapters.working import PEER, Promised, order
        folder = Path({str(tmp_path)!r})
        promise = Promised(folder)
        fcntl.flock(promise.fileno(), fcntl.LOCK_EX)
        workers = WorkerHost(main=PEER)
        worker = workers.start(order(folder), promise)
        stubborn = worker.call("forks", {{}}, 5)
        child = ctypes.CDLL(None).fork()
        if child == 0:
            time.sleep(1000)
        print(worker.pid, stubborn, workers._spawner._process.pid, child, flush=True)
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
            began = time.monotonic()
            process.kill()
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
