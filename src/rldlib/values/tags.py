"""The wheel tags that an interpreter takes, as its groups of platforms.

A thousand tags are a few lists of platforms for some sixty pairs of interpreter
and ABI. A tag is ranked by its pair and its platform; the thousand are made only
for whoever wants to see them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from collections.abc import Iterable

    # Not before a tag is made: it brings `subprocess`, and a warm start makes none.
    from packaging.tags import Tag

    Group = tuple[str, str, Sequence[str]]


class Tags(Sequence["Tag"]):
    """The tags, the best first.

    Args:
        groups: Interpreter, ABI, and their platforms, in the order of preference.
    """

    def __init__(self, groups: Iterable[Group]) -> None:
        self._groups = tuple(groups)
        self._made: tuple[Tag, ...] | None = None
        self.ranks: Mapping[Tag, int] = Ranks(self._groups)

    @overload
    def __getitem__(self, index: int) -> Tag: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Tag, ...]: ...

    def __getitem__(self, index: int | slice) -> Tag | tuple[Tag, ...]:
        return self._all()[index]

    def __len__(self) -> int:
        return sum(len(platforms) for _, _, platforms in self._groups)

    def __iter__(self) -> Iterator[Tag]:
        # One after another: who wants to know the first has no need of the rest.
        return _tags_of(self._groups) if self._made is None else iter(self._made)

    def __hash__(self) -> int:
        return hash(self._all())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._all() == tuple(other)

    def _all(self) -> tuple[Tag, ...]:
        if self._made is None:
            self._made = tuple(_tags_of(self._groups))
        return self._made


class Ranks(Mapping["Tag", int]):
    """The rank of each tag; 0 is the one the interpreter prefers.

    Args:
        groups: As those of `Tags`; no pair has two groups with the same platform.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = groups
        # Pair -> where its groups begin, and the positions of their platforms: most have one, and share them.
        self._places: dict[tuple[str, str], list[tuple[int, Mapping[str, int]]]] = {}
        positions: dict[int, Mapping[str, int]] = {}
        begin = 0
        for interpreter, abi, platforms in groups:
            places = positions.get(id(platforms))
            if places is None:
                places = {platform.lower(): at for at, platform in reversed(tuple(enumerate(platforms)))}
                positions[id(platforms)] = places
            self._places.setdefault((interpreter.lower(), abi.lower()), []).append((begin, places))
            begin += len(platforms)

    def __getitem__(self, tag: Tag) -> int:
        for begin, places in self._places.get((tag.interpreter, tag.abi), ()):
            at = places.get(tag.platform)
            if at is not None:
                return begin + at
        raise KeyError(tag)

    def __contains__(self, tag: object) -> bool:
        from packaging.tags import Tag

        if not isinstance(tag, Tag):
            return False
        return any(tag.platform in places for _, places in self._places.get((tag.interpreter, tag.abi), ()))

    def __iter__(self) -> Iterator[Tag]:
        return _tags_of(self._groups)

    def __len__(self) -> int:
        return sum(len(platforms) for _, _, platforms in self._groups)


def _tags_of(groups: Iterable[Group]) -> Iterator[Tag]:
    from packaging.tags import Tag

    for interpreter, abi, platforms in groups:
        for platform in platforms:
            yield Tag(interpreter, abi, platform)
