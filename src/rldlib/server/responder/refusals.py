"""What a responder says no with: a status, and one JSON document that names the cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from rldlib.errors import (
    ArgumentsError,
    CallTimeoutError,
    CapacityError,
    IntegrityError,
    InterpreterNotFoundError,
    NoCommonProtocolError,
    OperationNotFoundError,
    OverloadedError,
    ServiceFaultError,
    ServiceNotFoundError,
    SourceUnavailableError,
    StorageError,
    UnsatisfiableError,
    UsageError,
    WorkerError,
    as_mapping,
)
from rldlib.values.foreign import MalformedDocumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from rldlib.errors import RldlibError

# What is out of order on this side passes; who asks may try again.
_RETRY_AFTER_S: Final = 5


class ForbiddenError(Exception):
    """Who asks shows no token, or one for other services."""

    def __init__(self, message: str, *, known: bool) -> None:
        super().__init__(message)
        self.known = known


class TooLargeError(Exception):
    """The body of a request goes beyond what is read."""


def refusal(
    status: int, kind: str, message: str, headers: Mapping[str, str] | None = None, **facts: Any
) -> Response:
    """One refusal. Nothing of this host's files, and no one's secrets, are in it."""
    error = {**facts, "type": kind, "message": message}
    return JSONResponse({"error": error}, status, headers=headers)


def _malformed(_: Request, exc: Exception) -> Response:
    faults = list(exc.faults) if isinstance(exc, MalformedDocumentError) else [str(exc)]
    return refusal(400, "MalformedDocument", "; ".join(faults)[:1000], faults=faults[:50])


def _usage(_: Request, exc: Exception) -> Response:
    return refusal(400, "UsageError", str(exc))


def _unknown(_: Request, exc: Exception) -> Response:
    service = exc.service if isinstance(exc, ServiceNotFoundError) else "it"
    return refusal(404, "ServiceNotFoundError", f"{service} is not offered here", service=service)


def _unfit(_: Request, exc: Exception) -> Response:
    service = getattr(exc, "service", "it")
    if isinstance(exc, UnsatisfiableError):
        reasons = [reason.partition(" in /")[0] for reason in exc.reasons]
        told = "; ".join(reason for reason in reasons if "/" not in reason) or "no set of wheels fits"
    else:
        told = "no version takes an interpreter of the asking host"
    return refusal(406, type(exc).__name__, f"{service}: {told}", service=service)


def _protocol(_: Request, exc: Exception) -> Response:
    spoken = list(exc.spoken) if isinstance(exc, NoCommonProtocolError) else []
    return refusal(409, "NoCommonProtocolError", str(exc), spoken=spoken)


def _forbidden(_: Request, exc: Exception) -> Response:
    known = isinstance(exc, ForbiddenError) and exc.known
    headers = {} if known else {"WWW-Authenticate": "Bearer"}
    return refusal(403 if known else 401, "Forbidden", str(exc), headers)


def _too_large(_: Request, exc: Exception) -> Response:
    # What is left of the body is not read: the connection ends with the answer.
    return refusal(413, "TooLarge", str(exc), {"Connection": "close"})


def _out_of_order(_: Request, exc: Exception) -> Response:
    told = "what is offered here cannot be had just now; its operator's log tells why"
    return refusal(503, type(exc).__name__, told, {"Retry-After": str(_RETRY_AFTER_S)})


def document_of(exc: RldlibError) -> Mapping[str, Any]:
    """What is told of an error of a call: what the same call would tell where it is made locally."""
    told: Mapping[str, Any] = as_mapping(exc)["error"]
    return told


def _called(status: int) -> Callable[[Request, Any], Response]:
    """Errors of a call: typed, so that they come out at the caller as they would of a worker there."""

    def tell(_: Request, exc: RldlibError) -> Response:
        headers = {"Retry-After": str(exc.retry_after_s)} if isinstance(exc, OverloadedError) else None
        return JSONResponse({"error": document_of(exc)}, status, headers)

    return tell


def _full(_: Request, exc: Exception) -> Response:
    service = exc.service if isinstance(exc, CapacityError) else "it"
    told = f"this host has no room to perform {service} now"
    return refusal(503, "CapacityError", told, {"Retry-After": str(_RETRY_AFTER_S)}, service=service)


def _plain(_: Request, exc: Exception) -> Response:
    status, detail = (exc.status_code, exc.detail) if isinstance(exc, HTTPException) else (500, "a bug")
    headers = exc.headers if isinstance(exc, HTTPException) else None
    return refusal(status, "NotFound" if status == 404 else "Refused", detail, headers)


HANDLERS: Final[Mapping[Any, Any]] = {
    ArgumentsError: _called(422),
    CallTimeoutError: _called(504),
    CapacityError: _full,
    ForbiddenError: _forbidden,
    HTTPException: _plain,
    IntegrityError: _out_of_order,
    InterpreterNotFoundError: _unfit,
    MalformedDocumentError: _malformed,
    NoCommonProtocolError: _protocol,
    OperationNotFoundError: _called(404),
    OverloadedError: _called(503),
    ServiceFaultError: _called(500),
    ServiceNotFoundError: _unknown,
    SourceUnavailableError: _out_of_order,
    StorageError: _out_of_order,
    TooLargeError: _too_large,
    UnsatisfiableError: _unfit,
    UsageError: _usage,
    WorkerError: _called(502),
}
