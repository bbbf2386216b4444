"""What a source offers, and whether this host takes it: decided from the profile alone.

Nothing of the payload is fetched here. What is refused has cost its profile.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rldlib.errors import (
    CapacityError,
    IntegrityError,
    MismatchError,
    NoSupportError,
    ResourceUnavailableError,
    ServiceNotFoundError,
    UnavailableError,
    UnsatisfiableError,
    UsageError,
)
from rldlib.rules import capacity
from rldlib.rules.selection import Choice, choices
from rldlib.values.document import parse_profile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from rldlib.errors import RldlibError
    from rldlib.journey import Journey
    from rldlib.outside import Outside
    from rldlib.ports import Peer, Source
    from rldlib.values.interpreter import Interpreter
    from rldlib.values.lock import Lock
    from rldlib.values.profile import ResourceProfile
    from rldlib.values.request import ServiceRequest
    from rldlib.values.room import Alternative, Room
    from rldlib.values.support import SupportRequest
    from rldlib.values.wheel import WheelFile

# Profiles of so many older versions are read for a proposal, and only where
# reading one costs no more than its own bytes.
_PROPOSALS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A profile, and what is known of its lock.

    Attributes:
        profile_bytes: The profile as it came.
        profile: The same, read.
        candidates: From an index: the wheel, with each interpreter that takes it; the lock is to be made.
        offered: From an index: older versions.
        pinned: From a responder, or retained: the lock itself, and the interpreter it is for.
    """

    profile_bytes: bytes
    profile: ResourceProfile
    candidates: Sequence[Choice] = ()
    offered: Sequence[Choice] = ()
    pinned: tuple[Lock, Interpreter] | None = None

    @property
    def interpreter(self) -> Interpreter:
        """What it would be performed on."""
        return self.pinned[1] if self.pinned is not None else self.candidates[0].interpreter


class Offers:
    """The steps ask, decide and lock of the main job."""

    def __init__(self, outside: Outside) -> None:
        self._out = outside

    def ask(self, request: ServiceRequest, journey: Journey) -> Offer:
        """Ask the responders in their order, then the index; the first that gives the service does.

        Raises:
            NoSupportError: Several were asked, and none does; it tells why of each.
        """
        refusals: list[tuple[str, RldlibError]] = []
        for peer in self._out.peers:
            try:
                return self._supported(peer, request, journey)
            except (UnavailableError, IntegrityError) as exc:
                refusals.append((peer.identity, exc))
                journey.found(refusals=[{"who": who, **error.facts()} for who, error in refusals])
        if not refusals:
            return self._listed(request, journey)
        if self._out.source is not None:
            try:
                return self._listed(request, journey)
            except (UnavailableError, IntegrityError) as exc:
                refusals.append((self._out.source.identity, exc))
        if len(refusals) == 1:
            raise refusals[0][1]
        raise NoSupportError(request.service, refusals)

    def _supported(self, peer: Peer, request: ServiceRequest, journey: Journey) -> Offer:
        """What a responder gives, verified: its profile, and its lock for an interpreter of this host."""
        interpreters = self._out.interpreters.all()
        support = peer.support(self._support_request(request, interpreters))
        profile = parse_profile(support.profile, source=f"{support.answer.profile} of {peer.identity}")
        if support.lock is None:
            reason = f"it performs {profile.version} for others, and has no wheels for this host"
            raise UnsatisfiableError(request.service, [f"{peer.identity}: {reason}"])
        lock, interpreter = support.lock, interpreters[support.interpreter]
        _compare(request, peer.identity, profile, lock, interpreter)
        journey.found(
            source=peer.identity, trust="root", version=profile.version, profile_bytes=len(support.profile)
        )
        return Offer(profile_bytes=support.profile, profile=profile, pinned=(lock, interpreter))

    def _support_request(
        self, request: ServiceRequest, interpreters: Sequence[Interpreter]
    ) -> SupportRequest:
        from rldlib.values.support import PROTOCOLS, SupportRequest, host_kind

        return SupportRequest(
            protocols=PROTOCOLS,
            service=request.service,
            specifier=str(request.specifier),
            prereleases=self._out.policy.prereleases,
            wish="local",
            domain=self._out.identity.domain,
            interpreters=tuple(host_kind(interpreter) for interpreter in interpreters),
        )

    def _listed(self, request: ServiceRequest, journey: Journey) -> Offer:
        """The profile of the newest version that fits in an index, read without its wheel."""
        source = self._source(request)
        interpreters = self._out.interpreters.all()
        offers = source.offers(request)
        candidates = choices(request, offers, interpreters, prereleases=self._out.policy.prereleases)
        wheel = candidates[0].wheel
        data, profile = offered_profile(source, request, wheel)
        journey.found(
            source=source.identity,
            trust="index",
            version=profile.version,
            wheel=wheel.filename,
            profile_bytes=len(data),
        )
        older = [wheel for wheel in offers if wheel.version < candidates[0].wheel.version]
        offered = [
            Choice(wheel, candidates[0].interpreter)
            for wheel in sorted(older, key=lambda w: w.version, reverse=True)
        ]
        return Offer(profile_bytes=data, profile=profile, candidates=candidates, offered=offered)

    def decide(self, offer: Offer, journey: Journey) -> None:
        """From the profile alone: no byte of the payload was fetched yet."""
        _refuse_what_is_not_held(offer.profile)
        room = self._out.probe.room(offer.interpreter, self._out.root, self._out.promises.living())
        lacking = capacity.shortfalls(offer.profile.demand, room)
        tell_room(journey, offer.profile, room)
        journey.found(received_bytes=self._out.received_bytes)
        if lacking:
            journey.found(shortfalls=[shortfall.facts() for shortfall in lacking])
            raise CapacityError(
                offer.profile.service, offer.profile.version, lacking, self._nearest(offer, room)
            )

    def lock(self, request: ServiceRequest, offer: Offer, journey: Journey) -> tuple[Lock, Interpreter]:
        """Pin every wheel, on the first interpreter for which there is a set that fits."""
        if offer.pinned is not None:
            return self._pinned(*offer.pinned, journey)
        refused: UnsatisfiableError | None = None
        source = self._source(request)
        for choice in offer.candidates:
            try:
                lock = self._out.resolver.lock(request.service, choice.wheel, choice.interpreter, source)
            except UnsatisfiableError as exc:
                # Another interpreter may have the wheels that this one lacks.
                refused = refused or exc
                continue
            return self._pinned(lock, choice.interpreter, journey)
        raise refused or UnavailableError(f"{request.service} has no candidate")

    def _pinned(self, lock: Lock, interpreter: Interpreter, journey: Journey) -> tuple[Lock, Interpreter]:
        self._compare_with_pin(lock)
        journey.found(
            interpreter=str(interpreter),
            locked=[wheel.filename for wheel in lock.wheels],
            download_bytes=lock.download_bytes,
        )
        return lock, interpreter

    def _source(self, request: ServiceRequest) -> Source:
        if self._out.source is None:
            raise UsageError(
                f"{request.service} is not here, and nobody was named to ask: give --index-url URL or --wheels DIR "
                "(in Python: LocalDaemon(index_url=...) or LocalDaemon(wheels=...)), or join a responder by 'rld join'"
            )
        return self._out.source

    def _compare_with_pin(self, lock: Lock) -> None:
        """A source is trusted by its first lock: the same version stays the same bytes."""
        for holding in self._out.holdings.of(lock.service):
            pinned = holding.lock
            if pinned.source != lock.source or pinned.version != lock.version:
                continue
            if (
                pinned.carrier.filename == lock.carrier.filename
                and pinned.carrier.sha256 != lock.carrier.sha256
            ):
                raise MismatchError(
                    f"{lock.carrier.filename} in {lock.source}",
                    f"sha256 {pinned.carrier.sha256}, pinned by its first lock",
                    f"sha256 {lock.carrier.sha256}",
                    f"If that is meant, 'rld release {lock.service}' drops the pin",
                )

    def _nearest(self, offer: Offer, room: Room) -> Alternative | None:
        """The newest other version that would fit, where its profile costs its own bytes only."""
        source = self._out.source
        candidates = []
        for choice in offer.offered[:_PROPOSALS]:
            if source is None or (choice.wheel.profile_sha256 is None and "://" in choice.wheel.locator):
                break
            data = source.profile(choice.wheel)
            if data is not None:
                candidates.append(parse_profile(data, source=choice.wheel.filename))
        return capacity.alternative(offer.profile.service, candidates, room)


