"""A promise as the name and the lines of its file."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldlib.values.promise import Promise
from rldlib.values.promise_text import file_name, is_file_name, read_promise, write_lines

PROMISE = Promise(
    id="a1",
    service="tax",
    version="1.0",
    root="/r\u00e9",
    host_pid=12,
    memory_bytes=100,
    disk_bytes=200,
    cpu_idle_rcu=3,
    environment="e" * 64,
    wheels=("f" * 64,),
    since="2026-01-01T00:00:00+00:00",
)
NAME = file_name(PROMISE)
WRITTEN = write_lines(PROMISE.facts())


def test_what_was_written_is_read():
    assert read_promise(NAME, WRITTEN) == PROMISE
    assert PROMISE.is_readable


def test_the_last_note_wins():
    content = WRITTEN + write_lines({"worker_pid": 5}) + write_lines({"worker_pid": 6})
    assert read_promise(NAME, content) == dataclasses.replace(PROMISE, worker_pid=6)


def test_a_torn_note_counts_for_nothing_and_the_next_one_counts():
    torn = write_lines({"worker_pid": 5})[:-4]
    assert read_promise(NAME, WRITTEN + torn) == PROMISE
    assert read_promise(NAME, WRITTEN + torn + write_lines({"worker_pid": 7})).worker_pid == 7


@pytest.mark.parametrize(
    "noted", [{"worker_pid": True}, {"worker_pid": "5"}, {"service": 1}, {"wheels": [1]}, ["x"]]
)
def test_a_note_of_the_wrong_type_counts_for_nothing(noted):
    assert read_promise(NAME, WRITTEN + write_lines(noted)) == PROMISE


def test_fields_of_a_newer_version_are_left_out():
    assert read_promise(NAME, write_lines(PROMISE.facts() | {"gpu_bytes": 5})) == PROMISE


def test_figures_come_from_the_name_whatever_the_content_says():
    read = read_promise(NAME, write_lines(PROMISE.facts() | {"memory_bytes": 1, "id": "other"}))
    assert read == PROMISE


@given(st.binary(max_size=300))
def test_damaged_content_keeps_its_figures_and_is_told_as_unreadable(content):
    read = read_promise(NAME, content)
    assert (read.id, read.memory_bytes, read.disk_bytes, read.cpu_idle_rcu) == ("a1", 100, 200, 3)
    assert not read.is_readable


@given(st.integers(0, len(WRITTEN)))
def test_content_cut_anywhere_never_loses_its_figures(length):
    assert read_promise(NAME, WRITTEN[:length]).memory_bytes == 100


@pytest.mark.parametrize("change", [{"id": "../x"}, {"id": ""}, {"id": "x" * 65}, {"memory_bytes": -1}])
def test_what_cannot_be_a_name_is_refused(change):
    with pytest.raises(ValueError, match="names no promise"):
        file_name(dataclasses.replace(PROMISE, **change))


@pytest.mark.parametrize("name", ["x.promise", ".a1.new", NAME + "\n", NAME + ".bak", "a1-1-2-٣.promise"])
def test_other_files_are_no_promises(name):
    assert not is_file_name(name)
