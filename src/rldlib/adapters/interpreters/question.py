"""Runs on each candidate interpreter, as a script: says what it is, as JSON.

Standard library only, and the syntax of every Python 3. The argument is the
folder of the `packaging` that asks; it is mounted from there alone.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _mount(folder: str) -> None:
    """Make `packaging` importable without anything that lies beside it."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(
        "packaging", f"{folder}/__init__.py", submodule_search_locations=[folder]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["packaging"] = module
    spec.loader.exec_module(module)


def _describe(folder: str) -> dict[str, object]:
    _mount(folder)
    from packaging.markers import default_environment
    from packaging.tags import sys_tags

    platforms: list[list[str]] = []
    groups: list[Any] = []
    for tag in sys_tags():
        if not groups or groups[-1][:2] != [tag.interpreter, tag.abi]:
            groups.append([tag.interpreter, tag.abi, []])
        groups[-1][2].append(tag.platform)
    for group in groups:
        if group[2] not in platforms:
            platforms.append(group[2])
        group[2] = platforms.index(group[2])
    markers = default_environment()
    version = markers["python_full_version"]
    return {"platforms": platforms, "tags": groups, "markers": markers, "version": version}


def _main() -> None:
    # A worker needs these; some distributions ship them apart.
    library = Path(os.__file__).parent
    complete = all((library / name).is_dir() for name in ("asyncio", "concurrent", "logging"))
    answer: dict[str, object] = {
        "executable": os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable),
        "version": ".".join(map(str, sys.version_info[:3])),
        "implementation": sys.implementation.name,
        "complete": complete,
    }
    if sys.version_info >= (3, 10) and answer["implementation"] == "cpython" and complete:
        answer.update(_describe(sys.argv[1]))
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    _main()
