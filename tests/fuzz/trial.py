"""One input through one target: it is read or refused, within its bounds."""

from __future__ import annotations

import sys
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import rldlib
from tests.fuzz.bounds import within

if TYPE_CHECKING:
    from tests.fuzz.targets import Target

_PACKAGE = str(Path(rldlib.__file__).parent)
Arc = tuple[str, int, int]


def attempt(target: Target, data: bytes, *, measured: bool = True) -> Exception | None:
    """What went wrong with an input; None where it was read, or refused as documented."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if measured:
                with within(target.bounds, len(data)):
                    _read(target, data)
            else:
                _read(target, data)
    except Exception as exc:  # noqa: BLE001 - whatever comes out is the finding
        return exc
    return None


def _read(target: Target, data: bytes) -> None:
    try:
        target.read(data)
    except target.refusals:
        return


def place(exc: Exception) -> str:
    """The kind of a finding: its type, and the last line of rldlib it came through."""
    frames = [
        frame for frame in traceback.extract_tb(exc.__traceback__) if frame.filename.startswith(_PACKAGE)
    ]
    where = f"{Path(frames[-1].filename).stem}-{frames[-1].name}" if frames else "bounds"
    return f"{type(exc).__name__}-{where}"


def arcs(target: Target, data: bytes) -> frozenset[Arc]:
    """Which lines of rldlib followed which while an input was read."""
    found: set[Arc] = set()

    def start(frame, event, argument):
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return None
        last = [0]

        def traced_here(frame, event, argument):
            if event == "line":
                found.add((frame.f_code.co_filename, last[0], frame.f_lineno))
                last[0] = frame.f_lineno
            return traced_here

        return traced_here

    before = sys.gettrace()
    sys.settrace(start)
    try:
        attempt(target, data, measured=False)
    finally:
        sys.settrace(before)
    return frozenset(found)
