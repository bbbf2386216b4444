"""The worker as the spawner starts it: its own process, its own interpreter, its own packages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from tests.worker.hosting import ProcessWorker, environment, install, interpreters

from rldlib.wire import messages

pytestmark = pytest.mark.slow

ECHO = """
import os, sys, threading, time
from rldlib.plugin import Service, operation, progress


class Echo(Service):
    def start(self, resources):
        self.names = resources.names
        self.thread = threading.get_ident()

    @operation
    def echo(self, value):
        return value

    @operation
    def modules(self):
        return sorted(sys.modules)

    @operation
    def pluggy(self) -> str:
        import pluggy
        return pluggy.__version__

    @operation
    def host(self) -> list[str]:
        found = []
        for name in ("rldlib.daemon", "rldlib.values.profile"):
            try:
                __import__(name)
            except ImportError as exc:
                found.append(str(exc))
        return found

    @operation
    def inherited(self) -> bool:
        return any(os.get_inheritable(fd) for fd in range(3, 64) if self.is_open(fd))

    def is_open(self, fd):
        try:
            os.fstat(fd)
        except OSError:
            return False
        return True

    @operation
    def input(self) -> str:
        return sys.stdin.read()

    @operation
    def path(self):
        return sys.path, sys.flags.isolated

    @operation
    def main_thread(self):
        return threading.current_thread() is threading.main_thread() and self.thread == threading.get_ident()

    @operation
    def leave(self, status: int):
        os._exit(status)

    @operation
    def say(self, text):
        print(text)

    @operation
    def wait(self):
        progress(0)
        time.sleep(60)

    @operation
    def linger(self):
        threading.Thread(target=time.sleep, args=(60,)).start()

    @operation
    async def later(self, value):
        return value

    @operation
    def count(self, to: int):
        yield from range(to)

    def stop(self):
        print("stopped")


