"""What was decided and why, in one SQLite file per root.

It is history: one that is damaged is moved aside and begun anew, since nothing
else could be done with it, and no service waits for it.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from rldlib.adapters.files import REAL, HostLock
from rldlib.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from rldlib.adapters.files import FileSystem

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
# What damage is told as: by the file's header, by a page of it, by a text in it.
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# Moving a damaged file aside takes a moment; another process may do it just now.
_MOVE_DEADLINE_S = 5.0

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
    """See `rldlib.ports.Journal`. Each use opens the file anew: any thread and any process may.

    Args:
        root: Its folder.
        files: The file system; SQLite itself does not go through it.
    """

    def __init__(self, root: Path, *, files: FileSystem = REAL) -> None:
        self._path = root / "journal.sqlite"
        self._lock = root / "locks" / "journal"
        self._files = files

    def record(self, service: str, kind: str, facts: Mapping[str, object]) -> None:
        """See `rldlib.ports.Journal.record`."""
        row = (
            service,
            datetime.now(UTC).isoformat(timespec="milliseconds"),
            kind,
            json.dumps(facts, default=str),
        )

        def insert(database: sqlite3.Connection) -> None:
            database.executescript(_SCHEMA)
            database.execute("INSERT INTO decisions (service, at, kind, facts) VALUES (?, ?, ?, ?)", row)
            database.execute(
                "DELETE FROM decisions WHERE service = ? AND id <= ("
                "SELECT id FROM decisions WHERE service = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (service, service, _KEPT_PER_SERVICE),
            )

        self._use(insert)

    def decisions(self, service: str) -> Sequence[Mapping[str, object]]:
        """See `rldlib.ports.Journal.decisions`."""
        if not self._path.exists():
            return ()

        def select(database: sqlite3.Connection) -> list[dict[str, object]]:
            if not _has_decisions(database):
                return []
            asked = "SELECT at, kind, facts FROM decisions WHERE service = ? ORDER BY id"
            # Closed here: a statement that was broken off keeps its file open.
            with closing(database.execute(asked, (service,))) as rows:
                return [{"at": at, "kind": kind, **json.loads(facts)} for at, kind, facts in rows]

        return tuple(self._use(select))

    def forget(self, service: str) -> None:
        """Drop what was recorded for a service: its after-life is ``delete``."""

        def delete(database: sqlite3.Connection) -> None:
            if _has_decisions(database):
                database.execute("DELETE FROM decisions WHERE service = ?", (service,))

        if self._path.exists():
            self._use(delete)

    def _use(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something with the file; one that is damaged is replaced, and it is done once more."""
        opened = self._opened()
        try:
            return self._try(work)
        except _DamagedError as exc:
            self._begin_anew(opened, str(exc))
        try:
            return self._try(work)
        except _DamagedError as exc:
            raise StorageError(str(self._path), str(exc)) from exc

    def _try(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._open()) as database, database:
                return work(database)
        except sqlite3.Error as exc:
            if _tells_damage(exc):
                raise _DamagedError(str(exc)) from exc
            raise StorageError(str(self._path), str(exc)) from exc
        except OSError as exc:
            raise StorageError(str(self._path), exc.strerror or str(exc)) from exc
        except (ValueError, TypeError) as exc:
            raise _DamagedError(f"a decision in it cannot be read: {exc}") from exc

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=_BUSY_S)
        try:
            # Losing the last decision in a power cut harms nobody; a fsync per start would.
            database.execute("PRAGMA synchronous = OFF")
        except sqlite3.Error:
            database.close()
            raise
        return database

    # --- a damaged one ---------------------------------------------------------------

    def _opened(self) -> int | None:
        try:
            return self._path.stat().st_ino
        except OSError:
            return None

    def _begin_anew(self, damaged: int | None, why: str) -> None:
        """Move the file aside, unless another process did so already; one such file is kept."""
        aside = self._path.with_suffix(".damaged")
        with HostLock(self._lock, deadline_s=_MOVE_DEADLINE_S, files=self._files):
            if self._opened() != damaged:
                return
            try:
                # First: what it holds belongs to the damaged file, and would be written into the new one.
                self._path.with_name(f"{self._path.name}-journal").unlink(missing_ok=True)
                self._files.rename(str(self._path), str(aside))
            except OSError as exc:
                raise StorageError(str(self._path), exc.strerror or str(exc)) from exc
        _LOG.warning("%s was damaged (%s); it was moved to %s and begun anew", self._path, why, aside.name)


class _DamagedError(Exception):
    """What lies there is no journal any more."""


def _has_decisions(database: sqlite3.Connection) -> bool:
    """Whether the schema is there: making it takes room, which whoever reads need not have."""
    return bool(database.execute("SELECT 1 FROM sqlite_master WHERE name = 'decisions'").fetchall())


def _tells_damage(exc: sqlite3.Error) -> bool:
    code = getattr(exc, "sqlite_errorcode", None)
    if code is None:
        return "UTF-8" in str(exc)  # the language's own: a text is none
    return code & 0xFF in _DAMAGED  # the lower byte of an extended code is what it extends
