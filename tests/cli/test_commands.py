"""The commands in this process, each with what it prints for people and for programs."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest
from tests import services
from tests.services import service_wheel
from tests.wheels import make_wheel

from rldlib.cli import main as cli
from rldlib.cli.outcome import Outcome, table
from rldlib.cli.progress import PlainProgress, TerminalProgress, progress


@pytest.fixture
def wheels(tmp_path):
    service_wheel(tmp_path / "wheels")
    return tmp_path / "wheels"


@pytest.fixture
def rld(tmp_path, capfd):
    """Run a command against a root of the test's own: exit status, stdout, stderr."""

    def run(*arguments):
        status = cli.main([*map(str, arguments), "--root", str(tmp_path / "root")])
        said = capfd.readouterr()
        return status, said.out, said.err

    return run


def test_a_service_is_acquired_called_explained_locked_and_released(rld, wheels):
    assert rld("acquire", "echo", "--wheels", wheels)[0] == 0
    status, out, _ = rld("call", "echo", "double", "amount=1.5")
    assert (status, out) == (0, "3.0\n")
    assert "trust: index" in rld("why", "echo")[1]
    assert 'service = "echo"' in rld("lock", "echo")[1]
    assert rld("logs", "echo") == (0, "", "")
    assert "echo released" in rld("release", "echo")[1]
    assert rld("release", "echo")[0] == 4


def test_a_stream_is_printed_as_a_list(rld, wheels):
    assert json.loads(rld("call", "echo", "count", "to=3", "--wheels", wheels)[1]) == [0, 1, 2]


@pytest.mark.slow
def test_what_cannot_be_encoded_is_printed_escaped(wheels, tmp_path):
    """Half a character is text for Python and JSON, but not for any file: the call was good, and says so."""
    call = ["call", "echo", "echo", "--args", r'{"value": "half \ud800"}', "--wheels", wheels]
    call += ["--root", tmp_path / "root"]

    plain, as_json = services.rld(*call), services.rld(*call, "--json")
    narrow = services.rld(*call[:4], '{"value": "\u00e9"}', *call[5:], PYTHONIOENCODING="ascii")

    assert (plain.returncode, plain.stdout, plain.stderr) == (0, "half \\ud800\n", "")
    assert (as_json.returncode, json.loads(as_json.stdout)["result"]) == (0, "half \ud800")
    assert (narrow.returncode, narrow.stdout) == (0, "\\xe9\n")


def test_the_output_of_a_service_is_printed(rld, wheels):
    rld("call", "echo", "say", "text=hello", "--wheels", wheels)

    status, out, _ = rld("logs", "echo", "--json")

    assert (status, json.loads(out)) == (0, {"service": "echo", "log": "hello\n"})


def test_gc_frees_what_nothing_uses_and_keeps_the_lock(rld, wheels):
    rld("acquire", "echo", "--wheels", wheels)

    freed = json.loads(rld("gc", "--json")[1])

    assert freed["freed_bytes"] > 0
    assert any("environments" in path for path in freed["removed"])
    assert rld("lock", "echo")[0] == 0
    assert json.loads(rld("gc", "--json")[1]) == {"removed": [], "freed_bytes": 0}


def test_nothing_runs_on_a_fresh_host(rld, host_dir):
    assert rld("ps") == (0, "nothing runs on this host\n", "")
    assert json.loads(rld("ps", "--json")[1]) == []


def test_room_is_told_with_how_it_came_about(rld):
    document = json.loads(rld("room", "--json")[1])
    text = rld("room")[1]

    assert document["room"]["memory_bytes"] > 0
    assert "how the figures came about" in text
    assert "processor:" in text


def test_a_profile_is_printed_byte_for_byte(rld, wheels):
    wheel = next(wheels.iterdir())
    stamped = b'{"schema": 1, "service": "echo", "version": "1.0"}'

    assert rld("profile", wheel)[1] == rld("profile", wheel, "--json")[1] == stamped.decode()
    assert rld("profile", "echo", "--wheels", wheels, "--json")[1] == stamped.decode()


def test_a_wheel_without_a_profile_is_told_apart_from_a_malformed_one(rld, tmp_path):
    plain = make_wheel(tmp_path, "plain", "1.0")
    broken = service_wheel(tmp_path, "liar", memory="lots")

    assert rld("profile", plain)[0] == 4
    assert rld("profile", broken)[0] == 5
    assert rld("profile", tmp_path / "gone.whl")[0] == 2


