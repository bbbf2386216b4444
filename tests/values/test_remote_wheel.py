from __future__ import annotations

import json
import random
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wheels import make_wheel

from rldlib.errors import IntegrityError, ProfileError, SourceUnavailableError, WheelRefusedError
from rldlib.values.remote_wheel import MAX_READ_BYTES, read_prefix, read_wheel
from rldlib.values.wheel import wheel_file

_PROFILE = {"service": "tax", "version": "1.0"}
_NAME = "rld_tax-1.0-py3-none-any.whl"
_WHEEL = wheel_file(_NAME, "/" + _NAME)
_INFO = "rld_tax-1.0.dist-info"


def _made(folder, **options) -> bytes:
    return make_wheel(folder, "rld-tax", "1.0", **options).read_bytes()


def _read(data: bytes, **options):
    reads = []

    def read(start, length):
        reads.append((start, length))
        return data[start : start + length]

    return read_wheel(_WHEEL, len(data), read, **options), reads


@pytest.fixture
def stamped(tmp_path) -> bytes:
    return _made(tmp_path, profile=_PROFILE, files={"big.bin": bytes(i * i % 251 for i in range(200_000))})


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> bytes:
    return _made(tmp_path_factory.mktemp("small"), profile=_PROFILE, files={"tax.py": "RATE = 1\n" * 50})


def test_the_profile_is_in_the_first_bytes(stamped):
    assert json.loads(read_prefix(_WHEEL, stamped[:1024]).profile) == _PROFILE
    assert read_prefix(_WHEEL, stamped[:1024]).metadata is None
    assert read_prefix(_WHEEL, stamped[:40]).profile is None


def test_both_parts_are_found_from_the_end_in_few_reads(tmp_path):
    noise = random.Random(1).randbytes(1_000_000)
    parts, reads = _read(_made(tmp_path, profile=_PROFILE, files={"big.bin": noise}))

    assert json.loads(parts.profile) == _PROFILE
    assert b"Name: rld-tax" in parts.metadata
    assert len(reads) == 2
    assert sum(length for _, length in reads) <= 72 * 1024


def test_a_small_wheel_takes_one_read(small):
    parts, reads = _read(small)

    assert parts.profile
    assert reads == [(0, len(small))]


def test_a_wheel_without_a_profile_has_none(tmp_path):
    assert _read(_made(tmp_path))[0].profile is None


def test_the_dist_info_of_another_distribution_does_not_count(tmp_path):
    path = tmp_path / _NAME
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("other-1.0.dist-info/METADATA", "Name: other\nVersion: 1.0\n")

    with pytest.raises(WheelRefusedError, match=r"no \.dist-info/METADATA"):
        _read(path.read_bytes())


def test_a_member_twice_is_refused(tmp_path):
    path = tmp_path / _NAME
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{_INFO}/METADATA", "one")
        with pytest.warns(UserWarning, match="Duplicate"):
            wheel.writestr(f"{_INFO}/METADATA", "two")

    with pytest.raises(WheelRefusedError, match="two members"):
        _read(path.read_bytes())
    with pytest.raises(WheelRefusedError, match="two members"):
        read_prefix(_WHEEL, path.read_bytes())


def test_a_profile_or_metadata_too_long_is_refused(tmp_path):
    with pytest.raises(ProfileError, match="at most 61,440 are read"):
        _read(_made(tmp_path, profile={"service": "x" * 70_000}))
    path = tmp_path / _NAME
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(f"{_INFO}/METADATA", b"\0" * 50_000_000)
    with pytest.raises(WheelRefusedError, match="50,000,000 bytes"):
        _read(path.read_bytes())


def test_a_member_larger_than_it_says_is_refused(tmp_path):
    path = tmp_path / _NAME
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(f"{_INFO}/METADATA", b"\0" * 10_000_000)
    data = path.read_bytes().replace(struct.pack("<I", 10_000_000), struct.pack("<I", 10))

    with pytest.raises(WheelRefusedError):
        _read(data)
    with pytest.raises(WheelRefusedError):
        read_prefix(_WHEEL, data)


def test_a_directory_that_claims_the_whole_file_is_not_read(tmp_path):
    size = 2**40
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 2**31, 0, 0)

    def read(start, length):
        assert length <= MAX_READ_BYTES
        return (b"\0" * length)[: -len(end)] + end if start + length == size else b"\0" * length

    with pytest.raises(WheelRefusedError):
        read_wheel(_WHEEL, size, read)


def test_what_the_reading_raises_comes_out():
    def read(start, length):
        raise SourceUnavailableError("there", "gone")

    with pytest.raises(SourceUnavailableError, match="gone"):
        read_wheel(_WHEEL, 1000, read)


@pytest.mark.parametrize("data", [b"", b"<html>", b"PK\5\6" + b"\0" * 18, b"\x7fELF" * 100])
def test_what_is_no_wheel_is_refused(data):
    with pytest.raises(WheelRefusedError, match=_NAME):
        read_prefix(_WHEEL, data)
    with pytest.raises(WheelRefusedError, match=_NAME):
        _read(data)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_whatever_is_damaged_nothing_else_comes_out(small, data):
    """
    The right parts, parts of another valid wheel, or a refusal; never another error.
    """
    damaged = bytearray(small)
    for _ in range(data.draw(st.integers(1, 6))):
        # The ends hold the headers: damage goes there more often.
        places = st.one_of(
            st.integers(0, len(small) - 1), st.integers(0, 80), st.integers(len(small) - 400, len(small) - 1)
        )
        damaged[data.draw(places)] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.one_of(st.just(len(small)), st.integers(0, len(small))))])

    for read in (lambda: read_prefix(_WHEEL, cut), lambda: _read(cut)):
        try:
            read()
        except IntegrityError:
            continue


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", b"PK\3\4", b"PK\1\2"]))
def test_noise_is_refused_or_holds_nothing(noise, beginning):
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(noise), len(beginning), 0)
    for read in (lambda: read_prefix(_WHEEL, beginning + noise), lambda: _read(beginning + noise + end)):
        try:
            assert read().profile is None
        except IntegrityError:
            continue
