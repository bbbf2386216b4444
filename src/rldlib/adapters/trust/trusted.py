"""The asking side of trust: what another domain signed, verified before anything of it is kept.

```
anchor               the first root metadata, whose sha256 the join string names
root_history/        every root since
ROLE.json            what was verified last
targets/             contents of targets that were verified, by name
verified             written when all of it was seen to be true; its time is that instant
```
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

from tuf.api.exceptions import (
    DownloadHTTPError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
)
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from rldlib.adapters.files import HostLock, storage_errors
from rldlib.adapters.trust.contents import Contents
from rldlib.adapters.trust.faults import expiry, refusal, signed_of
from rldlib.adapters.trust.fetching import Fetcher
from rldlib.adapters.trust.state import State
from rldlib.adapters.trust.updater import Updater
from rldlib.errors import TrustError
from rldlib.values.trust import MAX_TARGET_BYTES, Pathway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tuf.api.metadata import TargetFile

    from rldlib.adapters.trust.fetching import Web
    from rldlib.values.join import JoinString

_LOCK_DEADLINE_S: Final = 300
_MAX_ROOT_BYTES: Final = 512_000
# A publication between two of our questions takes away what the first answer named. Twice is no accident.
_ATTEMPTS: Final = 2
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Trusted:
    """One other domain. Threads and processes may share its folder.

    Whatever is refused changes nothing that is kept, and neither does
    what hangs on it; what the domain signed and was verified before the fault was met
    is kept, so that it cannot be taken back. An expired or silent domain is an error
    here: what runs keeps running, and nothing new is started from it. `kept` tells
    what was true once.
    """

    def __init__(
        self,
        folder: Path,
        pathway: Pathway,
        web: Web,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        deadline_s: float = 30,
    ) -> None:
        """Nothing is asked yet.

        Args:
            folder: Its own, named by the domain; two pathways to one domain share it.
            pathway: Where it is asked, and what it must prove.
            web: How it is asked.
            clock: The present instant, aware.
            deadline_s: The longest that one look, or one target, may take.
        """
        self._folder = folder
        self._pathway = pathway
        self._web = web
        self._clock = clock
        self._deadline_s = deadline_s
        self._state = State(folder)
        self._contents = Contents(folder / "targets")
        # What was verified last, and the timestamp it was told by: another process may have gone on since.
        self._updater: Updater | None = None
        self._seen: bytes | None = None

    @classmethod
    def of(cls, root: Path, join: JoinString, web: Web, url: str | None = None) -> Self:
        """The domain that a join string names, in its folder of a daemon's root; see `Pathway.of`."""
        return cls(root / "trust" / join.root_sha256, Pathway.of(join, url), web)

    @property
    def root_sha256(self) -> str:
        """The domain's identity."""
        return self._pathway.root_sha256

    def refresh(self) -> None:
        """Ask for all that is new, and verify it.

        Raises:
            TrustError: What was sent is not what the domain signed.
            TrustExpiredError: It was signed, and is no longer true.
            ResponderSilentError: There was no answer.
            StorageError: It could not be kept.
        """
        with self._lock():
            self._look()

    def target(self, name: str) -> bytes | None:
        """A target that is signed and true now; the first asks as `refresh` does.

        Returns:
            Its content; None where the domain signs no such thing.

        Raises:
            TrustError: What was sent is not what the domain signed.
            TrustExpiredError: What was verified last is no longer true.
            ResponderSilentError: There was no answer.
            StorageError: It could not be kept.
        """
        with self._lock():
            try:
                return self._content(self._present(), name)
            except DownloadHTTPError:
                # It published since we looked, and no longer has what it had.
                updater = self._look()
            try:
                return self._content(updater, name)
            except DownloadHTTPError as exc:
                raise updater.source.silent(f"it has not got {name}, which it signed ({exc})") from exc

    def kept(self, name: str) -> bytes | None:
        """What was verified last by this name; it may have expired since, or be signed no more.

        Nobody is asked. Returns None where it was never fetched.
        """
        with self._lock():
            return self._contents.kept(name)

    def status(self) -> dict[str, Any]:
        """What was verified last, and until when it is true; nobody is asked, nothing is verified again."""
        return self._state.status(self.root_sha256, self._now())

    def adopt(self, anchor: bytes) -> None:
        """Begin with root metadata that came here by another way than from the domain.

        Raises:
            TrustError: It is not the root that this domain is named by, or is none.
            StorageError: It could not be kept.
        """
        with self._lock(), self._told(fetcher := self._fetcher()):
            if self._state.anchor(self.root_sha256) is None:
                # It has to be signed by its own key; nothing is written before that was seen.
                TrustedMetadataSet(anchor, EnvelopeType.METADATA)
                self._keep_anchor(anchor)
                Updater(self._folder, self._pathway, fetcher, anchor, self._now())

    # --- one look, under the lock -------------------------------------------------------

    def _look(self) -> Updater:
        """Ask for all that is new."""
        self._updater = None
        for left in reversed(range(_ATTEMPTS)):
            updater = self._opened(self._fetcher())
            with self._told(updater.source, updater):
                try:
                    updater.refresh()
                except DownloadHTTPError as exc:
                    if not left:
                        role = updater.source.role
                        raise updater.source.silent(f"it has no {role} metadata ({exc})") from exc
                    continue
            self._state.note_verified(self._now())
            return self._remember(updater)
        raise RuntimeError("the last attempt neither returned nor raised; this is a bug in rldlib")

    def _present(self) -> Updater:
        """What is true now: as it was seen last, by another process too, if time has not overtaken it."""
        updater = self._updater
        if updater is None:
            return self._look()
        updater.source.begin()
        if self._seen != self._state.timestamp():
            updater = self._opened(self._fetcher())
            with self._told(updater.source, updater):
                updater.resume()
            self._remember(updater)
        updater.at(now := self._now())
        if (role := updater.expired()) is not None:
            raise expiry(self._pathway, role, updater.signed(role), now)
        return updater

    def _remember(self, updater: Updater) -> Updater:
        self._updater, self._seen = updater, self._state.timestamp()
        return updater

    def _opened(self, fetcher: Fetcher) -> Updater:
        anchor = self._state.anchor(self.root_sha256)
        if anchor is None:
            anchor = self._anchor_there(fetcher)
        with self._told(fetcher):
            return Updater(self._folder, self._pathway, fetcher, anchor, self._now())

    def _content(self, updater: Updater, name: str) -> bytes | None:
        with self._told(updater.source, updater):
            target = updater.get_targetinfo(name)
        if target is None:
            return None
        kept = self._contents.find(target)
        return self._download(updater, target) if kept is None else kept

    def _download(self, updater: Updater, target: TargetFile) -> bytes:
        name = updater.source.role = target.path
        if target.length > MAX_TARGET_BYTES:
            raise self._refused(
                "length",
                name,
                f"{target.length:,} bytes are signed where at most {MAX_TARGET_BYTES:,} are read",
            )
        url = self._pathway.targets_url + quote(updater.path_of(target), safe="/")
        data = updater.source.download_bytes(url, target.length)
        try:
            target.verify_length_and_hashes(data)
        except LengthOrHashMismatchError as exc:
            raise self._refused("hash", name, str(exc)) from exc
        self._contents.keep(name, data)
        return data

    # --- the root that everything is believed by -----------------------------------------

    def _anchor_there(self, fetcher: Fetcher) -> bytes:
        fetcher.role = "root"
        try:
            data = fetcher.download_bytes(f"{self._pathway.metadata_url}1.root.json", _MAX_ROOT_BYTES)
        except DownloadHTTPError as exc:
            raise fetcher.silent(f"it has no root metadata ({exc}), so it is no responder") from exc
        self._keep_anchor(data)
        return data

    def _keep_anchor(self, data: bytes) -> None:
        found = hashlib.sha256(data).hexdigest()
        if found != self.root_sha256:
            raise self._refused(
                "root", "root", f"its sha256 is {found}, and the join string names {self.root_sha256}"
            )
        if self._state.anchor(self.root_sha256) is None:
            self._state.keep_anchor(data)

    # --- time, errors, the lock -----------------------------------------------------------

    def _now(self) -> datetime:
        """The present, which is never before an instant at which something was seen to be true.

        So a clock that was put back does not bring back what has expired.
        """
        return max(self._clock(), self._state.verified_at() or _LONG_AGO)

    def _fetcher(self) -> Fetcher:
        return Fetcher(self._web, self._pathway, self._deadline_s)

    @contextmanager
    def _told(self, fetcher: Fetcher, updater: Updater | None = None) -> Iterator[None]:
        """Turn what the library refuses into our errors."""
        try:
            with storage_errors(self._folder):
                yield
        except ExpiredMetadataError as exc:
            role = (updater.expired() if updater else None) or fetcher.role
            known = updater.signed(role) if updater else None
            raise expiry(self._pathway, role, known or signed_of(fetcher.last), self._now()) from exc
        except RepositoryError as exc:
            raise refusal(exc, self._pathway, fetcher.role) from exc

    def _refused(self, kind: str, role: str, reason: str) -> TrustError:
        return TrustError(self._pathway.source, self.root_sha256, kind, role, reason)

    def _lock(self) -> HostLock:
        return HostLock(self._folder / "lock", deadline_s=_LOCK_DEADLINE_S)
