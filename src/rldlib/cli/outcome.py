"""What a command has to say, once for people and once for programs."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of a command.

    Attributes:
        document: What ``--json`` prints; bytes are printed as they are.
        text: What people read; bytes are a document of the service's own.
        status: The exit status.
        closing: What is closed once it is printed, so that nobody waits for that.
    """

    document: Any
    text: str | bytes
    status: int = 0
    closing: ExitStack = field(default_factory=ExitStack)

    def write(self, *, as_json: bool) -> None:
        """Print it on stdout."""
        said = self.document if as_json else self.text
        if isinstance(said, bytes):
            sys.stdout.flush()
            sys.stdout.buffer.write(said)
            sys.stdout.buffer.flush()
        elif as_json:
            print(json.dumps(said))
        elif said:
            print(_printable(said))
        sys.stdout.flush()


def _printable(text: str) -> str:
    """The text with what stdout cannot encode escaped, as Python has it on stderr: the work was done."""
    encoding = sys.stdout.encoding or "utf-8"  # none: it was replaced by something that takes any text
    return text.encode(encoding, "backslashreplace").decode(encoding)


def table(rows: list[dict[str, Any]], columns: dict[str, str]) -> str:
    """Rows as aligned text; `columns` maps keys to headings."""
    lines = [list(columns.values())] + [[str(row.get(key, "")) for key in columns] for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
