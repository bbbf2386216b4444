"""The gate on a file: reads a wheel once and tells every reason to refuse it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rldlib.adapters.files import opened, share
from rldlib.errors import WheelRefusedError
from rldlib.rules.gate import UNBOUNDED, excused
from rldlib.rules.inspection import Inspection
from rldlib.values.image import LARGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from rldlib.values.fault import Fault


def inspect(wheel: Path, *, filename: str | None = None, allow: Collection[str] = ()) -> tuple[Fault, ...]:
    """Every fault of a wheel; an empty tuple lets it pass.

    Args:
        wheel: The file; it is only read.
        filename: The name it claims, where the file lies under another.
        allow: The host's exceptions, each ``sha256:KIND``.

    Raises:
        StorageError: The file cannot be read.
    """
    with opened(wheel) as data:
        sha256 = data.sha256() if allow else ""
        inspection = Inspection(data, filename or wheel.name)
        listed = excused(inspection.faults, sha256, allow)
        # A bomb is told by its listing; it is not unpacked to tell more.
        if any(fault.kind in UNBOUNDED for fault in listed):
            return listed
        known = len(inspection.faults)
        large = [member for member in inspection.members if member.size >= LARGE_BYTES]

        def verify_small() -> None:
            for member in inspection.members:
                if member.size < LARGE_BYTES:
                    inspection.verify(member)

        share(verify_small, large, inspection.verify, lambda member: member.size)
    # Threads find faults in any order; people and tests read them in one.
    return (*listed, *sorted(inspection.faults[known:], key=str))


def check(wheel: Path, *, filename: str | None = None, allow: Collection[str] = ()) -> None:
    """Like `inspect`.

    Raises:
        WheelRefusedError: With every fault.
        StorageError: The file cannot be read.
    """
    faults = inspect(wheel, filename=filename, allow=allow)
    if faults:
        raise WheelRefusedError(filename or wheel.name, [str(fault) for fault in faults])
