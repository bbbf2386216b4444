"""What a resolution deals in: requirements, and what may meet them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.requirements import Requirement

    from rldlib.values.wheel import WheelFile

# What runs the service has it mounted: it is never installed.
PROVIDED = "rldlib"
# No distribution has such a name.
PYTHON = NormalizedName("<python>")


@dataclass(frozen=True, slots=True)
class Pick:
    """A wheel, with extras or without; or the interpreter, where there is no wheel."""

    name: NormalizedName
    wheel: WheelFile | None
    extras: frozenset[NormalizedName] = frozenset()

    @property
    def identifier(self) -> str:
        """One for the distribution, and one for each set of extras of it."""
        return _identifier(self.name, self.extras)

    def __str__(self) -> str:
        return f"{self.identifier} {self.wheel.version if self.wheel else ''}".strip()


@dataclass(frozen=True, slots=True)
class Want:
    """A requirement: within a specifier, of exactly one wheel, or never met."""

    name: NormalizedName
    extras: frozenset[NormalizedName] = frozenset()
    specifier: SpecifierSet = field(default_factory=SpecifierSet)
    exact: WheelFile | None = None
    text: str = ""
    refusal: str = ""

    @property
    def identifier(self) -> str:
        """See `Pick.identifier`."""
        return _identifier(self.name, self.extras)


def _identifier(name: str, extras: frozenset[NormalizedName]) -> str:
    return f"{name}[{','.join(sorted(extras))}]" if extras else name


def wants_of(requirement: Requirement) -> Iterator[Want]:
    """A requirement as the provider has it; nothing for what is provided."""
    name = canonicalize_name(requirement.name)
    if name == PROVIDED:
        return
    text = f"{requirement.name}{_extras_text(requirement)}{requirement.specifier}"
    if requirement.url:
        refusal = "it names an address of its own; everything comes from the one source"
        yield Want(name, text=f"{requirement.name} @ an address", refusal=refusal)
        return
    extras = frozenset(canonicalize_name(extra) for extra in requirement.extras)
    if extras and requirement.specifier:
        # The distribution itself too, so that its candidates are few from the beginning.
        yield Want(name, specifier=requirement.specifier, text=text)
    yield Want(name, extras=extras, specifier=requirement.specifier, text=text)


def _extras_text(requirement: Requirement) -> str:
    return f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
