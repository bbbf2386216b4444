"""Who holds what of a responder, in one SQLite file per root: a row for each domain, service and version."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from rldlib.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rldlib.values.support import Acknowledgement

_BUSY_S: Final = 10.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS holders (
    domain TEXT NOT NULL, service TEXT NOT NULL, version TEXT NOT NULL,
    profile_digest TEXT NOT NULL, resources TEXT NOT NULL,
    acknowledged_at TEXT, released_at TEXT, said_at TEXT NOT NULL,
    PRIMARY KEY (domain, service, version)
) WITHOUT ROWID
"""
# What is older than the newest that was heard changes nothing: messages come late, and twice.
_ACKNOWLEDGED: Final = """
INSERT INTO holders VALUES (:domain, :service, :version, :profile_digest, :resources, :at, NULL, :at)
ON CONFLICT DO UPDATE SET
    profile_digest = :profile_digest, resources = :resources, said_at = :at, released_at = NULL,
    acknowledged_at = CASE WHEN released_at IS NULL THEN acknowledged_at ELSE :at END
WHERE :at > said_at
"""
_RELEASED: Final = """
INSERT INTO holders VALUES (:domain, :service, :version, :profile_digest, :resources, NULL, :at, :at)
ON CONFLICT DO UPDATE SET said_at = :at, released_at = :at WHERE :at > said_at
"""
_COLUMNS: Final = (
    "domain",
    "service",
    "version",
    "profile_digest",
    "resources",
    "acknowledged_at",
    "released_at",
)


class Ledger:
    """See `rldlib.ports.Ledger`. Each use opens the file anew: any thread and any process may.

    Args:
        root: The responder's root.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / "ledger.sqlite"

    def record(self, domain: str, said: Acknowledgement) -> None:
        """See `Ledger.record`. It is on the disk when this returns."""
        row = {
            "domain": domain,
            "service": said.service,
            "version": said.version,
            "profile_digest": said.profile_digest,
            "resources": json.dumps(sorted(said.resources)),
            "at": _sortable(said.at),
        }
        statement = _ACKNOWLEDGED if said.state == "acknowledged" else _RELEASED
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._opened()) as database, database:
                database.execute(_SCHEMA)
                database.execute(statement, row)
        except (sqlite3.Error, OSError) as exc:
            raise StorageError(str(self._path), str(exc)) from exc

    def rows(self) -> Sequence[dict[str, Any]]:
        """See `Ledger.rows`."""
        if not self._path.exists():
            return ()
        asked = f"SELECT {', '.join(_COLUMNS)} FROM holders ORDER BY service, version, domain"  # noqa: S608 - names of our own
        try:
            with closing(self._opened()) as database:
                known = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'holders'").fetchall()
                found = database.execute(asked).fetchall() if known else []
        except sqlite3.Error as exc:
            raise StorageError(str(self._path), str(exc)) from exc
        rows = [dict(zip(_COLUMNS, row, strict=True)) for row in found]
        return tuple(row | {"resources": json.loads(row["resources"])} for row in rows)

    def _opened(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=_BUSY_S)
        try:
            # Who holds what must be known after a power cut too: a recall reads it.
            database.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error:
            database.close()
            raise
        return database


def _sortable(instant: str) -> str:
    """An RFC 3339 instant in UTC as text that sorts as time does."""
    whole, _, fraction = instant.removesuffix("Z").removesuffix("+00:00").partition(".")
    return f"{whole}.{fraction:0<6}Z"
