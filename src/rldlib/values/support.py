"""What two daemons say to each other: support request, answer, acknowledgement.

All of it is plain JSON whose fields carry their shapes, read as strictly as a
profile is; `rldlib.values.foreign` and `Record` do the reading. None of it is
trusted: an answer selects signed things by name and tells load; it can change
neither bytes nor limits.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args

from packaging.tags import Tag
from packaging.version import Version

from rldlib.values.foreign import MalformedDocumentError, load
from rldlib.values.interpreter import Interpreter
from rldlib.values.profile import SERVICE, SHA256, TARGET
from rldlib.values.records import Free, Many, Maybe, Named, Record, shaped
from rldlib.values.shapes import Choice, Flag, Number, Published, Text, Whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rldlib.values.lock import Lock

T = TypeVar("T")

# What this rldlib speaks; a request lists all that its sender does, the best first.
PROTOCOL: Final = 1
PROTOCOLS: Final = (PROTOCOL,)
# A request tells about 2 kB of each interpreter; an answer names, and holds schemas of operations.
MAX_REQUEST_BYTES: Final = 256 * 1024
MAX_ANSWER_BYTES: Final = 1024 * 1024

Wish = Literal["auto", "local", "remote"]
State = Literal["acknowledged", "released"]

_TAG = Text(64, "[A-Za-z0-9_]+", "a part of a wheel tag", least=1)
_LABEL = Text(200, "[A-Za-z0-9_.+-]+", "a label of letters, digits and _.+-", least=1)
INSTANT = Text(
    40, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|\+00:00)", "an RFC 3339 instant in UTC", least=1
)
_BASE64 = Text(200, "[A-Za-z0-9+/]+={0,2}", "base64", least=1)
_MOST = 2**31 - 1
_TOLD = frozenset(
    {
        "implementation_name",
        "implementation_version",
        "os_name",
        "platform_machine",
        "platform_python_implementation",
        "platform_system",
        "python_full_version",
        "python_version",
        "sys_platform",
    }
)
# A host's very kernel: it would make each host a kind of its own, and decides no wheel.
_UNTOLD = frozenset({"platform_release", "platform_version"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TagGroup:
    """Wheel tags that share an interpreter and an ABI.

    Attributes:
        interpreter: For example ``cp311``.
        abi: For example ``cp311``, ``abi3`` or ``none``.
        platforms: The position of its list of platforms.
    """

    interpreter: str = field(metadata=shaped(_TAG))
    abi: str = field(metadata=shaped(_TAG))
    platforms: int = field(metadata=shaped(Whole(0, 63)))


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKind:
    """One interpreter of the asking host, as far as it decides which wheels fit.

    Attributes:
        version: Its full version.
        platforms: Lists of platforms, the best first, written once for all tags.
        tags: Its wheel tags, the best first.
        markers: Its values for environment markers (PEP 508).
    """

    version: str = field(metadata=shaped(Published(64)))
    platforms: tuple[tuple[str, ...], ...] = field(metadata=shaped(Many(Many(_TAG, 512), 64)))
    tags: tuple[TagGroup, ...] = field(metadata=shaped(Many(Record(TagGroup), 1024)))
    markers: Mapping[str, str] = field(
        metadata=shaped(Named(Text(64, "[a-z_]+", "a marker's name", least=1), Text(256), 32))
    )

    @property
    def digest(self) -> str:
        """What tells kinds of host apart: 16 hexadecimal digits over all of it."""
        return hashlib.sha256(_canonical(_plain(self))).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportRequest:
    """What a requestor asks: the nature of the service, and where it wants it performed.

    Attributes:
        protocols: The versions of this exchange that it speaks, the best first.
        service: The service.
        specifier: The versions that will do (PEP 440); empty is any.
        prereleases: Whether previews will do.
        wish: Where it wants the service performed.
        domain: Who asks: the digest of its domain's public key; None where it has none.
        interpreters: What it could run the service on, the best first.
        score_rcu: What its hardware threads do, each; None where it is not scored.
    """

    protocols: tuple[int, ...] = field(metadata=shaped(Many(Whole(1, 1000), 16, unique=True)))
    service: str = field(metadata=shaped(SERVICE))
    specifier: str = field(default="", metadata=shaped(Text(512)))
    prereleases: bool = field(default=False, metadata=shaped(Flag()))
    wish: Wish = field(default="auto", metadata=shaped(Choice(get_args(Wish))))
    domain: str | None = field(default=None, metadata=shaped(Maybe(SHA256)))
    interpreters: tuple[HostKind, ...] = field(default=(), metadata=shaped(Many(Record(HostKind), 64)))
    score_rcu: int | None = field(default=None, metadata=shaped(Maybe(Whole(1, _MOST))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How busy a responder is; told with every answer.

    Attributes:
        slots: How many calls it performs at once.
        active: How many it performs now.
        queued: How many wait.
        queue_slots: How many may wait before calls are turned away.
        busy: The share of its processors that was busy lately, 0 to 1; None where it cannot tell.
        score_rcu: What its hardware threads do, each; None where it is not scored.
    """

    slots: int = field(metadata=shaped(Whole(1, _MOST)))
    active: int = field(default=0, metadata=shaped(Whole(0, _MOST)))
    queued: int = field(default=0, metadata=shaped(Whole(0, _MOST)))
    queue_slots: int = field(default=0, metadata=shaped(Whole(0, _MOST)))
    busy: float | None = field(default=None, metadata=shaped(Maybe(Number(0, 1))))
    score_rcu: int | None = field(default=None, metadata=shaped(Maybe(Whole(1, _MOST))))


