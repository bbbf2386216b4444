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
