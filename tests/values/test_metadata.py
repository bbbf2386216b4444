from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sources.interpreters import made_up_interpreter

from rldlib.values.metadata import MalformedMetadataError, parse_metadata

_HEAD = b"Metadata-Version: 2.1\nName: Tax.Table\nVersion: 1.0\n"


def test_the_fields_that_resolving_needs():
    metadata = parse_metadata(
        _HEAD
        + b"Requires-Python: >=3.10\nRequires-Dist: a>=1; extra == 'fast'\nProvides-Extra: Fast_One\n\nRequires-Dist: body\n"
    )

    assert (metadata.name, str(metadata.version)) == ("tax-table", "1.0")
    assert str(metadata.requires_python) == ">=3.10"
    assert [str(one) for one in metadata.requires] == ['a>=1; extra == "fast"']
    assert metadata.extras == {"fast-one"}


def test_markers_are_those_of_the_interpreter_asked_for():
    lines = b"Requires-Dist: w; sys_platform == 'win32'\nRequires-Dist: l; sys_platform == 'linux'\nRequires-Dist: n; python_version >= '3.13'\n"
    metadata = parse_metadata(_HEAD + lines)

    assert [one.name for one in metadata.wanted(made_up_interpreter(12).markers)] == ["w"]
    assert [one.name for one in metadata.wanted(made_up_interpreter(13).markers)] == ["w", "n"]


def test_a_python_specifier_that_is_none_counts_as_any():
    assert str(parse_metadata(_HEAD + b"Requires-Python: >3.x\n").requires_python) == ""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Name: a\n",
        b"Name: a\nVersion: one\n",
        _HEAD + b"Requires-Dist: a >\n",
        _HEAD + b"Requires-Dist: " + b"(" * 9000,
    ],
)
def test_what_cannot_be_used_is_told(data):
    with pytest.raises(MalformedMetadataError):
        parse_metadata(data)


@given(st.binary(max_size=200))
def test_nothing_else_comes_out(noise):
    for data in (noise, _HEAD + noise):
        try:
            parse_metadata(data)
        except MalformedMetadataError:
            continue


@pytest.mark.parametrize(
    "line",
    [
        "Version: " + "1" * 5000,
        "Requires-Dist: other>=" + "1" * 5000,
        "Requires-Dist: other" + ",".join([">1"] * 5000),
        "\n".join(["X:"] * 200_000),
    ],
    ids=[
        "a version of countless digits",
        "a bound of countless digits",
        "countless bounds",
        "countless headers",
    ],
)
def test_what_is_out_of_all_bounds_is_refused(line):
    head = f"Name: tax\n{line}\n" if line.startswith("Version") else f"Name: tax\nVersion: 1.0\n{line}\n"

    with pytest.raises(MalformedMetadataError, match="at most"):
        parse_metadata(head.encode())


@pytest.mark.parametrize(
    "marker", ["os_name ~= 'posix'", "'a' == 'b'", "python_version >= '1' and sys_platform ~= '1'"]
)
def test_a_marker_that_cannot_be_decided_is_malformed(marker):
    metadata = parse_metadata(f"Name: tax\nVersion: 1.0\nRequires-Dist: other; {marker}\n".encode())

    with pytest.raises(MalformedMetadataError, match="cannot be decided"):
        list(metadata.wanted({"os_name": "posix", "sys_platform": "linux", "python_version": "3.11"}))