@dataclass(frozen=True, slots=True, kw_only=True)
class LockTarget:
    """Where the lock for one of the asked interpreters lies.

    Attributes:
        interpreter: The position of the interpreter in the request.
        environment: The kind of environment that it holds for.
        target: Its name under the responder's trust root.
    """

    interpreter: int = field(metadata=shaped(Whole(0, 63)))
    environment: str = field(metadata=shaped(_LABEL))
    target: str = field(metadata=shaped(TARGET))


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportAnswer:
    """What a responder offers: names of signed things, where their bytes are, and its load.

    Attributes:
        protocol: The version that is spoken from here on.
        service: The service.
        version: The version that is offered.
        profile: The name of the profile under the responder's trust root.
        locks: A lock for each asked interpreter that fits, the best first; empty where it
            performs the service for others and does not give it away.
        blobs: Where files are by their SHA-256, a path on the responder that ends in ``/``.
        remote: Whether it performs the service for the asker.
        operations: What it performs, each as READY tells it; empty where it does not.
        load: How busy it is.
    """

    protocol: int = field(metadata=shaped(Whole(1, 1000)))
    service: str = field(metadata=shaped(SERVICE))
    version: str = field(metadata=shaped(Published(64)))
    profile: str = field(metadata=shaped(TARGET))
    locks: tuple[LockTarget, ...] = field(default=(), metadata=shaped(Many(Record(LockTarget), 64)))
    blobs: str = field(
        default="/blobs/sha256/",
        metadata=shaped(Text(256, r"/(?:[A-Za-z0-9_.~-]+/)*", "a path that ends in /", least=1)),
    )
    remote: bool = field(default=False, metadata=shaped(Flag()))
    operations: Mapping[str, Any] = field(default_factory=dict, metadata=shaped(Free()))
    load: Load = field(metadata=shaped(Record(Load)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """An answer with what it names, verified under the responder's trust root.

    Attributes:
        answer: The answer itself, a hint.
        profile: The profile's bytes.
        lock: The lock for one of the asked interpreters; None where none was offered.
        interpreter: The position of that interpreter in the request.
    """

    answer: SupportAnswer
    profile: bytes
    lock: Lock | None = None
    interpreter: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """A requestor's receipt of a profile and of each resource, signed by its domain's key.

    Attributes:
        service: The service.
        version: Its version.
        profile_digest: The SHA-256 of the profile's bytes.
        resources: The SHA-256 of every wheel and resource that it received, sorted.
        state: Whether it holds them, or has let go of them.
        at: When, an RFC 3339 instant.
        key: The domain's public key (Ed25519, raw), in base64.
        signature: Over `signed_bytes`, in base64; empty until it is signed.
    """

    service: str = field(metadata=shaped(SERVICE))
    version: str = field(metadata=shaped(Published(64)))
    profile_digest: str = field(metadata=shaped(SHA256))
    resources: tuple[str, ...] = field(default=(), metadata=shaped(Many(SHA256, 10_000, unique=True)))
    state: State = field(default="acknowledged", metadata=shaped(Choice(get_args(State))))
    at: str = field(metadata=shaped(INSTANT))
    key: str = field(metadata=shaped(_BASE64))
    signature: str = field(default="", metadata=shaped(Text(200, "[A-Za-z0-9+/]*={0,2}", "base64")))

    @property
    def signed_bytes(self) -> bytes:
        """What is signed: all but the signature, as canonical JSON, after a line that says what it is."""
        return b"rldlib acknowledgement 1\n" + _canonical(_plain(replace(self, signature="")))


def host_kind(interpreter: Interpreter) -> HostKind:
    """An interpreter of this host as others are told of it: without its place and its kernel."""
    lists: dict[tuple[str, ...], int] = {}
    groups = []
    # Neighbours only: the order of tags is their worth.
    for (name, abi), tags in groupby(interpreter.tags, key=lambda tag: (tag.interpreter, tag.abi)):
        platforms = tuple(tag.platform for tag in tags)
        position = lists.setdefault(platforms, len(lists))
        groups.append(TagGroup(interpreter=name, abi=abi, platforms=position))
    return HostKind(
        version=str(interpreter.version),
        platforms=tuple(lists),
        tags=tuple(groups),
        markers={name: told for name, told in sorted(interpreter.markers.items()) if name not in _UNTOLD},
    )


def asking_interpreter(kind: HostKind) -> Interpreter:
    """Another host's interpreter, as resolving takes one. It has no executable here.

    Raises:
        MalformedDocumentError: It is none: a tag names a list of platforms that is not there, or a
            marker is missing.
    """
    faults = [
        f"tags[{at}].platforms: there is no list {group.platforms}"
        for at, group in enumerate(kind.tags)
        if group.platforms >= len(kind.platforms)
    ]
    faults += [f"markers.{name}: is missing" for name in sorted(_TOLD - kind.markers.keys())]
    if faults or not kind.tags:
        raise MalformedDocumentError(faults or ["tags: it takes no wheels"])
    return Interpreter(
        executable="",
        version=Version(kind.version),
        tags=tuple(
            Tag(group.interpreter, group.abi, platform)
            for group in kind.tags
            for platform in kind.platforms[group.platforms]
        ),
        markers=dict.fromkeys(_UNTOLD, "") | dict(kind.markers),
    )


def write(message: object) -> bytes:
    """One of the messages above as JSON."""
    return json.dumps(_plain(message), ensure_ascii=False, separators=(",", ":")).encode()


def read(kind: type[T], data: bytes, *, max_bytes: int = MAX_ANSWER_BYTES) -> T:
    """Read one of the messages above, from anyone.

    Raises:
        MalformedDocumentError: It is none; every fault is named with its path.
    """
    faults: list[str] = []
    message = Record(kind).read(load(data, max_bytes=max_bytes), "", faults)
    if not isinstance(message, kind) or faults:
        raise MalformedDocumentError(faults)
    return message


def _plain(message: object) -> dict[str, Any]:
    return Record(type(message)).plain(message)


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
