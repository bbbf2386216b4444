"""Every service that a source offers, found by looking into it: lazily, and within bounds."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rldlib.errors import IntegrityError, UnavailableError, UsageError
from rldlib.values.document import parse_profile
from rldlib.values.offering import MAX_SERVICES, MAX_VERSIONS
from rldlib.values.request import ServiceRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rldlib.ports import Source
    from rldlib.values.profile import ResourceProfile
    from rldlib.values.wheel import WheelFile

# A list is given again for so long before the source is asked what it has now.
_FRESH_S: Final = 2.0
# What a wheel carries does not change; a file of a directory may.
_KEPT_S: Final = 60.0
# A look takes no longer; what it found is kept, and the next one goes on from there.
_LOOK_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Listed:
    """A service: its versions, the newest first, and the profile of its newest wheel."""

    profile: ResourceProfile
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What a look into a source found.

    Attributes:
        services: By name.
        complete: Whether it looked into every distribution.
    """

    services: Mapping[str, Listed] = field(default_factory=dict)
    complete: bool = True


class Listing:
    """See the module. Safe for many threads: one of them looks, others wait for what it finds.

    Args:
        source: What is looked into; None offers nothing.
        clock: Seconds that never go back.
    """

    def __init__(self, source: Source | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._guard = threading.Lock()
        self._found: tuple[float, Found] | None = None
        self._profiles: dict[tuple[str, str | None, int | None], tuple[float, ResourceProfile | None]] = {}

    def look(self) -> Found:
        """All that is offered now.

        Raises:
            SourceUnavailableError: The source does not say what it has.
        """
        if self._source is None:
            return Found()
        with self._guard:
            if self._found is None or self._clock() >= self._found[0]:
                found = self._look(self._source)
                self._found = self._clock() + _FRESH_S, found
            return self._found[1]

    def _look(self, source: Source) -> Found:
        began = self._clock()
        names = sorted(source.names())
        complete = len(names) <= MAX_SERVICES
        profiles: dict[str, ResourceProfile] = {}
        for name in names[:MAX_SERVICES]:
            if self._clock() - began > _LOOK_S:
                complete = False
                break
            profile = self._profile(source, name)
            if profile is not None:
                profiles.setdefault(profile.service, profile)
        listed = {service: self._listed(source, profiles[service]) for service in sorted(profiles)}
        return Found({name: found for name, found in listed.items() if found is not None}, complete)

    def _profile(self, source: Source, name: str) -> ResourceProfile | None:
        """The profile of the newest wheel of a distribution; None where it has none that can be read."""
        try:
            wheel = _newest(source.project(name) or ())
            if wheel is None:
                return None
            key, now = (wheel.locator, wheel.sha256, wheel.size), self._clock()
            kept = self._profiles.get(key)
            if kept is None or now >= kept[0]:
                if len(self._profiles) > 2 * MAX_SERVICES:
                    self._profiles.clear()
                data = source.profile(wheel)
                profile = None if data is None else parse_profile(data, source=wheel.filename)
                kept = self._profiles[key] = now + _KEPT_S, profile
        except (IntegrityError, UnavailableError):
            # What cannot be read is not offered; whoever asks for it by name is told why.
            return None
        return kept[1]

    def _listed(self, source: Source, profile: ResourceProfile) -> Listed | None:
        """A service as it can be asked for, by its name alone; None where it cannot."""
        try:
            wheels = source.offers(ServiceRequest(service=profile.service))
        except (IntegrityError, UnavailableError, UsageError):
            return None
        versions = sorted({wheel.version for wheel in wheels if wheel.yanked is None}, reverse=True)
        told = tuple(str(version) for version in versions[:MAX_VERSIONS])
        return Listed(profile, told) if profile.version in told else None


def _newest(wheels: Sequence[WheelFile]) -> WheelFile | None:
    offered = (wheel for wheel in wheels if wheel.yanked is None)
    return max(offered, key=lambda wheel: (not wheel.version.is_prerelease, wheel.version), default=None)
