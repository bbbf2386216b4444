"""Scores: what the suite measures, and how scores are kept."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

from rldlib.adapters import kernels
from rldlib.adapters.scores import Scores
from rldlib.errors import StorageError, UnavailableError
from rldlib.values.interpreter import Interpreter
from rldlib.values.score import SUITE, Score, conservative_score


def interpreter(executable=sys.executable, version="3.11.0"):
    return Interpreter(executable=str(executable), version=Version(version), tags=(), markers={})


@pytest.fixture
def answering(tmp_path):
    """An interpreter that is none: it answers whatever it is told to."""

    def build(script):
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return interpreter(path)

    return build


# What each kernel but the last computes, on every Python.
FROZEN = [75066, 4027, 440, 8126, 219]
GOOD = {
    "suite": SUITE,
    "rcu": 812.4,
    "spread": 0.01234,
    "rounds": 9,
    "kernels_us": {"json": 1.5},
}


def test_a_host_is_not_scored_by_looking(tmp_path):
    assert Scores(tmp_path / "host").find(interpreter()) is None
    assert not (tmp_path / "host").exists()


@pytest.mark.slow
def test_a_measured_score_is_kept_and_found(tmp_path):
    measured = Scores(tmp_path).measure(interpreter())
    assert measured.measured
    assert 20 < measured.rcu < 20_000
    assert 0 <= measured.spread < 1
    assert measured.kernels_us.keys() == kernels.REFERENCE_US.keys()
    assert measured.rounds >= kernels.MIN_ROUNDS
    assert Scores(tmp_path).find(interpreter()) == measured
    assert json.loads(json.dumps(measured.facts()))["rcu"] == measured.rcu


def test_a_score_holds_for_its_interpreter_only(tmp_path, answering):
    one = answering(f"echo '{json.dumps(GOOD)}'")
    scores = Scores(tmp_path)
    score = scores.measure(one)
    assert (score.rcu, score.spread, score.python) == (812, 0.0123, "3.11.0")
    assert scores.find(one) == score
    assert scores.find(interpreter(one.executable, "3.11.1")) is None
    assert scores.find(interpreter(one.executable + "x")) is None


def test_a_score_holds_for_its_processor_only(tmp_path, answering, monkeypatch):
    one = answering(f"echo '{json.dumps(GOOD)}'")
    Scores(tmp_path).measure(one)
    monkeypatch.setattr("rldlib.adapters.scores._processor", lambda: "another")
    assert Scores(tmp_path).find(one) is None


@pytest.mark.parametrize(
    "kept", [b"", b"[]", b"{}", b'{"rcu": 0}', b'{"rcu": 5, "suite": 99}', b"\xff{", b"{"]
)
def test_a_damaged_score_is_none_and_is_measured_again(tmp_path, answering, kept):
    one, scores = answering(f"echo '{json.dumps(GOOD)}'"), Scores(tmp_path)
    scores.measure(one)
    (file,) = (tmp_path / "scores").iterdir()
    file.write_bytes(kept)
    assert scores.find(one) is None
    assert scores.measure(one).rcu == 812
    assert scores.find(one).rcu == 812


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 3", "status 3, no output"),
        ("echo first >&2; echo no module named zlib >&2; exit 1", "no module named zlib"),
        ("echo hello", "was no score"),
        (f"echo '{json.dumps(GOOD | {'rcu': 'inf'})}'", "was no score"),
        (f"echo '{json.dumps(GOOD | {'rcu': -1})}'", "was no score"),
        (f"echo '{json.dumps(GOOD | {'suite': 2})}'", "was no score"),
        ("echo '[]'", "was no score"),
    ],
)
def test_an_interpreter_that_does_not_run_the_suite_gets_no_score(tmp_path, answering, script, told):
    one = answering(script)
    with pytest.raises(UnavailableError, match=told):
        Scores(tmp_path).measure(one)
    assert list((tmp_path / "scores").iterdir()) == []


def test_an_interpreter_that_is_not_there_gets_no_score(tmp_path):
    with pytest.raises(UnavailableError, match="could not be scored"):
        Scores(tmp_path).measure(interpreter(tmp_path / "none"))


def test_a_score_that_cannot_be_kept_is_told_with_its_path(tmp_path):
    (tmp_path / "scores").touch()
    with pytest.raises(StorageError, match="scores"):
        Scores(tmp_path).measure(interpreter())


def test_an_unmeasured_score_says_so():
    assert "assumed" in str(conservative_score())
    assert str(Score(rcu=1234, spread=0.01, taken="now")) == "1,234 RCU +-1.0%, measured now"
    with pytest.raises(ValueError, match="at least 1"):
        Score(rcu=0)


def test_reference_times_score_1000():
    assert kernels.score_rcu(kernels.REFERENCE_US) == pytest.approx(1000)
    assert kernels.score_rcu({name: us / 2 for name, us in kernels.REFERENCE_US.items()}) == pytest.approx(
        2000
    )


def test_the_suite_is_frozen():
    """Other figures are another suite: profiles measured with this one would no longer mean the same."""
    assert kernels.SUITE == SUITE == 1
    assert [kernel() for _, kernel in kernels.KERNELS[:5]] == FROZEN
    assert kernels.REFERENCE_US == {
        "bytecode": 1000,
        "containers": 980,
        "json": 940,
        "regex": 930,
        "native": 980,
        "float": 990,
    }


def test_the_spread_is_what_two_halves_disagree_by():
    steady = {name: [us, us, us, us] for name, us in kernels.REFERENCE_US.items()}
    assert kernels.result(steady)["spread"] == 0
    disturbed = {name: [us, us * 1.1, us, us * 1.2] for name, us in kernels.REFERENCE_US.items()}
    answer = kernels.result(disturbed)
    assert answer["rcu"] == pytest.approx(1000)
    assert answer["spread"] == pytest.approx(1 - 1 / 1.1)


def test_every_kernel_runs_in_every_round():
    times = kernels.rounds(duration_s=0)
    assert {len(series) for series in times.values()} == {kernels.MIN_ROUNDS}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["python3.10", "python3.11", "python3.12", "python3.13"])
def test_the_suite_runs_alone_on_every_python(name, tmp_path):
    found = shutil.which(name)
    # What is on PATH may be a version manager's script: the interpreter itself says where it lies.
    asked = found and subprocess.run(
        [found, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True, check=False
    )
    if not asked or asked.returncode:
        pytest.skip(f"{name} is not installed")
    command = [asked.stdout.strip(), "-I", "-S", str(Path(kernels.__file__))]
    done = subprocess.run(command, capture_output=True, check=True, cwd=tmp_path, env={})
    assert json.loads(done.stdout)["rcu"] > 20
    assert done.stderr == b""
