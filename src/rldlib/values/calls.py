"""What a call over HTTP is written in: names that both sides of it use."""

from __future__ import annotations

from typing import Final

# The wire's own encoding: one frame with the call, then a frame with its reply, or one for each item of a
# stream and one with its end. After the first item, an error is a frame `FAILED` with its document.
CALL_TYPE: Final = "application/vnd.rldlib.call"
DEADLINE_HEADER: Final = "Rld-Deadline-Ms"
VERSION_HEADER: Final = "Rld-Version"
LOAD_HEADER: Final = "Rld-Load"
