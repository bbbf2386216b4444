"""Marks: how much a JSON text becomes once it is read.

Every value but the outermost follows a comma, a colon or an opening bracket.
So these marks bound what the text becomes, at up to some ninety bytes each
(``[[[...]]]`` and ``{"":{"":...}}`` are the worst); its length alone does not.
"""

from __future__ import annotations

# Some ninety megabytes at the worst. What has more values is an array, or a stream.
MAX_MARKS = 1_000_000
_MARKS = (b",", b":", b"[", b"{")


def is_crowded(head: bytes) -> bool:
    """Whether a JSON text holds more than `MAX_MARKS`; marks within its strings are none."""
    if _count(head) <= MAX_MARKS:
        return False
    # Long texts may be full of them. An escaped quotation mark ends no string.
    bare = head.replace(b"\\\\", b"").replace(b'\\"', b"")
    # A mark stands between any two strings; and to cut at so many would be costly itself.
    if bare.count(b'"') > 2 * MAX_MARKS + 2:
        return True
    return sum(map(_count, bare.split(b'"')[::2])) > MAX_MARKS


def _count(text: bytes) -> int:
    return sum(map(text.count, _MARKS))
