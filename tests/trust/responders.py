"""A responder's trust endpoints on loopback, which may lie, and what a client of another make finds there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

from tests.sources.hosts import Host
from tuf.ngclient import Updater

from rldlib.values.trust import METADATA_PATH, TARGETS_PATH

PROFILE = "profiles/sales-tax/1.2.0.json"
LOCK = "locks/sales-tax/1.2.0/cp311-linux.toml"


class Clock:
    """The time as a test sets it; it begins with the present."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        """Let time pass."""
        self.now += timedelta(**by)


class Responder(Host):
    """Serves an authority.

    Attributes:
        authority: Whose files it serves.
        lies: By path, what is sent instead: bytes, a status as text, or a function that behaves
            as `Host` has it.
        asked: Every path that was asked for.
    """

    def __init__(self, authority, context=None) -> None:
        super().__init__(Responder._serve_one, context)
        self.authority = authority
        self.lies = {}
        self.asked = []

    def _serve_one(self, connection, head):
        path = unquote(head.split()[1])
        self.asked.append(path)
        found = self.lies[path] if path in self.lies else self.true(path)
        if callable(found):
            found(self, connection, head)
        elif isinstance(found, str):
            self.answer(connection, b"", found)
        elif found is None:
            self.answer(connection, b"", "404 Not Found")
        else:
            self.answer(connection, found)

    def true(self, path):
        """What the authority has there."""
        if path.startswith(TARGETS_PATH):
            return self.authority.target(path.removeprefix(TARGETS_PATH))
        return self.authority.metadata(path.removeprefix(METADATA_PATH))


def look(folder, url, first_root, *names, at=None):
    """What a client finds that is nothing but the TUF library: contents by name."""
    folder.mkdir(parents=True, exist_ok=True)
    updater = Updater(
        str(folder),
        f"{url}{METADATA_PATH}",
        str(folder),
        f"{url}{TARGETS_PATH}",
        bootstrap=first_root,
    )
    if at is not None:
        updater._trusted_set.reference_time = at
    updater.refresh()
    found = {}
    for name in names:
        target = updater.get_targetinfo(name)
        if target is not None:
            found[name] = Path(updater.download_target(target)).read_bytes()
    return found


def everything(folder):
    """Every file of a folder, with its content and when it was written."""
    return {
        path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }
