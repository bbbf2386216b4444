"""What the main job asks of the outside world.

Each port is a small Protocol. Its docstrings list the only errors that may
come out; an adapter turns everything else into one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path
    from typing import Any, BinaryIO

    from packaging.version import Version

    from rldlib.values.bytecode import Bytecode
    from rldlib.values.image import Image
    from rldlib.values.interpreter import Interpreter
    from rldlib.values.lock import Lock, LockedWheel
    from rldlib.values.placement import Opinion
    from rldlib.values.presence import Presence
    from rldlib.values.profile import ResourceProfile
    from rldlib.values.promise import Promise
    from rldlib.values.request import ServiceRequest
    from rldlib.values.room import Room
    from rldlib.values.start import StartOrder
    from rldlib.values.support import Acknowledgement, Support, SupportRequest
    from rldlib.values.wheel import WheelFile


class Source(Protocol):
    """A package index, or a directory of wheels. It lists and gives; it never picks.

    Every method may raise `SourceUnavailableError`. All of it may be repeated.
    """

    @property
    def identity(self) -> str:
        """What the source is told as: its URL without credentials, or its absolute path."""
        ...

    @property
    def received_bytes(self) -> int:
        """What has come over a network so far; 0 for a directory."""
        ...

    def close(self) -> None:
        """Let go of its connections."""
        ...

    def names(self) -> Sequence[str]:
        """The normalised names of all distributions that it has; what they carry is not looked at."""
        ...

    def offers(self, request: ServiceRequest) -> Sequence[WheelFile]:
        """Every wheel that may carry the service, of any version.

        Raises:
            ServiceNotFoundError: The source works and has no such service.
        """
        ...

    def project(self, name: str) -> Sequence[WheelFile] | None:
        """Every wheel of a distribution; None where the source does not know the name."""
        ...

    def profile(self, wheel: WheelFile) -> bytes | None:
        """The wheel's profile, read without the wheel; None where it carries none.

        Raises:
            MismatchError: What was read is not what the source's hash says.
            WheelRefusedError: The file is no wheel.
        """
        ...

    def metadata(self, wheel: WheelFile) -> bytes:
        """The wheel's METADATA, read without the wheel where the source allows it.

        Raises:
            MismatchError: What was read is not what the source's hash says.
            WheelRefusedError: The file is no wheel.
        """
        ...

    def pin(self, wheel: WheelFile) -> WheelFile:
        """The wheel with its hash and size, whatever finding them out costs.

        Raises:
            MismatchError: What was read is not what the source's hash says.
        """
        ...

    def fetch(self, locator: str, into: BinaryIO, *, max_bytes: int) -> None:
        """Write the bytes at `locator` to `into`, at most `max_bytes` of them.

        The caller verifies them. A `locator` outside this source is refused
        with `SourceUnavailableError`.
        """
        ...

    def blob(self, sha256: str, into: BinaryIO, *, max_bytes: int) -> bool:
        """Write the data resource with this hash to `into`; False where there is none."""
        ...


class Interpreters(Protocol):
    """The CPythons of this host."""

    def all(self) -> Sequence[Interpreter]:
        """Every usable one: the host's own first, then the newest first. Probed once, then kept."""
        ...


class Resolver(Protocol):
    """Finds the wheels that satisfy a service's requirements."""

    def lock(self, service: str, carrier: WheelFile, interpreter: Interpreter, source: Source) -> Lock:
        """Pin `carrier` and all it requires, from `source` alone.

        Raises:
            UnsatisfiableError: No set of wheels fits.
            SourceUnavailableError: The source gave no usable answer.
            MismatchError: METADATA is not what its hash says.
        """
        ...


class Store(Protocol):
    """Verified wheels and unpacked images by sha256, for one root.

    Every method may raise `StorageError`. Safe for many threads and processes.
    """

    def wheel(self, sha256: str) -> Path | None:
        """The verified wheel; None where the store has none."""
        ...

    def add(self, wheel: LockedWheel, source: Source, *, arrived: Callable[[], object] | None = None) -> Path:
        """Fetch, verify, and only then keep a wheel; does nothing where it is there.

        `arrived` is called once it was fetched and verified, and is not on the disk yet: `image` need
        not wait for that.

        Raises:
            MismatchError: Hash or size differ; nothing was kept.
            SourceUnavailableError: The source gave no usable answer.
        """
        ...

    def image(self, wheel: LockedWheel) -> Path:
        """The wheel unpacked, its RECORD checked; unpacks once.

        Raises:
            WheelRefusedError: The gate or RECORD refuses it; nothing was kept.
        """
        ...

    def renew(self, wheel: LockedWheel) -> Path:
        """Like `image`, for one that turned out damaged: it is unpacked again where it really is.

        Raises:
            WheelRefusedError: The gate or RECORD refuses it; nothing was kept.
        """
        ...

    def content(self, wheel: LockedWheel) -> Image | None:
        """What lies in the wheel's image; None where there is none, or its manifest is damaged."""
        ...

    def bytecode(self, wheel: LockedWheel, kind: str) -> Bytecode | None:
        """The bytecode kept of a wheel for one kind of interpreter (its label), verified; None where none is.

        Raises nothing: what is damaged is removed, and told.
        """
        ...

    def keep_bytecode(self, wheel: LockedWheel, kind: str, made: Bytecode) -> bool:
        """Add bytecode to what is kept of a wheel; whether anything was added.

        Nothing is where the wheel's image is gone, where another process adds or collects right now, or where
        it would be too much.
        """
        ...

    def blob(self, sha256: str, size: int, source: Source | None) -> Path | None:
        """A data resource, verified; None where neither store nor source has it.

        Raises:
            MismatchError: Hash or size differ; nothing was kept.
        """
        ...


class Environments(Protocol):
    """Isolated virtualenvs of one root, each immutable once complete.

    Every method may raise `StorageError`.
    """

    def digest(self, lock: Lock, interpreter: Interpreter) -> str:
        """The key of the environment for this lock on this interpreter."""
        ...

    def find(self, digest: str) -> Path | None:
        """The complete environment; None where there is none."""
        ...

    def build(self, lock: Lock, interpreter: Interpreter, store: Store) -> Path:
        """Build beside, verify, publish; returns at once where it is complete.

        Raises:
            WheelRefusedError: A wheel's content cannot be installed.
            InterpreterNotFoundError: No virtualenv can be made for the interpreter any more.
        """
        ...

    def verify(self, environment: Path) -> Sequence[str]:
        """The files of a complete environment that are missing or differ from what was installed."""
        ...

    def renew(self, lock: Lock, interpreter: Interpreter, store: Store) -> Sequence[str]:
        """Like `build`, for one that may be damaged: built again where it is, aside, and then replaced.

        Returns what was damaged; nothing where it was not, and nothing was changed. Raises as `build`.
        """
        ...

    def close(self) -> None:
        """End what goes on in the background; what was not flushed yet is known to be so."""
        ...


class Compiling(Protocol):
    """Has the store keep the bytecode of what services import, so that no environment compiles it again.

    No method raises: a start never depends on it.
    """

    def later(self, environment: Path, lock: Lock, interpreter: Interpreter) -> None:
        """Compile what the worker of this environment has imported, in the background; returns at once."""
        ...

    def close(self) -> None:
        """Finish within the time that is given for it, or end it; what is done by then is kept."""
        ...


class Probe(Protocol):
    """The only place that asks the operating system what the host has."""

    def room(self, interpreter: Interpreter, root: Path, promises: Iterable[Promise]) -> Room:
        """What is left once headroom and `promises` are taken off."""
        ...


class HeldPromise(Protocol):
    """Room set aside. It lives exactly as long as its descriptor, in any process."""

    @property
    def promise(self) -> Promise:
        """What was set aside."""
        ...

    def fileno(self) -> int:
        """The locked descriptor, to be handed to whoever keeps it alive."""
        ...

    def note(self, **facts: object) -> None:
        """Tell other processes more, for example ``worker_pid``."""
        ...

    def close(self) -> None:
        """Give up this process's hold; where no other holds it, the room is free again."""
        ...


class Promises(Protocol):
    """The promises of every process of this host."""

    def admission(self) -> AbstractContextManager[Sequence[Promise]]:
        """The host's one admission lock; gives the promises that live."""
        ...

    def make(self, promise: Promise) -> HeldPromise:
        """Set room aside; to be called within `admission`."""
        ...

    def living(self) -> Sequence[Promise]:
        """The promises that live now; what the dead left is removed."""
        ...


class Journal(Protocol):
    """What was decided and why, kept for `why`; and what is retained, per root."""

    def record(self, service: str, kind: str, facts: Mapping[str, object]) -> None:
        """Keep one decision with its numbers. Old ones are dropped beyond a bound."""
        ...

    def decisions(self, service: str) -> Sequence[Mapping[str, object]]:
        """What was recorded for a service, the oldest first."""
        ...

    def forget(self, service: str) -> None:
        """Drop what was recorded for a service."""
        ...


class Identity(Protocol):
    """Who a domain is. It belongs to its root, whatever the address. Raises `StorageError`."""

    @property
    def domain(self) -> str:
        """What the domain is told by: the SHA-256 of its public key, in hex."""
        ...

    @property
    def key(self) -> str:
        """Its public key (Ed25519, raw), in base64."""
        ...

    def sign(self, data: bytes) -> str:
        """Its signature over `data`, in base64."""
        ...


class Peer(Protocol):
    """Another daemon as a requestor sees it: known by its domain, believed by its trust root."""

    @property
    def identity(self) -> str:
        """What it is told as, and what locks that it gave name as their source: ``rldlib:ROOT_SHA256``."""
        ...

    @property
    def source(self) -> Source:
        """Gives the bytes that its answers pin. It lists nothing."""
        ...

    def support(self, asked: SupportRequest) -> Support:
        """Ask for support, and verify what the answer names.

        Raises:
            UnavailableError: It is silent, does not know the service, or has nothing for this host.
            IntegrityError: What it names is not signed as it must be; the trusted state did not change.
        """
        ...

    def perform(
        self, service: str, version: str, operations: Mapping[str, Mapping[str, Any]]
    ) -> RemoteTarget:
        """What sends calls there, of a version whose operations its answer told. Nothing is asked yet."""
        ...

    def acknowledge(self, said: Acknowledgement) -> None:
        """Hand over a receipt. It may be said again.

        Raises:
            SourceUnavailableError: It was not taken now.
        """
        ...

    def close(self) -> None:
        """Let go of its connections."""
        ...


class Receipts(Protocol):
    """Acknowledgements that were not taken yet, for each domain. Raises `StorageError`."""

    def keep(self, identity: str, said: Acknowledgement) -> None:
        """Keep one until it was taken; a newer one of the same service and version replaces it."""
        ...

    def pending(self, identity: str) -> Sequence[Acknowledgement]:
        """Those that a domain has not taken."""
        ...

    def taken(self, identity: str, said: Acknowledgement) -> None:
        """Drop one, unless a newer one replaced it meanwhile."""
        ...


class Authority(Protocol):
    """What signs for a domain. Raises `StorageError`."""

    @property
    def root_sha256(self) -> str:
        """The domain's identity to who trusts it: the SHA-256 of its first root."""
        ...

    def publish_many(self, contents: Mapping[str, bytes]) -> bool:
        """Sign targets by name, all of them at once; False where nothing was new, and nothing was written."""
        ...

    def published(self) -> Mapping[str, str]:
        """What is signed: the SHA-256 of each target by its name."""
        ...

    def target(self, path: str) -> bytes | None:
        """A target by the path that clients ask for, ``FOLDER/SHA256.NAME``; None where there is none."""
        ...

    def until(self) -> datetime:
        """Until when what is signed now is believed; it is signed anew before."""
        ...


class Ledger(Protocol):
    """Who holds what of this responder. Raises `StorageError`."""

    def record(self, domain: str, said: Acknowledgement) -> None:
        """Take what a domain said; repeated, late or out of order it makes one row, of the newest."""
        ...

    def rows(self) -> Sequence[dict[str, Any]]:
        """A row for each domain, service and version, as `rld ledger --json` tells them.

        ``{"domain", "service", "version", "profile_digest", "resources", "acknowledged_at", "released_at"}``.
        """
        ...


class Holding(Protocol):
    """One version of one service on one kind of interpreter, as it was pinned."""

    @property
    def version(self) -> Version:
        """Its version."""
        ...

    @property
    def profile(self) -> bytes:
        """Its profile, as it came."""
        ...

    @property
    def lock(self) -> Lock:
        """Its lock."""
        ...


class Holdings(Protocol):
    """What a root holds of each service between processes. Raises `StorageError`."""

    def of(self, service: str) -> Sequence[Holding]:
        """What is held of a service, the newest version first.

        Raises:
            MismatchError: A lock that is held is damaged.
        """
        ...

    def locks(self, service: str) -> Sequence[Lock]:
        """The locks held of a service, but for damaged ones."""
        ...

    def keep(self, lock: Lock, profile: bytes) -> None:
        """Pin a lock, and keep the profile it belongs to."""
        ...

    def forget(self, service: str) -> bool:
        """Drop every pin of a service; False where there was none."""
        ...

    def text(self, lock: Lock) -> str:
        """A lock as pylock.toml."""
        ...

    def read(self, text: str) -> Lock:
        """A lock out of pylock.toml; undoes `text`.

        Raises:
            MismatchError: It is none, or none that rldlib made.
        """
        ...

    def services(self) -> Sequence[str]:
        """The names of all services held."""
        ...


