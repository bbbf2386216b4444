"""Which wheels of a distribution may be taken, the best first.

The rules are pip's, and are compared with its answers in the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from packaging.specifiers import SpecifierSet
    from packaging.tags import Tag
    from packaging.utils import BuildTag
    from packaging.version import Version

    from rldlib.values.interpreter import Interpreter
    from rldlib.values.wheel import WheelFile


def fitting(
    wheels: Iterable[WheelFile], interpreter: Interpreter, ranks: Mapping[Tag, int]
) -> list[WheelFile]:
    """The wheels that the interpreter can install at all, in their order."""
    python = interpreter.version.base_version
    return [
        wheel
        for wheel in wheels
        if any(tag in ranks for tag in wheel.tags)
        and wheel.requires_python.contains(python, prereleases=True)
    ]


def preferred(
    wheels: Iterable[WheelFile],
    specifier: SpecifierSet,
    ranks: Mapping[Tag, int],
    *,
    prereleases: bool = False,
) -> Iterator[WheelFile]:
    """Wheels within `specifier`, the best first: newest version, then tag, then build.

    Previews are taken where `specifier` names one, where nothing else is
    within it, or where `prereleases` says so. What was yanked is taken only
    where `specifier` pins it and nothing else is within it (PEP 592).
    """
    admitted = list(
        specifier.filter(wheels, prereleases=prereleases or None, key=lambda wheel: wheel.version)
    )
    if any(wheel.yanked is None for wheel in admitted):
        admitted = [wheel for wheel in admitted if wheel.yanked is None]
    elif not pins(specifier):
        return

    def rank(wheel: WheelFile) -> tuple[Version, int, BuildTag]:
        return wheel.version, -min(ranks[tag] for tag in wheel.tags if tag in ranks), wheel.build

    # Sorted upwards and reversed, as pip does it: of equals, the last listed comes first.
    admitted.sort(key=rank)
    yield from reversed(admitted)


def pins(specifier: SpecifierSet) -> bool:
    """Whether it names one version: ``==`` without a wildcard, or ``===``."""
    return any(
        part.operator == "===" or (part.operator == "==" and not part.version.endswith(".*"))
        for part in specifier
    )


def is_bounded_above(specifier: SpecifierSet) -> bool:
    """Whether it rules out versions yet to come."""
    return any(
        part.operator in {"<", "<=", "~="} or (part.operator == "==" and part.version.endswith(".*"))
        for part in specifier
    )
