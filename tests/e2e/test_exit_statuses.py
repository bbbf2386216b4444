"""Every exit status of the command line, each from something real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import rld, rld_json, service_wheel

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def wheels(tmp_path):
    folder = tmp_path / "wheels"
    service_wheel(folder)
    service_wheel(
        folder, "greedy", demand={"memory_peak_bytes": 2**50, "disk_bytes": 2**50, "hardware": ["warp"]}
    )
    service_wheel(folder, "orphan", requires=["nowhere-to-be-found>=1"])
    service_wheel(folder, "future", requires_python=">=3.99")
    service_wheel(folder, "mute", code="import sys; sys.exit(0)")
    return folder


def _files(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if "journal" not in path.name)


def test_0_a_call_prints_one_document_with_the_promised_fields(wheels, tmp_path):
    told = rld_json("call", "echo", "double", "amount=19.99", "--wheels", wheels, "--root", tmp_path / "root")

    assert set(told) == {"service", "version", "operation", "result", "placement", "worker", "steps"}
    assert (told["service"], told["version"], told["operation"]) == ("echo", "1.0", "double")
    assert (told["result"], told["placement"]) == ("39.98", "local")
    assert set(told["worker"]) == {"pid", "python", "environment"}
    assert Path(told["worker"]["environment"]).is_absolute()
    assert [step["name"] for step in told["steps"]] == [
        "ask", "decide", "lock", "promise", "fetch", "environment", "start", "call",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["call", "echo"], "OPERATION", id="usage"),
        pytest.param(["nonsense"], "no command 'nonsense'", id="no such command"),
        pytest.param(["call", "not a name", "echo"], "is no request", id="no request"),
        pytest.param(["call", "echo", "double"], "amount", id="an argument is missing"),
        pytest.param(["call", "echo", "double", "amount=lots"], "amount", id="an argument does not fit"),
        pytest.param(["call", "echo", "double", "amount=1", "other=2"], "other", id="an argument too many"),
    ],
)
def test_2_what_cannot_be_asked_is_told_before_anything_is_sent(arguments, told, wheels, tmp_path):
    error = rld_json(*arguments, "--wheels", wheels, "--root", tmp_path / "root", status=2)["error"]

    assert told in error["message"]


def test_2_without_a_source_the_options_are_named(tmp_path):
    error = rld_json("call", "echo", "echo", "value=1", "--root", tmp_path / "root", status=2)["error"]

    assert "--index-url" in error["message"]
    assert "--wheels" in error["message"]
    assert _files(tmp_path) == []


def test_3_a_refusal_names_every_shortfall_and_changes_nothing(wheels, tmp_path):
    error = rld_json(
        "call", "greedy", "echo", "value=1", "--wheels", wheels, "--root", tmp_path / "root", status=3
    )["error"]

    lacking = {row["resource"]: row for row in error["shortfalls"]}
    assert set(lacking) == {"memory_peak_bytes", "disk_bytes", "hardware"}
    assert lacking["memory_peak_bytes"]["needed"] == 2**50
    assert 0 < lacking["memory_peak_bytes"]["available"] < 2**50
    assert _files(tmp_path / "root") == [] if (tmp_path / "root").exists() else True


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["call", "unknown", "echo"], "no service unknown", id="service"),
        pytest.param(["call", "echo>=9", "echo"], "no version satisfies", id="version"),
        pytest.param(["call", "echo", "sing"], "no operation sing", id="operation"),
        pytest.param(["call", "orphan", "echo"], "nowhere-to-be-found", id="dependency"),
        pytest.param(["call", "future", "echo"], "3.99", id="interpreter"),
        pytest.param(["release", "echo"], "nothing of it", id="nothing to release"),
        pytest.param(["logs", "echo"], "no log", id="no log"),
        pytest.param(["lock", "echo"], "no lock", id="no lock"),
        pytest.param(["why", "echo"], "nothing was decided", id="no decision"),
    ],
)
def test_4_what_is_unknown_is_told_with_what_there_is(arguments, told, wheels, tmp_path):
    error = rld_json(*arguments, "--wheels", wheels, "--root", tmp_path / "root", status=4)["error"]

    assert told in error["message"]


def test_4_a_source_that_is_not_there_is_unavailable(tmp_path):
    gone = rld_json(
        "call", "echo", "echo", "--wheels", tmp_path / "gone", "--root", tmp_path / "root", status=4
    )
    dead = rld_json(
        "call",
        "echo",
        "echo",
        "--index-url",
        "http://127.0.0.1:9/simple/",
        "--root",
        tmp_path / "r",
        status=4,
    )

    assert "gone" in gone["error"]["message"]
    assert "127.0.0.1:9" in dead["error"]["message"]


def test_5_what_is_not_what_it_says_is_refused(wheels, tmp_path):
    service_wheel(wheels, "liar", memory="lots")
    (wheels / "rld_broken-1.0-py3-none-any.whl").write_bytes(b"no wheel")

    malformed = rld("profile", wheels / "rld_liar-1.0-py3-none-any.whl")
    no_wheel = rld(
        "check", wheels / "rld_broken-1.0-py3-none-any.whl", wheels / "rld_echo-1.0-py3-none-any.whl"
    )
    called = rld("call", "broken", "echo", "--wheels", wheels, "--root", tmp_path / "root")

    assert (malformed.returncode, no_wheel.returncode, called.returncode) == (5, 5, 5)
    assert "memory" in malformed.stderr


def test_6_what_the_service_raised_comes_with_its_traceback(wheels, tmp_path):
    error = rld_json(
        "call", "echo", "fail", "text=no luck", "--wheels", wheels, "--root", tmp_path / "root", status=6
    )["error"]

    assert error["type"] == "ServiceFaultError"
    assert (error["fault_type"], error["fault_message"]) == ("ValueError", "no luck")
    assert "raise ValueError(text)" in error["traceback"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["leave", "status=0"], "exited with status 0", id="quits quietly"),
        pytest.param(["leave", "status=3"], "exited with status 3", id="quits with an error"),
        pytest.param(["kill"], "killed by SIGKILL", id="killed"),
        pytest.param(["wait", "seconds=60", "--deadline", "0.2"], "no reply within 0.2 s", id="deadline"),
    ],
)
def test_7_a_lost_worker_and_a_passed_deadline(arguments, told, wheels, tmp_path):
    error = rld_json("call", "echo", *arguments, "--wheels", wheels, "--root", tmp_path / "root", status=7)[
        "error"
    ]

    assert told in error["message"]


def test_7_a_worker_that_never_gets_ready(wheels, tmp_path):
    error = rld_json("call", "mute", "echo", "--wheels", wheels, "--root", tmp_path / "root", status=7)[
        "error"
    ]

    assert error["type"] == "WorkerStartError"


# Whoever starts the tests in the background has SIGINT ignored; a user at a terminal has not.
_AT_A_TERMINAL = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from rldlib.cli.main import main; sys.exit(main())"
)
_WAITING = """
import os, time
from rldlib.plugin import Service, operation


class Echo(Service):
    @operation
    def wait(self):
        with open(os.environ["HOME"] + "/worker", "w") as told:
            told.write(str(os.getpid()))
        time.sleep(600)
"""


def test_130_an_interruption_ends_the_command_and_its_worker(tmp_path):
    service_wheel(tmp_path / "wheels", code=_WAITING)
    os.mkfifo(tmp_path / "worker")
    command = [sys.executable, "-c", _AT_A_TERMINAL, "call", "echo", "wait"]
    command += ["--wheels", str(tmp_path / "wheels"), "--root", str(tmp_path / "root")]
    environment = {**os.environ, "HOME": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        pid = int((tmp_path / "worker").read_text())

        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)

    assert process.returncode == 130
    assert b"interrupted" in stderr
    assert not Path(f"/proc/{pid}").exists()


def test_json_is_one_document_also_for_an_error_of_usage():
    done = rld("--json", "call")

    assert done.returncode == 2
    assert set(json.loads(done.stdout)["error"]) >= {"type", "message"}
