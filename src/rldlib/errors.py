"""Every error a caller of rldlib can see.

One base, and a new class only where a caller acts differently. `exit_status`
is what `rld` exits with, so that a script can tell the cases apart too.

All constructor arguments go to ``args``: the errors survive copying.
This module is imported by the worker as well: standard library only, and
nothing newer than Python 3.10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rldlib.values.room import Alternative, Shortfall


class RldlibError(Exception):
    """Base of all errors that rldlib raises on purpose."""

    exit_status: int = 1

    def facts(self) -> dict[str, Any]:
        """What is known beyond the message, as plain data for ``--json``."""
        return {name: _plain(value) for name, value in vars(self).items() if not name.startswith("_")}


def _plain(value: Any) -> Any:
    if hasattr(value, "facts"):
        return value.facts()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


# --- 2: the caller asked for something that cannot be asked -----------------


class UsageError(RldlibError):
    """The request itself is wrong; nothing was sent and nothing was changed."""

    exit_status = 2

    def __init__(self, message: str) -> None:
        super().__init__(message)


class ArgumentsError(UsageError):
    """The arguments do not fit the operation; the call was not sent.

    Attributes:
        service: The service that was called.
        operation: The operation that was called.
        issues: Every mismatch, each with the path of the argument.
    """

    def __init__(self, service: str, operation: str, issues: Sequence[str]) -> None:
        RldlibError.__init__(self, service, operation, tuple(issues))
        self.service = service
        self.operation = operation
        self.issues = tuple(issues)

    def __str__(self) -> str:
        return f"{self.service}.{self.operation} was not called: {'; '.join(self.issues)}"


# --- 3: this machine cannot hold it -----------------------------------------


class CapacityError(RldlibError):
    """This machine cannot hold the service as things stand.

    Attributes:
        service: The service that was refused.
        version: The version that was refused.
        shortfalls: What is lacking, one entry per resource; never empty.
        alternative: The nearest thing that would fit, where there is one.
    """

    exit_status = 3

    def __init__(
        self,
        service: str,
        version: str,
        shortfalls: tuple[Shortfall, ...],
        alternative: Alternative | None = None,
    ) -> None:
        super().__init__(service, version, shortfalls, alternative)
        self.service = service
        self.version = version
        self.shortfalls = shortfalls
        self.alternative = alternative

    def __str__(self) -> str:
        lacking = "; ".join(str(shortfall) for shortfall in self.shortfalls)
        nearest = (
            str(self.alternative)
            if self.alternative
            else "Stop a running service ('rld ps' lists them), or use a larger host"
        )
        return f"no room for {self.service} {self.version}: {lacking}. {nearest}."


class StorageError(RldlibError):
    """The host's own storage failed: full, read-only, or broken.

    Attributes:
        path: The file or folder concerned.
        reason: The operating system's words.
    """

    exit_status = 3

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot write {self.path}: {self.reason}. Free space there ('rld gc' removes what nothing uses), or choose another --root."


# --- 4: unknown or unavailable -----------------------------------------------


class UnavailableError(RldlibError):
    """What was asked for is unknown, or cannot be had now."""

    exit_status = 4


class ServiceNotFoundError(UnavailableError):
    """The source works and has no such service.

    Attributes:
        service: The service that was sought.
        source: Where it was sought.
        reason: What was found instead, and what to do.
    """

    def __init__(self, service: str, source: str, reason: str = "") -> None:
        super().__init__(service, source, reason)
        self.service = service
        self.source = source
        self.reason = reason

    def __str__(self) -> str:
        reason = self.reason or "check its name, or name its distribution with SERVICE@DISTRIBUTION"
        return f"no service {self.service} in {self.source}: {reason}"


class OperationNotFoundError(UnavailableError):
    """The service has no such operation.

    Attributes:
        service: The service that was called.
        operation: The name that was asked for.
        known: The names it has.
    """

    def __init__(self, service: str, operation: str, known: Sequence[str]) -> None:
        super().__init__(service, operation, tuple(known))
        self.service = service
        self.operation = operation
        self.known = tuple(known)

    def __str__(self) -> str:
        return f"{self.service} has no operation {self.operation}; it has {', '.join(self.known) or 'none'}"


class SourceUnavailableError(UnavailableError):
    """A source gave no usable answer: outage, time-out, or a page that is none.

    Attributes:
        source: The address or folder that was asked.
        reason: What happened, with numbers.
    """

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(source, reason)
        self.source = source
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.source} gave no usable answer: {self.reason}"


class NoCommonProtocolError(UnavailableError):
    """Two daemons speak no common version of the exchange between them.

    Attributes:
        spoken: The versions that are spoken here.
        asked: The versions that the other side speaks.
    """

    def __init__(self, spoken: Sequence[int], asked: Sequence[int]) -> None:
        super().__init__(tuple(spoken), tuple(asked))
        self.spoken = tuple(spoken)
        self.asked = tuple(asked)

    def __str__(self) -> str:
        spoken, asked = (", ".join(map(str, each)) or "none" for each in (self.spoken, self.asked))
        return f"no common protocol: here it is {spoken}, there {asked}; update the older of the two rldlibs"


class OversizeError(SourceUnavailableError):
    """A source sends more than is read of such an answer; nothing of it was used."""


class ResponderSilentError(SourceUnavailableError):
    """A responder gave no signed answer. What was verified before is still known.

    Attributes:
        source: Its address.
        reason: What happened, with numbers.
        root_sha256: The domain that was asked for.
    """

    def __init__(self, source: str, reason: str, root_sha256: str) -> None:
        RldlibError.__init__(self, source, reason, root_sha256)
        self.source = source
        self.reason = reason
        self.root_sha256 = root_sha256

    def __str__(self) -> str:
        return (
            f"{self.source} gave no signed answer: {self.reason}. What runs keeps running, and nothing new is "
            "started from it; 'rld trust status' tells what was verified last"
        )


class SigningKeyMissingError(UnavailableError):
    """A key that has to sign is not here: it is kept elsewhere, or lost.

    Attributes:
        role: What the key signs.
        path: Where it would lie; what is in it is never told.
    """

    def __init__(self, role: str, path: str) -> None:
        super().__init__(role, path)
        self.role = role
        self.path = path

    def __str__(self) -> str:
        return (
            f"the key that signs {self.role} is not at {self.path}; nothing was published. "
            "Bring it back, publish, and take it away again; 'rld trust status' lists the keys that are here"
        )


class NoSupportError(UnavailableError):
    """Nobody who was asked gives the service.

    Attributes:
        service: The service that was asked for.
        refusals: Who was asked, in that order, and why each does not.
    """

    def __init__(self, service: str, refusals: Sequence[tuple[str, RldlibError]]) -> None:
        super().__init__(service, tuple(refusals))
        self.service = service
        self.refusals = tuple(refusals)
        # Something that is not what it says it is weighs more than something that is not there.
        self.exit_status = max(error.exit_status for _, error in self.refusals)

    def __str__(self) -> str:
        told = "; ".join(f"{who}: {error}" for who, error in self.refusals)
        return f"nobody gives {self.service}. {told}"


class UnsatisfiableError(UnavailableError):
    """No set of wheels satisfies what the service requires.

    Attributes:
        service: The service that was asked for.
        reasons: One line per requirement that stands in the way.
    """

    def __init__(self, service: str, reasons: Sequence[str]) -> None:
        super().__init__(service, tuple(reasons))
        self.service = service
        self.reasons = tuple(reasons)

    def __str__(self) -> str:
        return f"the requirements of {self.service} cannot be met: {'; '.join(self.reasons)}"


class InterpreterNotFoundError(UnavailableError):
    """No CPython of this host fits.

    Attributes:
        service: The service that was asked for.
        wanted: What it needs.
        found: The interpreters that were found, as text.
    """

    def __init__(self, service: str, wanted: str, found: Sequence[str]) -> None:
        super().__init__(service, wanted, tuple(found))
        self.service = service
        self.wanted = wanted
        self.found = tuple(found)

    def __str__(self) -> str:
        return (
            f"no interpreter of this host fits {self.service}: it needs {self.wanted}; "
            f"found {', '.join(self.found) or 'none'}. Install such a CPython and put it on PATH"
        )


class ResourceUnavailableError(UnavailableError):
    """A required resource of the service cannot be provided.

    Attributes:
        service: The service that needs it.
        resource: The resource's name.
        reason: Why it cannot be had, and what to do.
    """

    def __init__(self, service: str, resource: str, reason: str) -> None:
        super().__init__(service, resource, reason)
        self.service = service
        self.resource = resource
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.service} needs the resource {self.resource}: {self.reason}"


class InProcessRefusedError(UnavailableError):
    """The service cannot be performed in the host's own process; in a process of its own it can.

    Attributes:
        service: The service that was asked for.
        reasons: Every conflict and every demand that stands in the way.
    """

    def __init__(self, service: str, reasons: Sequence[str]) -> None:
        super().__init__(service, tuple(reasons))
        self.service = service
        self.reasons = tuple(reasons)

    def __str__(self) -> str:
        return (
            f"{self.service} cannot be performed in this process: {'; '.join(self.reasons)}. "
            "Acquire it with mode='process', which does not depend on this process"
        )


# --- 5: not what it should be ------------------------------------------------


class IntegrityError(RldlibError):
    """Something is not what it says it is; it was not used."""

    exit_status = 5


class MismatchError(IntegrityError):
    """Bytes, names or versions differ from what was pinned or asked for.

    Attributes:
        what: The thing that differs.
        expected: What was pinned.
        actual: What was found.
        advice: What to do next.
    """

    def __init__(self, what: str, expected: str, actual: str, advice: str = "") -> None:
        super().__init__(what, expected, actual, advice)
        self.what = what
        self.expected = expected
        self.actual = actual
        self.advice = advice

    def __str__(self) -> str:
        advice = self.advice or "It was not used; ask whoever serves it"
        return f"{self.what} differs: expected {self.expected}, found {self.actual}. {advice}."


class ProfileError(IntegrityError):
    """A resource profile is malformed or contradicts itself.

    Attributes:
        source: Where the profile was read.
        issues: Every fault, each with its path in the document.
    """

    def __init__(self, source: str, issues: Sequence[str]) -> None:
        super().__init__(source, tuple(issues))
        self.source = source
        self.issues = tuple(issues)

    def __str__(self) -> str:
        return f"the resource profile of {self.source} was refused: {'; '.join(self.issues)}"


class WheelRefusedError(IntegrityError):
    """The gate refused a wheel; nothing of it was installed.

    Attributes:
        wheel: The file's name.
        faults: Every fault as ``KIND: what and where``.
    """

    def __init__(self, wheel: str, faults: Sequence[str]) -> None:
        super().__init__(wheel, tuple(faults))
        self.wheel = wheel
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return f"{self.wheel} was refused: {'; '.join(self.faults)}"


class TrustError(IntegrityError):
    """What a responder sent is not what its domain signed; nothing of it was kept.

    Attributes:
        source: Where it was asked.
        root_sha256: The domain that was asked for.
        kind: What is wrong: ``root``, ``signature``, ``rollback``, ``minimum``, ``expired``,
            ``mix-and-match``, ``hash``, ``length`` or ``format``.
        role: The metadata, or the target, that was refused.
        reason: What was found, with numbers.
    """

    _ADVICE: ClassVar[Mapping[str, str]] = {
        "root": "Ask whoever runs it for a new join string, by another way than the network",
        "expired": "Ask whoever runs it, and compare the clocks of both hosts",
    }
    _OTHERWISE: ClassVar[str] = "Somebody may stand in between: ask whoever runs it before you try again"

    def __init__(self, source: str, root_sha256: str, kind: str, role: str, reason: str) -> None:
        super().__init__(source, root_sha256, kind, role, reason)
        self.source = source
        self.root_sha256 = root_sha256
        self.kind = kind
        self.role = role
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.role} of {self.source} was refused ({self.kind}): {self.reason}. {self._advice()}; "
            "'rld trust status' tells what was verified last"
        )

    def _advice(self) -> str:
        return self._ADVICE.get(self.kind, self._OTHERWISE)


class TrustExpiredError(TrustError):
    """What a responder signed is no longer true by its own word: it stands still, or is held back.

    What runs keeps running, and nothing new is started from it.
    """


# --- 6: the service raised ---------------------------------------------------


class ServiceFaultError(RldlibError):
    """The service's own code raised.

    Attributes:
        service: The service.
        operation: The operation, or the life-cycle hook (``start``).
        fault_type: The exception's qualified name, as text.
        fault_message: Its message.
        traceback: Its traceback, as text; frames of the service only.
    """

    exit_status = 6

    def __init__(
        self, service: str, operation: str, fault_type: str, fault_message: str, traceback: str = ""
    ) -> None:
        super().__init__(service, operation, fault_type, fault_message, traceback)
        self.service = service
        self.operation = operation
        self.fault_type = fault_type
        self.fault_message = fault_message
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{self.service}.{self.operation} raised {self.fault_type}: {self.fault_message}"


# --- 7: the worker, or the time, ran out --------------------------------------


class WorkerError(RldlibError):
    """The worker cannot answer."""

    exit_status = 7


class WorkerLostError(WorkerError):
    """The worker ended, however it ended, while it was needed.

    Attributes:
        service: The service.
        how: How it ended, as text: ``exited with status 0``, ``killed by SIGKILL``.
        executed: Whether the call may have been executed: None where nobody
            can know, False where it was certainly not begun.
    """

    def __init__(self, service: str, how: str, executed: bool | None = None) -> None:
        super().__init__(service, how, executed)
        self.service = service
        self.how = how
        self.executed = executed

    def __str__(self) -> str:
        told = "the call was not begun" if self.executed is False else "the call may have been executed"
        return f"the worker of {self.service} ended: {self.how}; {told}. 'rld logs {self.service}' shows its output"


class WorkerStartError(WorkerError):
    """A worker did not get ready.

    Attributes:
        service: The service.
        reason: What happened instead.
    """

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(service, reason)
        self.service = service
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.service} did not start: {self.reason}. 'rld logs {self.service}' shows its output"


class CallTimeoutError(WorkerError):
    """No reply within the deadline; the call was cancelled.

    Attributes:
        service: The service.
        operation: The operation that was called.
        deadline_s: The deadline, in seconds.
    """

    def __init__(self, service: str, operation: str, deadline_s: float) -> None:
        super().__init__(service, operation, deadline_s)
        self.service = service
        self.operation = operation
        self.deadline_s = deadline_s

    def __str__(self) -> str:
        return f"{self.service}.{self.operation} gave no reply within {self.deadline_s:g} s; give it a longer deadline, or a smaller task"


class OverloadedError(WorkerError):
    """A responder turned the call away, since too many wait there already; it was not begun.

    Attributes:
        service: The service.
        retry_after_s: After how many seconds it may be worth to ask again.
    """

    def __init__(self, service: str, retry_after_s: int) -> None:
        super().__init__(service, retry_after_s)
        self.service = service
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return (
            f"{self.service} was not called: its responder performs and queues as many calls as it takes; "
            f"ask again in {self.retry_after_s} s, or have it performed here (placement local)"
        )


def as_mapping(error: BaseException) -> Mapping[str, Any]:
    """The error as the JSON document that ``rld --json`` prints."""
    facts = error.facts() if isinstance(error, RldlibError) else {}
    return {"error": {**facts, "type": type(error).__name__, "message": str(error)}}
