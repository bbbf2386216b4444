"""Daemons as users meet them: started when needed, kept apart, gone with their host."""

from __future__ import annotations

import hashlib
import os
import select
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

import pytest

import rldlib
from tests.services import ECHO, rld_json, service_wheel
from tests.wheels import make_wheel

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

_VERSION = (
    ECHO
    + """
    @operation
    def dependency(self) -> str:
        import shared
        return shared.VERSION
"""
)


def _children() -> set[str]:
    return set(
        Path("/proc/self/task").joinpath(str(threading.get_native_id()), "children").read_text().split()
    )


def test_no_process_is_started_before_a_service_is_needed(tmp_path):
    service_wheel(tmp_path / "wheels")
    before = _children()
    with rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "root") as daemon:
        assert _children() == before
        daemon.prepare("echo")
        assert _children() == before
        assert Path("/proc", str(daemon.acquire("echo").worker["pid"])).exists()


def test_a_worker_survives_the_thread_that_asked_for_it(tmp_path):
    service_wheel(tmp_path / "wheels")
    with rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "root") as daemon:
        handles = []
        thread = threading.Thread(target=lambda: handles.append(daemon.acquire("echo")))
        thread.start()
        thread.join()

        assert handles[0].echo(value="still here") == "still here"


def test_a_service_can_be_acquired_at_any_time_without_a_restart(tmp_path):
    service_wheel(tmp_path / "wheels")
    with rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "root") as daemon:
        first = daemon.acquire("echo")
        service_wheel(tmp_path / "wheels", "late")

        assert daemon.acquire("late").echo(value=2) == 2
        assert first.echo(value=1) == 1


def test_the_same_call_gives_the_same_answer_through_the_library_and_the_command(tmp_path):
    service_wheel(tmp_path / "wheels")
    with rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "a") as daemon:
        answer = daemon.acquire("echo").double(amount=Decimal("0.10"))

    told = rld_json(
        "call", "echo", "double", "amount=0.10", "--wheels", tmp_path / "wheels", "--root", tmp_path / "b"
    )
    assert (str(answer), told["result"]) == ("0.20", "0.20")


def test_two_domains_on_one_host_hold_conflicting_dependencies(tmp_path):
    for version in ("1.0", "2.0"):
        folder = tmp_path / version
        make_wheel(folder, "shared", version, files={"shared.py": f"VERSION = '{version}'\n"})
        service_wheel(folder, code=_VERSION, requires=[f"shared=={version}"])
    with (
        rldlib.LocalDaemon(wheels=tmp_path / "1.0", root=tmp_path / "one") as one,
        rldlib.LocalDaemon(wheels=tmp_path / "2.0", root=tmp_path / "two") as two,
    ):
        assert (one.acquire("echo").dependency(), two.acquire("echo").dependency()) == ("1.0", "2.0")
        assert not [path for path in (tmp_path / "one").rglob("*") if "shared-2.0" in str(path)]


def test_a_damaged_environment_of_one_domain_heals_and_the_other_is_left_alone(tmp_path):
    service_wheel(tmp_path / "wheels")
    for root in ("one", "two"):
        rld_json("acquire", "echo", "--wheels", tmp_path / "wheels", "--root", tmp_path / root)
    (other,) = (tmp_path / "two" / "environments").iterdir()
    untouched = other.stat().st_ino
    for module in (tmp_path / "one").rglob("environments/*/lib/*/*/rld_echo.py"):
        module.write_text("raise ImportError('damaged')\n")

    assert rld_json("call", "echo", "echo", "value=1", "--root", tmp_path / "two")["result"] == 1
    assert rld_json("call", "echo", "echo", "value=1", "--root", tmp_path / "one")["result"] == 1
    (told,) = rld_json("why", "echo", "--root", tmp_path / "one")[-1]["notes"]
    assert "rld_echo.py); it was built again" in told
    assert other.stat().st_ino == untouched


def test_a_service_that_fails_by_itself_is_started_once(tmp_path):
    """Only where files differ from what was installed is there anything to try again."""
    starts = tmp_path / "starts"
    code = f"open({str(starts)!r}, 'a').write('x')\nraise ImportError('by itself')\n"
    service_wheel(tmp_path / "wheels", code=code)

    error = rld_json(
        "call", "echo", "echo", "--wheels", tmp_path / "wheels", "--root", tmp_path / "root", status=7
    )["error"]

    assert "by itself" in error["message"]
    assert starts.read_text() == "x"


def test_a_required_resource_of_an_unknown_kind_is_refused_and_an_optional_one_is_skipped_and_said(tmp_path):
    known = {"sha256": hashlib.sha256(b"x").hexdigest(), "size": 1}
    service_wheel(tmp_path / "wheels", "strict", resources=[{"name": "m", "kind": "x-model", **known}])
    service_wheel(
        tmp_path / "wheels",
        "lenient",
        resources=[{"name": "m", "kind": "x-model", "required": False, **known}],
    )
    told = []

    class Listening(rldlib.Reporter):
        def noted(self, service, text):
            told.append(f"{service}: {text}")

    with rldlib.LocalDaemon(
        wheels=tmp_path / "wheels", root=tmp_path / "root", reporter=Listening()
    ) as daemon:
        with pytest.raises(rldlib.ProfileError, match="x-model"):
            daemon.acquire("strict")
        assert daemon.acquire("lenient").echo(value=1) == 1

    assert any(line.startswith("lenient: m: optional x-model skipped") for line in told)