class Placing(Protocol):
    """Puts the resources of a profile where the worker finds them."""

    def place(
        self, profile: ResourceProfile, environment: Path, lock: Lock, store: Store, source: Source | None
    ) -> tuple[Sequence[dict[str, Any]], Sequence[str]]:
        """The resources as the worker is told of them, in the order they need, and what was skipped.

        Raises:
            ResourceUnavailableError: A required one cannot be had.
            MismatchError: Its bytes differ from the profile's hash.
        """
        ...


class Remains(Protocol):
    """Removes what nothing uses any more. Raises `StorageError`."""

    def remove(
        self, locks: Sequence[Lock], others: Sequence[Lock], promises: Sequence[Promise]
    ) -> dict[str, Any]:
        """Remove what only `locks` use: ``{"removed": [paths], "freed_bytes": int}``."""
        ...


class Items(Protocol):
    """The items of a stream, as they come. For one thread at a time."""

    def __iter__(self) -> Iterator[Any]: ...

    def __next__(self) -> Any: ...

    def close(self) -> None:
        """Cancel the call; does nothing where it has ended."""
        ...


class PlacementPolicies(Protocol):
    """What this host's owner thinks of a placement: the hook ``place`` of its plugins."""

    def opinions(self, service: str, figures: Mapping[str, Any], proposed: str) -> Sequence[Opinion]:
        """What each policy answered, or raised, in the order in which they count.

        Raises nothing: whether an opinion is heeded is decided in `rules.placement.heed`.

        Args:
            service: The service's name.
            figures: `Choice.facts` of what rldlib's own rule chose.
            proposed: Its placement.
        """
        ...


class Target(Protocol):
    """Where the calls of a handle go. Safe for many threads.

    Every method may raise `WorkerError`, `ServiceFaultError` and `ArgumentsError`.
    """

    @property
    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        """The operations by name, each as `rldlib.values.operations` reads it."""
        ...

    @property
    def placement(self) -> str:
        """``local`` or ``remote``."""
        ...

    @property
    def worker(self) -> Mapping[str, Any] | None:
        """``{"pid", "python", "environment"}`` of a local worker; None where there is none now."""
        ...

    def call(self, operation: str, arguments: Mapping[str, Any], deadline_s: float | None) -> Any:
        """Perform an operation and wait for its result. Sent at most once."""
        ...

    def submit(self, operation: str, arguments: Mapping[str, Any], deadline_s: float | None) -> Future[Any]:
        """Perform an operation; the future ends as `call` would. Cancelling it cancels the call."""
        ...

    def stream(self, operation: str, arguments: Mapping[str, Any], deadline_s: float | None) -> Items:
        """Perform a streaming operation."""
        ...


class RemoteTarget(Target, Protocol):
    """A service that a responder performs."""

    def close(self) -> None:
        """Let go of what waits for answers; calls under way still get theirs."""
        ...


class Worker(Target, Protocol):
    """One worker that got ready."""

    def on_end(self, told: Callable[[str], None]) -> None:
        """Have ``told`` called with how it ended, once, however it ends; at once where it has.

        It is called in a thread that must not be held up.
        """
        ...

    def stop(self, wait_s: float) -> None:
        """Ask it to stop, wait, kill it and all it started, and reap it. May be called again."""
        ...


class Workers(Protocol):
    """Starts workers. It owns them: once closed, they are gone."""

    def warm_up(self) -> None:
        """Get ready to start one, so that the first need not wait for that. What fails, `start` tells."""
        ...

    def start(self, order: StartOrder, held: HeldPromise) -> Worker:
        """Start a worker and wait until it is READY.

        Raises:
            WorkerStartError: It did not get ready in time, ended, or is not what its profile declares.
            ServiceFaultError: The service's own start raised.
        """
        ...

    def close(self) -> None:
        """Stop every worker and the spawner."""
        ...


class HostProcess(Workers, Protocol):
    """This process itself, as the place where services are performed.

    Its `start` may raise `InProcessRefusedError` too: something here is in the way.
    """

    @property
    def label(self) -> str:
        """The kind of interpreter it runs on, as `Interpreter.label` tells it."""
        ...

    def present(self, names: Iterable[str]) -> Mapping[str, Presence]:
        """Those of the distributions that it imports from already, by normalised name."""
        ...
