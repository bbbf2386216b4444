from __future__ import annotations

import builtins
import sys

import pytest
from hypothesis import given

from rldlib.wire.codec import EncodingError, decode, encode
from rldlib.wire.frames import FrameReader

np = pytest.importorskip("numpy")
from hypothesis.extra import numpy as arrays  # noqa: E402 - only where there is numpy


def travelled(value):
    reader = FrameReader()
    reader.feed(b"".join(map(bytes, encode([value]))))
    return decode(reader.next())[0]


_DTYPES = (
    arrays.scalar_dtypes(),
    arrays.unicode_string_dtypes(),
    arrays.byte_string_dtypes(),
)


@given(arrays.arrays(_DTYPES[0] | _DTYPES[1] | _DTYPES[2], arrays.array_shapes(min_dims=0, min_side=0)))
def test_arrays_come_back_as_they_were(array):
    if array.dtype.kind in "fc" and array.dtype.itemsize > 16:
        return
    back = travelled(array)

    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "view", [lambda a: a.T, lambda a: a[::2, 1:], lambda a: a[::-1]], ids=["T", "step", "back"]
)
def test_arrays_that_are_not_contiguous_travel(view):
    array = view(np.arange(24, dtype=">i4").reshape(4, 6))

    assert np.array_equal(travelled(array), array)
    assert travelled(array).dtype == array.dtype


def test_an_array_at_the_receiver_can_be_written():
    back = travelled(np.zeros(3))
    back[1] = 5

    assert back.tolist() == [0, 5, 0]


@pytest.mark.parametrize(
    ("scalar", "plain"),
    [
        (np.float32(0.5), 0.5),
        (np.int8(-3), -3),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (np.bytes_(b"x"), b"x"),
        (np.timedelta64(1500, "ns"), __import__("datetime").timedelta(microseconds=1)),
    ],
    ids=str,
)
def test_scalars_of_numpy_come_as_pythons(scalar, plain):
    assert travelled(scalar) == plain
    assert type(travelled(scalar)) is type(plain)


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.array([object()]), "object"),
        (np.zeros(2, dtype=[("a", "i4"), ("b", "f8")]), "dtype"),
        (np.ma.masked_array([1, 2], [True, False]), "masked"),
        (np.longdouble(1), "longdouble"),
    ],
    ids=["objects", "records", "masked", "long double"],
)
def test_arrays_of_what_does_not_travel_are_refused(array, told):
    with pytest.raises(EncodingError, match=told):
        encode([{"values": array}])


@pytest.fixture
def without_numpy(monkeypatch):
    """As in a process where it is not installed."""
    real = builtins.__import__

    def refused(name, *rest):
        if name == "numpy":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refused)


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i2", "u1", "?"])
def test_where_there_is_no_numpy_an_array_comes_as_a_memoryview_and_goes_back_as_an_array(
    dtype, monkeypatch, request
):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    parts = encode([array])
    request.getfixturevalue("without_numpy")
    reader = FrameReader()
    reader.feed(b"".join(parts))
    view = decode(reader.next())[0]

    assert isinstance(view, memoryview)
    assert (view.shape, view.tolist()) == ((2, 3), array.tolist())
    back = encode([view])
    monkeypatch.undo()
    reader.feed(b"".join(back))
    again = decode(reader.next())[0]
    assert np.array_equal(again, array)
    assert again.dtype == array.dtype


def test_what_a_memoryview_cannot_say_comes_as_bytes(without_numpy):
    reader = FrameReader()
    reader.feed(b"".join(encode([np.array([1j])])))

    assert bytes(decode(reader.next())[0]) == np.array([1j]).tobytes()


def test_a_memoryview_of_what_is_no_number_is_refused():
    with pytest.raises(EncodingError, match="format"):
        encode([memoryview(np.array([1j]))])


def test_the_codec_does_not_import_numpy():
    assert "numpy" in sys.modules
    import subprocess

    code = "import sys; from rldlib.wire import codec; codec.encode([b'x', 1]); print('numpy' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
