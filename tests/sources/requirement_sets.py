"""A small index, and sets of requirements on it that resolve, each in its own way, or do not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.wheels import make_wheel, wheel_members, write_wheel

if TYPE_CHECKING:
    from pathlib import Path

_MINOR = sys.version_info[1]

# name, version, requirements, and what else `make_wheel` takes
_WHEELS = [
    *(("alpha", version, [], {}) for version in ("1.0", "1.1", "1.1.1", "1.2", "2.0", "2.1a1", "3.0.dev1")),
    # Extras
    ("extras", "1.0", ["alpha<2; extra == 'old'", "leaf; extra == 'new'"], {"extras": ["old", "new"]}),
    ("extras", "2.0", ["alpha>=2; extra == 'old'", "leaf; extra == 'new'"], {"extras": ["old", "new"]}),
    (
        "nested",
        "1.0",
        ["extras[old]; extra == 'all'", "nested[more]; extra == 'all'", "gamma; extra == 'more'"],
        {"extras": ["all", "more"]},
    ),
    ("leaf", "1.0", [], {}),
    ("gamma", "1.0", [], {}),
    # Only previews
    ("preview", "1.0a1", [], {}),
    ("preview", "1.0b2", [], {}),
    ("asks-preview", "1.0", ["alpha>=2.1a0"], {}),
    # Requires-Python
    ("python", "1.0", [], {"requires_python": ">=3.8"}),
    ("python", "2.0", [], {"requires_python": f">=3.{_MINOR + 1}"}),
    ("python", "3.0", [], {"requires_python": "<3"}),
    ("too-new", "1.0", [], {"requires_python": ">=4"}),
    ("hidden-python", "1.0", ["alpha"], {}),
    # Tags and builds
    ("tagged", "1.0", [], {}),
    ("tagged", "1.0", [], {"tag": f"cp3{_MINOR}-abi3-any"}),
    ("tagged", "1.0", [], {"tag": f"cp3{_MINOR}-none-any"}),
    ("tagged", "2.0", [], {"tag": "cp39-cp39-win_amd64"}),
    ("built", "1.0", [], {}),
    ("foreign", "1.0", [], {"tag": "cp39-cp39-win_amd64"}),
    ("multi", "1.0", [], {"tag": "py2.py3-none-any"}),
    # Diamonds, steps back
    ("left", "1.0", ["shared>=1"], {}),
    ("left", "2.0", ["shared>=2"], {}),
    ("right", "1.0", ["shared<3"], {}),
    ("right", "2.0", ["shared<2"], {}),
    ("strict", "1.0", ["shared==1.0"], {}),
    ("strict", "2.0", ["shared==4.0"], {}),
    *(("shared", f"{n}.0", [], {}) for n in (1, 2, 3)),
    *(("deep", f"{n}.0", [f"deeper=={n}.0"], {}) for n in range(1, 7)),
    *(("deeper", f"{n}.0", [f"shared=={min(n, 3)}.0", f"deepest<={n}"], {}) for n in range(1, 7)),
    *(("deepest", f"{n}.0", ["shared<2"] if n > 2 else [], {}) for n in range(1, 7)),
    *(("wide", f"{n}.0", ["narrow<3" if n > 3 else "narrow"], {}) for n in range(1, 9)),
    *(("narrow", f"{n}.0", ["wide<5" if n > 1 else "wide"], {}) for n in range(1, 9)),
    # Circles
    ("circle-a", "1.0", ["circle-b"], {}),
    ("circle-b", "1.0", ["circle-a>=1"], {}),
    ("self", "1.0", ["self[more]"], {"extras": ["more"]}),
    # Clashes
    ("wants-one", "1.0", ["shared==1.0"], {}),
    ("wants-two", "1.0", ["shared==2.0"], {}),
    ("wants-gone", "1.0", ["nowhere"], {}),
    ("wants-gone", "0.9", ["leaf"], {}),
    # Markers
    (
        "marked",
        "1.0",
        [
            "alpha==1.0; python_version < '3.9'",
            "alpha==1.2; python_version >= '3.9'",
            "nowhere; sys_platform == 'win32'",
        ],
        {},
    ),
    (
        "marked-deep",
        "1.0",
        [
            "leaf; platform_python_implementation == 'CPython' and implementation_name != 'pypy'",
            "gamma; os_name == 'java'",
        ],
        {},
    ),
    # Withdrawn, see YANKED
    ("withdrawn", "1.0", [], {}),
    ("withdrawn", "1.1", [], {}),
    ("withdrawn", "1.2", [], {}),
    ("all-withdrawn", "1.0", [], {}),
    # What is provided
    ("with-host", "1.0", ["rldlib>=0.0.1", "leaf"], {}),
    # Post-releases, epochs, local versions
    ("posted", "1.0", [], {}),
    ("posted", "1.0.post1", [], {}),
    ("epoch", "5.0", [], {}),
    ("epoch", "1!1.0", [], {}),
    # Metadata that pip passes over
    ("spoilt", "1.0", [], {}),
    ("Camel.Case", "1.0", [], {}),
]
YANKED = {
    "withdrawn-1.1-py3-none-any.whl": "broken",
    "withdrawn-1.2-py3-none-any.whl": "worse",
    "all_withdrawn-1.0-py3-none-any.whl": "unsafe",
}

SETS: dict[str, list[str]] = {
    "nothing": [],
    "one": ["alpha"],
    "at least": ["alpha>=1.1"],
    "below": ["alpha<1.2"],
    "exactly": ["alpha==1.1"],
    "exactly, wildcard": ["alpha==1.1.*"],
    "exactly, zeros": ["alpha==1.1.0"],
    "as it is written": ["alpha===1.1"],
    "as it is not written": ["alpha===1.1.0"],
    "compatible minor": ["alpha~=1.0"],
    "compatible patch": ["alpha~=1.1.0"],
    "but not": ["alpha!=2.0"],
    "but none of": ["alpha!=2.*,>=1"],
    "nothing there": ["alpha>9"],
    "between": ["alpha>1.0,<2,!=1.2"],
    "preview named": ["alpha>=2.1a1"],
    "preview named exactly": ["alpha==2.1a1"],
    "preview asked below": ["asks-preview"],
    "preview asked below and here": ["asks-preview", "alpha"],
    "development named": ["alpha>=3.0.dev0"],
    "previews only": ["preview"],
    "previews only, bounded": ["preview<2"],
    "extra": ["extras[old]"],
    "extra bounded": ["extras[old]<2"],
    "two extras": ["extras[old,new]"],
    "extra against": ["extras[old]", "alpha<2"],
    "extra with other": ["extras[new]", "extras[old]==1.0"],
    "extra unknown": ["extras[never]"],
    "extra of extra": ["nested[all]"],
    "extra spelt otherwise": ["nested[ALL]", "Camel_case"],
    "python": ["python"],
    "python clash": ["python>=2"],
    "python too new": ["too-new"],
    "best tag": ["tagged"],
    "tag elsewhere": ["tagged>=2"],
    "build": ["built"],
    "no tag fits": ["foreign"],
    "two tags": ["multi"],
    "diamond": ["left", "right"],
    "diamond bounded": ["left>=2", "right"],
    "diamond clash": ["left>=2", "right>=2"],
    "step back": ["strict", "shared"],
    "steps back": ["deep", "deepest>=2"],
    "many steps back": ["deep>=2", "left", "right"],
    "wide and narrow": ["wide", "narrow"],
    "wide first": ["wide>=4", "narrow<=2"],
    "circle": ["circle-a"],
    "circle from the other side": ["circle-b", "circle-a"],
    "self": ["self"],
    "clash": ["wants-one", "wants-two"],
    "clash with the root": ["wants-one", "shared>1"],
    "gone": ["nowhere"],
    "gone below": ["wants-gone"],
    "gone below, exactly": ["wants-gone==1.0"],
    "markers": ["marked"],
    "markers below": ["marked-deep"],
    "marker of the set": ["leaf; python_version >= '3'", "nowhere; python_version < '3'"],
    "withdrawn": ["withdrawn"],
    "withdrawn pinned": ["withdrawn==1.1"],
    "withdrawn bounded": ["withdrawn>1.0"],
    "withdrawn as written": ["withdrawn===1.2"],
    "withdrawn wildcard": ["withdrawn==1.1.*"],
    "withdrawn all": ["all-withdrawn"],
    "withdrawn all pinned": ["all-withdrawn==1.0"],
    "provided": ["rldlib"],
    "provided below": ["with-host", "rldlib"],
    "post": ["posted"],
    "post not above": ["posted>1.0"],
    "post exactly": ["posted==1.0"],
    "epoch": ["epoch"],
    "epoch bounded": ["epoch<2"],
    "spoilt passed over": ["spoilt"],
    "python below": ["hidden-python", "alpha<2"],
    "several": ["alpha", "left", "right", "nested[all]", "marked", "circle-a"],
    "the same twice": ["alpha>=1", "alpha<2", "Alpha!=1.2"],
}


def carrier_name(label: str) -> str:
    """The distribution that requires a set."""
    return "set-" + label.replace(",", "").replace(" ", "-")


def make_universe(folder: Path) -> None:
    """Write every wheel, and one that requires each set."""
    for name, version, requires, options in _WHEELS:
        _make(folder, name, version, requires, **options)
    members = wheel_members("built", "1.0")
    for build in ("1", "2", "10"):
        text = members["built-1.0.dist-info/WHEEL"] + f"Build: {build}\n".encode()
        write_wheel(
            folder, f"built-1.0-{build}-py3-none-any.whl", {**members, "built-1.0.dist-info/WHEEL": text}
        )
    spoilt = wheel_members("spoilt", "2.0", requires=["not a requirement at all"])
    write_wheel(folder, "spoilt-2.0-py3-none-any.whl", spoilt)
    for label, requires in SETS.items():
        make_wheel(folder, carrier_name(label), "1.0", requires=requires)


def _make(folder: Path, name: str, version: str, requires, *, extras=(), **options) -> None:
    written = name.replace("-", "_")
    members = wheel_members(
        name,
        version,
        requires=requires,
        requires_python=options.get("requires_python"),
        tag=options.get("tag", "py3-none-any"),
    )
    info = f"{written}-{version}.dist-info/METADATA"
    members[info] += "".join(f"Provides-Extra: {extra}\n" for extra in extras).encode()
    write_wheel(folder, f"{written}-{version}-{options.get('tag', 'py3-none-any')}.whl", members)
