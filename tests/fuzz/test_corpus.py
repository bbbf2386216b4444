"""Every kept input and some hundred changed ones: read or refused as documented, and within bounds."""

from __future__ import annotations

import zlib
from itertools import islice
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.fuzz.bounds import Bounds, ExcessError, within
from tests.fuzz.targets import CORPUS, TARGETS, kept, mutated
from tests.fuzz.trial import attempt

if TYPE_CHECKING:
    from collections.abc import Callable

_CHANGED = 150
_MAX_CORPUS_BYTES = 768 * 1024


def _check(name: str, what: str, data: bytes) -> None:
    exc = attempt(TARGETS[name], data)
    if exc is not None:
        raise AssertionError(f"{name} made {type(exc).__name__} of {what}: {data!r:.500}") from exc


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_once_is_read_or_refused(name):
    for number, data in enumerate(TARGETS[name].seeds()):
        _check(name, f"seed {number}", data)
    for what, data in kept(name).items():
        _check(name, what, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_what_is_made_of_it_is_read_or_refused(name):
    for number, data in enumerate(islice(mutated(name, Random(name)), _CHANGED)):
        _check(name, f"change {number}", data)


def test_the_corpus_is_small_and_of_known_targets():
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)
    assert sum(len(data) for name in TARGETS for data in kept(name).values()) < _MAX_CORPUS_BYTES


# --- the measuring itself ---------------------------------------------------------


def _excess(bounds: Bounds, length: int, work: Callable[[], object]) -> str:
    try:
        with within(bounds, length):
            work()
    except ExcessError as exc:
        return str(exc)
    return ""


def test_too_much_work_is_told():
    assert "calls for 1 bytes" in _excess(
        Bounds(calls=10, calls_per_byte=10), 1, lambda: [len("") for _ in range(50)]
    )


def test_too_much_memory_is_told():
    assert "bytes of memory" in _excess(Bounds(), 0, lambda: bytearray(4 * 1024 * 1024))


def test_too_many_inflated_bytes_are_told():
    packed = zlib.compress(bytes(1000))

    told = _excess(Bounds(inflated_bytes=999), 0, lambda: zlib.decompressobj().decompress(packed))

    assert "1,000 bytes inflated" in told


def test_what_is_written_is_told(tmp_path):
    assert "changed something" in _excess(Bounds(), 0, (tmp_path / "written").touch)
