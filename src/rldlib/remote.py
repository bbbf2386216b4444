"""Services that responders perform for this daemon."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rldlib.errors import (
    CapacityError,
    IntegrityError,
    InterpreterNotFoundError,
    MismatchError,
    NoSupportError,
    RldlibError,
    ServiceNotFoundError,
    UnavailableError,
    UnsatisfiableError,
    UsageError,
)
from rldlib.handle import Handle
from rldlib.journey import Journey
from rldlib.values.document import parse_profile
from rldlib.values.operations import differences, read_operations
from rldlib.values.support import PROTOCOLS, SupportRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rldlib.outside import Outside
    from rldlib.ports import Peer, RemoteTarget
    from rldlib.values.profile import ResourceProfile
    from rldlib.values.request import ServiceRequest


@dataclass(slots=True)
class _Remote:
    """A service at a responder, and how many handles use it."""

    profile: ResourceProfile
    target: RemoteTarget
    journey: Journey
    handles: int = 0


class Remotes:
    """The services of one daemon that others perform. Its caller sees to one thread at a time for each.

    Args:
        outside: The ports of the daemon.
        why: What was decided about a service.
    """

    def __init__(self, outside: Outside, why: Callable[[str], Sequence[Mapping[str, Any]]]) -> None:
        self._out = outside
        self._why = why
        self._guard = threading.Lock()
        self._kept: dict[str, _Remote] = {}

    def present(self, request: ServiceRequest) -> Handle | None:
        """A further handle of what is used already; None where it is not, or in another version."""
        kept = self._kept.get(request.service)
        if kept is None or not request.specifier.contains(kept.profile.version, prereleases=True):
            return None
        return self._hand_out(kept)

    def acquire(self, request: ServiceRequest, *, asked: str, reason: str = "it was asked for") -> Handle:
        """A handle whose calls a responder performs: the first that does, in their order.

        Raises:
            UsageError: No responder is known.
            UnavailableError: None performs it now.
            IntegrityError: One is not what it says it is.
        """
        present = self.present(request)
        if present is not None:
            return present
        if not self._out.peers:
            raise UsageError(
                f"nobody is known who could perform {request.service}: join a responder by 'rld join' "
                "(in Python: LocalDaemon(responders=[...]))"
            )
        with Journey.of(request, self._out) as journey:
            journey.found(placement={"asked": asked, "chosen": "remote", "reason": reason})
            with journey.step("ask"):
                remote = self._asked(request, journey)
        with self._guard:
            self._kept[request.service] = remote
        return self._hand_out(remote)

    def instead(self, request: ServiceRequest, refused: RldlibError) -> Handle:
        """The same, of a service that this host does not hold.

        Raises:
            RldlibError: `refused` itself, where nobody performs it either.
        """
        if not self._out.peers:
            raise refused
        try:
            return self.acquire(request, asked="auto", reason=f"not here: {refused}")
        except (UnavailableError, IntegrityError) as exc:
            raise refused from exc

    def steps(self, service: str) -> Sequence[Mapping[str, Any]]:
        """What asking for it took."""
        kept = self._kept.get(service)
        return tuple(kept.journey.steps) if kept is not None else ()

    def close(self) -> None:
        """Let go of all of them."""
        with self._guard:
            kept, self._kept = list(self._kept.values()), {}
        for remote in kept:
            remote.target.close()

    def _asked(self, request: ServiceRequest, journey: Journey) -> _Remote:
        refusals: list[tuple[str, RldlibError]] = []
        for peer in self._out.peers:
            try:
                return self._of(peer, request, journey)
            except (UnavailableError, IntegrityError) as exc:
                refusals.append((peer.identity, exc))
                journey.found(refusals=[{"who": who, **error.facts()} for who, error in refusals])
        if len(refusals) == 1:
            raise refusals[0][1]
        raise NoSupportError(request.service, refusals)

    def _of(self, peer: Peer, request: ServiceRequest, journey: Journey) -> _Remote:
        """What one responder performs: its profile is signed, its operations are those of the profile."""
        support = peer.support(
            SupportRequest(
                protocols=PROTOCOLS,
                service=request.service,
                specifier=str(request.specifier),
                prereleases=self._out.policy.prereleases,
                wish="remote",
                domain=self._out.identity.domain,
            )
        )
        answer = support.answer
        profile = parse_profile(support.profile, source=f"{answer.profile} of {peer.identity}")
        if not answer.remote:
            raise ServiceNotFoundError(request.service, peer.identity, "it does not perform it for others")
        _compare(request, peer.identity, profile, answer.version)
        try:
            operations = read_operations(answer.operations)
        except ValueError as exc:
            raise MismatchError(f"what {peer.identity} performs", "operations", str(exc)) from exc
        issues = differences(profile.operations, operations)
        if issues:
            what = f"what {peer.identity} performs"
            raise MismatchError(what, "what its signed profile declares", "; ".join(issues))
        journey.found(source=peer.identity, trust="root", version=profile.version, load=asdict(answer.load))
        return _Remote(profile, peer.perform(profile.service, profile.version, operations), journey)

    def _hand_out(self, remote: _Remote) -> Handle:
        with self._guard:
            remote.handles += 1
        profile = remote.profile
        return Handle(
            service=profile.service,
            version=profile.version,
            target=remote.target,
            settings=profile.host,
            on_release=lambda _: self._given_back(remote),
            on_why=lambda: self._why(profile.service),
        )

    def _given_back(self, remote: _Remote) -> None:
        with self._guard:
            remote.handles -= 1
            if remote.handles > 0:
                return
            if self._kept.get(remote.profile.service) is remote:
                del self._kept[remote.profile.service]
        remote.target.close()


def is_of_this_host(error: RldlibError) -> bool:
    """Whether a service is refused for what this host lacks, and another host may have."""
    if isinstance(error, NoSupportError):
        return any(is_of_this_host(each) for _, each in error.refusals)
    return isinstance(error, (CapacityError, InterpreterNotFoundError, UnsatisfiableError))


def _compare(request: ServiceRequest, identity: str, profile: ResourceProfile, version: str) -> None:
    for what, asked, found in (
        ("the service", request.service, profile.service),
        ("the version", version, profile.version),
    ):
        if asked != found:
            raise MismatchError(f"{what} that {identity} performs", asked, found, "It was not used")
    if not request.specifier.contains(profile.version, prereleases=True):
        raise MismatchError(f"the version that {identity} performs", str(request), profile.version)