def _compare(
    request: ServiceRequest, identity: str, profile: ResourceProfile, lock: Lock, interpreter: Interpreter
) -> None:
    """Signed is not yet asked for: a responder's lock must be of this service, this version and this host."""
    for what, asked, found in (
        ("the service that was given", request.service, profile.service),
        ("the service of the lock", request.service, lock.service),
        ("the version of the lock", profile.version, lock.version),
        ("the interpreter of the lock", interpreter.label, lock.interpreter),
        ("the source of the lock", identity, lock.source),
    ):
        if asked != found:
            raise MismatchError(f"{what} of {identity}", asked, found, "It was not used")
    if not request.specifier.contains(profile.version, prereleases=True):
        raise MismatchError(f"the version that {identity} gives", str(request), profile.version)


def offered_profile(
    source: Source, request: ServiceRequest, wheel: WheelFile
) -> tuple[bytes, ResourceProfile]:
    """The profile of a wheel that a source offers for a request, as it is and as it reads.

    Raises:
        UnavailableError: The wheel carries none.
        IntegrityError: It is malformed, or another service's or version's.
    """
    data = source.profile(wheel)
    if data is None:
        raise ServiceNotFoundError(
            request.service,
            source.identity,
            f"{wheel.filename} carries no resource profile; 'rld stamp' puts one into a wheel",
        )
    profile = parse_profile(data, source=wheel.filename)
    for what, asked, found in (
        ("the service in", request.service, profile.service),
        ("the version in", str(wheel.version), profile.version),
    ):
        if asked != found:
            raise MismatchError(
                f"{what} {wheel.filename}", asked, found, "It was not used; ask for it by its own name"
            )
    return data, profile


def _refuse_what_is_not_held(profile: ResourceProfile) -> None:
    """What this version of rldlib cannot give is refused before anything is fetched, never skipped."""
    if profile.isolation.level != "none":
        raise ResourceUnavailableError(
            profile.service,
            f"isolation {profile.isolation.level}",
            "this rldlib holds level none only, and would not run it with less than it asks",
        )
    for resource in profile.resources:
        if resource.required and resource.sha256 is None:
            raise ResourceUnavailableError(
                profile.service,
                resource.name,
                f"a {resource.kind} held by another authority cannot be fetched from an index or a directory",
            )


def tell_room(journey: Journey, profile: ResourceProfile, room: Room) -> None:
    """Keep both sides of a comparison, for `why`."""
    journey.found(
        demand=json.loads(json.dumps(_asdict(profile.demand), default=str)),
        room=_asdict(room),
    )


def _asdict(value: Any) -> dict[str, Any]:
    return {
        name: sorted(item) if isinstance(item, frozenset) else item for name, item in asdict(value).items()
    }
