"""The resource profile: what a service consists of, needs, and how it is used.

The figures are the author's claim. Nothing here measures or enforces them.
Foreign text becomes a profile in `rldlib.values.document`. Each field carries
the shape that bounds it there; the bounds refuse slips and hostile figures,
and are wide enough that no honest service meets them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from rldlib.values.records import Free, Many, Maybe, Named, Record, shaped
from rldlib.values.request import MAX_NAME_LENGTH
from rldlib.values.shapes import Choice, Flag, Number, Published, Shape, Text, Whole

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA_VERSION = 1
# The file in a wheel's .dist-info that carries the profile.
PROFILE_NAME = "rldlib.json"
# A 64 KiB prefix of the wheel must be enough to read it, headers included.
MAX_PROFILE_BYTES = 60 * 1024
MAX_BYTES = 2**60

AfterUse = Literal["retain", "terminate", "delete"]
UpdatePolicy = Literal["pinned", "patch", "minor", "any"]
IsolationLevel = Literal["none", "default", "strict"]
Keeping = Literal["keep", "delete"]

# The kinds of resource that the daemon knows by itself; plugins add others.
RESOURCE_KINDS = frozenset({"wheel", "data", "secret", "endpoint", "archive"})

_HOUR_S = 3600
_DAY_S = 24 * _HOUR_S
_YEAR_S = 366 * _DAY_S
# A thousand hosts of a thousand hardware threads that score 1000.
_MAX_RCU = 10**9
# That capacity for a whole day.
_MAX_RCU_MS = 10**15

_BYTES = shaped(Whole(0, MAX_BYTES))
_WORK = shaped(Number(0, _MAX_RCU_MS))
SERVICE = Text(
    MAX_NAME_LENGTH,
    "[a-z0-9]+(?:-[a-z0-9]+)*",
    "a name of lower-case letters, digits and single hyphens",
    least=1,
)
_OPERATION = Text(
    64, "[A-Za-z][A-Za-z0-9_]*", "a name of ASCII letters, digits and _, a letter first", least=1
)
SHA256 = Text(64, "[0-9a-f]{64}", "a SHA-256 digest of 64 lower-case hexadecimal digits", least=1)
_FUNCTION = Text(64, "[A-Za-z0-9][A-Za-z0-9_.:+-]*", "a name of letters, digits and _.:+-", least=1)
_RESOURCE = Text(128, "[A-Za-z0-9][A-Za-z0-9_.-]*", "a name of letters, digits and _.-", least=1)
_KIND = Text(64, "[a-z][a-z0-9-]*", "a name of lower-case letters, digits and hyphens", least=1)
_STEP = r"(?!\.\.?(?:/|$))[^\x00-\x20/\\\x7f-\x9f\ud800-\udfff]+"
TARGET = Text(512, f"{_STEP}(?:/{_STEP})*", "a relative name without '..'", least=1)
_LABEL = "[A-Za-z0-9!#$&^_.+-]+"
_MEDIA_TYPE = Text(127, f"{_LABEL}/{_LABEL}(?:; ?{_LABEL}={_LABEL})*", "a media type like text/csv", least=1)
_ENDPOINT = Text(260, r"(?:[A-Za-z0-9.*_-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}", "HOST:PORT", least=1)


def _setting(shape: Shape) -> dict[str, Any]:
    return shaped(shape, when_set=True)


def _one_of(choices: Any) -> dict[str, Any]:
    return shaped(Choice(get_args(choices)))


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationProfile:
    """One operation as the author declares it.

    Attributes:
        arguments: JSON Schema of the arguments, an object.
        result: JSON Schema of the result, or of each item of a stream.
        idempotent: Whether calling it twice is as good as once.
        cache_for_s: For how long an answer stays true, in seconds.
        media_type: What the result is, where it is a document of its own.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict, metadata=shaped(Free()))
    result: Mapping[str, Any] = field(default_factory=dict, metadata=shaped(Free()))
    idempotent: bool = field(default=False, metadata=shaped(Flag()))
    cache_for_s: float | None = field(default=None, metadata=shaped(Maybe(Number(0, 10 * _YEAR_S))))
    media_type: str | None = field(default=None, metadata=shaped(Maybe(_MEDIA_TYPE)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """What a service needs of a GPU.

    Attributes:
        memory_bytes: Device memory, in bytes.
    """

    memory_bytes: int = field(default=0, metadata=_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one worker needs, children included.

    Attributes:
        memory_start_bytes: Resident memory when ready.
        memory_peak_bytes: Resident memory at its peak.
        disk_bytes: Size of the environment and the data, installed.
        download_bytes: What fetching it costs at most.
        cpu_idle_rcu: Processor capacity held while idle, a rate.
        cpu_call_p50_rcu_ms: Processor work of a call, median.
        cpu_call_p95_rcu_ms: Processor work of a call, 95th percentile.
        threads: How many calls it performs at once.
        startup_s: The longest time from spawn to READY.
        open_files: Descriptors it may hold open.
        hardware: Hardware functions by name (archspec's), for example ``avx2``.
        devices: Device classes by name, for example ``usb``.
        gpu: What it needs of a GPU; None where it needs none.
        measured: Where the figures were measured, as text; None where they are claims.
    """

    memory_start_bytes: int = field(default=0, metadata=_BYTES)
    memory_peak_bytes: int = field(default=0, metadata=_BYTES)
    disk_bytes: int = field(default=0, metadata=_BYTES)
    download_bytes: int = field(default=0, metadata=_BYTES)
    cpu_idle_rcu: int = field(default=0, metadata=shaped(Whole(0, _MAX_RCU)))
    cpu_call_p50_rcu_ms: float = field(default=0, metadata=_WORK)
    cpu_call_p95_rcu_ms: float = field(default=0, metadata=_WORK)
    threads: int = field(default=1, metadata=shaped(Whole(1, 1024)))
    startup_s: float = field(default=30, metadata=shaped(Number(0.1, _DAY_S)))
    open_files: int = field(default=64, metadata=shaped(Whole(1, 2**20)))
    hardware: tuple[str, ...] = field(default=(), metadata=shaped(Many(_FUNCTION, 64, unique=True)))
    devices: tuple[str, ...] = field(default=(), metadata=shaped(Many(_FUNCTION, 64, unique=True)))
    gpu: Gpu | None = field(default=None, metadata=shaped(Maybe(Record(Gpu))))
    measured: str | None = field(default=None, metadata=shaped(Maybe(Text(512))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One thing the service needs besides its wheels.

    Immutable: `sha256` and `size`. Mutable and held elsewhere: `authority`
    and `target`. Never both.

    Attributes:
        name: How the service asks for it.
        kind: ``wheel``, ``data``, ``secret``, ``endpoint``, ``archive``, or a plugin's.
        sha256: The hash of its bytes, in hex.
        size: Its size in bytes.
        authority: The digest of the trust root that signs it.
        target: Its name under that authority.
        policy: When a newer version of it is taken.
        use: What the service does with it, for people and logs.
        requires: Names of resources that must be in place before it.
        required: Whether the service cannot start without it.
        after_use: Whether it is kept after the work.
    """

    name: str = field(metadata=shaped(_RESOURCE))
    kind: str = field(metadata=shaped(_KIND))
    sha256: str | None = field(default=None, metadata=shaped(Maybe(SHA256), when_set=True))
    size: int | None = field(default=None, metadata=shaped(Maybe(Whole(0, MAX_BYTES)), when_set=True))
    authority: str | None = field(default=None, metadata=shaped(Maybe(SHA256), when_set=True))
    target: str | None = field(default=None, metadata=shaped(Maybe(TARGET), when_set=True))
    policy: UpdatePolicy = field(default="any", metadata=_one_of(UpdatePolicy) | {"when_set": True})
    use: str = field(default="", metadata=shaped(Text(2000)))
    requires: tuple[str, ...] = field(default=(), metadata=shaped(Many(_RESOURCE, 64, unique=True)))
    required: bool = field(default=True, metadata=shaped(Flag()))
    after_use: Keeping = field(default="keep", metadata=_one_of(Keeping))


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What becomes of the service after the work.

    Attributes:
        after_use: Keep it ready, stop it, or remove every trace.
        idle_s: How long a retained worker may stay without a call.
        lease_s: How long what was provided may stay at all; None is for ever.
    """

    after_use: AfterUse = field(default="retain", metadata=_one_of(AfterUse))
    idle_s: float = field(default=600, metadata=shaped(Number(0, _YEAR_S)))
    lease_s: float | None = field(default=None, metadata=shaped(Maybe(Number(1, 10 * _YEAR_S))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Which newer versions are taken, and whether a gap is allowed meanwhile."""

    policy: UpdatePolicy = field(default="minor", metadata=_one_of(UpdatePolicy))
    gap_allowed: bool = field(default=False, metadata=shaped(Flag()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """How far the worker is kept apart from the host.

    Attributes:
        level: ``none``, ``default`` or ``strict``.
        subprocesses: Whether it may start programs.
        endpoints: Where it may connect, as ``HOST:PORT``.
        writes: Folders it may write besides its scratch.
    """

    level: IsolationLevel = field(default="none", metadata=_one_of(IsolationLevel))
    subprocesses: bool = field(default=False, metadata=shaped(Flag()))
    endpoints: tuple[str, ...] = field(default=(), metadata=shaped(Many(_ENDPOINT, 64, unique=True)))
    writes: tuple[str, ...] = field(default=(), metadata=shaped(Many(Text(1024, least=1), 64, unique=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """How the daemon configures itself for this service: the allow-list, whole.

    Attributes:
        call_deadline_s: The deadline of a call that names none.
        stop_s: How long a worker may take to stop before it is killed.
        heartbeat_s: How often a worker says that it is alive.
        restarts: How often it is started again within `restart_period_s`.
        restart_period_s: The period that `restarts` is counted over.
        log_bytes: How much of the worker's output is kept.
    """

    call_deadline_s: float | None = field(default=None, metadata=_setting(Maybe(Number(0.001, 7 * _DAY_S))))
    stop_s: float = field(default=5, metadata=_setting(Number(0, _HOUR_S)))
    heartbeat_s: float = field(default=5, metadata=_setting(Number(0.05, _HOUR_S)))
    restarts: int = field(default=3, metadata=_setting(Whole(0, 1000)))
    restart_period_s: float = field(default=60, metadata=_setting(Number(0.1, _DAY_S)))
    log_bytes: int = field(default=1024 * 1024, metadata=_setting(Whole(1024, 2**30)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceProfile:
    """What one version of a service consists of, needs, and how it is used."""

    service: str = field(metadata=shaped(SERVICE))
    version: str = field(metadata=shaped(Published(64)))
    summary: str = field(default="", metadata=shaped(Text(512)))
    operations: Mapping[str, OperationProfile] = field(
        default_factory=dict, metadata=shaped(Named(_OPERATION, Record(OperationProfile), 256))
    )
    demand: Demand = field(default_factory=Demand, metadata=shaped(Record(Demand)))
    resources: tuple[Resource, ...] = field(default=(), metadata=shaped(Many(Record(Resource), 256)))
    life: Life = field(default_factory=Life, metadata=shaped(Record(Life)))
    update: Update = field(default_factory=Update, metadata=shaped(Record(Update)))
    isolation: Isolation = field(default_factory=Isolation, metadata=shaped(Record(Isolation)))
    host: HostSettings = field(default_factory=HostSettings, metadata=shaped(Record(HostSettings)))
    schema: int = field(default=SCHEMA_VERSION, metadata=shaped(Choice((SCHEMA_VERSION,)), needed=True))
