"""The list of elements names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_ROW = re.compile(r"^\| (?P<element>B?\d+) \| (?P<behaviour>[^|]+) \| (?P<shown>[^|]*)\|$", re.MULTILINE)
_TEST = re.compile(r"`(?P<path>[\w./-]+\.py)::(?P<name>\w+(?:::\w+)?)(?:\[[^\]]*\])?`")
# What has to be in the list.
ELEMENTS = (
    *range(1, 7),
    *(8, 14, 15, 16, 18, 24, 33, 34, 38, 41, 43, 44, 46, 49, 52, 53, 54, 57, 58, 59, 60, 63, 72),
    *range(80, 88),
    *range(90, 97),
    *(135, 138, 139, 155, "B2", "B14"),
)
ROWS = list(_ROW.finditer((ROOT / "docs/reference/elements.md").read_text(encoding="utf-8")))


def _names(path):
    """The names of a file's tests, those of classes as ``Class::test``."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found.update(
                f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)
            )
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.add(node.name)
    return found


def test_every_element_is_listed_once():
    assert [row["element"] for row in ROWS] == [str(element) for element in ELEMENTS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["element"])
def test_the_tests_named_for_an_element_exist(row):
    shown = row["shown"].strip()
    named = list(_TEST.finditer(shown))
    assert not _TEST.sub("", shown).replace(",", "").strip(), "name tests as `tests/path.py::test_name`"
    for test in named:
        assert test["name"].rpartition("::")[2].startswith("test_")
        assert test["name"] in _names(ROOT / test["path"])