def test_a_secret_is_refused_before_anything_is_fetched(tmp_path):
    secret = {"name": "key", "kind": "secret", "authority": "ab" * 32, "target": "keys/key"}
    service_wheel(tmp_path / "wheels", resources=[secret])
    with (
        rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "root") as daemon,
        pytest.raises(rldlib.ResourceUnavailableError, match="key"),
    ):
        daemon.acquire("echo")
    assert not (tmp_path / "root" / "store").exists()


@pytest.mark.parametrize("level", ["default", "strict"])
def test_an_isolation_that_cannot_be_held_is_refused_not_weakened(level, tmp_path):
    service_wheel(tmp_path / "wheels", isolation={"level": level})
    with (
        rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "root") as daemon,
        pytest.raises(rldlib.ResourceUnavailableError, match=f"isolation {level}"),
    ):
        daemon.acquire("echo")
    assert not (tmp_path / "root" / "store").exists()


def test_two_processes_that_ask_at_once_both_get_an_answer_from_one_environment(tmp_path):
    service_wheel(tmp_path / "wheels")
    command = [sys.executable, "-m", "rldlib", "call", "echo", "echo", "value=1", "--json"]
    command += ["--wheels", str(tmp_path / "wheels"), "--root", str(tmp_path / "root")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    answers = [process.communicate(timeout=60)[0] for process in processes]

    assert [process.returncode for process in processes] == [0] * 4
    assert len(set(answers)) == 4
    assert len(list((tmp_path / "root" / "environments").iterdir())) == 1


def test_ps_shows_what_every_process_holds_and_gc_spares_it(tmp_path, host_dir):
    service_wheel(tmp_path / "wheels", demand={"memory_peak_bytes": 1024})
    with rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "root") as daemon:
        echo = daemon.acquire("echo")

        (row,) = rld_json("ps")
        collected = rld_json("gc", "--root", tmp_path / "root")

        assert (row["service"], row["worker_pid"], row["memory_bytes"]) == ("echo", echo.worker["pid"], 1024)
        assert not [path for path in collected["removed"] if "environments" in path]
        assert echo.echo(value=1) == 1
    assert rld_json("ps") == []


def test_two_daemons_never_promise_the_same_memory_twice(tmp_path, host_dir):
    most = rldlib.Policy(memory_limit_bytes=1000)
    service_wheel(tmp_path / "wheels", demand={"memory_peak_bytes": 600})
    with (
        rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "one", policy=most) as one,
        rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "two", policy=most) as two,
    ):
        one.acquire("echo")
        with pytest.raises(rldlib.CapacityError, match="memory_peak_bytes"):
            two.acquire("echo")
        one.close()

        assert two.acquire("echo").echo(value=1) == 1


def test_a_service_that_needs_a_hardware_function_nobody_has_is_refused_by_its_name(tmp_path):
    service_wheel(tmp_path / "wheels", demand={"hardware": ["warp-drive"], "devices": ["flux"]})
    with (
        rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "root") as daemon,
        pytest.raises(rldlib.CapacityError, match=r"warp-drive.*flux"),
    ):
        daemon.acquire("echo")


def test_a_closed_daemon_and_two_sources_are_refused(tmp_path):
    daemon = rldlib.LocalDaemon(wheels=tmp_path, root=tmp_path / "root")
    daemon.close()
    daemon.close()

    with pytest.raises(rldlib.UsageError, match="closed"):
        daemon.acquire("echo")
    with pytest.raises(rldlib.UsageError, match="name one"):
        rldlib.LocalDaemon(wheels=tmp_path, index_url="http://127.0.0.1/simple/")


def test_another_version_than_the_running_one_is_refused_until_it_is_released(tmp_path):
    service_wheel(tmp_path / "wheels")
    with rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "root") as daemon:
        daemon.acquire("echo")
        service_wheel(tmp_path / "wheels", "echo", "2.0")
        with pytest.raises(rldlib.UsageError, match="release it first"):
            daemon.acquire("echo>=2")
        daemon.release("echo")

        assert daemon.acquire("echo>=2").version == "2.0"


def test_a_retained_worker_is_stopped_once_it_was_idle_for_its_time(tmp_path):
    service_wheel(tmp_path / "wheels", life={"idle_s": 0.05})
    with rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "root") as daemon:
        echo = daemon.acquire("echo")
        pid = echo.worker["pid"]
        watched = os.pidfd_open(pid)
        echo.release()

        ended, _, _ = select.select([watched], [], [], 10)
        os.close(watched)
        assert ended
        assert daemon.acquire("echo").worker["pid"] != pid
