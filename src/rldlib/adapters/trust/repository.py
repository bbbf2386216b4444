"""The signed files of one domain as they lie on the disk. It knows no key and decides nothing.

```
metadata/N.ROLE.json   one version of a role; the newest root counts, of the others what is named below
metadata/timestamp.json  names the snapshot that counts, which names the others; written last
targets/SHA256         the content of a target
```
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from rldlib.adapters.files import (
    REAL,
    flush_path,
    replace_atomically,
    storage_errors,
    sweep,
    write_file,
)
from rldlib.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from rldlib.adapters.files import FileSystem
    from rldlib.values.trust import Role

TIMESTAMP: Final = "timestamp.json"
_FILE: Final = re.compile(r"(?:[1-9][0-9]{0,9}\.(?:root|targets|locks|snapshot)|timestamp)\.json\Z")
_ROOT: Final = re.compile(r"([1-9][0-9]{0,9})\.root\.json\Z")
_VERSIONED: Final = re.compile(r"([1-9][0-9]{0,9})\.(targets|locks|snapshot)\.json\Z")
_CONTENT: Final = re.compile(r"(?:[^/]+/)*([0-9a-f]{64})\.[^/]+\Z")
# So many versions before the one that counts stay, for who is reading them just now.
_KEPT_VERSIONS: Final = 16
_COMPACT: Final = JSONSerializer(compact=True)


@dataclass(slots=True)
class Generation:
    """All that counts at one moment. Whoever changes it publishes it, or forgets it."""

    root: Metadata[Root]
    targets: Metadata[Targets]
    locks: Metadata[Targets]
    snapshot: Metadata[Snapshot]
    timestamp: Metadata[Timestamp]

    def of(self, role: Role) -> Metadata[Any]:
        """The metadata of a role."""
        return getattr(self, role)  # type: ignore[no-any-return]

    def listing(self, role: Role) -> Metadata[Targets]:
        """The metadata of a role that lists targets."""
        return self.locks if role == "locks" else self.targets

    @property
    def expires(self) -> dict[Role, datetime]:
        """When each role stops being true."""
        roles: tuple[Role, ...] = ("root", "targets", "locks", "snapshot", "timestamp")
        return {role: self.of(role).signed.expires for role in roles}

    def keyid(self, role: Role) -> str:
        """The id of the one key that signs a role."""
        delegator: Root | Targets = self.targets.signed if role == "locks" else self.root.signed
        return delegator.get_delegated_role(role).keyids[0]


class Repository:
    """Reads and writes generations. Writers hold the authority's lock; readers need none."""

    def __init__(self, folder: Path, *, files: FileSystem = REAL) -> None:
        self._metadata = folder / "metadata"
        self._targets = folder / "targets"
        self._files = files

    # --- reading ------------------------------------------------------------------

    def file(self, name: str) -> bytes | None:
        """A metadata file by its name; None where there is none of that name."""
        return _content(self._metadata / name) if _FILE.match(name) else None

    def content(self, path: str) -> bytes | None:
        """A target by the path clients ask for, ``FOLDER/SHA256.NAME``; None where there is none."""
        match = _CONTENT.match(path)
        return _content(self._targets / match[1]) if match else None

    def first_root(self) -> bytes | None:
        """The root metadata that the domain is named by."""
        return self.file("1.root.json")

    def newest_root_version(self) -> int:
        """The version of the root that counts; 0 before there is any."""
        return max(self._versions(_ROOT), default=0)

    def newest_root(self) -> Metadata[Root] | None:
        """The root that counts; None before there is any."""
        version = self.newest_root_version()
        return self._read("root", version) if version else None

    def was_published(self) -> bool:
        """Whether more than a first generation was ever written."""
        return max([*self._versions(_ROOT), *self._versions(_VERSIONED)], default=0) > 1

    def generation(self, root: Metadata[Root]) -> Generation | None:
        """What counts now; None where the first was never finished."""
        data = self.file(TIMESTAMP)
        if data is None:
            return None
        timestamp: Metadata[Timestamp] = self._parse(TIMESTAMP, data)
        snapshot: Metadata[Snapshot] = self._read("snapshot", timestamp.signed.snapshot_meta.version)
        versions = {name: meta.version for name, meta in snapshot.signed.meta.items()}
        return Generation(
            root=root,
            targets=self._read("targets", versions["targets.json"]),
            locks=self._read("locks", versions["locks.json"]),
            snapshot=snapshot,
            timestamp=timestamp,
        )

    def _read(self, role: str, version: int) -> Metadata[Any]:
        name = f"{version}.{role}.json"
        data = self.file(name)
        if data is None:
            raise StorageError(
                str(self._metadata / name), "it is gone, and what is signed names it; bring a copy of it back"
            )
        return self._parse(name, data)

    def _parse(self, name: str, data: bytes) -> Metadata[Any]:
        try:
            return Metadata.from_bytes(data)
        except DeserializationError as exc:
            raise StorageError(
                str(self._metadata / name),
                "it is damaged, and nothing may be signed on top of it; bring a copy back",
            ) from exc

    def _versions(self, pattern: re.Pattern[str]) -> list[int]:
        return [int(match[1]) for name in self._names() if (match := pattern.match(name))]

    def _names(self) -> list[str]:
        with storage_errors(self._metadata):
            try:
                return os.listdir(self._metadata)  # noqa: PTH208 - names alone
            except FileNotFoundError:
                return []

    # --- writing ------------------------------------------------------------------

    def add(self, contents: Mapping[str, bytes]) -> None:
        """Keep the contents of targets by their sha256; they are on the disk when this returns.

        Raises:
            StorageError: One could not be written; none is named yet, so nothing changed for clients.
        """
        with storage_errors(self._targets):
            self._targets.mkdir(parents=True, exist_ok=True)
            for sha256, data in contents.items():
                beside = f"{self._targets}/{sha256}.{os.urandom(8).hex()}.tmp"
                write_file(beside, data, files=self._files, durable=True)
                self._files.rename(beside, f"{self._targets}/{sha256}")
            flush_path(str(self._targets), files=self._files)
        sweep(self._targets, files=self._files)

    def write_root(self, root: Metadata[Root]) -> None:
        """Publish a version of the root: it counts from now on."""
        self._write(f"{root.signed.version}.root.json", root.to_bytes(_COMPACT))

    def write(self, role: Role, metadata: Metadata[Any]) -> MetaFile:
        """Write a version of a role beside those before; it does not count until it is named.

        Returns:
            What names it.
        """
        data = metadata.to_bytes(_COMPACT)
        self._write(f"{metadata.signed.version}.{role}.json", data)
        return MetaFile.from_data(metadata.signed.version, data, ["sha256"])

    def write_timestamp(self, timestamp: Metadata[Timestamp]) -> bytes:
        """Let the snapshot count that it names, and return its bytes."""
        data = timestamp.to_bytes(_COMPACT)
        self._write(TIMESTAMP, data)
        return data

    def prune(self, generation: Generation) -> None:
        """Remove versions so old that nobody is reading them any more; roots stay for ever."""
        counted: tuple[Role, ...] = ("targets", "locks", "snapshot")
        oldest = {role: generation.of(role).signed.version - _KEPT_VERSIONS for role in counted}
        with storage_errors(self._metadata):
            for name in self._names():
                match = _VERSIONED.match(name)
                if match and int(match[1]) < oldest[match[2]]:  # type: ignore[index]
                    self._files.remove(f"{self._metadata}/{name}")

    def prune_contents(self, generation: Generation) -> None:
        """Remove the contents that nothing names any more."""
        listed = (generation.targets.signed.targets, generation.locks.signed.targets)
        named = {target.hashes["sha256"] for targets in listed for target in targets.values()}
        with storage_errors(self._targets):
            for path in self._targets.glob("*"):
                if path.name not in named:
                    self._files.remove(str(path))

    def _write(self, name: str, data: bytes) -> None:
        replace_atomically(self._metadata / name, data, files=self._files)


def _content(path: Path) -> bytes | None:
    with storage_errors(path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
