"""What a sha256 looks like."""

from __future__ import annotations

import re

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


def is_sha256(text: str) -> bool:
    """Whether ``text`` is a sha256 in lower-case hex."""
    return _SHA256.match(text) is not None
