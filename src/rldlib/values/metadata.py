"""What a distribution says of itself in METADATA, as far as resolving needs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from rldlib.values.markers import READING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

# The largest known has a few hundred.
_MAX_REQUIREMENTS = 5_000


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
        """
        contexts = [{**markers, "extra": extra} for extra in (extras or ("",))]
        for requirement in self.requires:
            if requirement.marker is None or any(
                requirement.marker.evaluate(context) for context in contexts
            ):
                yield requirement


def parse_metadata(data: bytes) -> Metadata:
    """Read METADATA. A specifier for Python that is none counts as any, as pip has it.

    Raises:
        MalformedMetadataError: Name, version or a requirement is missing or none.
    """
    head, _, _ = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    message = BytesHeaderParser().parsebytes(head)
    lines = [str(line).strip() for line in message.get_all("Requires-Dist", [])]
    if len(lines) > _MAX_REQUIREMENTS:
        raise MalformedMetadataError(f"{len(lines):,} requirements; at most {_MAX_REQUIREMENTS:,} are read")
    try:
        with READING:
            requires = tuple(Requirement(line) for line in lines)
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
    return str(value).strip()


def _requires_python(value: object) -> SpecifierSet:
    try:
        return SpecifierSet(str(value)) if value is not None else SpecifierSet()
    except InvalidSpecifier:
        return SpecifierSet()
