"""Faults: an exception of the service as text. No live exception crosses the border."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

_MAX_MESSAGE = 64 * 1024
_MAX_TRACEBACK = 256 * 1024
# Frames of these folders are ours: they say nothing to the service's author.
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def told(exc: BaseException) -> tuple[str, str, str]:
    """The exception's qualified name, its message, and its traceback from the service's first frame on."""
    # Imported with the first fault: most workers tell none.
    import traceback

    kind = type(exc)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        lines = traceback.format_exception(kind, exc, _of_service(exc.__traceback__))
    except Exception as broken:  # noqa: BLE001 - the exception's own code runs here, and may raise anything
        lines = [f"(the traceback could not be written: {type(broken).__name__})"]
    return name, _message(exc)[:_MAX_MESSAGE], "".join(lines)[-_MAX_TRACEBACK:]


def _message(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception as broken:  # noqa: BLE001 - as above
        return f"(the message could not be written: {type(broken).__name__})"


def _of_service(traceback: TracebackType | None) -> TracebackType | None:
    first = traceback
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_OURS):
        traceback = traceback.tb_next
    # All of it ours: then it is our fault, and all of it is told.
    return traceback or first
