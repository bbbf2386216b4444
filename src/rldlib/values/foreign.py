"""Foreign JSON, read strictly: what two readers could take for two things is a fault."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from rldlib.values.records import MAX_DEPTH, Pairs
from rldlib.values.shapes import Oddity

if TYPE_CHECKING:
    from collections.abc import Sequence

# Longer than any number within bounds; int() of a long one costs its square.
_MAX_DIGITS = 40
# Strings whole (also one that never ends), so that brackets in them do not count.
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


class MalformedDocumentError(ValueError):
    """Foreign bytes are not the document they should be.

    Attributes:
        faults: Every fault, each with its path in the document.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


def load(data: bytes, *, max_bytes: int) -> object:
    """Read JSON from anyone; what JSON allows and a document does not is kept to be told.

    Raises:
        MalformedDocumentError: It is too large, too deep, no UTF-8 or no JSON.
    """
    if len(data) > max_bytes:
        raise MalformedDocumentError([f"document: over {max_bytes:,} bytes"])
    try:
        text = data.decode()
        if _depth(text) > MAX_DEPTH:
            raise MalformedDocumentError([f"document: nested deeper than {MAX_DEPTH}"])
        return json.loads(
            text,
            object_pairs_hook=_pairs,
            parse_constant=Oddity,
            parse_int=lambda digits: int(digits) if len(digits) <= _MAX_DIGITS else Oddity(digits),
        )
    except UnicodeDecodeError as exc:
        told = f"document: is no UTF-8: {exc.reason} at byte {exc.start}"
        raise MalformedDocumentError([told]) from exc
    except json.JSONDecodeError as exc:
        told = f"document: is no JSON: {exc.msg} at line {exc.lineno} column {exc.colno}"
        raise MalformedDocumentError([told]) from exc


def _depth(text: str) -> int:
    deepest = depth = 0
    for match in _BRACKETS.finditer(text):
        if match[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif match[0] in "]}":
            depth -= 1
    return deepest


def _pairs(pairs: Sequence[tuple[str, Any]]) -> Pairs:
    found = Pairs(pairs)
    if len(found) < len(pairs):
        times = Counter(name for name, _ in pairs)
        found.twice = tuple(name for name, count in times.items() if count > 1)
    return found
