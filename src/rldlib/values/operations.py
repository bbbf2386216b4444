"""The operations of a service, as its worker declares them when it is ready."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rldlib.values.profile import OperationProfile

# What a handle has itself: an operation of that name could not be reached.
RESERVED = frozenset(
    {
        "call",
        "operations",
        "placement",
        "release",
        "retarget",
        "service",
        "stream",
        "submit",
        "version",
        "why",
        "worker",
    }
)
# An argument of that name would be taken for the deadline of the call.
RESERVED_ARGUMENT = "deadline"
CALL = "call"
STREAM = "stream"

_FIELDS: dict[str, tuple[type, ...]] = {
    "arguments": (dict,),
    "result": (dict,),
    "idempotent": (bool,),
    "cache_for_s": (int, float, type(None)),
    "media_type": (str, type(None)),
    "kind": (str,),
}


def read_operations(told: Any) -> dict[str, dict[str, Any]]:
    """The operations out of a READY message, by name.

    Raises:
        ValueError: Something is missing, of another type, or has a reserved
            name. Every issue is in its text.
    """
    if not isinstance(told, dict):
        raise ValueError("its operations are no mapping")  # noqa: TRY004 - foreign text is refused as a value
    issues = [issue for name, operation in told.items() for issue in _issues(name, operation)]
    if issues:
        raise ValueError("; ".join(issues))
    return {name: {field: operation[field] for field in _FIELDS} for name, operation in told.items()}


def _issues(name: str, operation: Any) -> Iterator[str]:
    if not name.isidentifier() or name.startswith("_"):
        yield f"{name!r} is no name for an operation"
    if name in RESERVED:
        yield f"the operation {name} is named like an attribute of every handle; rename it"
    if not isinstance(operation, dict):
        yield f"{name} is no description of an operation"
        return
    for field, allowed in _FIELDS.items():
        if field not in operation:
            yield f"{name}.{field} is missing"
        elif not isinstance(operation[field], allowed):
            yield f"{name}.{field} is {_told(operation[field])}"
        elif not _is_json(operation[field]):
            yield f"{name}.{field} holds what is no JSON"
    if not isinstance(kind := operation.get("kind"), str) or kind not in {CALL, STREAM}:
        yield f"{name}.kind is neither {CALL} nor {STREAM}"
    arguments = operation.get("arguments")
    properties = arguments.get("properties") if isinstance(arguments, dict) else None
    if isinstance(properties, dict) and RESERVED_ARGUMENT in properties:
        yield f"the operation {name} has an argument {RESERVED_ARGUMENT}, which is the call's own; rename it"


def _told(value: Any) -> str:
    return f"{value!r:.80}" if isinstance(value, (str, int, float)) else f"of type {type(value).__name__}"


def _is_json(value: Any) -> bool:
    """Whether it is plain: an array in it could be neither compared nor shown."""
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def differences(
    declared: Mapping[str, OperationProfile], ready: Mapping[str, Mapping[str, Any]]
) -> tuple[str, ...]:
    """How what a profile declares differs from what its worker is; empty where it does not.

    A profile need not declare anything: what it leaves empty is not compared.
    """
    return tuple(
        issue for name, profile in declared.items() for issue in _differences(name, profile, ready.get(name))
    )


def _differences(name: str, profile: OperationProfile, ready: Mapping[str, Any] | None) -> Iterator[str]:
    if ready is None:
        yield f"{name} is declared, and the service has no such operation"
        return
    for field in ("arguments", "result", "cache_for_s", "media_type"):
        declared = getattr(profile, field)
        if declared not in ({}, None) and declared != ready[field]:
            yield f"{name}.{field} is declared as {declared!r:.200}, and is {ready[field]!r:.200}"
    if profile.idempotent and not ready["idempotent"]:
        yield f"{name} is declared as idempotent, and is not"
