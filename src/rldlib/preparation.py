"""From a request to a complete environment: all of the main job but the worker.

Capacity comes before everything that costs: what is refused was not fetched.
"""

from __future__ import annotations

import os
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Self

from rldlib.acknowledging import Acknowledging
from rldlib.errors import (
    CapacityError,
    MismatchError,
    ResourceUnavailableError,
    RldlibError,
    ServiceFaultError,
    ServiceNotFoundError,
    StorageError,
    UsageError,
    WorkerStartError,
)
from rldlib.offers import Offer, Offers, tell_room
from rldlib.rules import capacity
from rldlib.values.document import parse_profile
from rldlib.values.promise import Promise
from rldlib.values.start import StartOrder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from rldlib.journey import Journey
    from rldlib.outside import Outside
    from rldlib.ports import HeldPromise, Source, Worker, Workers
    from rldlib.values.interpreter import Interpreter
    from rldlib.values.lock import Lock, LockedWheel
    from rldlib.values.profile import ResourceProfile
    from rldlib.values.request import ServiceRequest

# So many damaged files are named; how they were damaged is seldom told by one more.
_TOLD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A service that could start now: its environment is complete, its room set aside.

    Use it in a ``with``, or close it: it owns the promise.
    """

    profile: ResourceProfile
    lock: Lock
    interpreter: Interpreter
    environment: Path
    order: StartOrder
    held: HeldPromise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the room back."""
        self.held.close()


