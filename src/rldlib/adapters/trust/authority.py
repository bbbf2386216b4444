"""The own side of trust: keys made at first start, what is published signed, all of it kept fresh."""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from tuf.api.metadata import TargetFile

from rldlib.adapters.files import REAL, HostLock, storage_errors
from rldlib.adapters.trust.founding import found
from rldlib.adapters.trust.keys import Keys
from rldlib.adapters.trust.repository import TIMESTAMP, Repository
from rldlib.adapters.trust.rotation import rotate
from rldlib.adapters.trust.signing import Signing
from rldlib.errors import StorageError, UsageError
from rldlib.rules.renewal import due, next_renewal
from rldlib.values.address import DEFAULT_PORTS
from rldlib.values.join import JoinString
from rldlib.values.trust import MAX_TARGET_BYTES, ROLES, Role, role_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from rldlib.adapters.files import FileSystem
    from rldlib.adapters.trust.repository import Generation

_logger = logging.getLogger(__name__)
_LOCK_DEADLINE_S: Final = 60
_FOLDER_MODE: Final = 0o700


class Authority:
    """What one domain signs: targets by name, and the metadata that makes them believable.

    Threads and processes may share its folder. Each publication counts whole
    or not at all: what counts is named by the timestamp, which is written last.
    A publication that changes nothing writes nothing.
    """

    def __init__(self, folder: Path, clock: Callable[[], datetime], *, files: FileSystem = REAL) -> None:
        """Nothing is made before something is asked of it.

        Args:
            folder: Its own, ``ROOT/trust/own``.
            clock: The present instant, aware.
            files: The file system.
        """
        self._folder = folder
        self._clock = clock
        self._files = files
        self._keys = Keys(folder / "keys", files=files)
        self._repository = Repository(folder, files=files)
        self._signing = Signing(self._keys, self._repository, clock)
        # What was read last: the timestamp's bytes and the root's version tell whether it still counts.
        self._known: tuple[tuple[bytes | None, int], Generation] | None = None
        self._look_again = datetime.min.replace(tzinfo=UTC)

    # --- for who serves it ----------------------------------------------------------

    def metadata(self, name: str) -> bytes | None:
        """A metadata file, ``timestamp.json`` or ``N.ROLE.json``; None where there is none of that name.

        Whoever asks makes it sign anew what is due: a server of it needs no timer, and one
        that was away is believed again with the first question.

        Raises:
            StorageError: It cannot be read, or nothing could be written when there was nothing yet.
        """
        if self._clock() >= self._look_again:
            self._renew_if_possible()
        return self._repository.file(name)

    def target(self, path: str) -> bytes | None:
        """A target by the path that clients ask for: ``FOLDER/SHA256.NAME``; None where there is none."""
        return self._repository.content(path)

    def published(self) -> dict[str, str]:
        """See `rldlib.ports.Authority`."""
        with self._alone() as generation:
            return {
                name: target.hashes["sha256"]
                for listing in (generation.targets, generation.locks)
                for name, target in listing.signed.targets.items()
            }

    def until(self) -> datetime:
        """See `rldlib.ports.Authority`: the first of its roles to expire."""
        with self._alone() as generation:
            return min(generation.expires.values())

    def join(self, url: str) -> JoinString:
        """What others join this domain with, where it is reached at ``url``.

        Raises:
            UsageError: The URL names no host that others could reach.
        """
        with self._alone() as generation:
            minimum = generation.timestamp.signed.version
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
        if not parts.hostname or port is None:
            raise UsageError(f"{url!r} is no address of a responder: write https://HOST:PORT")
        return JoinString(host=parts.hostname, port=port, root_sha256=self.root_sha256, minimum=minimum)

    @property
    def root_sha256(self) -> str:
        """The domain's identity: the sha256 of its first root. It is founded where it is not there yet."""
        first = self._repository.first_root()
        if first is None:
            with self._alone():
                first = self._repository.first_root() or b""
        return hashlib.sha256(first).hexdigest()

    # --- publishing -------------------------------------------------------------------

    def publish(self, name: str, data: bytes) -> bool:
        """See `publish_many`."""
        return self.publish_many({name: data})

    def publish_many(self, contents: Mapping[str, bytes]) -> bool:
        """Sign targets, all of them at once. Those that were published before stay.

        Args:
            contents: By name: ``profiles/SERVICE/VERSION.json``,
                ``locks/SERVICE/VERSION/ENVIRONMENT.toml``, or any other ``FOLDER/NAME``.

        Returns:
            Whether anything was new; if not, nothing was written.

        Raises:
            UsageError: A name is none, or a content is too big.
            SigningKeyMissingError: The key that must sign is kept elsewhere.
            StorageError: It could not be written; what was published before still counts.
        """
        targets = [_target(name, data) for name, data in contents.items()]
        by_hash = {hashlib.sha256(data).hexdigest(): data for data in contents.values()}

        def change(generation: Generation, role: Role) -> bool:
            listed = generation.listing(role).signed.targets
            new = {
                one.path: one for one in targets if role_of(one.path) == role and one != listed.get(one.path)
            }
            listed.update(new)
            return bool(new)

        return self._publish(change, by_hash)

    def withdraw(self, *names: str) -> bool:
        """No longer sign targets; returns whether any was signed. See `publish_many`."""

        def change(generation: Generation, role: Role) -> bool:
            listed = generation.listing(role).signed.targets
            gone = {name for name in names if role_of(name) == role} & set(listed)
            for name in gone:
                del listed[name]
            return bool(gone)

        return self._publish(change, {})

    def _publish(self, change: Callable[[Generation, Role], bool], contents: Mapping[str, bytes]) -> bool:
        with self._alone() as generation:
            listing: tuple[Role, ...] = ("targets", "locks")
            changed = frozenset([role for role in listing if change(generation, role)])
            if not changed:
                return False
            self._signing.require(generation, changed)
            self._repository.add(contents)
            self._signing.publish(generation, changed)
            return True

    # --- keeping it true ----------------------------------------------------------------

    def renew(self) -> datetime:
        """Sign anew what has less than half its life left.

        A role whose key is kept elsewhere is left as it is; `status` tells.

        Returns:
            When to look again.

        Raises:
            StorageError: It could not be written; what was published before still counts.
        """
        with self._alone() as generation:
            roles = frozenset(
                role for role in due(generation.expires, self._clock()) if self._has_key(generation, role)
            )
            self._renew(generation, roles)
            here = {role: at for role, at in generation.expires.items() if self._has_key(generation, role)}
            self._look_again = next_renewal(here) if here else self._clock()
            return self._look_again

    def _renew_if_possible(self) -> None:
        try:
            self.renew()
        except StorageError as exc:
            if not self._repository.newest_root_version():
                raise
            # What is there is true for half of its life yet; a full disk must not end it before.
            _logger.warning("nothing could be signed anew: %s", exc)

    def _renew(self, generation: Generation, roles: frozenset[Role]) -> None:
        if "root" in roles:
            self._signing.renew_root(generation)
        if roles & {"targets", "locks", "snapshot"}:
            self._signing.publish(generation, roles & {"targets", "locks"})
            self._repository.prune_contents(generation)
        elif "timestamp" in roles:
            self._signing.publish_timestamp(generation)

    def rotate(self) -> dict[str, str]:
        """Replace every key that is here; clients follow by themselves, from any earlier version.

        Returns:
            By role: ``new key``, or ``kept: its key is elsewhere``.

        Raises:
            SigningKeyMissingError: The root's key is not here, without which nothing can be replaced.
            StorageError: It could not be written. Whatever was written, clients accept.
        """
        with self._alone() as generation:
            return rotate(generation, self._keys, self._signing)

    def status(self) -> dict[str, Any] | None:
        """What is signed, until when, and which keys are here; None where nothing was ever signed.

        Nothing is made and nothing is renewed.
        """
        if self._repository.first_root() is None:
            return None
        with self._lock():
            generation = self._current()
            if generation is None:
                return None
            now = self._clock()
            return {
                "root_sha256": self.root_sha256,
                "folder": str(self._folder),
                "roles": [self._role(generation, role, now) for role in ROLES],
                "targets": len(generation.targets.signed.targets),
                "locks": len(generation.locks.signed.targets),
            }

    def _role(self, generation: Generation, role: Role, now: datetime) -> dict[str, Any]:
        signed = generation.of(role).signed
        return {
            "role": role,
            "version": signed.version,
            "expires": signed.expires.isoformat(),
            "expired": signed.is_expired(now),
            "key_here": self._has_key(generation, role),
        }

    def _has_key(self, generation: Generation, role: Role) -> bool:
        return self._keys.has(role, generation.keyid(role))

    # --- one at a time --------------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[Generation]:
        """What counts now, under the lock; founded where nothing was signed yet."""
        with storage_errors(self._folder):
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            os.makedirs(self._folder, mode=_FOLDER_MODE, exist_ok=True)  # noqa: PTH103 - with its mode
        with self._lock():
            generation = self._current() or self._found()
            # A generation that was changed and not published must not be built upon.
            self._known = None
            yield generation
            self._known = (self._now(), generation)

    def _current(self) -> Generation | None:
        """What counts now; read anew only where somebody published since."""
        if self._known is not None and self._known[0] == self._now():
            return self._known[1]
        root = self._repository.newest_root()
        return None if root is None else self._repository.generation(root)

    def _now(self) -> tuple[bytes | None, int]:
        return self._repository.file(TIMESTAMP), self._repository.newest_root_version()

    def _found(self) -> Generation:
        if self._repository.was_published():
            raise StorageError(
                str(self._folder / "metadata" / TIMESTAMP),
                "it is gone, and who joined would take a new one for an attack; bring a copy of it back",
            )
        return found(self._repository.newest_root(), self._keys, self._signing)

    def _lock(self) -> HostLock:
        return HostLock(self._folder / "lock", deadline_s=_LOCK_DEADLINE_S, files=self._files)


def _target(name: str, data: bytes) -> TargetFile:
    role_of(name)
    if len(data) > MAX_TARGET_BYTES:
        raise UsageError(
            f"{name} has {len(data):,} bytes, and a target has at most {MAX_TARGET_BYTES:,}: "
            "what is larger is a resource, pinned by its hash in a profile"
        )
    target: TargetFile = TargetFile.from_data(name, data)
    return target
