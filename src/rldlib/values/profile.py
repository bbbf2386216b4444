"""The resource profile: what a service consists of, needs, and how it is used.

The figures are the author's claim. Nothing here measures or enforces them.
Foreign text becomes a profile in `rldlib.values.document`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

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

    arguments: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    idempotent: bool = False
    cache_for_s: float | None = None
    media_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """What a service needs of a GPU.

    Attributes:
        memory_bytes: Device memory, in bytes.
    """

    memory_bytes: int = 0


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

    memory_start_bytes: int = 0
    memory_peak_bytes: int = 0
    disk_bytes: int = 0
    download_bytes: int = 0
    cpu_idle_rcu: int = 0
    cpu_call_p50_rcu_ms: float = 0
    cpu_call_p95_rcu_ms: float = 0
    threads: int = 1
    startup_s: float = 30
    open_files: int = 64
    hardware: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    gpu: Gpu | None = None
    measured: str | None = None


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

    name: str
    kind: str
    sha256: str | None = None
    size: int | None = None
    authority: str | None = None
    target: str | None = None
    policy: UpdatePolicy = "any"
    use: str = ""
    requires: tuple[str, ...] = ()
    required: bool = True
    after_use: Literal["keep", "delete"] = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What becomes of the service after the work.

    Attributes:
        after_use: Keep it ready, stop it, or remove every trace.
        idle_s: How long a retained worker may stay without a call.
        lease_s: How long what was provided may stay at all; None is for ever.
    """

    after_use: AfterUse = "retain"
    idle_s: float = 600
    lease_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Which newer versions are taken, and whether a gap is allowed meanwhile."""

    policy: UpdatePolicy = "minor"
    gap_allowed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """How far the worker is kept apart from the host.

    Attributes:
        level: ``none``, ``default`` or ``strict``.
        subprocesses: Whether it may start programs.
        endpoints: Where it may connect, as ``HOST:PORT``.
        writes: Folders it may write besides its scratch.
    """

    level: IsolationLevel = "none"
    subprocesses: bool = False
    endpoints: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


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

    call_deadline_s: float | None = None
    stop_s: float = 5
    heartbeat_s: float = 5
    restarts: int = 3
    restart_period_s: float = 60
    log_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceProfile:
    """What one version of a service consists of, needs, and how it is used."""

    service: str
    version: str
    summary: str = ""
    operations: Mapping[str, OperationProfile] = field(default_factory=dict)
    demand: Demand = field(default_factory=Demand)
    resources: tuple[Resource, ...] = ()
    life: Life = field(default_factory=Life)
    update: Update = field(default_factory=Update)
    isolation: Isolation = field(default_factory=Isolation)
    host: HostSettings = field(default_factory=HostSettings)
    schema: int = SCHEMA_VERSION
