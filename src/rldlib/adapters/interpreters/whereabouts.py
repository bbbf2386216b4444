"""Where CPythons lie: names and links only, nothing is run."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Final

from rldlib.values.interpreter import OLDEST_PYTHON

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VARIABLE: Final = "RLDLIB_PYTHONS"
_NEWEST_MINOR: Final = 20
# What says by its name that it is too old is not asked.
_TOO_OLD: Final = re.compile(r"python(2[\d.]*|3\.\d)\Z")
_FOLDERS: Final = ("/usr/local/bin", "/usr/bin")
# Each folder below it may hold an installation of its own.
_OPTIONAL: Final = "/opt"


def candidates(environment: Mapping[str, str]) -> Iterator[str]:
    """Real paths of what may be an interpreter, this process's own first, each once."""
    seen = set()
    for path in _named(environment):
        if not os.path.exists(path):  # noqa: PTH110 - strings, hundreds of them
            continue
        real = os.path.realpath(path)
        name = os.path.basename(real)  # noqa: PTH119 - strings, hundreds of them
        if real not in seen and not _TOO_OLD.match(name) and os.access(real, os.X_OK):
            seen.add(real)
            yield real


def own_executable() -> str:
    """The real path of the base interpreter that this process runs on."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def _named(environment: Mapping[str, str]) -> Iterator[str]:
    yield own_executable()
    yield from filter(os.path.isabs, environment.get(VARIABLE, "").split(os.pathsep))
    home = environment.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 - strings
    on_path = environment.get("PATH", "").split(os.pathsep)
    # Whoever runs with another home still has the shims of a pyenv on PATH.
    pyenvs = [environment.get("PYENV_ROOT") or f"{home}/.pyenv"]
    pyenvs += [folder.removesuffix("/shims") for folder in on_path if folder.endswith("/shims")]
    managed = [*(f"{pyenv}/versions" for pyenv in pyenvs), f"{home}/.local/share/uv/python"]
    for folder in dict.fromkeys(managed):
        yield from (f"{folder}/{name}/bin/python3" for name in _names(folder))
    # A pyenv shim starts a shell that finds what was found above.
    shims = {os.path.realpath(f"{pyenv}/shims") for pyenv in pyenvs}
    folders = [*on_path, *_FOLDERS]
    folders += [f"{_OPTIONAL}/{name}/bin" for name in _names(_OPTIONAL)]
    names = ["python3", *(f"python3.{minor}" for minor in range(OLDEST_PYTHON.minor, _NEWEST_MINOR))]
    for folder in dict.fromkeys(folders):
        if os.path.isabs(folder) and os.path.realpath(folder) not in shims:  # noqa: PTH117 - strings
            yield from (f"{folder}/{name}" for name in names)


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names alone
    except OSError:
        return []
