"""Who was joined: the responders of a root, in the order in which they are asked."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rldlib.adapters.files import HostLock, replace_atomically, storage_errors
from rldlib.errors import StorageError, UsageError
from rldlib.values.join import JoinString, parse_join

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LOCK_DEADLINE_S: Final = 10


class Joined:
    """A list of join strings; threads and processes may share it.

    One domain may be reached at several addresses, and at one address there may be
    another domain tomorrow: each pair of both is an entry of its own.
    """

    def __init__(self, root: Path) -> None:
        """Nothing is made before somebody is joined.

        Args:
            root: The daemon's root.
        """
        self._path = root / "trust" / "joined.json"

    def all(self) -> tuple[JoinString, ...]:
        """Everybody, in the order of joining.

        Raises:
            StorageError: The list cannot be read.
        """
        with storage_errors(self._path):
            try:
                data = self._path.read_bytes()
            except FileNotFoundError:
                return ()
        try:
            return tuple(parse_join(text) for text in json.loads(data))
        except (ValueError, TypeError, AttributeError, UsageError) as exc:
            raise StorageError(
                str(self._path), f"it is no list of join strings ({exc}); remove it and join again"
            ) from exc

    def add(self, join: JoinString) -> bool:
        """Remember a join string; the higher minimum counts. Returns whether anything was new.

        Raises:
            StorageError: It could not be written.
        """
        with self._lock():
            before = self.all()
            after = [_newer(one, join) if _same(one, join) else one for one in before]
            if not any(_same(one, join) for one in before):
                after.append(join)
            return self._write(before, after)

    def remove(self, join: JoinString) -> bool:
        """Forget where a domain is asked; returns whether it was known.

        What was verified of it stays, so that it cannot be rolled back when it is joined again.

        Raises:
            StorageError: It could not be written.
        """
        with self._lock():
            before = self.all()
            return self._write(before, [one for one in before if not _same(one, join)])

    def _write(self, before: Sequence[JoinString], after: Sequence[JoinString]) -> bool:
        if list(before) == list(after):
            return False
        text = json.dumps([str(one) for one in after], indent=1)
        replace_atomically(self._path, text.encode())
        return True

    def _lock(self) -> HostLock:
        return HostLock(self._path.with_name("joined.lock"), deadline_s=_LOCK_DEADLINE_S)


def _same(one: JoinString, other: JoinString) -> bool:
    return (one.root_sha256, one.address) == (other.root_sha256, other.address)


def _newer(one: JoinString, other: JoinString) -> JoinString:
    return replace(one, minimum=max(one.minimum, other.minimum))
