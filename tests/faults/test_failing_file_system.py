"""Every call of the file system that store, environments, pins and journal make, failing.

Each fails once with each error of the system, or from then on as a full disk does.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3

import pytest
from tests.faults.harness import CALLS, Counting, Failing, Scene, calls_of_a_first_acquire, refused

from rldlib.adapters.journal import Journal
from rldlib.errors import StorageError
from rldlib.reporter import Reporter

pytestmark = [pytest.mark.faults, pytest.mark.slow]
ERRORS = (errno.ENOSPC, errno.EIO, errno.EINTR)


@pytest.mark.parametrize("stays", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("call", CALLS)
def test_every_call_that_fails_is_told_and_the_next_acquire_works(call, stays, tmp_path):
    """Each use of the call in a first acquisition, one after the other; the error changes from use to use.

    A fault that stays is met by more than one use: every third is enough to begin with.
    """
    total = sum(made == call for made, _ in calls_of_a_first_acquire(tmp_path))
    assert total > 0
    for nth in sorted({1, total, *range(1, total + 1, 3 if stays else 1)}):
        # The first and the last meet every error.
        for number in ERRORS if nth in {1, total} else (ERRORS[nth % 3],):
            scene = Scene(tmp_path, root=tmp_path / f"root-{nth}-{number}")
            failing = Failing(call, nth, number, stays=stays)
            with scene.daemon(failing) as host, refused():
                host.prepare("echo")

            assert failing.failed, nth
            scene.expect_nothing_half_done()
            scene.expect_next_prepare()
            scene.expect_nothing_left()
    scene.expect_next_acquire()


@pytest.mark.parametrize("call", CALLS)
def test_the_same_daemon_goes_on_once_the_fault_is_over(call, scene):
    with scene.daemon(Failing(call, 1, errno.ENOSPC)) as host:
        with refused():
            host.acquire("echo")

        assert host.acquire("echo").echo(value=1) == 1
    scene.expect_all_is_well()


@pytest.mark.parametrize("number", ERRORS)
@pytest.mark.parametrize("call", ["create", "write", "make_folder", "link", "rename", "lock"])
def test_a_damaged_environment_that_cannot_be_built_again_is_told_and_heals_later(call, number, scene):
    with scene.daemon() as host:
        environment = host.prepare("echo")["environment"]
    module = next(iter(scene.root.glob("environments/*/lib/*/*/rld_echo.py")))
    module.write_text("raise ImportError('damaged')\n")
    noted = []

    class Listening(Reporter):
        def noted(self, service, text):
            noted.append(text)

    with scene.daemon(Failing(call, 1, number), Listening()) as host:
        with pytest.raises(Exception, match="did not start"):
            host.acquire("echo")

        assert any("could not be built again" in text and environment in text for text in noted)
        assert host.acquire("echo").echo(value=1) == 1
    scene.expect_all_is_well()


def test_a_journal_that_cannot_be_written_costs_no_start_and_is_said(scene, monkeypatch):
    noted = []

    class Listening(Reporter):
        def noted(self, service, text):
            noted.append(text)

    def refuse(*_args, **_keywords):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("rldlib.adapters.journal.sqlite3.connect", refuse)
    with pytest.raises(StorageError, match="disk is full"):
        Journal(scene.root).record("echo", "acquired", {})

    with scene.daemon(reporter=Listening()) as host:
        assert host.acquire("echo").echo(value=1) == 1
    assert any("'rld why echo' will not tell of this" in text for text in noted)
    monkeypatch.undo()
    scene.expect_all_is_well()


@pytest.mark.parametrize("call", ["create", "write", "flush", "rename", "lock"])
def test_a_first_skeleton_that_cannot_be_kept_is_told_and_made_by_the_next(call, scene, host_dir):
    """It is made once per host; its note is the first that the environments of a new host write."""
    with scene.daemon(counting := Counting()) as host:
        host.prepare("echo")
    shutil.rmtree(scene.root)
    shutil.rmtree(host_dir / "skeletons")
    nth = _use_of(call, "skeletons", counting.made)
    failing = Failing(call, nth, errno.ENOSPC)
    with scene.daemon(failing) as host, refused():
        host.prepare("echo")

    assert "skeletons" in failing.failed[0]
    scene.expect_all_is_well()


def _use_of(call, part, made):
    """Which use of a call is the first about such a path."""
    paths = [path for one, path in made if one == call]
    return next(number for number, path in enumerate(paths, 1) if part in path)


def test_a_refusal_stays_what_it_is_where_it_cannot_be_recorded(scene, monkeypatch):
    def refuse(*_args, **_keywords):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("rldlib.adapters.journal.sqlite3.connect", refuse)
    with scene.daemon() as host, pytest.raises(Exception, match="no service other"):
        host.acquire("other")
