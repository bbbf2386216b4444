"""What this process imports from, and what services have brought into it.

There is one of it, as there is one ``sys.path`` and one ``sys.modules``.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from importlib.machinery import all_suffixes
from typing import TYPE_CHECKING

from rldlib.errors import InProcessRefusedError, StorageError
from rldlib.rules.cohabitation import conflicts
from rldlib.values.presence import Presence

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from pathlib import Path

    from rldlib.values.lock import LockedWheel

_NOT_IMPORTED = (".dist-info", ".data", ".libs")


class Premises:
    """The environments on the process's path, and all that was ever imported from one.

    An environment comes last on the path, so nothing of the host is hidden by
    it, and its ``.pth`` files are never read. It leaves the path with the last
    service in it. Modules stay: CPython cannot unload one safely, so what a
    service brought is present for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: Counter[str] = Counter()
        self._brought: dict[str, _Brought] = {}

    def present(self, names: Iterable[str]) -> Mapping[str, Presence]:
        """See `rldlib.ports.HostProcess.present`."""
        found = {}
        for name in names:
            brought = self._brought.get(name)
            presence = brought.presence if brought is not None else _installed(name)
            if presence is not None:
                found[name] = presence
        return found

    def enter(self, service: str, packages: Path, wheels: Sequence[LockedWheel]) -> None:
        """Put an environment on the path; all of it, or nothing.

        Raises:
            InProcessRefusedError: It has what the process has otherwise already.
        """
        with self._lock:
            # Once more, and now with nobody else coming in meanwhile.
            present = self.present(wheel.name for wheel in wheels)
            new = {
                wheel.name: _Brought(_presence(wheel, service), _modules(packages, wheel), str(packages))
                for wheel in wheels
                if wheel.name not in present
            }
            reasons = [*conflicts(wheels, present), *_taken(new)]
            if reasons:
                raise InProcessRefusedError(service, reasons)
            self._brought |= new
            self._users[str(packages)] += 1
            if self._users[str(packages)] == 1:
                sys.path.append(str(packages))

    def leave(self, packages: Path) -> None:
        """A service is through with its environment."""
        path = str(packages)
        with self._lock:
            self._users[path] -= 1
            if self._users[path] > 0:
                return
            del self._users[path]
            if path in sys.path:
                sys.path.remove(path)
            # Another environment may be built in its place.
            sys.path_importer_cache.pop(path, None)
            self._brought = {n: b for n, b in self._brought.items() if b.path != path or b.was_imported()}


@dataclass(frozen=True, slots=True)
class _Brought:
    """A distribution that came with a service: its modules, and the folder they come from."""

    presence: Presence
    modules: frozenset[str]
    path: str

    def was_imported(self) -> bool:
        return not self.modules.isdisjoint(sys.modules)


PREMISES = Premises()


def packages_of(environment: Path) -> Path:
    """The environment's site-packages.

    Raises:
        StorageError: It has none.
    """
    found = next(environment.glob("lib/python*/site-packages"), None)
    if found is None:
        raise StorageError(str(environment), "the environment has no site-packages")
    return found


def _presence(wheel: LockedWheel, service: str) -> Presence:
    return Presence(version=wheel.version, where=f"brought by the service {service}", sha256=wheel.sha256)


def _installed(name: str) -> Presence | None:
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    # Damaged metadata may lack what every distribution has.
    version = found.metadata["Version"] if "Version" in found.metadata else ""  # noqa: SIM401 - it has no get()
    return Presence(version=version, where=str(found.locate_file("")))


# --- import names --------------------------------------------------------------------


def _taken(new: Mapping[str, _Brought]) -> list[str]:
    """The modules of these distributions that this process would find elsewhere."""
    told = []
    for name, brought in new.items():
        for module in sorted(brought.modules):
            where = _found(module)
            if where is not None:
                told.append(f"this process has another module {module} ({where}) than {name}'s")
    return told


def _modules(packages: Path, wheel: LockedWheel) -> frozenset[str]:
    """The import names a wheel owns: its packages and modules, below what is shared by several wheels."""
    name, version, _ = wheel.filename.split("-", 2)
    record = packages / f"{name}-{version}.dist-info" / "RECORD"
    try:
        text = record.read_text(encoding="utf-8")
    except OSError as exc:
        raise StorageError(str(record), exc.strerror or str(exc)) from exc
    files = [path for line in text.splitlines() if (path := line.partition(",")[0]) and ".." not in path]
    own = {tuple(path.split("/")[:-1]) for path in files if re.search(r"(^|/)__init__\.[^/]+$", path)}
    return frozenset(module for path in files if (module := _owned(path, own)) is not None)


def _owned(path: str, packages: set[tuple[str, ...]]) -> str | None:
    *folders, file = path.split("/")
    if folders and folders[0].endswith(_NOT_IMPORTED):
        return None
    for depth in range(1, len(folders) + 1):
        if tuple(folders[:depth]) in packages:
            return ".".join(folders[:depth])
    suffix = next((suffix for suffix in sorted(all_suffixes(), key=len)[::-1] if file.endswith(suffix)), None)
    if suffix is None:
        return None
    parts = [*folders, file.removesuffix(suffix)]
    return ".".join(parts) if all(part.isidentifier() for part in parts) else None


def _found(module: str) -> str | None:
    """Where an import of this name would lead now; None where it would lead nowhere."""
    path, name = None, ""
    for step in module.split("."):
        name = f"{name}.{step}" if name else step
        spec = _spec(name, path)
        if spec is None:
            return None
        if name == module or spec.origin is not None or spec.submodule_search_locations is None:
            return str(spec.origin or next(iter(spec.submodule_search_locations or ()), "built in"))
        # A namespace is shared: the search goes on below it.
        path = list(spec.submodule_search_locations)
    return None


def _spec(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """How an import of this name would begin, without importing anything."""
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    if loaded is not None:
        found: ModuleSpec = loaded
        return found
    if name in sys.modules:
        return importlib.util.spec_from_loader(name, None, origin=f"the module {name}, loaded by hand")
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            return spec
    return None
