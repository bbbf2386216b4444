from __future__ import annotations

import platform
import sys

import pytest
from packaging.tags import Tag, sys_tags
from packaging.version import Version

from rldlib.values.interpreter import Interpreter
from rldlib.values.tags import Tags

LINUX = ("manylinux_2_17_x86_64", "linux_x86_64")
GROUPS = (
    ("cp311", "cp311", LINUX),
    ("cp311", "abi3", LINUX),
    ("cp311", "none", LINUX),
    ("py311", "none", LINUX),
    ("cp311", "none", ("any",)),
    ("py3", "none", ("any",)),
)


def test_every_tag_has_the_rank_of_its_place():
    tags = Tags(GROUPS)
    expected = [Tag(one, abi, platform) for one, abi, platforms in GROUPS for platform in platforms]

    assert list(tags) == expected
    assert [tags.ranks[tag] for tag in expected] == list(range(len(expected)))
    assert len(tags) == len(tags.ranks) == len(expected)
    assert dict(tags.ranks) == {tag: rank for rank, tag in enumerate(expected)}


@pytest.mark.parametrize(
    "tag", [Tag("cp312", "cp312", "any"), Tag("cp311", "cp311", "any"), Tag("py3", "none", "win32")]
)
def test_a_tag_that_it_does_not_take_has_no_rank(tag):
    ranks = Tags(GROUPS).ranks

    assert tag not in ranks
    with pytest.raises(KeyError):
        ranks[tag]


def test_the_ranks_are_those_of_a_real_interpreter():
    groups = []
    for tag in sys_tags():
        if not groups or groups[-1][:2] != (tag.interpreter, tag.abi):
            groups.append((tag.interpreter, tag.abi, []))
        groups[-1][2].append(tag.platform)
    markers = {"sys_platform": sys.platform, "platform_machine": platform.machine()}
    of_groups, of_tags = (
        Interpreter(executable="/python", version=Version("3.11"), tags=tags, markers=markers)
        for tags in (Tags(groups), tuple(sys_tags()))
    )

    assert dict(of_groups.ranks) == of_tags.ranks
    assert of_groups.label == of_tags.label