def test_a_wheel_is_stamped_and_checked(rld, tmp_path):
    wheel = make_wheel(tmp_path, "rld-new", "2.0", entry_points={"rldlib.services": {"new": "new:New"}})
    profile = tmp_path / "rldlib.json"
    profile.write_text('{"schema": 1, "service": "new", "version": "2.0"}')

    assert json.loads(rld("stamp", wheel, "--profile", profile, "--json")[1])["service"] == "new"
    assert rld("check", wheel) == (0, f"{wheel}: accepted\n", "")
    assert rld("stamp", tmp_path / "gone.whl", "--profile", profile)[0] == 2


def test_check_is_5_if_any_wheel_is_refused_and_names_every_fault(rld, tmp_path):
    good, bad = (
        make_wheel(tmp_path, "good", "1.0"),
        make_wheel(tmp_path, "bad", "1.0", files={"evil.pth": "import os\n"}),
    )
    liar = service_wheel(tmp_path, "liar", memory="lots")

    status, out, _ = rld("check", good, bad, liar, "--json")

    rows = {row["wheel"]: row for row in json.loads(out)}
    assert status == 5
    assert [rows[str(wheel)]["accepted"] for wheel in (good, bad, liar)] == [True, False, False]
    assert any("pth" in fault for fault in rows[str(bad)]["faults"])
    assert any(fault.startswith("profile:") for fault in rows[str(liar)]["faults"])
    assert rld("check", tmp_path / "gone.whl")[0] == 2


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["call"], ["call", "--unknown"], ["index", "/nowhere"], ["build", "/nowhere"]],
)
def test_wrong_usage_is_one_line_that_names_the_help_or_the_cause(arguments, capfd):
    assert cli.main(arguments) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith("rld: ")


def test_options_may_stand_before_the_command_and_between_the_arguments(wheels, tmp_path, capfd):
    root = ["--root", str(tmp_path / "root")]

    assert cli.main(["--wheels", str(wheels), *root, "call", "echo", "double", "--json", "amount=2"]) == 0
    assert json.loads(capfd.readouterr().out)["result"] == "4"


@pytest.mark.parametrize(
    ("raised", "status", "told"),
    [(RuntimeError("oops"), 1, "please report"), (KeyboardInterrupt(), 130, "interrupted")],
)
def test_a_bug_and_an_interruption_have_ends_of_their_own(raised, status, told, monkeypatch, capfd):
    def fail(_):
        raise raised

    monkeypatch.setattr(cli, "_run", fail)

    assert cli.main(["ps"]) == status
    assert told in capfd.readouterr().err


def test_a_bug_is_one_json_document_too(monkeypatch, capfd):
    def fail(_):
        raise RuntimeError("oops")

    monkeypatch.setattr(cli, "_run", fail)

    assert cli.main(["ps", "--json"]) == 1
    assert json.loads(capfd.readouterr().out) == {"error": {"type": "RuntimeError", "message": "oops"}}


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_error(wheels):
    """As in `rld ... | head -1`: the other end of the pipe is closed before we write."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "rldlib", "--help"], stdout=closed, stderr=subprocess.PIPE, check=False
        )

    assert b"Traceback" not in done.stderr


def test_rows_are_aligned():
    assert table([{"a": 1, "b": "x"}, {"a": 100}], {"a": "A", "b": "B"}) == "A    B\n1    x\n100"


def test_a_document_of_bytes_is_written_as_it_is(capfdbinary):
    Outcome(document=None, text=b"\xff\x00").write(as_json=False)

    assert capfdbinary.readouterr().out == b"\xff\x00"


def test_plain_progress_tells_what_took_its_time(capsys):
    told = PlainProgress()
    told.step_began("tax", "fetch")
    told.step_ended("tax", "fetch", 1.25)
    told.step_ended("tax", "ask", 0.01)
    told.noted("tax", "an optional resource was skipped")
    told.close()

    assert (
        capsys.readouterr().err == "tax: fetching its wheels: 1.2 s\ntax: an optional resource was skipped\n"
    )


def test_a_terminal_shows_a_line_that_moves_and_is_gone_afterwards():
    console = pytest.importorskip("rich.console")
    screen = io.StringIO()
    told = TerminalProgress(console.Console(file=screen, force_terminal=True).status(""))
    told.step_began("tax", "fetch")
    told.bytes_fetched("numpy.whl", 500_000, 2_000_000)
    told.bytes_fetched("endless", 500_000, None)
    told.step_ended("tax", "fetch", 0.1)
    told.close()

    assert "endless: 0.5 MB" in screen.getvalue()


def test_progress_is_plain_where_stderr_is_no_terminal():
    assert type(progress()) is PlainProgress
