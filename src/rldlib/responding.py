"""The other role of a daemon: it answers who asks for support.

No network here: `rldlib.server` puts it on one. What is answered names signed
things; the profile and the lock are published under the domain's trust root
before an answer names them.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from rldlib.answers import Answers, Question
from rldlib.errors import (
    InterpreterNotFoundError,
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
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from rldlib.answers import Known
    from rldlib.outside import Outside
    from rldlib.performing import Performer
    from rldlib.ports import Authority, Ledger, Source
    from rldlib.rules.selection import Choice
    from rldlib.values.interpreter import Interpreter
    from rldlib.values.lock import Lock
    from rldlib.values.profile import ResourceProfile
    from rldlib.values.request import ServiceRequest
    from rldlib.values.support import Acknowledgement, SupportRequest, Wish

_PROFILES: Final = "profiles/"


class Responder:
    """See the module. Safe for many threads.

    Args:
        outside: The ports of its daemon; `Outside.source` is what it offers.
        authority: Signs what an answer names.
        ledger: Keeps who holds what.
        signer: Tells the domain whose key signed something: key, signature, data; None where it did not.
        load: How busy it is now.
        performer: Performs what it offers for others; None where it only gives it away.
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
        performer: Performer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = outside
        self._authority = authority
        self._ledger = ledger
        self._signer = signer
        self._load = load
        self._performer = performer
        self._guard = threading.Lock()
        self._turns: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._answers = Answers(clock)
        self._pinned = Pinned(outside, authority)
        self._listing = Listing(outside.source, clock=clock)

    # --- support -------------------------------------------------------------------

    def told(self, question: Question) -> bytes | None:
        """The answer as it goes out, where it is known and still fresh: one lookup, and the load."""
        known = self._answers.fresh(question)
        if known is None:
            return None
        performed = self._operations(known.answer)
        if question.wish == "remote" and performed and not performed["operations"]:
            # It must be acquired here first, which takes its time.
            return None
        return known.told(question.protocol, self._load(), performed)

    def support(self, asked: SupportRequest) -> SupportAnswer:
        """Answer a support request. For a kind of host that asked before it is one lookup.

        Raises:
            NoCommonProtocolError: The asker speaks no version of the exchange that is spoken here.
            UsageError: The specifier is none.
            UnavailableError: The service is unknown here, or no version and no interpreter fits.
            IntegrityError: What the source offers is not what it says it is.
            RldlibError: It is to be performed here, and does not start: as `LocalDaemon.acquire`.
        """
        question = Question.of(asked)
        known = self._answers.fresh(question)
        if known is None:
            with self._turn(asked.service):
                known = self._answers.fresh(question) or self._answered(question, asked)
        return replace(known.answer, protocol=question.protocol, load=self._load())

    def _performed(self, answer: SupportAnswer, wish: Wish) -> dict[str, Any]:
        """What it would perform itself. Only who wishes for that has it acquired here."""
        if self._performer is not None and wish == "remote":
            self._performer.hold(answer.service, answer.version)
        return self._operations(answer)

    def _operations(self, answer: SupportAnswer) -> dict[str, Any]:
        if self._performer is None:
            return {}
        return {"remote": True, "operations": self._performer.operations(answer.service, answer.version)}

    def _answered(self, question: Question, asked: SupportRequest) -> Known:
        request = parse_request(f"{asked.service}{asked.specifier}")
        source = self._source(request)
        wanted = [] if asked.wish == "remote" else [asking_interpreter(kind) for kind in asked.interpreters]
        candidates = self._candidates(request, asked, source, wanted)
        carrier = candidates[0].wheel
        answer = self._answers.stale(question, carrier.filename)
        if answer is None:
            data, profile = offered_profile(source, request, carrier)
            positions = {id(interpreter): at for at, interpreter in enumerate(wanted)}
            chosen = [choice for choice in candidates if id(choice.interpreter) in positions]
            locks = self._locks(asked, source, chosen, positions)
            self._publish(profile, data, locks)
            answer = _answer(profile, [target for target, _ in locks], self._load())
        answer = replace(answer, **self._performed(answer, asked.wish))
        return self._answers.keep(question, answer, carrier.filename)

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

    def load(self) -> Load:
        """How busy it is now."""
        return self._load()

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
