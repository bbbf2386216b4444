"""rldlib brings a service that another host offers *here*, and calls it locally.

Only names: each is imported when it is first used, so that ``import rldlib``
costs next to nothing. The worker imports this package too.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing itself costs a worker's start some milliseconds
    from rldlib.defaults import LocalDaemon
    from rldlib.errors import (
        ArgumentsError,
        CallTimeoutError,
        CapacityError,
        InProcessRefusedError,
        IntegrityError,
        InterpreterNotFoundError,
        MismatchError,
        NoCommonProtocolError,
        NoSupportError,
        OperationNotFoundError,
        OverloadedError,
        OversizeError,
        ProfileError,
        ResourceUnavailableError,
        ResponderSilentError,
        RldlibError,
        ServiceFaultError,
        ServiceNotFoundError,
        SigningKeyMissingError,
        SourceUnavailableError,
        StorageError,
        TrustError,
        TrustExpiredError,
        UnavailableError,
        UnsatisfiableError,
        UsageError,
        WheelRefusedError,
        WorkerError,
        WorkerLostError,
        WorkerStartError,
    )
    from rldlib.handle import Handle
    from rldlib.reporter import Reporter
    from rldlib.values.policy import Policy
    from rldlib.values.profile import ResourceProfile

__all__ = [
    "ArgumentsError",
    "CallTimeoutError",
    "CapacityError",
    "Handle",
    "InProcessRefusedError",
    "IntegrityError",
    "InterpreterNotFoundError",
    "LocalDaemon",
    "MismatchError",
    "NoCommonProtocolError",
    "NoSupportError",
    "OperationNotFoundError",
    "OverloadedError",
    "OversizeError",
    "Policy",
    "ProfileError",
    "Reporter",
    "ResourceProfile",
    "ResourceUnavailableError",
    "ResponderSilentError",
    "RldlibError",
    "ServiceFaultError",
    "ServiceNotFoundError",
    "SigningKeyMissingError",
    "SourceUnavailableError",
    "StorageError",
    "TrustError",
    "TrustExpiredError",
    "UnavailableError",
    "UnsatisfiableError",
    "UsageError",
    "WheelRefusedError",
    "WorkerError",
    "WorkerLostError",
    "WorkerStartError",
]

_ELSEWHERE = {
    "Handle": "handle",
    "LocalDaemon": "defaults",
    "Policy": "values.policy",
    "Reporter": "reporter",
    "ResourceProfile": "values.profile",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'rldlib' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"rldlib.{_ELSEWHERE.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
