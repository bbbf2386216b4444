"""Makes a lock of the wheels that a resolution found."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from rldlib.values.lock import Lock, LockedWheel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rldlib.ports import Source
    from rldlib.values.interpreter import Interpreter
    from rldlib.values.wheel import WheelFile


def locked(
    service: str,
    carrier: WheelFile,
    wheels: Iterable[WheelFile],
    interpreter: Interpreter,
    source: Source,
    *,
    threads: int = 8,
) -> Lock:
    """The lock of these wheels, each with its hash and size."""
    with ThreadPoolExecutor(threads, "rldlib-pin") as pool:
        pinned = list(pool.map(source.pin, wheels))
    return Lock(
        service=service,
        version=str(carrier.version),
        distribution=carrier.name,
        source=source.identity,
        interpreter=interpreter.label,
        wheels=tuple(sorted((_locked_wheel(wheel) for wheel in pinned), key=lambda wheel: wheel.name)),
    )


def _locked_wheel(wheel: WheelFile) -> LockedWheel:
    if wheel.sha256 is None or wheel.size is None:
        raise RuntimeError(f"{wheel.filename} was pinned without hash or size; this is a bug in rldlib")
    return LockedWheel(
        name=wheel.name,
        version=str(wheel.version),
        filename=wheel.filename,
        locator=wheel.locator,
        sha256=wheel.sha256,
        size=wheel.size,
    )