class Preparation:
    """The main job up to the complete environment."""

    def __init__(self, outside: Outside) -> None:
        self._out = outside
        self._offers = Offers(outside)
        self._acknowledging = Acknowledging(outside)

    def prepare(self, request: ServiceRequest, journey: Journey) -> Prepared:
        """See `LocalDaemon.prepare`. What fails halfway leaves no promise and nothing half-done."""
        retained = self._retained(request, journey)
        if retained is None:
            with journey.step("ask"):
                offer = self._offers.ask(request, journey)
            with journey.step("decide"):
                self._admit(offer.profile)
                self._offers.decide(offer, journey)
            with journey.step("lock"):
                lock, interpreter = self._offers.lock(request, offer, journey)
        else:
            offer, lock, interpreter = retained
            self._admit(offer.profile)
        self._admit_lock(lock)
        with journey.step("promise"):
            held = self._promise(offer.profile, lock, interpreter, journey)
        try:
            environment = self._out.environments.find(held.promise.environment)
            if environment is None:
                with journey.step("fetch"):
                    self._fetch(lock, offer.profile_bytes)
                with journey.step("environment"):
                    environment = self._out.environments.build(lock, interpreter, self._out.store)
            resources, notes = self._place(offer.profile, environment, lock, interpreter, journey)
            for note in notes:
                journey.noted(note)
            if retained is None:
                self._out.holdings.keep(lock, offer.profile_bytes)
                self._acknowledging.received(offer, lock, journey)
            order = self._order(offer.profile, lock, environment, resources)
            journey.found(environment=str(environment), python=str(interpreter.version))
        except BaseException:
            held.close()
            raise
        return Prepared(
            profile=offer.profile,
            lock=lock,
            interpreter=interpreter,
            environment=environment,
            order=order,
            held=held,
        )

    def start(self, place: Workers, prepared: Prepared, journey: Journey) -> Worker:
        """Start a worker; where its environment turns out damaged, build that again and start once more.

        Raises:
            WorkerStartError: It did not get ready.
            ServiceFaultError: The service's own start raised.
        """
        try:
            return place.start(prepared.order, prepared.held)
        except (WorkerStartError, ServiceFaultError):
            # Not the service's doing where its files are not those that were installed.
            if not self._mended(prepared.environment, prepared.lock, prepared.interpreter, journey):
                raise
        return place.start(prepared.order, prepared.held)

    def remove(self, service: str, *, known: bool) -> dict[str, Any]:
        """Drop the pins of a service, and every environment and wheel that only it used."""
        holdings = self._out.holdings
        if service not in holdings.services() and not known:
            raise ServiceNotFoundError(
                service, str(self._out.root), "nothing of it is kept here; 'rld ps' lists what runs"
            )
        held = holdings.locks(service)
        given = self._acknowledging.given(service)
        holdings.forget(service)
        others = [lock for name in holdings.services() for lock in holdings.locks(name)]
        # Within the admission, so that nobody is promised what is being removed.
        with self._out.promises.admission() as living:
            removed = self._out.remains.remove(held, others, living)
        self._acknowledging.released(given)
        return {"service": service, **removed}

    # --- what a place may refuse ---------------------------------------------------

    def _admit(self, profile: ResourceProfile) -> None:
        """Refuse what cannot be performed in this place, whatever it is made of."""

    def _admit_lock(self, lock: Lock) -> None:
        """Refuse what this place has no room for beside what is in it; nothing was fetched yet."""

    # --- the steps, in order -----------------------------------------------------

    def _retained(self, request: ServiceRequest, journey: Journey) -> tuple[Offer, Lock, Interpreter] | None:
        """What the root pinned for this request before, on an interpreter that is still there."""
        for holding in self._out.holdings.of(request.service):
            if not request.specifier.contains(holding.version, prereleases=True):
                continue
            if not self._out.asks(holding.lock.source):
                continue
            for interpreter in self._out.interpreters.all():
                if interpreter.label == holding.lock.interpreter:
                    journey.found(
                        version=str(holding.version),
                        source=holding.lock.source,
                        trust="root" if holding.lock.source.startswith("rldlib:") else "index",
                        pinned=f"by the lock kept here ('rld lock {request.service}')",
                    )
                    profile = parse_profile(holding.profile, source=f"{request.service} {holding.version}")
                    pinned = holding.lock, interpreter
                    return Offer(profile_bytes=holding.profile, profile=profile, pinned=pinned), *pinned
        return None

    def _promise(
        self, profile: ResourceProfile, lock: Lock, interpreter: Interpreter, journey: Journey
    ) -> HeldPromise:
        """Decide again, the sizes now known, and set the room aside; one process at a time."""
        out, demand = self._out, profile.demand
        environment = out.environments.digest(lock, interpreter)
        present = out.environments.find(environment) is not None
        missing = 0 if present else sum(w.size for w in lock.wheels if out.store.wheel(w.sha256) is None)
        disk = 0 if present else max(demand.disk_bytes, missing)
        with out.promises.admission() as living:
            room = out.probe.room(interpreter, out.root, living)
            lacking = capacity.shortfalls(demand, room, download_bytes=missing, disk_bytes=disk)
            tell_room(journey, profile, room)
            if lacking:
                journey.found(shortfalls=[shortfall.facts() for shortfall in lacking])
                raise CapacityError(profile.service, profile.version, lacking)
            return out.promises.make(
                Promise(
                    id=uuid.uuid4().hex,
                    service=profile.service,
                    version=profile.version,
                    root=str(out.root),
                    host_pid=os.getpid(),
                    memory_bytes=max(demand.memory_start_bytes, demand.memory_peak_bytes),
                    disk_bytes=missing + disk,
                    cpu_idle_rcu=demand.cpu_idle_rcu,
                    environment=environment,
                    wheels=tuple(wheel.sha256 for wheel in lock.wheels),
                    since=datetime.now(UTC).isoformat(timespec="milliseconds"),
                )
            )

    def _place(
        self,
        profile: ResourceProfile,
        environment: Path,
        lock: Lock,
        interpreter: Interpreter,
        journey: Journey,
    ) -> tuple[Sequence[dict[str, Any]], Sequence[str]]:
        """The resources where the worker finds them; in a damaged environment some are not to be found."""
        out = self._out
        try:
            return out.placing.place(profile, environment, lock, out.store, out.giver(lock.source))
        except (StorageError, ResourceUnavailableError):
            if not self._mended(environment, lock, interpreter, journey):
                raise
        return out.placing.place(profile, environment, lock, out.store, out.giver(lock.source))

    def _mended(self, environment: Path, lock: Lock, interpreter: Interpreter, journey: Journey) -> bool:
        """Build an environment again if it is damaged; whether it was, and is no more."""
        damaged = self._out.environments.verify(environment)
        if not damaged:
            return False
        told = f"{', '.join(damaged[:_TOLD])}{' and others' if len(damaged) > _TOLD else ''}"
        try:
            self._fetch_missing(lock)
            self._out.environments.renew(lock, interpreter, self._out.store)
        except RldlibError as exc:
            journey.noted(f"{environment} is damaged ({told}) and could not be built again: {exc}")
            return False
        journey.noted(f"{environment} was damaged ({told}); it was built again")
        return True

    def _fetch(self, lock: Lock, profile: bytes) -> None:
        self._fetch_missing(lock)
        carrier = self._out.store.wheel(lock.carrier.sha256)
        found = self._out.read_profile(carrier) if carrier is not None else None
        if found != profile:
            raise MismatchError(
                f"the profile in {lock.carrier.filename}",
                f"the {len(profile)} bytes read before the download",
                "other bytes" if found is not None else "none",
            )

    def _fetch_missing(self, lock: Lock) -> None:
        missing = [wheel for wheel in lock.wheels if self._out.store.wheel(wheel.sha256) is None]
        if missing:
            source = self._source_of(lock)
            try:
                self._fetch_all(missing, source)
            except MismatchError as exc:
                advice = (
                    f"If {source.identity} is right, 'rld release {lock.service}' drops the lock that pins it"
                )
                raise MismatchError(exc.what, exc.expected, exc.actual, advice) from exc

    def _fetch_all(self, wheels: Sequence[LockedWheel], source: Source) -> None:
        """Each is unpacked here as soon as it is verified, while others come in and it goes to the disk."""
        store = self._out.store
        news: SimpleQueue[LockedWheel | Future[Path]] = SimpleQueue()
        with ThreadPoolExecutor(self._out.policy.downloads, "rldlib-fetch") as pool:
            try:
                for wheel in wheels:
                    kept = pool.submit(store.add, wheel, source, arrived=partial(news.put, wheel))
                    kept.add_done_callback(news.put)
                left = len(wheels)
                while left:
                    new = news.get()
                    if isinstance(new, Future):
                        new.result()
                        left -= 1
                    else:
                        store.image(new)
            finally:
                # After an error nothing more begins; the pool ends before its ``with`` leaves.
                pool.shutdown(wait=False, cancel_futures=True)

    def _order(
        self, profile: ResourceProfile, lock: Lock, environment: Path, resources: Sequence[dict[str, Any]]
    ) -> StartOrder:
        return StartOrder(
            service=profile.service,
            version=profile.version,
            distribution=lock.distribution,
            python=environment / "bin" / "python",
            environment=environment,
            profile=profile,
            resources=tuple(resources),
            log=self._out.root / "logs" / f"{profile.service}.log",
            wheels=lock.wheels,
        )

    # --- what the steps share ------------------------------------------------------

    def _source_of(self, lock: Lock) -> Source:
        giver = self._out.giver(lock.source)
        if giver is None:
            raise UsageError(f"{lock.service} must be fetched again: name its source, {lock.source}")
        return giver
