from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
from tests.sources import pip_answers
from tests.sources.hosts import Host, bare_index_of, index_of
from tests.sources.interpreters import made_up_interpreter, own_interpreter
from tests.sources.requirement_sets import SETS, YANKED, carrier_name, make_universe
from tests.wheels import make_wheel

from rldlib.adapters.directory import Directory
from rldlib.adapters.http import Http
from rldlib.adapters.index import Index
from rldlib.adapters.pip_resolving import PipResolving
from rldlib.adapters.resolving import Resolving
from rldlib.errors import (
    MismatchError,
    RldlibError,
    SourceUnavailableError,
    UnsatisfiableError,
    WheelRefusedError,
)
from rldlib.reporter import Reporter
from rldlib.values.policy import Policy
from rldlib.values.request import parse_request

if TYPE_CHECKING:
    from pathlib import Path

_OWN = own_interpreter()


class _Noting(Reporter):
    def __init__(self):
        self.notes = []

    def noted(self, service, text):
        self.notes.append(text)


def _lock(source, name, resolver=None, interpreter=_OWN):
    carrier = source.offers(parse_request(f"{name}@{name}"))[-1]
    return (resolver or Resolving()).lock(name, carrier, interpreter, source)


def _locked(source, name, resolver=None, interpreter=_OWN):
    return {wheel.filename for wheel in _lock(source, name, resolver, interpreter).wheels}


# --- the same answers as pip ---------------------------------------------------------


