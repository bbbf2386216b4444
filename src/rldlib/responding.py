"""The other role of a daemon: it answers who asks for support.

No network here: `rldlib.server` puts it on one. What is answered names signed
things; the profile and the lock are published under the domain's trust root
before an answer names them.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from rldlib.errors import (
    InterpreterNotFoundError,
    NoCommonProtocolError,
    ServiceNotFoundError,
    UnsatisfiableError,
    UsageError,
)
from rldlib.offers import offered_profile
from rldlib.rules.selection import choices
from rldlib.values.request import parse_request
from rldlib.values.support import (
    PROTOCOLS,
    Load,
    LockTarget,
    SupportAnswer,
    asking_interpreter,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from rldlib.outside import Outside
    from rldlib.ports import Authority, Ledger, Source
    from rldlib.rules.selection import Choice
    from rldlib.values.interpreter import Interpreter
    from rldlib.values.lock import Lock, LockedWheel
    from rldlib.values.profile import ResourceProfile
    from rldlib.values.request import ServiceRequest
    from rldlib.values.support import Acknowledgement, SupportRequest

# An answer is given again for so long before the source is asked what it has now.
_FRESH_S: Final = 2.0
# Kinds of host times requests that one responder remembers the answer for.
_REMEMBERED: Final = 1_024


@dataclass(frozen=True, slots=True)
class _Known:
    """An answer, the offer that it holds for, and until when nobody looks whether it still does."""

    answer: SupportAnswer
    carrier: str
    fresh_until: float


class Responder:
    """See the module. Safe for many threads.

    Args:
        outside: The ports of its daemon; `Outside.source` is what it offers.
        authority: Signs what an answer names.
        ledger: Keeps who holds what.
        signer: Tells the domain whose key signed something: key, signature, data; None where it did not.
        load: How busy it is now.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        outside: Outside,
        *,
        authority: Authority,
        ledger: Ledger,
        signer: Callable[[str, str, bytes], str | None],
        load: Callable[[], Load],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = outside
        self._authority = authority
        self._ledger = ledger
        self._signer = signer
        self._load = load
        self._clock = clock
        self._guard = threading.Lock()
        self._turns: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._answers: OrderedDict[tuple[Any, ...], _Known] = OrderedDict()
        # What answers have pinned, by hash: nothing else is given away.
        self._wheels: dict[str, LockedWheel] = {}
        self._data: dict[str, int] = {}
        self._pinning: dict[str, set[str]] = defaultdict(set)

    # --- support -------------------------------------------------------------------

    def support(self, asked: SupportRequest) -> SupportAnswer:
        """Answer a support request. For a kind of host that asked before it is one lookup.

        Raises:
            NoCommonProtocolError: The asker speaks no version of the exchange that is spoken here.
            UsageError: The specifier is none.
            UnavailableError: The service is unknown here, or no version and no interpreter fits.
            IntegrityError: What the source offers is not what it says it is.
        """
        protocol = _common(asked.protocols)
        kinds = tuple(kind.digest for kind in asked.interpreters)
        key = (asked.service, asked.specifier, asked.prereleases, kinds if asked.wish != "remote" else None)
        known = self._remembered(key)
        if known is None:
            with self._turn(asked.service):
                known = self._remembered(key) or self._answered(key, asked)
        return replace(known.answer, protocol=protocol, load=self._load())

    def _remembered(self, key: tuple[Any, ...]) -> _Known | None:
        with self._guard:
            known = self._answers.get(key)
            if known is None or self._clock() >= known.fresh_until:
                return None
            self._answers.move_to_end(key)
            return known

    def _answered(self, key: tuple[Any, ...], asked: SupportRequest) -> _Known:
        request = parse_request(f"{asked.service}{asked.specifier}")
        source = self._source(request)
        wanted = [] if asked.wish == "remote" else [asking_interpreter(kind) for kind in asked.interpreters]
        candidates = self._candidates(request, asked, source, wanted)
        carrier = candidates[0].wheel
        before = self._answers.get(key)
        if before is not None and before.carrier == carrier.filename:
            answer = before.answer
        else:
            data, profile = offered_profile(source, request, carrier)
            positions = {id(interpreter): at for at, interpreter in enumerate(wanted)}
            chosen = [choice for choice in candidates if id(choice.interpreter) in positions]
            locks = self._locks(asked, source, chosen, positions)
            self._publish(profile, data, locks)
            answer = _answer(profile, [target for target, _ in locks], self._load())
        known = _Known(answer, carrier.filename, self._clock() + _FRESH_S)
        with self._guard:
            self._answers[key] = known
            self._answers.move_to_end(key)
            while len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
        return known

    def _candidates(
        self, request: ServiceRequest, asked: SupportRequest, source: Source, wanted: Sequence[Interpreter]
    ) -> Sequence[Choice]:
        """The newest version that the asker can run; where none is, that this host can."""
        offers = source.offers(request)
        previews = asked.prereleases or self._out.policy.prereleases
        try:
            return choices(request, offers, wanted, prereleases=previews)
        except InterpreterNotFoundError:
            if asked.wish == "local":
                raise
            return choices(request, offers, self._out.interpreters.all(), prereleases=previews)

    def _locks(
        self,
        asked: SupportRequest,
        source: Source,
        chosen: Sequence[Choice],
        positions: Mapping[int, int],
    ) -> list[tuple[LockTarget, Lock]]:
        """The lock for the first of the asker's interpreters for which a set of wheels fits."""
        refused: UnsatisfiableError | None = None
        for choice in chosen:
            at = positions[id(choice.interpreter)]
            try:
                lock = self._out.resolver.lock(asked.service, choice.wheel, choice.interpreter, source)
            except UnsatisfiableError as exc:
                refused = refused or exc
                continue
            environment = f"{choice.interpreter.label}-{asked.interpreters[at].digest}"
            target = f"locks/{lock.service}/{lock.version}/{environment}.toml"
            return [(LockTarget(interpreter=at, environment=environment, target=target), lock)]
        if refused is not None and asked.wish == "local":
            raise refused
        return []

    def _publish(
        self, profile: ResourceProfile, data: bytes, locks: Sequence[tuple[LockTarget, Lock]]
    ) -> None:
        identity = f"rldlib:{self._authority.root_sha256}"
        contents = {_profile_target(profile): data}
        for target, lock in locks:
            wheels = tuple(replace(wheel, locator=f"/blobs/sha256/{wheel.sha256}") for wheel in lock.wheels)
            told = replace(lock, source=identity, wheels=wheels)
            contents[target.target] = self._out.holdings.text(told).encode()
        self._authority.publish_many(contents)
        with self._guard:
            for _, lock in locks:
                self._wheels.update((wheel.sha256, wheel) for wheel in lock.wheels)
            for resource in profile.resources:
                if resource.sha256 is not None and resource.size is not None:
                    self._data[resource.sha256] = resource.size
            for sha256 in (*(wheel.sha256 for _, lock in locks for wheel in lock.wheels), *self._data):
                self._pinning[sha256].add(profile.service)

    # --- what is given away --------------------------------------------------------

    def services(self) -> Sequence[dict[str, Any]]:
        """The directory: each service and version that some answer named, the newest answer first."""
        with self._guard:
            answers = [known.answer for known in reversed(self._answers.values())]
        found = {(answer.service, answer.version): answer for answer in reversed(answers)}
        return [{"service": service, "version": version} for service, version in sorted(found)]

    def pinning(self, sha256: str) -> frozenset[str]:
        """The services whose answers pinned a file."""
        with self._guard:
            return frozenset(self._pinning.get(sha256, ()))

    def file(self, sha256: str) -> Path | None:
        """A wheel or a data resource that some answer pinned; None where none did.

        Raises:
            SourceUnavailableError: It must be fetched first, and cannot be had now.
            MismatchError: What the source has now is not what was pinned.
        """
        with self._guard:
            wheel, size = self._wheels.get(sha256), self._data.get(sha256)
        source = self._out.source
        if source is None:
            return None
        if wheel is not None:
            return self._out.store.add(wheel, source)
        return self._out.store.blob(sha256, size, source) if size is not None else None

    # --- acknowledgements ----------------------------------------------------------

    def acknowledge(self, said: Acknowledgement) -> None:
        """Enter a receipt in the ledger; said again, it changes nothing.

        Raises:
            UsageError: Its signature is not that of its key.
            StorageError: It could not be kept; the asker will say it again.
        """
        domain = self._signer(said.key, said.signature, said.signed_bytes)
        if domain is None:
            raise UsageError(
                f"the acknowledgement of {said.service} {said.version} is not signed by its own key; "
                "nothing was entered"
            )
        self._ledger.record(domain, said)

    def holders(self) -> Sequence[Mapping[str, Any]]:
        """The rows of the ledger."""
        return self._ledger.rows()

    # --- bookkeeping ---------------------------------------------------------------

    def _source(self, request: ServiceRequest) -> Source:
        if self._out.source is None:
            raise ServiceNotFoundError(request.service, "this responder", "it offers nothing")
        return self._out.source

    def _turn(self, service: str) -> threading.Lock:
        """One thread at a time works out what is offered of a service; others wait for its answer."""
        with self._guard:
            return self._turns[service]


def _common(protocols: Sequence[int]) -> int:
    for protocol in PROTOCOLS:
        if protocol in protocols:
            return protocol
    raise NoCommonProtocolError(spoken=PROTOCOLS, asked=protocols)


def _profile_target(profile: ResourceProfile) -> str:
    return f"profiles/{profile.service}/{profile.version}.json"


def _answer(profile: ResourceProfile, locks: Sequence[LockTarget], load: Load) -> SupportAnswer:
    return SupportAnswer(
        protocol=PROTOCOLS[0],
        service=profile.service,
        version=profile.version,
        profile=_profile_target(profile),
        locks=tuple(locks),
        load=load,
    )
