from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from rldlib.values.wheel import wheel_file


def _read(filename):
    wheel = wheel_file(filename, "/a")
    return wheel.name, wheel.version, wheel.build, wheel.tags


@pytest.mark.parametrize(
    "filename",
    [
        "numpy-2.0.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "Foo.Bar-1.0-2b-py2.py3-none-any.whl",
        "foo-01.0-py3-none-any.whl",
    ],
)
def test_a_name_is_read_as_packaging_reads_it(filename):
    assert _read(filename) == parse_wheel_filename(filename)


@given(
    st.lists(
        st.sampled_from(["foo", "1.0", "1", "py3", "none", "any", "", "a b", "é", ".whl", "-"]), max_size=8
    )
)
def test_what_is_no_name_is_none_for_both(parts):
    filename = "-".join(parts) + ".whl"
    with contextlib.suppress(InvalidWheelFilename):
        assert _read(filename) == parse_wheel_filename(filename)
        return
    with pytest.raises(InvalidWheelFilename) as expected:
        parse_wheel_filename(filename)
    with pytest.raises(InvalidWheelFilename) as told:
        _read(filename)
    assert str(told.value) == str(expected.value)
