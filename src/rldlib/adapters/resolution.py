"""The provider that tells resolvelib what is required, offered, and preferred.

Requirements, candidates and their order are modelled on pip's, so that both
find the same wheels.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from packaging.specifiers import SpecifierSet
from resolvelib import AbstractProvider

from rldlib.errors import WheelRefusedError
from rldlib.rules.candidates import is_bounded_above, pins, preferred
from rldlib.values.metadata import MalformedMetadataError
from rldlib.values.wanted import PYTHON, Pick, Want, wants_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from packaging.utils import NormalizedName

    from rldlib.adapters.prefetching import Shelf
    from rldlib.values.metadata import Metadata
    from rldlib.values.wheel import WheelFile

# A name that stands in the way so often is decided early (pip's figure).
_PROMOTED_AFTER = 5


class Provider(AbstractProvider[Want, Pick, str]):
    """One resolution, for one interpreter, from one source.

    Errors of the source come out of it as they are.
    """

    def __init__(self, shelf: Shelf, *, prereleases: bool, noted: Callable[[str], None]) -> None:
        self._shelf = shelf
        self._prereleases = prereleases
        self._noted = noted
        self._conflicts: Counter[str] = Counter()
        self._usable: dict[WheelFile, bool] = {}
        self.carrier: WheelFile | None = None

    def identify(self, requirement_or_candidate: Want | Pick) -> str:
        """See `resolvelib.AbstractProvider`."""
        return requirement_or_candidate.identifier

    def narrow_requirement_selection(
        self,
        identifiers: Iterable[str],
        resolutions: Mapping[str, Pick],
        candidates: Mapping[str, Iterator[Pick]],  # noqa: ARG002 - resolvelib's signature
        information: Mapping[str, Iterator[Any]],  # noqa: ARG002 - as above
        backtrack_causes: Sequence[Any],
    ) -> Iterable[str]:
        """Python first, then what caused the last step back, then what often stood in the way."""
        causes = set()
        for cause in backtrack_causes:
            for one in (cause.requirement, cause.parent):
                if one is not None:
                    causes.add(one.identifier)
                    self._conflicts[one.identifier] += one.identifier not in resolutions
        identifiers = list(identifiers)
        for chosen in (
            [name for name in identifiers if name == PYTHON],
            [name for name in identifiers if name in causes],
            [name for name in identifiers if self._is_promoted(name)],
        ):
            if chosen:
                return chosen
        return identifiers

    def get_preference(
        self,
        identifier: str,
        resolutions: Mapping[str, Pick],  # noqa: ARG002 - resolvelib's signature
        candidates: Mapping[str, Iterator[Pick]],  # noqa: ARG002 - as above
        information: Mapping[str, Iterator[Any]],
        backtrack_causes: Sequence[Any],  # noqa: ARG002 - as above
    ) -> Any:
        """Pip's order: exact, pinned, bounded above, the root, with any specifier, then by name."""
        wants = [one.requirement for one in information[identifier]]
        return (
            not self._is_promoted(identifier),
            not any(want.exact is not None for want in wants),
            not any(pins(want.specifier) for want in wants),
            not any(is_bounded_above(want.specifier) for want in wants),
            0 if self.carrier is not None and identifier == self.carrier.name else math.inf,
            not any(len(want.specifier) for want in wants),
            identifier,
        )

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[Want]],
        incompatibilities: Mapping[str, Iterator[Pick]],
    ) -> Callable[[], Iterator[Pick]]:
        """See `resolvelib.AbstractProvider`; the wheels are looked at one after another, only as needed."""
        wants = list(requirements[identifier])
        name, extras = wants[0].name, wants[0].extras
        # What is asked of the distribution holds for it with extras too.
        wants += requirements.get(name, ()) if extras else ()
        out = {pick.wheel for pick in incompatibilities.get(identifier, ())}

        def found() -> Iterator[Pick]:
            for wheel in self._candidates(name, wants):
                if wheel not in out:
                    yield Pick(name, wheel, extras)

        return found

    def _candidates(self, name: NormalizedName, wants: Sequence[Want]) -> Iterator[WheelFile | None]:
        if any(want.refusal for want in wants):
            return
        if name == PYTHON:
            if all(self._is_python_in(want.specifier) for want in wants):
                yield None
            return
        specifier = SpecifierSet()
        for want in wants:
            specifier &= want.specifier
        exact = {want.exact for want in wants if want.exact is not None}
        if exact:
            yield from (
                wheel
                for wheel in exact
                if len(exact) == 1 and specifier.contains(wheel.version, prereleases=True)
            )
            return
        taken = set()
        for wheel in preferred(
            self._shelf.fitting(name), specifier, self._shelf.ranks, prereleases=self._prereleases
        ):
            if wheel.version not in taken and self._is_usable(wheel):
                taken.add(wheel.version)
                yield wheel

    def is_satisfied_by(self, requirement: Want, candidate: Pick) -> bool:
        """See `resolvelib.AbstractProvider`."""
        if requirement.refusal:
            return False
        if candidate.wheel is None:
            return self._is_python_in(requirement.specifier)
        if requirement.exact is not None:
            return requirement.exact == candidate.wheel
        # Whether a preview may be taken was decided where the candidates were found.
        return requirement.specifier.contains(candidate.wheel.version, prereleases=True)

    def get_dependencies(self, candidate: Pick) -> Iterable[Want]:
        """See `resolvelib.AbstractProvider`."""
        if candidate.wheel is None:
            return
        metadata = self._shelf.metadata(candidate.wheel)
        if candidate.extras:
            # Its extras belong to this very wheel, not to another version of it.
            yield Want(candidate.name, exact=candidate.wheel, text=str(candidate))
        elif metadata.requires_python:
            python = metadata.requires_python
            yield Want(PYTHON, specifier=python, text=f"Python {python}")
        yield from self._required(metadata, candidate.extras)

    def _required(self, metadata: Metadata, extras: frozenset[NormalizedName]) -> Iterator[Want]:
        known = extras & metadata.extras
        wanted = [
            want
            for requirement in metadata.wanted(self._shelf.markers, known)
            for want in wants_of(requirement)
        ]
        self._shelf.expect(wanted)
        yield from wanted

    def _is_usable(self, wheel: WheelFile) -> bool:
        """Whether its METADATA can be read and is its own; what is not is passed over, as pip does."""
        if wheel not in self._usable:
            try:
                self._shelf.metadata(wheel)
                self._usable[wheel] = True
            except (MalformedMetadataError, WheelRefusedError) as exc:
                self._noted(f"{wheel.filename} is passed over: {exc}")
                self._usable[wheel] = False
        return self._usable[wheel]

    def _is_python_in(self, specifier: SpecifierSet) -> bool:
        return specifier.contains(self._shelf.interpreter.version.base_version, prereleases=True)

    def _is_promoted(self, identifier: str) -> bool:
        return self._conflicts[identifier] >= _PROMOTED_AFTER
