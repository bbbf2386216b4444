"""The interpreters of a host: found wherever they lie, asked once, never waited for."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import venv
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.tags import sys_tags
from packaging.version import Version

from rldlib.adapters.interpreters import Interpreters
from rldlib.adapters.interpreters.whereabouts import candidates

OWN = os.path.realpath(sys._base_executable)


@pytest.fixture(autouse=True)
def _no_system_folders(monkeypatch):
    """Only what a test names is found, besides the interpreter that runs it."""
    monkeypatch.setattr("rldlib.adapters.interpreters.whereabouts._FOLDERS", ())
    monkeypatch.setattr("rldlib.adapters.interpreters.whereabouts._OPTIONAL", "/nonexistent")


@pytest.fixture
def find(tmp_path):
    def found(deadline_s=5.0, **environment):
        environment = {"HOME": str(tmp_path / "home"), "PATH": ""} | environment
        return Interpreters(tmp_path / "host", environment=environment, probe_deadline_s=deadline_s).all()

    return found


def _script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\nPATH=/usr/bin:/bin\n" + text)
    path.chmod(0o755)
    return path


def _answering(path, version="3.12.9", asked=None, **changed):
    """A program that answers as an interpreter of another version would."""
    tags = {"platforms": [["linux_x86_64"], ["any"]], "tags": [["cp312", "cp312", 0], ["py3", "none", 1]]}
    answer = {
        "executable": str(path),
        "version": version,
        "implementation": "cpython",
        "complete": True,
        "markers": dict(default_environment()),
        **tags,
        **changed,
    }
    note = f"echo x >> '{asked}'\n" if asked else ""
    return _script(path, f"{note}cat <<'END'\n{json.dumps(answer)}\nEND\n")


def test_the_own_interpreter_is_always_there_and_first(find, tmp_path):
    _answering(tmp_path / "bin" / "python3", "3.19.0")
    own, newer = find(PATH=str(tmp_path / "bin"))

    assert own.own
    assert own.executable == OWN
    assert newer.version == Version("3.19.0")
    assert not newer.own


def test_tags_and_markers_are_those_of_packaging(find):
    (own,) = find()

    assert own.tags == tuple(sys_tags())
    assert own.markers == default_environment()
    assert own.version == Version(default_environment()["python_full_version"])


@pytest.mark.parametrize(
    "place",
    [
        "home/.pyenv/versions/x/bin/python3",
        "home/.local/share/uv/python/cpython-x/bin/python3",
        "bin/python3",
        "bin/python3.13",
    ],
)
def test_interpreters_are_found_where_people_keep_them(place, find, tmp_path):
    _answering(tmp_path / place)
    assert [one.executable for one in find(PATH=str(tmp_path / "bin"))] == [OWN, str(tmp_path / place)]


def test_interpreters_are_found_where_the_host_says(find, tmp_path):
    one, two = _answering(tmp_path / "a" / "py"), _answering(tmp_path / "b" / "py", "3.13.1")
    found = find(RLDLIB_PYTHONS=os.pathsep.join([str(one), str(two), "", "relative/python"]))
    assert [one.executable for one in found[1:]] == [str(two), str(one)]


def test_the_root_of_pyenv_is_honoured(find, tmp_path):
    there = _answering(tmp_path / "elsewhere" / "versions" / "x" / "bin" / "python3")
    assert find(PYENV_ROOT=str(tmp_path / "elsewhere"))[1].executable == str(there)


def test_the_shims_on_path_lead_to_their_pyenv_whatever_the_home(find, tmp_path):
    there = _answering(tmp_path / "elsewhere" / "versions" / "x" / "bin" / "python3")
    _script(tmp_path / "elsewhere" / "shims" / "python3", f"touch '{tmp_path}/ran'\n")
    assert find(PATH=str(tmp_path / "elsewhere" / "shims"))[1].executable == str(there)
    assert not (tmp_path / "ran").exists()


def test_links_and_virtualenvs_lead_to_one_base_interpreter(find, tmp_path):
    venv.create(tmp_path / "env")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(OWN)
    folders = os.pathsep.join([str(tmp_path / "bin"), str(tmp_path / "env" / "bin")])
    assert [one.executable for one in find(PATH=folders)] == [OWN]


def test_a_shim_of_pyenv_is_not_run(find, tmp_path):
    _script(tmp_path / "home" / ".pyenv" / "shims" / "python3", f"touch '{tmp_path}/ran'\n")
    find(PATH=str(tmp_path / "home" / ".pyenv" / "shims"))
    assert not (tmp_path / "ran").exists()


def test_another_shim_leads_to_what_it_starts(find, tmp_path):
    _script(tmp_path / "bin" / "python3", f'exec "{OWN}" "$@"\n')
    assert [one.executable for one in find(PATH=str(tmp_path / "bin"))] == [OWN]


@pytest.mark.parametrize(
    "candidate",
    [
        pytest.param(lambda path: _answering(path, "3.9.18"), id="too old"),
        pytest.param(lambda path: _answering(path, implementation="pypy"), id="not CPython"),
        pytest.param(lambda path: _answering(path, complete=False), id="without a whole standard library"),
        pytest.param(lambda path: _script(path, "exit 1\n"), id="broken"),
        pytest.param(lambda path: _script(path, "echo hello\n"), id="something else"),
        pytest.param(lambda path: _script(path, "echo '[]'\n"), id="something else in JSON"),
        pytest.param(lambda path: _answering(path, tags=[]), id="without tags"),
        pytest.param(lambda path: _answering(path, tags=[["cp312", "cp312", 7]]), id="contradictory"),
        pytest.param(lambda path: _answering(path, version="new"), id="of no version"),
        pytest.param(lambda path: _script(path, "yes | head -c 3000000\n"), id="talkative"),
        pytest.param(lambda path: path.touch(), id="not executable"),
        pytest.param(lambda path: path.mkdir(), id="a folder"),
        pytest.param(lambda path: path.symlink_to("nowhere"), id="a dead link"),
    ],
)
def test_what_cannot_be_used_is_skipped(candidate, find, tmp_path):
    (tmp_path / "bin").mkdir()
    candidate(tmp_path / "bin" / "python3")

    assert [one.executable for one in find(PATH=str(tmp_path / "bin"))] == [OWN]
    assert [one.executable for one in find(PATH=str(tmp_path / "bin"))] == [OWN]


def test_what_is_too_old_by_its_name_is_not_even_asked(tmp_path):
    old = _script(tmp_path / "bin" / "python3.9", "exit 1\n")
    (tmp_path / "bin" / "python3").symlink_to(old)
    assert list(candidates({"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")})) == [OWN]


@pytest.mark.slow
def test_a_candidate_that_hangs_is_killed_with_all_it_started(find, tmp_path):
    _script(tmp_path / "bin" / "python3", f"sleep 600 & echo $! > '{tmp_path}/child'\nsleep 600\n")
    began = time.monotonic()

    # Long enough for the one that does answer, on a busy machine too.
    found = find(deadline_s=2, PATH=str(tmp_path / "bin"))

    assert time.monotonic() - began < 60
    assert [one.executable for one in found] == [OWN]
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 5
    while _runs(child) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert not _runs(child)


@pytest.mark.slow
def test_a_candidate_that_hung_is_asked_again_later_and_not_at_once(find, tmp_path):
    path = _script(tmp_path / "bin" / "python3", f"echo x >> '{tmp_path}/asked'\nsleep 600\n")
    find(deadline_s=0.2, PATH=str(tmp_path / "bin"))
    find(deadline_s=0.2, PATH=str(tmp_path / "bin"))
    assert (tmp_path / "asked").read_text().split() == ["x"]

    kept = tmp_path / "host" / "interpreters.json"
    answers = json.loads(kept.read_text())
    next(answer for key, answer in answers["answers"].items() if key.endswith(str(path)))["silent_at"] -= 4000
    kept.write_text(json.dumps(answers))
    find(deadline_s=0.2, PATH=str(tmp_path / "bin"))
    assert (tmp_path / "asked").read_text().split() == ["x", "x"]


def test_each_is_asked_once_and_again_when_it_changed(find, tmp_path):
    asked = tmp_path / "asked"
    path = _answering(tmp_path / "bin" / "python3", "3.12.1", asked)
    for _ in range(3):
        assert find(PATH=str(tmp_path / "bin"))[1].version == Version("3.12.1")
    assert asked.read_text().split() == ["x"]

    _answering(path, "3.12.10", asked)
    assert find(PATH=str(tmp_path / "bin"))[1].version == Version("3.12.10")
    assert asked.read_text().split() == ["x", "x"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"format": 1}',
        b'{"format": 1, "answers": []}',
        b'{"format": 0, "answers": {}}',
    ],
)
def test_answers_that_are_damaged_are_asked_for_again(content, find, tmp_path):
    find()
    (tmp_path / "host" / "interpreters.json").write_bytes(content)
    assert [one.executable for one in find()] == [OWN]
    assert json.loads((tmp_path / "host" / "interpreters.json").read_bytes())["format"] == 1


@pytest.mark.parametrize(
    "answer", [None, 7, {}, {"executable": 1}, {"silent_at": "soon"}, {"silent_at": 1e12}]
)
def test_one_answer_that_is_damaged_is_asked_for_again(answer, find, tmp_path):
    find()
    kept = tmp_path / "host" / "interpreters.json"
    answers = json.loads(kept.read_bytes())
    answers["answers"] = dict.fromkeys(answers["answers"], answer)
    kept.write_text(json.dumps(answers))
    assert [one.executable for one in find()] == [OWN]


def test_a_host_directory_that_cannot_be_written_only_costs_time(tmp_path):
    (tmp_path / "host").write_text("a file")
    found = Interpreters(tmp_path / "host", environment={"HOME": str(tmp_path)}).all()
    assert [one.executable for one in found] == [OWN]


def test_what_others_set_for_python_has_no_say(find, monkeypatch, tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit")
    assert len(find(PYTHONPATH=str(tmp_path), PYTHONHOME="/nonexistent", PYTHONSTARTUP="x")) == 1


def test_many_threads_on_a_fresh_host_all_find_the_same(tmp_path):
    found, threads = [], []

    def work():
        found.append(Interpreters(tmp_path / "host", environment={"HOME": str(tmp_path)}).all())

    for _ in range(6):
        threads.append(threading.Thread(target=work))
        threads[-1].start()
    for thread in threads:
        thread.join()

    assert len(found) == 6
    assert all(each == found[0] for each in found)
    assert [path.name for path in (tmp_path / "host").iterdir()] == ["interpreters.json"]


@pytest.mark.slow
def test_the_interpreters_of_this_very_host_are_usable(tmp_path):
    found = Interpreters(tmp_path / "host").all()
    assert found[0].own
    assert len({one.executable for one in found}) == len(found)
    assert all(one.version >= Version("3.10") and Path(one.executable).is_absolute() for one in found)
    assert [one.version for one in found[1:]] == sorted((one.version for one in found[1:]), reverse=True)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False
