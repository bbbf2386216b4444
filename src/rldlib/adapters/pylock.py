"""The lock as a standard file, ``pylock.toml`` (PEP 751), written and read."""

from __future__ import annotations

import re
import tomllib
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from packaging.markers import Marker
from packaging.pylock import (
    Package,
    PackageWheel,
    Pylock,
    PylockSelectError,
    PylockUnsupportedVersionError,
    PylockValidationError,
)
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, NormalizedName
from packaging.version import Version

from rldlib.errors import MismatchError
from rldlib.values.digest import is_sha256
from rldlib.values.lock import Lock, LockedWheel
from rldlib.values.markers import READING
from rldlib.values.wheel import read_name

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_BYTES = 4 * 1024 * 1024
# A name of many parts costs the square of their number.
_MAX_LINE = 4_000
_MAX_WHEELS = 5_000
_MAX_WHEEL_BYTES = 2**40
_TOOL = "rldlib"
_FACTS = ("service", "version", "distribution", "source", "interpreter")
# The label of an interpreter ends so: version, platform, machine.
_LABEL = re.compile(r"cpythont?-(?P<version>[^-]+)-(?P<platform>[^-]+)-(?P<machine>.+)\Z")
_ADVICE = "It was not used; 'rld lock' writes a new one"


def write(lock: Lock) -> str:
    """The lock as the text of a ``pylock.toml``."""
    import tomli_w

    with READING:
        pylock = Pylock(
            lock_version=Version("1.0"),
            environments=_environments(lock.interpreter),
            requires_python=_requires_python(lock.interpreter),
            created_by=_TOOL,
            packages=[_package(wheel) for wheel in lock.wheels],
            tool={_TOOL: {name: getattr(lock, name) for name in _FACTS}},
        )
        pylock.validate()
        document = dict(pylock.to_dict())
    return tomli_w.dumps(document)


def read(text: str, *, source: str = "pylock.toml") -> Lock:
    """Read a ``pylock.toml`` that `write` made.

    Args:
        text: The file's text.
        source: What the file is told as.

    Raises:
        MismatchError: It is no such lock, or goes beyond the bounds.
    """
    if len(text) > _MAX_BYTES:
        raise _refused(source, f"{len(text):,} characters; at most {_MAX_BYTES:,} are read")
    if max(map(len, text.split("\n"))) > _MAX_LINE:
        raise _refused(source, f"a line of more than {_MAX_LINE:,} characters")
    try:
        document = tomllib.loads(text)
        with READING:
            pylock = Pylock.from_dict(document)
        wheels = tuple(_locked(pylock))
    except RecursionError as exc:
        raise _refused(source, "it is nested too deeply") from exc
    except (
        ValueError,
        PylockValidationError,
        PylockUnsupportedVersionError,
        PylockSelectError,
        InvalidWheelFilename,
    ) as exc:
        raise _refused(source, str(exc)) from exc
    facts = (pylock.tool or {}).get(_TOOL)
    if not isinstance(facts, dict) or not all(isinstance(facts.get(name), str) for name in _FACTS):
        raise _refused(source, f"its [tool.{_TOOL}] lacks one of {', '.join(_FACTS)}")
    if facts["distribution"] not in {wheel.name for wheel in wheels}:
        raise _refused(source, f"it has no wheel of {facts['distribution']}, which carries the service")
    return Lock(
        wheels=tuple(sorted(wheels, key=lambda wheel: wheel.name)), **{name: facts[name] for name in _FACTS}
    )


def _package(wheel: LockedWheel) -> Package:
    is_url = wheel.locator.startswith(("http://", "https://"))
    return Package(
        name=NormalizedName(wheel.name),
        version=Version(wheel.version),
        wheels=[
            PackageWheel(
                name=wheel.filename,
                url=wheel.locator if is_url else None,
                path=None if is_url else wheel.locator,
                size=wheel.size,
                hashes={"sha256": wheel.sha256},
            )
        ],
    )


def _environments(label: str) -> list[Marker] | None:
    match = _LABEL.match(label)
    if match is None:
        return None
    minor = ".".join(match["version"].split(".")[:2])
    return [
        Marker(
            f'implementation_name == "cpython" and python_version == "{minor}"'
            f' and sys_platform == "{match["platform"]}" and platform_machine == "{match["machine"]}"'
        )
    ]


def _requires_python(label: str) -> SpecifierSet | None:
    match = _LABEL.match(label)
    return SpecifierSet(f"=={'.'.join(match['version'].split('.')[:2])}.*") if match else None


def _locked(pylock: Pylock) -> Iterator[LockedWheel]:
    if len(pylock.packages) > _MAX_WHEELS:
        raise ValueError(f"{len(pylock.packages):,} packages; at most {_MAX_WHEELS:,} are read")
    seen: set[str] = set()
    for package in pylock.packages:
        if package.name in seen:
            raise ValueError(f"{package.name} is locked twice")
        seen.add(package.name)
        if package.version is None or len(package.wheels or ()) != 1:
            raise ValueError(f"{package.name} is not locked to one version and one wheel")
        for wheel in package.wheels or ():
            yield _locked_wheel(package.name, package.version, wheel)


def _locked_wheel(name: str, version: Version, wheel: PackageWheel) -> LockedWheel:
    sha256: Any = wheel.hashes.get("sha256")
    if not isinstance(sha256, str) or not is_sha256(sha256):
        raise ValueError(f"{name} has no sha256 in lower-case hex")
    if wheel.size is None or not 0 <= wheel.size <= _MAX_WHEEL_BYTES:
        raise ValueError(f"{name} has no size from 0 to {_MAX_WHEEL_BYTES:,} bytes")
    if PurePath(wheel.filename).name != wheel.filename:
        raise ValueError(f"{wheel.filename!r} is no file name")
    if read_name(wheel.filename)[:2] != (name, version):
        raise ValueError(f"{wheel.filename} is no wheel of {name} {version}")
    return LockedWheel(
        name=name,
        version=str(version),
        filename=wheel.filename,
        locator=wheel.url or wheel.path or "",
        sha256=sha256,
        size=wheel.size,
    )


def _refused(source: str, found: str) -> MismatchError:
    return MismatchError(source, "a lock that rldlib wrote (pylock.toml 1.0)", found, _ADVICE)
