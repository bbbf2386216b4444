"""The TUF client's workflow on our own ground: the time is given, files are durable, old states are refused.

The library decides what may be believed. What is overridden here is where the time
comes from, how files are written, and that nobody is asked where nobody shall be.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tuf.api.exceptions import DownloadHTTPError, ExpiredMetadataError, RepositoryError
from tuf.ngclient import Updater as TufUpdater
from tuf.ngclient import UpdaterConfig

from rldlib.adapters.files import replace_atomically, storage_errors

if TYPE_CHECKING:
    from datetime import datetime

    from tuf.api.metadata import Signed, TargetFile, Targets

    from rldlib.adapters.trust.fetching import Fetcher
    from rldlib.values.trust import Pathway

# All since the first are walked at each look: a domain that rotates weekly reaches the library's own 256
# in five years. Only its root key can make them, and the deadline bounds them too.
_MAX_ROOTS = 4096
_TOP = ("root", "timestamp", "snapshot", "targets")


class BelowMinimumError(RepositoryError):
    """The timestamp is older than the join string allows."""


class Updater(TufUpdater):
    """One look at a domain; who holds it holds the lock of the folder.

    Args:
        folder: Where what was verified is kept.
        pathway: Where the domain is asked.
        fetcher: How.
        anchor: The root metadata that everything is believed by.
        now: The present instant.

    Attributes:
        source: The fetcher.
    """

    def __init__(
        self, folder: Path, pathway: Pathway, fetcher: Fetcher, anchor: bytes, now: datetime
    ) -> None:
        self._minimum = pathway.minimum
        self.source = fetcher
        self._asks = True
        config = UpdaterConfig(max_root_rotations=_MAX_ROOTS)
        super().__init__(str(folder), pathway.metadata_url, fetcher=fetcher, config=config, bootstrap=anchor)
        self.at(now)

    def at(self, now: datetime) -> None:
        """The instant by which what is expired is told."""
        self._trusted_set.reference_time = now

    def resume(self) -> None:
        """As `refresh`, from what was verified before: nobody is asked whether there is newer."""
        self._asks = False
        try:
            self.refresh()
        finally:
            self._asks = True

    def refresh(self) -> None:
        """See the library; a timestamp below the minimum is refused, in every case."""
        super().refresh()
        self._check_minimum(self._trusted_set.timestamp.version)

    def signed(self, role: str) -> Signed | None:
        """What is known of a role, be it expired."""
        found: Signed | None = self._trusted_set.get(role)
        return found

    def expired(self) -> str | None:
        """The first role that is no longer true, by the instant that was given last."""
        now = self._trusted_set.reference_time
        loaded = [(role, self.signed(role)) for role in _TOP]
        return next((role for role, signed in loaded if signed is not None and signed.is_expired(now)), None)

    def path_of(self, target: TargetFile) -> str:
        """The path that a target lies at, below the URL of targets."""
        if not self._trusted_set.root.consistent_snapshot:
            return target.path
        return str(target.get_prefixed_paths()[0])

    # --- the steps, told to who explains errors --------------------------------------

    def _load_root(self) -> None:
        self.source.role = "root"
        super()._load_root()

    def _load_timestamp(self) -> None:
        self.source.role = "timestamp"
        super()._load_timestamp()
        if self._trusted_set.timestamp.is_expired(self._trusted_set.reference_time):
            # Said here, before anything is asked for that could not be believed.
            raise ExpiredMetadataError("timestamp.json is expired")

    def _load_snapshot(self) -> None:
        self.source.role = "snapshot"
        super()._load_snapshot()

    def _load_targets(self, role: str, parent_role: str) -> Targets:
        self.source.role = role
        return super()._load_targets(role, parent_role)

    def _download_metadata(self, rolename: str, length: int, version: int | None = None) -> bytes:
        if self._asks or rolename not in {"root", "timestamp"}:
            return super()._download_metadata(rolename, length, version)
        if rolename == "root":
            raise DownloadHTTPError("nobody is asked for a newer root", 404)
        return self._load_local_metadata(rolename)

    # --- how files are written ----------------------------------------------------------

    def _persist_metadata(self, rolename: str, data: bytes) -> None:
        if rolename == "timestamp":
            self._check_minimum(self._trusted_set.timestamp.version)
        super()._persist_metadata(rolename, data)

    def _persist_file(self, filename: str, data: bytes) -> None:
        path = Path(filename)
        # A look that finds nothing new writes nothing.
        if not (path.is_file() and path.read_bytes() == data):
            # Durable: after a power cut an older state must not be news.
            replace_atomically(path, data)

    def _update_root_symlink(self) -> None:
        link = Path(self._dir, "root.json")
        current = Path("root_history", f"{self._trusted_set.root.version}.root.json")
        if link.is_symlink() and link.readlink() == current:
            return
        with storage_errors(link):
            beside = link.with_name(f"root.{os.urandom(8).hex()}.tmp")
            beside.symlink_to(current)
            beside.replace(link)

    def _check_minimum(self, version: int) -> None:
        if version < self._minimum:
            raise BelowMinimumError(
                f"its version is {version}, and the join string asks for {self._minimum} or newer"
            )
