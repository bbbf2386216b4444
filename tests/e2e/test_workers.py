"""What workers promise: any CPython, any pluggy, many calls at once, and nothing outlives its host."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import rldlib
from rldlib.adapters.host_directory import host_directory
from rldlib.adapters.interpreters import Interpreters
from tests.services import ECHO, service_wheel
from tests.wheels import make_wheel

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
_WITHIN_S = 1.0


def test_1000_calls_from_16_threads_are_all_right(tmp_path):
    service_wheel(tmp_path / "wheels", demand={"threads": 4})
    with (
        rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "root") as daemon,
        ThreadPoolExecutor(16) as pool,
    ):
        echo = daemon.acquire("echo")

        answers = list(pool.map(lambda number: echo.echo(value={"number": number}), range(1000)))

    assert answers == [{"number": number} for number in range(1000)]


def test_futures_and_streams_are_served_beside_calls(tmp_path):
    service_wheel(tmp_path / "wheels")
    with rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "root") as daemon:
        echo = daemon.acquire("echo")
        futures = [echo.submit("echo", value=number) for number in range(20)]

        assert list(echo.stream("count", to=50)) == list(range(50))
        assert [future.result(timeout=10) for future in futures] == list(range(20))


_HOST = """
import os, sys, rldlib
with rldlib.LocalDaemon(wheels=sys.argv[1], root=sys.argv[2]) as daemon:
    echo = daemon.acquire("echo")
    if len(sys.argv) > 3:
        # A child of the host's own keeps every descriptor that it inherits.
        if os.fork() == 0:
            os.closerange(0, 3)
            sys.stdin = None
            import time
            time.sleep(float(sys.argv[3]))
            os._exit(0)
    print(*echo.breed(), flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("forked", [[], ["5"]], ids=["host alone", "host with a forked child"])
def test_the_hosts_sigkill_takes_the_worker_and_all_it_started_within_a_second(forked, tmp_path):
    service_wheel(tmp_path / "wheels")
    host = subprocess.Popen(
        [sys.executable, "-c", _HOST, str(tmp_path / "wheels"), str(tmp_path / "root"), *forked],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with host:
        pids = [int(text) for text in host.stdout.readline().split()]
        watched = [os.pidfd_open(pid) for pid in pids]
        spawner = _parent(pids[0])
        watched.append(os.pidfd_open(spawner))

        host.kill()
        gone = _ended_within(watched, _WITHIN_S)

    assert len(pids) == 2
    assert gone == watched
    for descriptor in watched:
        os.close(descriptor)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _ended_within(descriptors: list[int], seconds: float) -> list[int]:
    """The pidfds whose processes ended, waited for together."""
    import time

    deadline, waiting = time.monotonic() + seconds, list(descriptors)
    while waiting and (left := deadline - time.monotonic()) > 0:
        ended, _, _ = select.select(waiting, [], [], left)
        waiting = [descriptor for descriptor in waiting if descriptor not in ended]
    return [descriptor for descriptor in descriptors if descriptor not in waiting]


def test_a_worker_killed_between_calls_is_replaced(tmp_path):
    service_wheel(tmp_path / "wheels")
    with rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "root") as daemon:
        echo = daemon.acquire("echo")
        pid = echo.worker["pid"]
        with pytest.raises(rldlib.WorkerLostError, match="killed by SIGKILL"):
            echo.kill()

        assert echo.call("echo", value=1, deadline=20) == 1
        assert echo.worker["pid"] != pid


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_a_worker_runs_on_any_cpython_of_the_host(version, tmp_path):
    if not any(str(one.version).startswith(f"{version}.") for one in Interpreters(host_directory()).all()):
        pytest.skip(f"this host has no CPython {version}")
    service_wheel(tmp_path / "wheels", requires_python=f"=={version}.*")
    with rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "root") as daemon:
        echo = daemon.acquire("echo")

        assert echo.python().startswith(f"{version}.")
        assert echo.worker["python"] == echo.python()


_PLUGGY = (
    ECHO
    + """
    @operation
    def pluggy(self) -> str:
        import pluggy
        return pluggy.__version__
"""
)


def test_a_service_may_pin_a_pluggy_of_its_own(tmp_path):
    """A stand-in that would break any host that imported it as its own."""
    make_wheel(
        tmp_path / "wheels", "pluggy", "1.0.0", files={"pluggy/__init__.py": "__version__ = '1.0.0'\n"}
    )
    service_wheel(tmp_path / "wheels", code=_PLUGGY, requires=["pluggy==1.0.0"])
    with rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "root") as daemon:
        assert daemon.acquire("echo").pluggy() == "1.0.0"


def test_a_service_without_pluggy_does_not_see_the_hosts(tmp_path):
    service_wheel(tmp_path / "wheels", code=_PLUGGY)
    with rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "root") as daemon:
        echo = daemon.acquire("echo")

        with pytest.raises(rldlib.ServiceFaultError, match="No module named 'pluggy'"):
            echo.pluggy()
        assert "pluggy" not in echo.modules()


@pytest.mark.network
@pytest.mark.parametrize("version", ["1.0.0", "1.2.0", "1.5.0"])
def test_a_service_works_with_the_real_old_pluggy(version, tmp_path):
    wheels = tmp_path / "wheels"
    service_wheel(wheels, code=_PLUGGY, requires=[f"pluggy=={version}"])
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--only-binary",
        ":all:",
        "--dest",
        str(wheels),
    ]
    subprocess.run([*pip, f"pluggy=={version}"], check=True)
    with rldlib.LocalDaemon(wheels=wheels, root=tmp_path / "root") as daemon:
        assert daemon.acquire("echo").pluggy() == version


def test_a_workers_output_goes_to_its_log(tmp_path):
    service_wheel(tmp_path / "wheels")
    with rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "root") as daemon:
        daemon.acquire("echo").say(text="hello from the worker")

    assert "hello from the worker" in (tmp_path / "root" / "logs" / "echo.log").read_text()


def test_the_hosts_signals_are_not_the_workers(tmp_path):
    """Ctrl-C in a terminal reaches the foreground group: workers are not in it."""
    handler = signal.getsignal(signal.SIGINT)
    service_wheel(tmp_path / "wheels")
    with rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "root") as daemon:
        pid = daemon.acquire("echo").worker["pid"]

        assert os.getpgid(pid) != os.getpgid(0)
        assert os.getsid(pid) != os.getsid(0)
    assert signal.getsignal(signal.SIGINT) is handler
