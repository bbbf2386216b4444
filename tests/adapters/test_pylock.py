from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.pylock import Pylock
from tests.sources.interpreters import own_interpreter

from rldlib.adapters import pylock
from rldlib.errors import MismatchError
from rldlib.values.lock import Lock, LockedWheel


def _wheel(name: str, version: str = "1.0", **facts) -> LockedWheel:
    filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    known = {"locator": f"https://index.example/files/{filename}", "sha256": "ab" * 32, "size": 1234}
    return LockedWheel(name=name, version=version, filename=filename, **{**known, **facts})


def _lock(*wheels: LockedWheel) -> Lock:
    return Lock(
        service="tax",
        version="1.0",
        distribution="rld-tax",
        source="https://index.example/simple/",
        interpreter=own_interpreter().label,
        wheels=(*wheels, _wheel("rld-tax")),
    )


_LOCK = _lock(_wheel("alpha", "2.0"), _wheel("beta", locator="/a folder/beta-1.0-py3-none-any.whl"))


def test_what_is_written_is_read_again():
    assert pylock.read(pylock.write(_LOCK)) == _LOCK
    assert pylock.write(pylock.read(pylock.write(_LOCK))) == pylock.write(_LOCK)


def test_it_is_a_standard_lock_that_selects_on_its_interpreter():
    standard = Pylock.from_dict(tomllib.loads(pylock.write(_LOCK)))

    chosen = {package.name: wheel.filename for package, wheel in standard.select()}
    assert chosen == {wheel.name: wheel.filename for wheel in _LOCK.wheels}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("size = 1234", "size = -1", "no size from 0"),
        ("size = 1234\n", "", "no size from 0"),
        ("ab" * 32, "AB" * 32, "no sha256"),
        ("ab" * 32, "ab", "no sha256"),
        ('version = "2.0"', 'version = "2.1"', "not consistent"),
        ('name = "alpha"', 'name = "beta"', "not consistent"),
        ('lock-version = "1.0"', 'lock-version = "2.0"', "not supported"),
        ('distribution = "rld-tax"', 'distribution = "other"', "no wheel of other"),
        ('service = "tax"\n', "", "lacks one of"),
        ("[tool.rldlib]", "[tool.other]", "lacks one of"),
        ("[[packages]]", "[[packages", "Expected"),
    ],
)
def test_what_is_no_such_lock_is_refused(old, new, told):
    text = pylock.write(_LOCK)
    assert old in text
    with pytest.raises(MismatchError, match=told):
        pylock.read(text.replace(old, new, 1))


def test_a_distribution_locked_twice_is_refused():
    with pytest.raises(MismatchError, match="alpha is locked twice"):
        pylock.read(pylock.write(_lock(_wheel("alpha", "2.0"), _wheel("alpha", "2.1"))))


def test_a_huge_or_deep_file_is_refused():
    for text in ("#" * 5_000_000, "a = " + "[" * 100_000, ""):
        with pytest.raises(MismatchError):
            pylock.read(text)


@given(st.data())
def test_a_damaged_lock_is_read_or_refused(data):
    text = pylock.write(_LOCK)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    try:
        read = pylock.read(text[:start] + data.draw(st.text(max_size=10)) + text[end:])
    except MismatchError:
        return
    assert all(wheel.sha256 and wheel.size >= 0 for wheel in read.wheels)


def test_a_name_of_countless_parts_is_refused_before_it_is_read():
    """Forty kilobytes of it would take a gigabyte."""
    with pytest.raises(MismatchError, match="a line of more than"):
        pylock.read(".".join(["a"] * 20_000) + " = 1")
