"""Which wheel of a service is taken, and which interpreter performs it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rldlib.errors import InterpreterNotFoundError, UnsatisfiableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packaging.version import Version

    from rldlib.values.interpreter import Interpreter
    from rldlib.values.request import ServiceRequest
    from rldlib.values.wheel import WheelFile

_TOLD_VERSIONS = 8


@dataclass(frozen=True, slots=True)
class Choice:
    """One wheel on one interpreter that takes it."""

    wheel: WheelFile
    interpreter: Interpreter


def choices(
    request: ServiceRequest,
    wheels: Sequence[WheelFile],
    interpreters: Sequence[Interpreter],
    *,
    prereleases: bool = False,
) -> tuple[Choice, ...]:
    """The newest version that some interpreter takes, with every interpreter that does.

    The order of `interpreters` is the order of preference. Versions withdrawn
    by their maker are taken only where the request pins them, as in PEP 592.

    Raises:
        UnsatisfiableError: No version satisfies the request.
        InterpreterNotFoundError: Versions do, but no interpreter takes a wheel of them.
    """
    by_version: dict[Version, list[WheelFile]] = defaultdict(list)
    for wheel in wheels:
        if wheel.yanked is None or _pins(request):
            by_version[wheel.version].append(wheel)
    admitted = list(request.specifier.filter(by_version, prereleases=prereleases or None))
    if not admitted:
        raise UnsatisfiableError(request.service, [_no_version(request, wheels)])
    for version in sorted(admitted, reverse=True):
        fitting = _fitting(by_version[version], interpreters)
        if fitting:
            return fitting
    raise InterpreterNotFoundError(
        request.service,
        _wanted(by_version[max(admitted)]),
        [str(interpreter) for interpreter in interpreters],
    )


def best_wheel(wheels: Sequence[WheelFile], interpreter: Interpreter) -> WheelFile | None:
    """The wheel that `interpreter` prefers among wheels of one version; None where it takes none."""
    ranks = interpreter.ranks
    fitting = [
        (min(ranks[tag] for tag in wheel.tags if tag in ranks), wheel)
        for wheel in wheels
        if any(tag in ranks for tag in wheel.tags) and interpreter.version in wheel.requires_python
    ]
    if not fitting:
        return None
    best = min(rank for rank, _ in fitting)
    return max(
        (wheel for rank, wheel in fitting if rank == best), key=lambda wheel: (wheel.build, wheel.filename)
    )


def _fitting(wheels: Sequence[WheelFile], interpreters: Sequence[Interpreter]) -> tuple[Choice, ...]:
    taken = ((best_wheel(wheels, interpreter), interpreter) for interpreter in interpreters)
    return tuple(Choice(wheel, interpreter) for wheel, interpreter in taken if wheel is not None)


def _pins(request: ServiceRequest) -> bool:
    return any(
        part.operator in {"==", "==="} and not part.version.endswith(".*") for part in request.specifier
    )


def _no_version(request: ServiceRequest, wheels: Sequence[WheelFile]) -> str:
    known = sorted({wheel.version for wheel in wheels}, reverse=True)
    shown = ", ".join(str(version) for version in known[:_TOLD_VERSIONS]) or "no wheel at all"
    more = f" and {len(known) - _TOLD_VERSIONS} more" if len(known) > _TOLD_VERSIONS else ""
    return f"no version satisfies {request}; there is {shown}{more}"


def _wanted(wheels: Sequence[WheelFile]) -> str:
    pythons = sorted({str(wheel.requires_python) for wheel in wheels if str(wheel.requires_python)})
    tags = sorted({str(tag) for wheel in wheels for tag in wheel.tags})[:_TOLD_VERSIONS]
    return (
        f"Python {' or '.join(pythons)} with a tag of {', '.join(tags)}"
        if pythons
        else f"a tag of {', '.join(tags)}"
    )
