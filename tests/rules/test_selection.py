from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.version import Version

from rldlib.errors import InterpreterNotFoundError, UnsatisfiableError
from rldlib.rules.selection import best_wheel, choices
from rldlib.values.interpreter import Interpreter
from rldlib.values.request import parse_request
from rldlib.values.wheel import wheel_file


def _interpreter(minor: int, *, own: bool = False) -> Interpreter:
    tags = [
        Tag(f"cp3{minor}", f"cp3{minor}", "linux_x86_64"),
        *(Tag(f"cp3{older}", "abi3", "linux_x86_64") for older in range(minor, 1, -1)),
    ]
    return Interpreter(
        executable=f"/python3.{minor}",
        version=Version(f"3.{minor}.1"),
        tags=(*tags, Tag("py3", "none", "any")),
        markers={"sys_platform": "linux", "platform_machine": "x86_64"},
        own=own,
    )


_OWN, _OTHER = _interpreter(11, own=True), _interpreter(13)


def _wheel(version: str, tag: str = "py3-none-any", **known: object):
    filename = f"tax-{version}-{tag}.whl"
    return wheel_file(filename, f"/{filename}", **known)


def _chosen(text: str, *wheels, **options):
    return [
        (choice.wheel.filename, choice.interpreter.executable)
        for choice in choices(parse_request(text), wheels, (_OWN, _OTHER), **options)
    ]


def test_the_newest_version_is_taken_on_the_own_interpreter_first():
    assert _chosen("tax", _wheel("1.0"), _wheel("1.10"), _wheel("1.9")) == [
        ("tax-1.10-py3-none-any.whl", "/python3.11"),
        ("tax-1.10-py3-none-any.whl", "/python3.13"),
    ]


def test_another_interpreter_is_taken_where_the_own_does_not_fit():
    assert _chosen("tax", _wheel("1.0", "cp313-cp313-linux_x86_64")) == [
        ("tax-1.0-cp313-cp313-linux_x86_64.whl", "/python3.13")
    ]
    only_old = _wheel("1.0", requires_python=SpecifierSet("<3.12"))
    assert [executable for _, executable in _chosen("tax", only_old)] == ["/python3.11"]


def test_a_version_that_no_interpreter_takes_gives_way_to_an_older_one():
    assert _chosen("tax", _wheel("2.0", "cp39-cp39-win32"), _wheel("1.0"))[0][0] == "tax-1.0-py3-none-any.whl"


def test_previews_are_taken_only_when_allowed_or_alone():
    assert _chosen("tax", _wheel("1.0"), _wheel("2.0rc1"))[0][0].startswith("tax-1.0-")
    assert _chosen("tax", _wheel("1.0"), _wheel("2.0rc1"), prereleases=True)[0][0].startswith("tax-2.0rc1-")
    assert _chosen("tax", _wheel("2.0rc1"))[0][0].startswith("tax-2.0rc1-")


def test_a_withdrawn_version_is_taken_only_when_pinned():
    withdrawn = _wheel("2.0", yanked="broken")

    assert _chosen("tax", _wheel("1.0"), withdrawn)[0][0].startswith("tax-1.0-")
    assert _chosen("tax==2.0", _wheel("1.0"), withdrawn)[0][0].startswith("tax-2.0-")
    with pytest.raises(UnsatisfiableError):
        _chosen("tax==2.*", _wheel("1.0"), withdrawn)


def test_the_best_tag_wins_and_then_the_highest_build():
    generic, special = _wheel("1.0"), _wheel("1.0", "cp311-cp311-linux_x86_64")
    rebuilt = wheel_file("tax-1.0-2-py3-none-any.whl", "/r")

    assert best_wheel([generic, special], _OWN) is special
    assert best_wheel([generic, rebuilt], _OTHER) is rebuilt
    assert best_wheel([special], _OTHER) is None


def test_no_version_and_no_interpreter_are_told_apart_with_what_there_is():
    with pytest.raises(UnsatisfiableError, match=r"no version satisfies tax>=3; there is 2\.0, 1\.0"):
        _chosen("tax>=3", _wheel("1.0"), _wheel("2.0"))
    with pytest.raises(UnsatisfiableError, match="no wheel at all"):
        _chosen("tax")
    with pytest.raises(UnsatisfiableError, match="and 2 more"):
        _chosen("tax>=90", *(_wheel(f"{n}.0") for n in range(1, 11)))
    with pytest.raises(InterpreterNotFoundError, match=r"a tag of cp39-cp39-win32; found CPython 3\.11\.1"):
        _chosen("tax", _wheel("1.0", "cp39-cp39-win32"))
    with pytest.raises(InterpreterNotFoundError, match=r"needs Python >=3\.15"):
        _chosen("tax", _wheel("1.0", requires_python=SpecifierSet(">=3.15")))
