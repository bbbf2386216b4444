"""What was decided and why, in one SQLite file per root."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rldlib.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# A decision is about 1 kB; so much history explains any running service.
_KEPT_PER_SERVICE = 200
_BUSY_S = 5.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS decisions (
    id INTEGER PRIMARY KEY, service TEXT NOT NULL, at TEXT NOT NULL, kind TEXT NOT NULL, facts TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS decisions_by_service ON decisions (service, id);
"""


class Journal:
    """See `rldlib.ports.Journal`. Each use opens the file anew: any thread and any process may."""

    def __init__(self, root: Path) -> None:
        self._path = root / "journal.sqlite"

    def record(self, service: str, kind: str, facts: Mapping[str, object]) -> None:
        """See `rldlib.ports.Journal.record`."""
        row = (
            service,
            datetime.now(UTC).isoformat(timespec="milliseconds"),
            kind,
            json.dumps(facts, default=str),
        )
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._open()) as database, database:
                database.execute("INSERT INTO decisions (service, at, kind, facts) VALUES (?, ?, ?, ?)", row)
                database.execute(
                    "DELETE FROM decisions WHERE service = ? AND id <= ("
                    "SELECT id FROM decisions WHERE service = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
                    (service, service, _KEPT_PER_SERVICE),
                )
        except (sqlite3.Error, OSError) as exc:
            raise StorageError(str(self._path), str(exc)) from exc

    def decisions(self, service: str) -> Sequence[Mapping[str, object]]:
        """See `rldlib.ports.Journal.decisions`."""
        if not self._path.exists():
            return ()
        try:
            with closing(self._open()) as database:
                rows = database.execute(
                    "SELECT at, kind, facts FROM decisions WHERE service = ? ORDER BY id", (service,)
                ).fetchall()
        except sqlite3.Error as exc:
            raise StorageError(str(self._path), str(exc)) from exc
        return tuple({"at": at, "kind": kind, **json.loads(facts)} for at, kind, facts in rows)

    def forget(self, service: str) -> None:
        """Drop what was recorded for a service: its after-life is ``delete``."""
        if not self._path.exists():
            return
        try:
            with closing(self._open()) as database, database:
                database.execute("DELETE FROM decisions WHERE service = ?", (service,))
        except sqlite3.Error as exc:
            raise StorageError(str(self._path), str(exc)) from exc

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=_BUSY_S)
        # Losing the last decision in a power cut harms nobody; a fsync per start would.
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(_SCHEMA)
        return database
