"""How the table ``[tool.rldlib]`` of a project becomes the profile of its wheel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.parser import HeaderParser
from typing import TYPE_CHECKING, Any

from rldlib.values.document import examine
from rldlib.values.profile import SCHEMA_VERSION
from rldlib.values.shapes import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import PurePosixPath

    from rldlib.values.profile import ResourceProfile

TABLE = "tool.rldlib"
# Kinds whose bytes an author has beside the code.
_KINDS_WITH_FILE = ("data", "archive")
# Keeps a resource whose file was refused from being told to lack a hash too.
_ANY_PIN = ("0" * 64, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """What a wheel says of itself: its name and version, and its summary in one line."""

    name: str
    version: str
    summary: str


def read_metadata(data: bytes) -> Distribution:
    """Read METADATA, as far as a profile takes it over."""
    message = HeaderParser().parsestr(data.decode("utf-8", "replace"))
    summary = " ".join(str(message.get("Summary", "")).split())
    return Distribution(
        name=str(message.get("Name", "")).strip(),
        version=str(message.get("Version", "")).strip(),
        # What old setuptools write for a project that has none.
        summary="" if summary == "UNKNOWN" else summary,
    )


def profile_of(
    table: Mapping[str, Any],
    distribution: Distribution,
    pin: Callable[[str], tuple[str, int]],
    kinds: Collection[str] = (),
) -> tuple[ResourceProfile | None, tuple[str, ...]]:
    """The profile that a project declares, or every fault of its table.

    Args:
        table: The table; it has the structure of the profile, without schema and version.
        distribution: Where its service, version and summary come from if it says none.
        pin: The hash and size of a file of the project; a `ValueError` says why there is none.
        kinds: Kinds of resource that plugins of this host know.
    """
    faults = [
        f"{TABLE}.{name}: {why}; leave it out"
        for name, why in (("schema", "rldlib writes it"), ("version", "it is the project's version"))
        if name in table
    ]
    document = {
        "service": service_of(distribution.name),
        "summary": distribution.summary,
        **table,
        "version": distribution.version,
        "schema": SCHEMA_VERSION,
    }
    resources = document.get("resources")
    if isinstance(resources, list):
        document["resources"] = [
            _pinned(resource, f"{TABLE}.resources[{at}]", pin, faults)
            for at, resource in enumerate(resources)
        ]
    profile, found = examine(document, path=TABLE, kinds=kinds)
    return (None if faults else profile), (*faults, *found)


def service_of(name: str) -> str:
    """The service that a distribution is for if nothing else is said: its name without ``rld-``."""
    return re.sub(r"[-_.]+", "-", name).lower().removeprefix("rld-")


def files_of(table: Mapping[str, Any]) -> Iterator[str]:
    """The files that a table's resources name."""
    for resource in table.get("resources", ()):
        if isinstance(resource.get("file"), str):
            yield resource["file"]


def is_inside(path: PurePosixPath) -> bool:
    """Whether a relative path stays in the folder it is relative to."""
    return not path.is_absolute() and ".." not in path.parts and bool(path.parts)


def _pinned(resource: Any, path: str, pin: Callable[[str], tuple[str, int]], faults: list[str]) -> Any:
    """A resource whose ``file`` is replaced by the file's hash and size."""
    if not isinstance(resource, dict) or "file" not in resource:
        return resource
    rest = {name: value for name, value in resource.items() if name not in {"file", "sha256", "size"}}
    sha256, size = _ANY_PIN
    if resource.get("kind") not in _KINDS_WITH_FILE:
        faults.append(
            f"{path}.file: only resources of the kinds {' and '.join(_KINDS_WITH_FILE)} have a file"
        )
    elif len(rest) < len(resource) - 1:
        faults.append(f"{path}.file: its hash and size are those of the file; leave out sha256 and size")
    elif not isinstance(resource["file"], str):
        faults.append(f"{path}.file: {shown(resource['file'])} is no text")
    else:
        try:
            sha256, size = pin(resource["file"])
        except ValueError as exc:
            faults.append(f"{path}.file: {exc}")
    return {**rest, "sha256": sha256, "size": size}
