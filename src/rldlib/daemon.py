"""The run local daemon: the main job, told in order."""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal, Self, get_args

from rldlib.errors import CapacityError, ServiceNotFoundError, UnavailableError, UsageError
from rldlib.handle import Handle
from rldlib.journey import Journey
from rldlib.offers import Offers
from rldlib.preparation import Preparation, Prepared
from rldlib.remote import Remotes, is_of_this_host
from rldlib.rules.afterlife import after_use
from rldlib.running import Running
from rldlib.supervisor import Supervisor
from rldlib.values.request import parse_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Any

    from rldlib.outside import Outside
    from rldlib.values.request import ServiceRequest

Mode = Literal["process", "inprocess"]
Placement = Literal["auto", "local", "remote"]


class LocalDaemon:
    """The run local daemon of one domain.

    It owns every worker it starts: when it is closed, or its process ends,
    however it ends, they are gone. Safe for many threads.

    Args:
        outside: What it asks of the world; `rldlib.LocalDaemon` makes it
            from an index, a directory, a root and a policy.
    """

    def __init__(self, outside: Outside) -> None:
        self._out = outside
        self._preparation = Preparation(outside)
        self._remotes = Remotes(outside, self.why)
        self._running: dict[str, Running] = {}
        self._guard = threading.Lock()
        self._turns: dict[str, threading.RLock] = defaultdict(threading.RLock)
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def acquire(self, service: str, *, mode: Mode = "process", placement: Placement = "auto") -> Handle:
        """Bring a service here and get it ready.

        What is there already is used without any traffic: a running worker of
        this daemon first, then what its root retained.

        Args:
            service: ``NAME``, ``NAME>=1.2`` or ``NAME@DISTRIBUTION``.
            mode: ``process`` performs it in a worker; ``inprocess`` in threads
                of this process, where nothing in it is in the way. Calls and
                their answers are the same in both.
            placement: ``local`` performs it on this host, ``remote`` at a responder, also where it runs
                here already; ``auto`` here where it fits, and at a responder where this host has no
                room, no interpreter or no wheels for it. What was chosen, `why` tells.

        Returns:
            A handle; release it, or leave the daemon's ``with``, to give the service back.

        Raises:
            UsageError: The text is no request, the mode is none, or no source was named.
            InProcessRefusedError: It cannot be performed in this process; nothing was loaded.
            CapacityError: This machine cannot hold it; nothing was fetched.
            UnavailableError: Unknown, or cannot be had now.
            IntegrityError: Something is not what it says it is; it was not used.
            WorkerError: It did not get ready.
            ServiceFaultError: Its own start raised.
        """
        request = parse_request(service)
        if mode not in get_args(Mode):
            raise UsageError(
                f"there is no mode {mode!r}; a service is performed in {' or '.join(get_args(Mode))}"
            )
        if placement not in get_args(Placement):
            told = ", ".join(get_args(Placement))
            raise UsageError(f"there is no placement {placement!r}; calls go by one of {told}")
        with self._turn(request.service):
            if placement == "remote":
                return self._remotes.acquire(request, asked=placement)
            running = self._present(request, mode)
            remote = self._remotes.present(request) if running is None and placement == "auto" else None
            if remote is not None:
                return remote
            try:
                return self._hand_out(running or self._bring(request, mode, placement))
            except (CapacityError, UnavailableError) as exc:
                if placement == "local" or mode != "process" or not is_of_this_host(exc):
                    raise
                return self._remotes.instead(request, exc)

    def prepare(self, service: str) -> dict[str, Any]:
        """Do all that `acquire` does short of starting a worker: the next start is fast.

        Returns:
            ``{"service", "version", "environment", "python", "steps"}``.

        Raises:
            RldlibError: As `acquire`.
        """
        request = parse_request(service)
        with (
            self._turn(request.service),
            Journey.of(request, self._out) as journey,
            self._preparation.prepare(request, journey) as prepared,
        ):
            return {
                "service": prepared.profile.service,
                "version": prepared.profile.version,
                "environment": str(prepared.environment),
                "python": str(prepared.interpreter.version),
                "steps": journey.steps,
            }

    def release(self, service: str) -> dict[str, Any]:
        """Give a service back for good: stop it here, and drop its pins and what only it used.

        Returns:
            ``{"service", "removed", "freed_bytes"}``.

        Raises:
            UnavailableError: Nothing of it is here.
        """
        request = parse_request(service)
        with self._turn(request.service):
            with self._guard:
                running = self._running.pop(request.service, None)
            if running is not None:
                self._stop(running)
            return self._preparation.remove(request.service, known=running is not None)

    def profile(self, service: str) -> bytes:
        """The profile of a service, exactly as its wheel carries it; nothing else is fetched.

        Raises:
            RldlibError: As `acquire`, up to its step ``ask``.
        """
        request = parse_request(service)
        journey = Journey(request.service, self._out.reporter)
        return Offers(self._out).ask(request, journey).profile_bytes

    def lock(self, service: str) -> str:
        """The kept lock of a service, of its newest version that fits, as pylock.toml.

        Raises:
            UnavailableError: None is kept.
        """
        request = parse_request(service)
        for holding in self._out.holdings.of(request.service):
            if request.specifier.contains(holding.version, prereleases=True):
                return self._out.holdings.text(holding.lock)
        raise ServiceNotFoundError(
            request.service,
            str(self._out.root),
            f"no lock is kept; 'rld acquire {request.service}' makes one",
        )

    def why(self, service: str) -> Sequence[Mapping[str, Any]]:
        """What was decided about a service, with the numbers, the oldest first."""
        return self._out.journal.decisions(parse_request(service).service)

    def steps(self, service: str) -> Sequence[Mapping[str, Any]]:
        """``{"name", "seconds"}`` of each step that a service took to come here, or to be found."""
        name = parse_request(service).service
        with self._guard:
            running = self._running.get(name)
        return tuple(running.journey.steps) if running is not None else self._remotes.steps(name)

    def close(self) -> None:
        """Stop every worker and wait until each is gone, then briefly for bytecode. May be called again."""
        with self._guard:
            self._closed = True
            running, self._running = list(self._running.values()), {}
        with ExitStack() as stack:
            stack.callback(self._out.close)
            stack.callback(self._remotes.close)
            for each in running:
                # Callbacks run even where an earlier one fails.
                stack.callback(self._retire, each)

    # --- the worker's life -----------------------------------------------------

    def _present(self, request: ServiceRequest, mode: Mode) -> Running | None:
        with self._guard:
            if self._closed:
                raise UsageError("this LocalDaemon is closed; make a new one")
            running = self._running.get(request.service)
        if running is None:
            return None
        if running.mode != mode:
            raise UsageError(
                f"{request.service} runs in this LocalDaemon in the mode {running.mode}, and {mode} is asked for; "
                "release it first, or use a second LocalDaemon"
            )
        if running.satisfies(request):
            return running
        raise UsageError(
            f"{request.service} {running.prepared.profile.version} runs in this LocalDaemon, and {request} asks for "
            "another version; release it first, or use a second LocalDaemon"
        )

    def _bring(self, request: ServiceRequest, mode: Mode, placement: Placement) -> Running:
        if mode == "process":
            # Beside the preparation: a worker is started by a process that must be started first.
            threading.Thread(target=self._out.workers.warm_up, name="rldlib-warm-up", daemon=True).start()
        with Journey.of(request, self._out) as journey, ExitStack() as undo:
            journey.found(placement={"asked": placement, "chosen": "local"})
            prepared = undo.enter_context(self._preparation_for(mode).prepare(request, journey))
            with journey.step("start"):
                supervisor = self._supervisor(prepared, mode, journey)
                undo.callback(supervisor.stop)
                supervisor.start()
            self._out.compiling.later(prepared.environment, prepared.lock, prepared.interpreter)
            running = Running(prepared=prepared, supervisor=supervisor, journey=journey, mode=mode)
            with self._guard:
                self._running[request.service] = running
            undo.pop_all()
        return running

    def _preparation_for(self, mode: Mode) -> Preparation:
        if mode == "process":
            return self._preparation
        from rldlib.cohabitation import Cohabitation

        return Cohabitation(self._out)

    def _supervisor(self, prepared: Prepared, mode: Mode, journey: Journey) -> Supervisor:
        place = self._out.workers if mode == "process" else self._out.host_process
        return Supervisor(
            lambda: self._preparation.start(place, prepared, journey),
            service=prepared.profile.service,
            settings=prepared.profile.host,
            reporter=self._out.reporter,
        )

    def _hand_out(self, running: Running) -> Handle:
        with self._guard:
            running.handles += 1
            if running.idle is not None:
                running.idle.cancel()
                running.idle = None
        profile = running.prepared.profile
        return Handle(
            service=profile.service,
            version=profile.version,
            target=running.supervisor,
            settings=profile.host,
            on_release=lambda _: self._given_back(running),
            on_why=lambda: self.why(profile.service),
        )

    def _given_back(self, running: Running) -> None:
        """The last handle gone, what becomes of the worker is what profile and host say."""
        service = running.prepared.profile.service
        with self._turn(service):
            with self._guard:
                running.handles -= 1
                if running.handles > 0 or self._running.get(service) is not running:
                    return
                life = running.prepared.profile.life
                if after_use(life, self._out.policy) == "retain":
                    running.idle = threading.Timer(life.idle_s, self._idle_over, [running])
                    running.idle.daemon = True
                    running.idle.start()
                    return
                del self._running[service]
            self._retire(running)

    def _idle_over(self, running: Running) -> None:
        service = running.prepared.profile.service
        with self._turn(service):
            with self._guard:
                if running.handles > 0 or self._running.get(service) is not running:
                    return
                del self._running[service]
            self._stop(running)

    def _retire(self, running: Running) -> None:
        self._stop(running)
        profile = running.prepared.profile
        if after_use(profile.life, self._out.policy) == "delete":
            self._preparation.remove(profile.service, known=True)
            self._out.journal.forget(profile.service)

    def _stop(self, running: Running) -> None:
        if running.idle is not None:
            running.idle.cancel()
        try:
            running.supervisor.stop()
        finally:
            running.prepared.close()

    # --- bookkeeping -------------------------------------------------------------

    @contextmanager
    def _turn(self, service: str) -> Iterator[None]:
        """One thread at a time for one service: two that ask at once get one worker."""
        with self._guard:
            turn = self._turns[service]
        with turn:
            yield