service = Echo
"""


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    folder = tmp_path_factory.mktemp("env")
    site = environment(folder)
    install(site, ECHO)
    return folder


@pytest.fixture
def worker(env):
    with ProcessWorker(env / "bin" / "python") as started:
        yield started


@pytest.mark.parametrize(
    "python", interpreters(), ids=lambda path: path.rpartition("/bin/")[0].rpartition("/")[2]
)
def test_a_worker_serves_on_every_cpython_of_the_host(python, tmp_path):
    install(environment(tmp_path / "env", python), ECHO)
    version = subprocess.run(
        [python, "-c", "import platform; print(platform.python_version())"],
        capture_output=True,
        check=True,
    )
    with ProcessWorker(tmp_path / "env" / "bin" / "python") as worker:
        ready = worker.host.start()

        assert ready["python"] == version.stdout.decode().strip()
        assert ready["pid"] == worker.process.pid
        assert worker.host.ask("echo", value={"a": [1, b"x"]}) == {"a": [1, b"x"]}
        assert worker.host.ask("later", value=2) == 2
        worker.host.call(1, "count", to=2)
        worker.host.send(messages.CREDIT, 1, 5)
        assert [worker.host.receive()[0] for _ in range(3)] == ["item", "item", "end"]


def test_neither_pluggy_nor_the_hosts_package_is_visible_to_the_service(worker):
    worker.host.start()

    with pytest.raises(RuntimeError, match="No module named 'pluggy'"):
        worker.host.ask("pluggy")
    modules = worker.host.ask("modules")
    assert "pluggy" not in modules
    assert not {name for name in modules if name.startswith("rldlib.values")}
    path, isolated = worker.host.ask("path")
    assert isolated
    assert not [entry for entry in path if entry.endswith(("src", "worker"))]


def test_a_service_may_have_an_old_pluggy_of_its_own(tmp_path):
    site = environment(tmp_path / "env")
    install(site, ECHO)
    (site / "pluggy").mkdir()
    (site / "pluggy" / "__init__.py").write_text("__version__ = '0.0.1'\nPluginManager = None\n")
    with ProcessWorker(tmp_path / "env" / "bin" / "python") as worker:
        worker.host.start()

        assert worker.host.ask("pluggy") == "0.0.1"


def test_a_start_imports_little(tmp_path):
    """What a worker imports is what every start costs."""
    code = "import sys\ndef modules(): return sorted(sys.modules)\n"
    code += "from rldlib.plugin import Service\nclass service(Service):\n"
    code += "    def operations(self): return {'modules': modules}\n"
    install(environment(tmp_path / "env"), code)
    with ProcessWorker(tmp_path / "env" / "bin" / "python") as worker:
        worker.host.start()
        modules = set(worker.host.ask("modules"))

    assert not modules & {
        "dataclasses",
        "pathlib",
        "logging",
        "importlib.metadata",
        "ctypes",
        "socket",
        "decimal",
    }


def test_the_channel_is_not_inherited_and_the_input_is_empty(worker):
    worker.host.start()

    assert worker.host.ask("inherited") is False
    assert worker.host.ask("input") == ""


def test_with_one_thread_hooks_and_calls_run_in_the_main_thread(worker):
    """Many libraries are bound to the thread that first used them."""
    worker.host.start()

    assert worker.host.ask("main_thread") is True


def test_stop_calls_the_hook_and_exits_with_status_0(worker):
    worker.host.start()
    worker.host.ask("say", text="hello")
    worker.host.send(messages.STOP, 10)

    assert worker.ended() == (0, "hello\nstopped\n", "")


def test_a_host_that_is_gone_ends_the_worker_after_its_stop_hook(worker):
    worker.host.start()
    worker.host.socket.close()

    assert worker.ended() == (0, "stopped\n", "")


@pytest.mark.parametrize(
    "busy", ["wait", "linger"], ids=["a call that does not end", "a thread that does not end"]
)
def test_a_worker_whose_host_is_gone_ends_within_its_second_whatever_runs(busy, worker):
    worker.host.start()
    worker.host.call(1, busy)
    worker.host.receive(messages.PROGRESS if busy == "wait" else messages.REPLY)
    worker.host.socket.close()

    status, _, _ = worker.ended()
    assert status == (1 if busy == "wait" else 0)


def test_a_worker_that_leaves_mid_call_is_gone(worker):
    worker.host.start()
    worker.host.call(1, "leave", status=3)

    with pytest.raises((EOFError, ConnectionResetError)):
        worker.host.receive(messages.REPLY)
    assert worker.ended()[0] == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it(number, worker):
    worker.host.start()
    os.kill(worker.process.pid, number)

    assert worker.ended()[0] == -number


def test_a_host_that_breaks_the_protocol_is_left(worker):
    worker.host.start()
    worker.host.socket.sendall(b"\xff" * 8)
    status, out, err = worker.ended()

    assert (status, out) == (0, "stopped\n")
    assert "broke the protocol" in err


def test_a_service_that_cannot_be_imported_says_so_and_exits(tmp_path):
    install(environment(tmp_path / "env"), "import nowhere_to_be_found\n")
    with ProcessWorker(tmp_path / "env" / "bin" / "python") as worker:
        failed = worker.host.start(ready=False)

        assert (failed["stage"], failed["type"]) == ("load", "ModuleNotFoundError")
        assert "nowhere_to_be_found" in failed["traceback"]
        assert "rldlib/worker" not in failed["traceback"]
        assert worker.ended()[0] == 1


@pytest.mark.network
def test_a_service_may_have_the_real_pluggy_1_0(tmp_path):
    site = environment(tmp_path / "env")
    install(site, ECHO)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site)]
    subprocess.run([*pip, "pluggy==1.0.0"], check=True)
    with ProcessWorker(tmp_path / "env" / "bin" / "python") as worker:
        worker.host.start()

        assert worker.host.ask("pluggy") == "1.0.0"