@pytest.fixture(scope="session")
def universe(tmp_path_factory):
    """The index, and pip's answer to every set: file names, or None where it has none."""
    folder = tmp_path_factory.mktemp("universe")
    make_universe(folder)
    reports = tmp_path_factory.mktemp("reports")
    provided = make_wheel(reports / "provided", "rldlib", "0.1.0")
    with index_of(folder, YANKED) as host:
        names = [carrier_name(label) for label in SETS]
        environment = {**os.environ, "PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "127.0.0.1"}
        argv = [sys.executable, pip_answers.__file__, host.url, provided.as_uri(), str(reports), *names]
        subprocess.run(
            argv, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        yield host, {name: _answer(reports / f"{name}.json") for name in names}


def _answer(report: Path):
    if not report.exists():
        return None
    files = (
        item["download_info"]["url"].rpartition("/")[2] for item in json.loads(report.read_text())["install"]
    )
    return {file.replace("%21", "!") for file in files if not file.startswith("rldlib-")}


@pytest.mark.slow
@pytest.mark.parametrize("label", SETS)
def test_the_answer_is_pips(universe, label):
    host, answers = universe
    name = carrier_name(label)
    index = Index(host.url, Http())
    try:
        found = _locked(index, name)
    except UnsatisfiableError:
        found = None
    finally:
        index.close()

    assert found == answers[name]


@pytest.mark.slow
def test_enough_sets_have_an_answer_and_enough_have_none(universe):
    _, answers = universe

    assert len(answers) >= 70
    assert sum(answer is not None for answer in answers.values()) >= 40
    assert sum(answer is None for answer in answers.values()) >= 10


# --- what holds beyond -----------------------------------------------------------------


def test_other_interpreters_get_other_wheels(tmp_path):
    for tag in ("cp312-cp312-win_amd64", "cp313-cp313-win_amd64", "py3-none-any"):
        make_wheel(tmp_path, "native", "1.0", tag=tag)
    make_wheel(tmp_path, "native", "2.0", tag="cp313-cp313-win_amd64")
    make_wheel(tmp_path, "native", "3.0", requires_python=">=3.14")
    make_wheel(tmp_path, "tax", "1.0", requires=["native", "colour; sys_platform == 'win32'"])
    make_wheel(tmp_path, "colour", "1.0")
    source = Directory(tmp_path)

    native = {minor: _locked(source, "tax", interpreter=made_up_interpreter(minor)) for minor in (12, 13)}
    assert "native-1.0-cp312-cp312-win_amd64.whl" in native[12]
    assert "native-2.0-cp313-cp313-win_amd64.whl" in native[13]
    assert "colour-1.0-py3-none-any.whl" in native[12]


def test_previews_are_taken_where_the_host_says_so(tmp_path):
    make_wheel(tmp_path, "tax", "1.0", requires=["alpha"])
    for version in ("1.0", "2.0b1"):
        make_wheel(tmp_path, "alpha", version)
    source = Directory(tmp_path)

    assert "alpha-1.0-py3-none-any.whl" in _locked(source, "tax")
    assert "alpha-2.0b1-py3-none-any.whl" in _locked(source, "tax", Resolving(Policy(prereleases=True)))


def test_a_lock_is_the_same_from_every_kind_of_source(tmp_path):
    make_wheel(tmp_path, "tax", "1.0", requires=["left", "right"])
    make_wheel(tmp_path, "left", "1.0", requires=["shared<2"])
    make_wheel(tmp_path, "right", "1.0", requires=["shared"])
    for version in ("1.0", "2.0"):
        make_wheel(tmp_path, "shared", version)
    locks = [_lock(Directory(tmp_path), "tax")]
    with index_of(tmp_path) as host, bare_index_of(tmp_path) as bare:
        for url in (host.url, bare.url):
            index = Index(url, Http())
            locks.append(_lock(index, "tax"))
            index.close()

    assert len({lock.digest for lock in locks}) == 1
    assert [wheel.name for wheel in locks[0].wheels] == ["left", "right", "shared", "tax"]
    assert {wheel.size for lock in locks for wheel in lock.wheels if wheel.name == "tax"} == {
        (tmp_path / "tax-1.0-py3-none-any.whl").stat().st_size
    }
    assert locks[0].carrier.filename == "tax-1.0-py3-none-any.whl"


def test_resolving_fetches_metadata_and_no_wheel(tmp_path):
    make_wheel(tmp_path, "tax", "1.0", requires=["alpha"], files={"payload.bin": b"x" * 500_000})
    make_wheel(tmp_path, "alpha", "1.0", files={"payload.bin": b"x" * 500_000})
    with index_of(tmp_path) as host:
        index = Index(host.url, Http())
        _lock(index, "tax")
        index.close()

        assert {path for path in host.asked if path.endswith(".whl")} == set()


def test_the_clash_is_named(tmp_path):
    make_wheel(tmp_path, "tax", "1.0", requires=["left", "right>=1"])
    make_wheel(tmp_path, "left", "1.0", requires=["shared<2"])
    make_wheel(tmp_path, "right", "1.0", requires=["shared>=2"])
    for version in ("1.0", "2.0"):
        make_wheel(tmp_path, "shared", version)
    with pytest.raises(UnsatisfiableError) as caught:
        _lock(Directory(tmp_path), "tax")

    told = str(caught.value)
    assert "left 1.0 requires shared<2" in told
    assert "right 1.0 requires shared>=2" in told
    assert "there is shared 2.0, 1.0" in told


@pytest.mark.parametrize(
    ("requirement", "told"),
    [
        ("nowhere>=1", "has no nowhere"),
        ("alpha>=9", "there is alpha 1.0"),
        ("alpha @ https://elsewhere.example/alpha-1.0-py3-none-any.whl", "names an address of its own"),
        ("foreign", "of 1 wheels of foreign none is for CPython"),
    ],
)
def test_what_stands_in_the_way_is_told(tmp_path, requirement, told):
    make_wheel(tmp_path, "tax", "1.0", requires=[requirement])
    make_wheel(tmp_path, "alpha", "1.0")
    make_wheel(tmp_path, "foreign", "1.0", tag="cp39-cp39-win_amd64")
    with pytest.raises(UnsatisfiableError, match=r"tax 1\.0 requires") as caught:
        _lock(Directory(tmp_path), "tax")
    assert told in str(caught.value)


def test_a_wheel_whose_metadata_is_anothers_is_passed_over_and_noted(tmp_path):
    make_wheel(tmp_path, "tax", "1.0", requires=["alpha"])
    make_wheel(tmp_path, "alpha", "1.0")
    make_wheel(tmp_path, "alpha", "3.0").rename(tmp_path / "alpha-2.0-py3-none-any.whl")
    (tmp_path / "alpha-4.0-py3-none-any.whl").write_bytes(b"no wheel")
    noting = _Noting()

    assert "alpha-1.0-py3-none-any.whl" in _locked(Directory(tmp_path), "tax", Resolving(reporter=noting))
    assert ["alpha-4.0" in noting.notes[0], "alpha-2.0" in noting.notes[1]] == [True, True]


def test_a_wheel_whose_markers_cannot_be_decided_is_passed_over_and_noted(tmp_path):
    make_wheel(tmp_path, "tax", "1.0", requires=["alpha"])
    make_wheel(tmp_path, "alpha", "1.0")
    make_wheel(tmp_path, "alpha", "2.0", requires=["beta; python_version ~= 'three'"])
    noting = _Noting()

    assert "alpha-1.0-py3-none-any.whl" in _locked(Directory(tmp_path), "tax", Resolving(reporter=noting))
    assert "alpha-2.0" in noting.notes[0]


def test_a_carrier_that_is_no_wheel_is_refused(tmp_path):
    (tmp_path / "tax-1.0-py3-none-any.whl").write_bytes(b"no wheel")
    with pytest.raises(WheelRefusedError):
        _lock(Directory(tmp_path), "tax")
    make_wheel(tmp_path, "tax", "1.0", requires=["not a requirement"])
    with pytest.raises(WheelRefusedError, match="metadata"):
        _lock(Directory(tmp_path), "tax")


def test_metadata_that_differs_from_its_hash_ends_it(tmp_path):
    make_wheel(tmp_path, "tax", "1.0")
    path = tmp_path / "tax-1.0-py3-none-any.whl"

    def lie(host, connection, head):
        if head.startswith("GET /simple/tax/"):
            link = f'<a href="/files/{path.name}" data-core-metadata="sha256={"0" * 64}">x</a>'
            host.answer(connection, link.encode())
        else:
            host.answer(connection, b"Name: tax\nVersion: 1.0\n")

    with Host(lie) as host:
        index = Index(f"{host.url}/simple/", Http())
        with pytest.raises(MismatchError):
            _lock(index, "tax")
        index.close()


def test_an_outage_halfway_is_an_outage(tmp_path):
    make_wheel(tmp_path, "tax", "1.0", requires=["alpha"])
    carrier = Directory(tmp_path).project("tax")[0]

    class Failing(Directory):
        def project(self, name):
            raise SourceUnavailableError(self.identity, "it is gone")

    with pytest.raises(SourceUnavailableError, match="it is gone"):
        Resolving().lock("tax", carrier, _OWN, Failing(tmp_path))


# --- pip for the rest ---------------------------------------------------------------------


class _Asked:
    def __init__(self):
        self.count = 0

    def lock(self, service, carrier, interpreter, source):
        self.count += 1
        return "pip's"


def test_pip_is_asked_when_it_takes_too_long_or_always_where_said(tmp_path):
    make_wheel(tmp_path, "tax", "1.0", requires=["alpha"])
    make_wheel(tmp_path, "alpha", "1.0")
    source, asked, noting = Directory(tmp_path), _Asked(), _Noting()

    assert _lock(source, "tax", Resolving(reporter=noting, fallback=asked, max_rounds=1)) == "pip's"
    assert "pip is asked" in noting.notes[0]
    assert _lock(source, "tax", Resolving(Policy(resolver="pip"), fallback=asked)) == "pip's"
    assert asked.count == 2


@pytest.mark.slow
def test_pip_gives_the_same_lock_from_a_directory_and_an_index(tmp_path, monkeypatch):
    """
    What the user configured for pip has no influence.
    """
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_NO_DEPS", "1")
    make_wheel(tmp_path, "tax", "1.0", requires=["alpha[more]<2", "rldlib>=77"])
    make_wheel(tmp_path, "alpha", "1.0", requires=["rldlib"])
    make_wheel(tmp_path, "alpha", "2.0")
    directory = Directory(tmp_path)
    assert _lock(directory, "tax", Resolving(max_rounds=1)) == _lock(directory, "tax")

    with index_of(tmp_path) as host:
        index = Index(host.url, Http())
        assert _lock(index, "tax", PipResolving()) == _lock(index, "tax")
        index.close()


@pytest.mark.slow
@pytest.mark.parametrize("password", ["hidden", 'hid "den" #1\\ /@:', ""])
def test_pip_sends_the_credentials_of_the_url_and_its_refusal_is_told(tmp_path, password):
    make_wheel(tmp_path, "tax", "1.0")
    carrier = Directory(tmp_path).project("tax")[0]

    class Source(Directory):
        credentials = ("me", password)
        identity = ""

    with Host(lambda host, connection, head: host.answer(connection, b"", "404 No")) as host:
        Source.identity = f"{host.url}/simple/"
        with pytest.raises(UnsatisfiableError, match="No matching distribution") as caught:
            PipResolving().lock("tax", carrier, _OWN, Source(tmp_path))
        expected = b64encode(f"me:{password}".encode()).decode()
        assert any(f"Authorization: Basic {expected}" in head for head in host.heads)
    assert "hid" not in str(caught.value)


@pytest.mark.slow
def test_pip_takes_nothing_from_an_address_of_its_own(tmp_path):
    stray = make_wheel(tmp_path / "elsewhere", "alpha", "1.0")
    make_wheel(tmp_path, "tax", "1.0", requires=[f"alpha @ {stray.as_uri()}"])

    with pytest.raises(RldlibError, match=r"alpha-1\.0-py3-none-any\.whl comes from an address of its own"):
        _lock(Directory(tmp_path), "tax", PipResolving())
