"""What a distribution says of itself in METADATA, as far as resolving needs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from typing import TYPE_CHECKING

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from rldlib.values.markers import READING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from packaging.markers import Marker

# The largest known has a few hundred.
_MAX_REQUIREMENTS = 5_000
# The longest known head, with the whole description in it, is below a fifth of this.
_MAX_HEAD_BYTES = 512 * 1024
# Of what is parsed further. It also keeps every number below what `int` reads (4,300 digits).
_MAX_LINE = 4_000


class MalformedMetadataError(ValueError):
    """METADATA cannot be used; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """One distribution's own word.

    Attributes:
        name: Its normalised name.
        version: Its version.
        requires_python: The Pythons it is for; empty is any.
        requires: What it requires, markers and all.
        extras: The names of its extras, normalised.
    """

    name: NormalizedName
    version: Version
    requires_python: SpecifierSet = field(default_factory=SpecifierSet)
    requires: tuple[Requirement, ...] = ()
    extras: frozenset[NormalizedName] = frozenset()

    def wanted(self, markers: Mapping[str, str], extras: Collection[str] = ()) -> Iterator[Requirement]:
        """What it requires on an interpreter with these markers, for these extras.

        A requirement without a marker, and one whose marker holds without any
        extra, is part of it whatever the extras.

        Raises:
            MalformedMetadataError: A marker compares what cannot be compared.
        """
        contexts = [{**markers, "extra": extra} for extra in (extras or ("",))]
        for requirement in self.requires:
            if requirement.marker is None or any(_holds(requirement.marker, context) for context in contexts):
                yield requirement


def _holds(marker: Marker, context: Mapping[str, str]) -> bool:
    try:
        return marker.evaluate(dict(context))
    except (UndefinedComparison, UndefinedEnvironmentName, InvalidVersion) as exc:
        raise MalformedMetadataError(f"the marker {str(marker)[:80]!r} cannot be decided ({exc})") from exc


def parse_metadata(data: bytes) -> Metadata:
    """Read METADATA. A specifier for Python that is none counts as any, as pip has it.

    Raises:
        MalformedMetadataError: Name, version or a requirement is missing or none.
    """
    head, _, _ = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    if len(head) > _MAX_HEAD_BYTES:
        raise MalformedMetadataError(
            f"its head has {len(head):,} bytes; at most {_MAX_HEAD_BYTES:,} are read"
        )
    message = BytesHeaderParser().parsebytes(head)
    lines = [str(line).strip() for line in message.get_all("Requires-Dist", [])]
    if len(lines) > _MAX_REQUIREMENTS:
        raise MalformedMetadataError(f"{len(lines):,} requirements; at most {_MAX_REQUIREMENTS:,} are read")
    try:
        with READING:
            requires = tuple(Requirement(_short(line)) for line in lines)
        return Metadata(
            name=canonicalize_name(_header(message.get("Name"), "Name")),
            version=Version(_header(message.get("Version"), "Version")),
            requires_python=_requires_python(message.get("Requires-Python")),
            requires=requires,
            extras=frozenset(
                canonicalize_name(str(extra)) for extra in message.get_all("Provides-Extra", [])
            ),
        )
    except (InvalidRequirement, InvalidVersion) as exc:
        raise MalformedMetadataError(" ".join(str(exc).split())) from exc
    except RecursionError as exc:
        raise MalformedMetadataError("a marker is nested too deeply") from exc


def _header(value: object, name: str) -> str:
    if value is None:
        raise MalformedMetadataError(f"it has no {name}")
    return _short(str(value).strip())


def _short(line: str) -> str:
    if len(line) > _MAX_LINE:
        raise MalformedMetadataError(f"a line of {len(line):,} characters; at most {_MAX_LINE:,} are read")
    return line


def _requires_python(value: object) -> SpecifierSet:
    try:
        return SpecifierSet(_short(str(value))) if value is not None else SpecifierSet()
    except InvalidSpecifier:
        return SpecifierSet()
