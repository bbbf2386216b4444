"""A wheel as a source offers it, before anyone has its bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.utils import BuildTag, InvalidWheelFilename, NormalizedName, parse_wheel_filename

if TYPE_CHECKING:
    from packaging.tags import Tag
    from packaging.version import Version

# What file systems take.
_MAX_NAME = 255
# A name says its tags as a product of three lists: within its length, one could say sixty thousand.
_MAX_TAGS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFile:
    """One wheel of a project.

    What the source says is a claim: a hash pins it, nothing else does.

    Attributes:
        filename: The file's name; it says name, version, build and tags.
        locator: The URL, or the absolute path, where the bytes are.
        name: The normalised distribution name.
        version: Its version.
        build: Its build tag; empty where there is none.
        tags: The interpreters and platforms it is for.
        sha256: The hash of the whole file, in hex; None where the source has none.
        size: The file's size in bytes; None where the source does not say.
        requires_python: The Pythons it is for; empty is any.
        yanked: Why it was withdrawn (PEP 592); None where it was not.
        metadata_sha256: The hash of its METADATA where the source offers that
            alone (PEP 658): hex, or an empty string where it is offered
            without a hash; None where it is not offered.
        profile_sha256: Likewise for its resource profile beside it.
    """

    filename: str
    locator: str
    name: NormalizedName
    version: Version
    build: BuildTag = ()
    tags: frozenset[Tag] = field(default_factory=frozenset)
    sha256: str | None = None
    size: int | None = None
    requires_python: SpecifierSet = field(default_factory=SpecifierSet)
    yanked: str | None = None
    metadata_sha256: str | None = None
    profile_sha256: str | None = None


def read_name(filename: str) -> tuple[NormalizedName, Version, BuildTag, frozenset[Tag]]:
    """Name, version, build and tags, as a wheel's file name says them.

    Raises:
        packaging.utils.InvalidWheelFilename: The name is none of a wheel, or out of all bounds.
    """
    if len(filename) > _MAX_NAME:
        raise InvalidWheelFilename(
            f"{filename[:40]!r}... has {len(filename):,} characters; at most {_MAX_NAME}"
        )
    tags = prod(part.count(".") + 1 for part in filename.removesuffix(".whl").split("-")[-3:])
    if tags > _MAX_TAGS:
        raise InvalidWheelFilename(f"{filename!r} says {tags:,} tags; at most {_MAX_TAGS}")
    # A page lists thousands, of a few hundred versions and for a few dozen platforms: each is read once.
    head, tail = _halves(filename)
    try:
        return *_named(head), *_tagged(tail)
    except InvalidWheelFilename:
        # The whole name is what the error is to tell.
        return parse_wheel_filename(filename)


def wheel_file(filename: str, locator: str, **known: object) -> WheelFile:
    """Read a wheel's name; ``known`` are further fields of `WheelFile`.

    Raises:
        packaging.utils.InvalidWheelFilename: The name is none of a wheel.
    """
    name, version, build, tags = read_name(filename)
    return WheelFile(
        filename=filename,
        locator=locator,
        name=name,
        version=version,
        build=build,
        tags=tags,
        **known,  # type: ignore[arg-type]  # callers name fields of WheelFile
    )


def _halves(filename: str) -> tuple[str, str]:
    """``NAME-VERSION`` and ``[BUILD-]PYTHON-ABI-PLATFORM.whl``."""
    name, _, rest = filename.partition("-")
    version, _, tail = rest.partition("-")
    return f"{name}-{version}", tail


@lru_cache(maxsize=4096)
def _named(head: str) -> tuple[NormalizedName, Version]:
    return parse_wheel_filename(f"{head}-py3-none-any.whl")[:2]


# One may say hundreds of tags: no more are kept than make some megabytes.
@lru_cache(maxsize=256)
def _tagged(tail: str) -> tuple[BuildTag, frozenset[Tag]]:
    return parse_wheel_filename(f"name-1-{tail}")[2:]
