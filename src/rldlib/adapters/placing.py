"""Where the data of a service lies: in its own wheel, or in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rldlib.errors import ResourceUnavailableError, StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rldlib.ports import Source, Store
    from rldlib.values.lock import Lock
    from rldlib.values.profile import Resource, ResourceProfile

# Kinds whose bytes an index or a directory can give; the others need an authority.
_KINDS = frozenset({"data", "archive"})


class Placing:
    """See `rldlib.ports.Placing`.

    A data resource shipped in the service's wheel is found by its hash among
    the members that RECORD lists; so a profile needs no path in it.
    """

    def place(
        self, profile: ResourceProfile, environment: Path, lock: Lock, store: Store, source: Source | None
    ) -> tuple[Sequence[dict[str, Any]], Sequence[str]]:
        """See `rldlib.ports.Placing.place`."""
        placed: list[dict[str, Any]] = []
        notes: list[str] = []
        if profile.resources:
            from rldlib.rules.ordering import in_order

            shipped = _shipped(environment, lock)
            for resource in in_order(profile.resources):
                path = shipped.get(resource.sha256 or "") or self._from_store(resource, store, source)
                if path is not None:
                    placed.append(
                        {"name": resource.name, "kind": resource.kind, "path": str(path), "use": resource.use}
                    )
                elif resource.required:
                    raise ResourceUnavailableError(
                        profile.service,
                        resource.name,
                        f"its {resource.kind} with sha256 {resource.sha256} is neither in its wheel nor in "
                        f"{source.identity if source else 'the store, and no source was named'}",
                    )
                else:
                    notes.append(
                        f"{resource.name}: optional {resource.kind} skipped, nobody here can give it"
                    )
        return placed, notes

    def _from_store(self, resource: Resource, store: Store, source: Source | None) -> Path | None:
        if resource.kind not in _KINDS or resource.sha256 is None or resource.size is None:
            return None
        return store.blob(resource.sha256, resource.size, source)


def _shipped(environment: Path, lock: Lock) -> dict[str, Path]:
    """The members of the service's own wheel as they lie in the environment, by sha256."""
    import base64
    import csv

    name = lock.carrier.filename.split("-", 2)
    pattern = f"lib/python*/site-packages/{name[0]}-{name[1]}.dist-info/RECORD"
    record = next(environment.glob(pattern), None)
    if record is None:
        raise StorageError(str(environment / pattern), "the environment lacks its RECORD")
    packages = record.parent.parent
    try:
        with record.open(newline="", encoding="utf-8") as lines:
            return {
                base64.urlsafe_b64decode(digest[len("sha256=") :] + "==").hex(): packages / path
                for path, digest, *_ in csv.reader(lines)
                if digest.startswith("sha256=")
            }
    except (OSError, ValueError, csv.Error) as exc:
        raise StorageError(str(record), f"it is damaged: {exc}") from exc
