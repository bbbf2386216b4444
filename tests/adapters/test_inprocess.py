"""Services in this process: what is refused, what they leave, and how they end."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.services import ECHO, rld_json, service_wheel
from tests.wheels import make_wheel

import rldlib
from rldlib.reporter import Reporter

pytestmark = [pytest.mark.slow]


@pytest.fixture
def wheels(tmp_path):
    return tmp_path / "wheels"


@pytest.fixture
def daemon(wheels, tmp_path):
    with rldlib.LocalDaemon(wheels=wheels, root=tmp_path / "root") as daemon:
        yield daemon


@pytest.fixture(autouse=True)
def _path_as_before():
    yield
    assert not [path for path in sys.path if "environments" in path]


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def refused(daemon, request):
    """Refuse to bring a service in; why, and that the process is as it was."""
    path, modules = list(sys.path), set(sys.modules)
    with pytest.raises(rldlib.InProcessRefusedError) as told:
        daemon.acquire(request, mode="inprocess")
    assert sys.path == path
    assert not {name for name in set(sys.modules) - modules if name.startswith("rld_")}
    assert told.value.exit_status == 4
    assert "mode='process'" in str(told.value)
    return told.value.reasons


def fetched(tmp_path):
    return [path for path in (tmp_path / "root").rglob("*") if path.suffix == ".whl"]


def test_an_unknown_mode_is_refused(daemon):
    with pytest.raises(
        rldlib.UsageError, match="no mode 'thread'; a service is performed in process or inprocess"
    ):
        daemon.acquire("echo", mode="thread")


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        pytest.param({"life": {"after_use": "delete"}}, "may stay", id="delete"),
        pytest.param({"isolation": {"level": "strict"}}, "isolation strict", id="isolation"),
        pytest.param(
            {"resources": [{"name": "key", "kind": "secret", "authority": "0" * 64, "target": "key"}]},
            "secret key",
            id="secret",
        ),
    ],
)
def test_a_profile_that_needs_a_process_of_its_own_is_refused_before_anything_is_fetched(
    daemon, wheels, tmp_path, profile, told
):
    service_wheel(wheels, "inp-profile", **profile)

    (reason,) = refused(daemon, "inp-profile")

    assert told in reason
    assert fetched(tmp_path) == []
    assert daemon.why("inp-profile")[-1]["kind"] == "refused"


def test_a_policy_of_the_host_to_delete_is_refused_too(wheels, tmp_path):
    service_wheel(wheels, "inp-policy")
    policy = rldlib.Policy(after_use="delete")
    with rldlib.LocalDaemon(wheels=wheels, root=tmp_path / "root", policy=policy) as daemon:
        assert "may stay" in refused(daemon, "inp-policy")[0]


def test_a_distribution_that_the_host_has_in_another_version_is_refused_before_anything_is_fetched(
    daemon, wheels, tmp_path
):
    have = importlib.metadata.version("packaging")
    make_wheel(wheels, "packaging", "0.1", files={"packaging/__init__.py": ""})
    make_wheel(wheels, "pluggy", "0.2", files={"pluggy/__init__.py": ""})
    service_wheel(wheels, "inp-pins", requires=["packaging==0.1", "pluggy==0.2"])

    reasons = refused(daemon, "inp-pins")

    assert len(reasons) == 2
    assert f"packaging {have} (" in reasons[0]
    assert reasons[0].endswith("the service pins 0.1")
    assert fetched(tmp_path) == []
    assert daemon.acquire("inp-pins").echo(value=1) == 1


def test_a_distribution_that_the_host_has_in_that_version_is_the_hosts(daemon, wheels):
    import pluggy

    code = (
        ECHO
        + "\n    @operation\n    def where(self):\n        import pluggy\n        return pluggy.__file__\n"
    )
    make_wheel(wheels, "pluggy", importlib.metadata.version("pluggy"), files={"pluggy/__init__.py": "x = 1"})
    service_wheel(wheels, "inp-same", code=code, requires=["pluggy"])

    with daemon.acquire("inp-same", mode="inprocess") as handle:
        assert handle.where() == pluggy.__file__


@pytest.mark.parametrize(
    ("files", "module"),
    [
        pytest.param({"pytest.py": ""}, "pytest", id="installed in the host"),
        pytest.param({"pluggy/ours/inner.py": ""}, "pluggy.ours.inner", id="inside of another's package"),
        pytest.param({"local_module.py": ""}, "local_module", id="a script's neighbour"),
    ],
)
def test_a_module_that_the_process_would_find_elsewhere_is_refused(
    daemon, wheels, tmp_path, monkeypatch, files, module
):
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "local_module.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "script")
    make_wheel(wheels, "inp-other", "1.0", files=files)
    service_wheel(wheels, "inp-shadow", requires=["inp-other"])

    (reason,) = refused(daemon, "inp-shadow")

    assert reason.startswith(f"this process has another module {module} (")
    assert reason.endswith("than inp-other's")


def test_two_distributions_may_share_a_namespace(daemon, wheels, tmp_path, monkeypatch):
    (tmp_path / "script" / "inp_space" / "host").mkdir(parents=True)
    (tmp_path / "script" / "inp_space" / "host" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "script")
    make_wheel(wheels, "inp-space-b", "1.0", files={"inp_space/b/__init__.py": "value = 5"})
    code = (
        ECHO
        + "\n    @operation\n    def b(self):\n        import inp_space.b, inp_space.host\n        return inp_space.b.value\n"
    )
    service_wheel(wheels, "inp-namespace", code=code, requires=["inp-space-b"])

    with daemon.acquire("inp-namespace", mode="inprocess") as handle:
        assert handle.b() == 5


def test_a_service_for_another_python_is_refused(daemon, wheels):
    service_wheel(wheels, "inp-python", requires_python="<3.11")

    reasons = refused(daemon, "inp-python")

    assert "<3.11" in " ".join(reasons)
    assert daemon.why("inp-python")[-1]["error"]["type"] == "InProcessRefusedError"


def test_what_an_earlier_service_imported_counts_after_its_release(daemon, wheels, tmp_path):
    service_wheel(wheels, "inp-again", "1.0")
    daemon.acquire("inp-again", mode="inprocess").release()
    daemon.release("inp-again")
    service_wheel(wheels, "inp-again", "2.0")

    (reason,) = refused(daemon, "inp-again>=2")

    assert reason == (
        "this process has rld-inp-again 1.0 (brought by the service inp-again), the service pins 2.0"
    )
    with daemon.acquire("inp-again==1.0", mode="inprocess") as handle:
        assert handle.echo(value=1) == 1


def test_another_wheel_under_the_same_version_is_refused(daemon, wheels, tmp_path):
    service_wheel(wheels, "inp-twin")
    daemon.acquire("inp-twin", mode="inprocess").release()
    service_wheel(tmp_path / "others", "inp-twin", code=ECHO + "\n# changed\n")

    with rldlib.LocalDaemon(wheels=tmp_path / "others", root=tmp_path / "other") as other:
        (reason,) = refused(other, "inp-twin")

    assert "from another wheel" in reason


def test_only_one_of_two_that_conflict_comes_in_at_once(wheels, tmp_path):
    for name in ("a", "b"):
        service_wheel(wheels, f"inp-race-{name}", files={"inp_race.py": f"who = '{name}'"})
    with rldlib.LocalDaemon(wheels=wheels, root=tmp_path / "root") as daemon, ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(daemon.acquire, f"inp-race-{name}", mode="inprocess") for name in ("a", "b")]
        refusals = [future.exception() for future in futures]

    assert sorted(type(one).__name__ for one in refusals) == ["InProcessRefusedError", "NoneType"]


# --- what it leaves -------------------------------------------------------------------


def test_an_environment_is_last_on_the_path_until_its_last_service_is_released(daemon, wheels):
    service_wheel(wheels, "inp-path", life={"after_use": "terminate"})
    before = list(sys.path)

    one, other = (daemon.acquire("inp-path", mode="inprocess") for _ in range(2))

    assert sys.path[:-1] == before
    assert sys.path[-1].startswith(one.worker["environment"])
    one.release()
    assert len(sys.path) == len(before) + 1
    other.release()
    assert sys.path == before
    assert "rld_inp_path" in sys.modules


def test_what_was_never_imported_is_forgotten(daemon, wheels):
    make_wheel(wheels, "inp-lazy", "1.0", files={"inp_lazy.py": ""})
    service_wheel(wheels, "inp-lazy-user", requires=["inp-lazy==1.0"], life={"after_use": "terminate"})
    daemon.acquire("inp-lazy-user", mode="inprocess").release()
    make_wheel(wheels, "inp-lazy", "2.0", files={"inp_lazy.py": ""})
    service_wheel(wheels, "inp-eager-user", requires=["inp-lazy==2.0"])

    assert daemon.acquire("inp-eager-user", mode="inprocess").echo(value=1) == 1


def test_no_process_is_started(daemon, wheels):
    service_wheel(wheels, "inp-child")

    handle = daemon.acquire("inp-child", mode="inprocess")

    assert handle.worker["pid"] == os.getpid()
    assert (
        b"spawner"
        not in subprocess.run(
            ["ps", "--ppid", str(os.getpid()), "-o", "args="], capture_output=True, check=False
        ).stdout
    )


# --- start and end --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind", "told"),
    [
        pytest.param("raise ValueError('no')", rldlib.WorkerStartError, "ValueError: no", id="import"),
        pytest.param(
            "from rldlib.plugin import Service\nclass Echo(Service):\n    def start(self): raise ValueError('no')",
            rldlib.ServiceFaultError,
            r"start raised ValueError: no",
            id="start",
        ),
        pytest.param(
            "from rldlib.plugin import Service\nclass Echo(Service): pass",
            rldlib.WorkerStartError,
            "gave no operations",
            id="operations",
        ),
        pytest.param(
            "from rldlib.plugin import Service, operation\nclass Echo(Service):\n"
            "    @operation\n    def release(self): pass",
            rldlib.WorkerStartError,
            "attribute of every handle",
            id="a reserved name",
        ),
    ],
)
def test_a_service_that_does_not_get_ready_is_told_and_leaves_the_path(
    daemon, wheels, request, code, kind, told
):
    service = f"inp-broken-{request.node.callspec.id.replace(' ', '-')}"
    service_wheel(wheels, service, code=code)

    with pytest.raises(kind, match=told):
        daemon.acquire(service, mode="inprocess")


def test_a_service_that_is_not_ready_in_time_is_given_up_and_leaves_when_it_can(wheels, tmp_path):
    code = textwrap.dedent(
        f"""
        import time
        from pathlib import Path
        from rldlib.plugin import Service, operation

        class Echo(Service):
            def start(self):
                while not Path({str(tmp_path / "go")!r}).exists():
                    time.sleep(0.005)

            def stop(self):
                Path({str(tmp_path / "stopped")!r}).touch()

            @operation
            def echo(self, value): return value
        """
    )
    service_wheel(wheels, "inp-slow", code=code, demand={"startup_s": 0.2})
    with rldlib.LocalDaemon(wheels=wheels, root=tmp_path / "root") as daemon:
        with pytest.raises(rldlib.WorkerStartError, match=r"not ready within 0\.2 s"):
            daemon.acquire("inp-slow", mode="inprocess")
        (thread,) = [one for one in threading.enumerate() if one.name == "rldlib-inp-slow"]
        (tmp_path / "go").touch()
        thread.join(20)

    assert (tmp_path / "stopped").exists()


class Notes(Reporter):
    def __init__(self):
        self.notes = []

    def noted(self, service, text):
        self.notes.append(text)


def test_a_call_that_does_not_end_holds_up_the_daemon_no_longer_than_it_was_given(wheels, tmp_path):
    code = ECHO + (
        "\n    @operation\n    def stay(self, path: str):\n        from pathlib import Path\n"
        "        Path(path + '.began').touch()\n        while not Path(path).exists(): time.sleep(0.005)\n"
    )
    service_wheel(wheels, "inp-stuck", code=code, host={"stop_s": 0.2})
    reporter, go = Notes(), tmp_path / "go"
    with rldlib.LocalDaemon(wheels=wheels, root=tmp_path / "root", reporter=reporter) as daemon:
        stuck = daemon.acquire("inp-stuck", mode="inprocess").submit("stay", path=str(go))
        (thread,) = [one for one in threading.enumerate() if one.name == "rldlib-inp-stuck"]
        until((tmp_path / "go.began").exists)

    with pytest.raises(rldlib.WorkerLostError, match=r"did not stop within 0\.2 s; its threads go on"):
        stuck.result(0)
    assert reporter.notes[-1] == "it did not stop within 0.2 s; its threads go on"
    go.touch()
    thread.join(20)
    assert not thread.is_alive()


def test_several_threads_perform_at_once(daemon, wheels):
    code = (
        "import threading\nfrom rldlib.plugin import Service, operation\n\n"
        "class Echo(Service):\n"
        "    def start(self): self.barrier = threading.Barrier(3)\n"
        "    @operation\n    def meet(self) -> int: return self.barrier.wait(20)\n"
    )
    service_wheel(wheels, "inp-threads", code=code, demand={"threads": 3})

    with daemon.acquire("inp-threads", mode="inprocess") as handle:
        futures = [handle.submit("meet") for _ in range(3)]

        assert sorted(future.result(20) for future in futures) == [0, 1, 2]


def test_records_of_the_service_go_where_the_hosts_do(daemon, wheels, caplog):
    code = (
        "import logging\n"
        + ECHO
        + "\n    @operation\n    def log(self): logging.getLogger('tax').warning('odd')\n"
    )
    service_wheel(wheels, "inp-log", code=code)

    with daemon.acquire("inp-log", mode="inprocess") as handle:
        handle.log()

    assert ("tax", 30, "odd") in caplog.record_tuples


def test_the_interpreter_ends_though_nobody_closed_the_daemon(wheels, tmp_path):
    stopped = tmp_path / "stopped"
    code = ECHO + f"\n    def stop(self):\n        open({str(stopped)!r}, 'w').close()\n"
    service_wheel(wheels, "inp-exit", code=code)
    script = (
        f"import rldlib\ndaemon = rldlib.LocalDaemon(wheels={str(wheels)!r}, root={str(tmp_path / 'root')!r})\n"
        "print(daemon.acquire('inp-exit', mode='inprocess').echo(value=5))"
    )

    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    assert told.stdout == "5\n"
    assert stopped.exists()


@pytest.mark.parametrize("mode", ["process", "inprocess"])
def test_a_forked_child_is_told_that_the_service_is_its_parents(wheels, tmp_path, mode):
    service_wheel(wheels, "inp-fork", host={"stop_s": 0.2})
    script = textwrap.dedent(
        f"""
        import os, sys, rldlib
        with rldlib.LocalDaemon(wheels={str(wheels)!r}, root={str(tmp_path / "root")!r}) as daemon:
            handle = daemon.acquire("inp-fork", mode="{mode}")
            pid = os.fork()
            if pid == 0:
                try:
                    handle.call("echo", value=1, deadline=20)
                except rldlib.WorkerLostError as exc:
                    os._exit(5 if "forked" in str(exc) and exc.executed is False else 6)
                os._exit(7)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), handle.echo(value=1))
        """
    )

    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    assert told.stdout == "5 1\n"


def test_the_command_line_performs_in_its_own_process(wheels, tmp_path):
    service_wheel(wheels, "inp-cli")

    told = rld_json(
        "call",
        "inp-cli",
        "echo",
        "value=5",
        "--mode",
        "inprocess",
        "--wheels",
        wheels,
        "--root",
        tmp_path / "r",
    )
    error = rld_json("call", "inp-cli", "echo", "--mode", "thread", "--wheels", wheels, status=2)

    assert (told["result"], told["placement"]) == (5, "local")
    assert "thread" in error["error"]["message"]
