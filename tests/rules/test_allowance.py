"""Room: the arithmetic of what is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldlib.rules.allowance import room
from rldlib.values.measurement import Measurement, MemoryLevel
from rldlib.values.policy import Policy
from rldlib.values.promise import Promise
from rldlib.values.score import Score, conservative_score

BARE = Policy(memory_headroom_bytes=0, disk_headroom_bytes=0)
SCORE = Score(rcu=1000)


def machine(limit, used, name="machine"):
    return MemoryLevel(name=name, limit_bytes=limit, used_bytes=used)


def promise(number=1, memory=0, disk=0, rcu=0, pid=None):
    return Promise(
        id=str(number),
        service="a",
        version="1",
        root="/r",
        host_pid=1,
        memory_bytes=memory,
        disk_bytes=disk,
        cpu_idle_rcu=rcu,
        worker_pid=pid,
    )


def test_memory_is_what_neither_headroom_nor_promises_nor_others_take():
    measured = Measurement(memory=(machine(1000, 300),))
    left = room(measured, [promise(memory=200)], SCORE, Policy(memory_headroom_bytes=100))
    assert left.memory_bytes == 1000 - 100 - 200 - 300
    assert (
        "400 bytes = 1,000 bytes (machine) - 100 bytes headroom - 200 bytes promised - 300 bytes"
        in left.notes[0]
    )


@pytest.mark.parametrize(
    ("uses", "left"),
    [
        pytest.param(0, 500, id="not started: all used memory is others'"),
        pytest.param(150, 650, id="its use is counted once"),
        pytest.param(200, 700, id="all of its promise"),
        pytest.param(900, 700, id="beyond its promise it is others' too"),
    ],
)
def test_what_a_worker_uses_of_its_promise_counts_once(uses, left):
    measured = Measurement(memory=(machine(1000, 300),), worker_memory_bytes={"1": uses})
    assert room(measured, [promise(memory=200)], SCORE, BARE).memory_bytes == left


def test_the_fullest_limit_binds_even_where_it_is_the_larger_one():
    measured = Measurement(memory=(machine(1000, 950), machine(500, 100, "cgroup /a")))
    left = room(measured, [], SCORE, BARE)
    assert left.memory_bytes == 50
    assert "(machine)" in left.notes[0]


def test_an_owners_limit_bounds_promises_not_what_others_use():
    measured = Measurement(memory=(machine(1000, 300),))
    policy = Policy(memory_headroom_bytes=100, memory_limit_bytes=250)
    assert room(measured, [promise(memory=50)], SCORE, policy).memory_bytes == 200
    assert room(measured, [promise(memory=250)], SCORE, policy).memory_bytes == 0


def test_no_readable_limit_is_no_memory():
    left = room(Measurement(failed={"memory_bytes": "OSError: no"}), [], SCORE, Policy(memory_limit_bytes=99))
    assert left.memory_bytes == 0
    assert left.failed == {"memory_bytes": "OSError: no"}
    assert "memory_bytes: unknown, counted as none: OSError: no" in left.notes


def test_disk_keeps_back_what_is_promised_and_not_yet_written():
    measured = Measurement(disk_free_bytes=1000, disk_elsewhere=frozenset({"3"}))
    held = [promise(1, disk=200), promise(2, disk=300, pid=7), promise(3, disk=400)]
    assert room(measured, held, SCORE, Policy(disk_headroom_bytes=100)).disk_bytes == 1000 - 100 - 200


def test_an_owners_disk_limit_counts_what_is_written_too():
    measured = Measurement(disk_free_bytes=1000)
    policy = Policy(disk_headroom_bytes=0, disk_limit_bytes=600)
    assert room(measured, [promise(disk=200, pid=7)], SCORE, policy).disk_bytes == 400


@pytest.mark.parametrize(("limit", "left"), [(None, 1500 - 100 - 300), (1000, 700), (9999, 1100)])
def test_the_processor_is_usable_threads_by_score(limit, left):
    measured = Measurement(threads=1.5)
    policy = Policy(cpu_headroom_rcu=100, cpu_limit_rcu=limit)
    has = room(measured, [promise(rcu=300)], SCORE, policy)
    assert (has.cpu_idle_rcu, has.threads, has.score_rcu) == (left, 2, 1000)


def test_a_host_without_a_score_is_taken_for_a_weak_one_and_says_so():
    left = room(Measurement(threads=2), [], conservative_score(), BARE)
    assert left.cpu_idle_rcu == 400
    assert any("assumed" in note and "rld calibrate" in note for note in left.notes)


_AMOUNT = st.integers(0, 2**50)


@given(
    limit=_AMOUNT,
    used=_AMOUNT,
    held=st.lists(st.tuples(_AMOUNT, _AMOUNT), max_size=5),
    headroom=_AMOUNT,
    own=_AMOUNT,
)
def test_a_promise_never_makes_room_and_no_figure_is_negative(limit, used, held, headroom, own):
    policy = Policy(memory_headroom_bytes=headroom, disk_headroom_bytes=headroom, cpu_headroom_rcu=headroom)
    promises = [promise(n, memory=m, disk=m, rcu=m, pid=1) for n, (m, _) in enumerate(held)]
    measured = Measurement(
        memory=(machine(limit, used),),
        disk_free_bytes=limit,
        threads=3,
        worker_memory_bytes={str(n): use for n, (_, use) in enumerate(held)},
    )
    before = room(measured, promises, SCORE, policy)
    after = room(measured, [*promises, promise("new", memory=own, disk=own, rcu=own)], SCORE, policy)
    for name in ("memory_bytes", "disk_bytes", "cpu_idle_rcu"):
        assert 0 <= getattr(after, name) <= getattr(before, name)
        assert getattr(before, name) - getattr(after, name) <= own
