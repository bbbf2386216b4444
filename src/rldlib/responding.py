"""The other role of a daemon: it answers who asks for support.

No network here: `rldlib.server` puts it on one. What is answered names signed
things; the profile and the lock are published under the domain's trust root
before an answer names them.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from rldlib.errors import (
    InterpreterNotFoundError,
    NoCommonProtocolError,
    ServiceNotFoundError,
    UnsatisfiableError,
    UsageError,
)
from rldlib.listing import Listing
from rldlib.offers import offered_profile
from rldlib.pinned import BLOBS, Pinned
from rldlib.rules.selection import choices
from rldlib.values.offering import Offering, Offerings
from rldlib.values.request import parse_request
from rldlib.values.support import (
    PROTOCOLS,
    Load,
    LockTarget,
    SupportAnswer,
    asking_interpreter,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from rldlib.outside import Outside
    from rldlib.ports import Authority, Ledger, Source
    from rldlib.rules.selection import Choice
    from rldlib.values.interpreter import Interpreter
    from rldlib.values.lock import Lock
    from rldlib.values.profile import ResourceProfile
    from rldlib.values.request import ServiceRequest
    from rldlib.values.support import Acknowledgement, SupportRequest

# An answer is given again for so long before the source is asked what it has now.
_FRESH_S: Final = 2.0
# Kinds of host times requests that one responder remembers the answer for.
_REMEMBERED: Final = 1_024
_PROFILES: Final = "profiles/"


@dataclass(frozen=True, slots=True)
class _Known:
    """An answer, the offer that it holds for, and until when nobody looks whether it still does."""

    answer: SupportAnswer
    carrier: str
    fresh_until: float
    # The answer but for its load, by the version of the exchange.
    heads: dict[int, bytes] = field(default_factory=dict)

    def told(self, protocol: int, load: Load) -> bytes:
        """The answer with the load of now. Load is written last, so the rest is written once."""
        head = self.heads.get(protocol)
        if head is None:
            whole = write(replace(self.answer, protocol=protocol))
            head = self.heads[protocol] = whole.removesuffix(write(self.answer.load) + b"}")
        return head + write(load) + b"}"


@dataclass(frozen=True, slots=True)
class Question:
    """All of a support request that its answer depends on."""

    service: str
    protocol: int
    key: tuple[Any, ...]

    @classmethod
    def of(cls, asked: SupportRequest) -> Question:
        """What a request asks.

        Raises:
            NoCommonProtocolError: The asker speaks no version of the exchange that is spoken here.
        """
        kinds = None if asked.wish == "remote" else tuple(kind.digest for kind in asked.interpreters)
        key = (asked.service, asked.specifier, asked.prereleases, asked.wish, kinds)
        return cls(asked.service, _common(asked.protocols), key)


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
        self._pinned = Pinned(outside, authority)
        self._listing = Listing(outside.source, clock=clock)

    # --- support -------------------------------------------------------------------

    def told(self, question: Question) -> bytes | None:
        """The answer as it goes out, where it is known and still fresh: one lookup, and the load."""
        known = self._remembered(question.key)
        return None if known is None else known.told(question.protocol, self._load())

    def support(self, asked: SupportRequest) -> SupportAnswer:
        """Answer a support request. For a kind of host that asked before it is one lookup.

        Raises:
            NoCommonProtocolError: The asker speaks no version of the exchange that is spoken here.
            UsageError: The specifier is none.
            UnavailableError: The service is unknown here, or no version and no interpreter fits.
            IntegrityError: What the source offers is not what it says it is.
        """
        question = Question.of(asked)
        known = self._remembered(question.key)
        if known is None:
            with self._turn(asked.service):
                known = self._remembered(question.key) or self._answered(question.key, asked)
        return replace(known.answer, protocol=question.protocol, load=self._load())

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
            wheels = tuple(replace(wheel, locator=BLOBS + wheel.sha256) for wheel in lock.wheels)
            told = replace(lock, source=identity, wheels=wheels)
            contents[target.target] = self._out.holdings.text(told).encode()
        self._authority.publish_many(contents)
        self._pinned.add(profile, [lock for _, lock in locks])

    # --- what is given away --------------------------------------------------------

    def services(self) -> Offerings:
        """The directory: every service that the source offers, asked for before or not.

        Raises:
            SourceUnavailableError: The source does not say what it has.
        """
        found = self._listing.look()
        signed = {name.split("/")[1] for name in self._authority.published() if name.startswith(_PROFILES)}
        until = self._authority.until().isoformat(timespec="seconds") if signed else None
        return Offerings(
            domain=self._authority.root_sha256,
            complete=found.complete,
            services=tuple(
                Offering(
                    service=service,
                    versions=listed.versions,
                    summary=listed.profile.summary,
                    signed_until=until if service in signed else None,
                )
                for service, listed in found.services.items()
            ),
        )

    def profile(self, service: str) -> ResourceProfile | None:
        """The newest profile of a service in the directory; None where there is none."""
        listed = self._listing.look().services.get(service)
        return None if listed is None else listed.profile

    def pinning(self, sha256: str) -> frozenset[str]:
        """The services whose answers pinned a file, of this process or of one before."""
        return self._pinned.services(sha256)

    def file(self, sha256: str) -> Path | None:
        """A wheel or a data resource that some answer pinned; None where none did.

        Raises:
            UnavailableError: It must be fetched first, and cannot be had now.
            MismatchError: What the source has now is not what was pinned.
        """
        return self._pinned.file(sha256)

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
