"""What a responder tells of a call that did not end well, as the errors of a local call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rldlib.errors import (
    ArgumentsError,
    CallTimeoutError,
    OperationNotFoundError,
    OverloadedError,
    ServiceFaultError,
    WorkerLostError,
    WorkerStartError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rldlib.errors import RldlibError

_TOLD = 2_000
_MOST = 100


def error_of(
    service: str, operation: str, told: Mapping[str, Any], status: int, deadline_s: float
) -> RldlibError:
    """The error that a responder told.

    Args:
        service: The service that was called.
        operation: The operation that was called.
        told: The document, of any content.
        status: Of its answer; 200 where it came after the first item of a stream.
        deadline_s: Of the call.
    """
    match told.get("type"):
        case "ArgumentsError":
            return ArgumentsError(service, operation, _texts(told, "issues"))
        case "ServiceFaultError":
            return ServiceFaultError(
                service,
                _text(told, "operation") or operation,
                *(_text(told, name) for name in ("fault_type", "fault_message", "traceback")),
            )
        case "CallTimeoutError":
            return CallTimeoutError(service, operation, deadline_s)
        case "WorkerLostError":
            executed = False if told.get("executed") is False else None
            return WorkerLostError(service, _text(told, "how"), executed)
        case "WorkerStartError":
            return WorkerStartError(service, _text(told, "reason"))
        case "OverloadedError":
            wait_s = told.get("retry_after_s")
            return OverloadedError(service, wait_s if type(wait_s) is int and 0 < wait_s < 10**6 else 1)
        case "OperationNotFoundError":
            return OperationNotFoundError(service, operation, _texts(told, "known"))
        case _:
            pass
    said = " ".join(_text(told, "message").split())[:_TOLD] or "it did not say why"
    # What it refuses it has not begun; of anything else nobody knows.
    begun = None if status in {200, 500, 502} else False
    return WorkerLostError(service, f"its responder answered with status {status}: {said}", begun)


def _text(told: Mapping[str, Any], name: str) -> str:
    found = told.get(name)
    return found if isinstance(found, str) else ""


def _texts(told: Mapping[str, Any], name: str) -> list[str]:
    found = told.get(name)
    return [str(each)[:_TOLD] for each in found[:_MOST]] if isinstance(found, list) else []
