"""What is left once the work is done: of processes, files and connections."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import rldlib
from tests.services import service_wheel
from tests.sources.hosts import index_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# Holds a connection, as to a data store, and a task of its own; says what it does when it goes.
_HOLDING = """
import socket
import subprocess
import sys

from rldlib.plugin import Service, operation


class Echo(Service):
    def start(self):
        self.store = socket.create_connection(("127.0.0.1", PORT))
        self.child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

    @operation
    def echo(self, value):
        self.store.sendall(b"worked;")
        return value

    @operation
    def pids(self) -> list[int]:
        import os

        return [os.getpid(), self.child.pid]

    def stop(self):
        self.store.sendall(b"flushed;")
        HOW
"""
_PREPARE = (
    "import sys, rldlib\n"
    "with rldlib.LocalDaemon(index_url=sys.argv[1], root=sys.argv[2]) as daemon:\n"
    "    print(daemon.prepare('echo')['environment'])\n"
)


@pytest.fixture
def data_store():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(30)
        yield listening


def heard(connection):
    """All that came until the other side was gone."""
    connection.settimeout(30)
    said = b""
    try:
        while data := connection.recv(4096):
            said += data
    except ConnectionResetError:
        said += b"reset"
    return said


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def descriptors():
    """How many files, sockets and pipes this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("how", "said"),
    [
        pytest.param("pass", b"worked;flushed;", id="in order"),
        pytest.param("raise RuntimeError('not now')", b"worked;flushed;", id="raises"),
        pytest.param("import time; time.sleep(600)", b"worked;flushed;", id="hangs"),
    ],
)
def test_what_a_service_does_after_its_work_comes_in_order_and_holds_nothing_up(
    tmp_path, data_store, how, said
):
    code = _HOLDING.replace("PORT", str(data_store.getsockname()[1])).replace("HOW", how)
    service_wheel(tmp_path / "wheels", code=code, life={"after_use": "terminate"}, host={"stop_s": 1})
    with rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "root") as daemon:
        echo = daemon.acquire("echo")
        connection, _ = data_store.accept()
        with connection:
            pids = echo.pids()
            assert echo.echo(value=1) == 1
            echo.release()
            # The data store sees the end, and the service's own child is gone with it.
            assert heard(connection) == said
        assert not [pid for pid in pids if is_there(pid)]


def test_a_service_to_be_deleted_leaves_the_host_as_it_was(tmp_path, data_store, host_dir):
    code = _HOLDING.replace("PORT", str(data_store.getsockname()[1])).replace("HOW", "pass")
    root, wheels = tmp_path / "root", tmp_path / "wheels"
    # Another service has been here: what belongs to the host and to all of the root is there.
    service_wheel(wheels, "other", life={"after_use": "delete"})
    service_wheel(wheels, code=code, life={"after_use": "delete"})
    with rldlib.LocalDaemon(wheels=wheels, root=root) as daemon:
        daemon.acquire("other").release()
    before = files(root), files(host_dir), descriptors()
    with rldlib.LocalDaemon(wheels=wheels, root=root) as daemon:
        echo = daemon.acquire("echo")
        connection, _ = data_store.accept()
        with connection:
            pids, during = echo.pids(), files(root)
            echo.release()
            assert heard(connection) == b"flushed;"
    after = files(root), files(host_dir), descriptors()

    assert any("rld_echo" in name for name in during)
    assert not [pid for pid in pids if is_there(pid)]
    new = after[0].keys() - before[0].keys()
    # Locks have no content, belong to nobody, and are never removed.
    assert {name for name in new if not name.startswith("locks/")} == set()
    changed = {name for name, content in before[0].items() if after[0].get(name) != content}
    assert changed <= {"journal.sqlite"}
    assert after[1].keys() == before[1].keys()
    assert after[2] == before[2]


def test_two_daemons_that_need_one_wheel_at_once_fetch_it_once(tmp_path):
    wheel = service_wheel(tmp_path / "wheels", files={"payload.bin": os.urandom(1024 * 1024)})
    with index_of(tmp_path / "wheels") as served:
        command = [sys.executable, "-c", _PREPARE, served.url, str(tmp_path / "root")]
        started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
        places = [process.communicate(timeout=120)[0] for process in started]
        sent = sum(count for path, count in served.sent.items() if path.endswith(".whl"))
    assert len(set(places)) == 1
    assert sent == wheel.stat().st_size
