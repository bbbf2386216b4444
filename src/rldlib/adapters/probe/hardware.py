"""Names of the hardware functions that this processor has.

Names are archspec's, in lower case: features (``avx2``), its aliases
(``sse4.1``), and levels (``x86_64_v3``); and the kernel's own names, of which
archspec knows only those that compilers ask for (``sha_ni``).
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from rldlib.adapters.probe.tree import Tree

_FILE = "hardware.json"
_FORMAT = 1
# The first processor's lines are enough, and a host may have hundreds.
_CPUINFO_BYTES = 8192
# Lines that tell one kind of processor from another, on x86, Arm, POWER and RISC-V.
_NAMING = ("model name", "cpu model", "cpu", "Model", "CPU implementer", "CPU part", "isa")
_FEATURES = ("flags", "Features")


class Hardware:
    """What the processor can do; archspec is asked once per kind of processor."""

    def __init__(self, tree: Tree, host_dir: Path) -> None:
        self._tree = tree
        self._path = host_dir / _FILE
        self._known: tuple[str, frozenset[str]] | None = None

    @property
    def processor(self) -> str:
        """The processor, as the system names it."""
        lines = self._lines()
        named = [lines[name] for name in _NAMING if name in lines]
        return named[0] if named else os.uname().machine

    def functions(self) -> frozenset[str]:
        """Every name; see the module.

        Raises:
            OSError: The kernel does not tell, and archspec does not know either.
        """
        lines = self._lines()
        flags = {flag.lower() for name in _FEATURES for flag in lines.get(name, "").split()}
        key = _digest([_FORMAT, os.uname().machine, *(lines.get(name, "") for name in _NAMING + _FEATURES)])
        if self._known is None or self._known[0] != key:
            kept = self._kept(key)
            names = kept if kept is not None else self._asked(key)
            self._known = (key, names)
        if not self._known[1] | flags:
            raise OSError("neither the kernel nor archspec names any hardware function")
        return self._known[1] | flags

    def _lines(self) -> dict[str, str]:
        """The first processor's lines of /proc/cpuinfo, by name."""
        try:
            text = self._tree.read("proc/cpuinfo", _CPUINFO_BYTES)
        except OSError:
            return {}
        lines: dict[str, str] = {}
        for line in text.splitlines():
            name, _, value = line.partition(":")
            lines.setdefault(name.strip(), value.strip())
        return lines

    def _kept(self, key: str) -> frozenset[str] | None:
        try:
            document = json.loads(self._path.read_text("utf-8"))
            return frozenset(map(str, document["names"])) if document["key"] == key else None
        except (OSError, ValueError, LookupError, TypeError):
            # No file, or a torn one: it is made again from the processor itself.
            return None

    def _asked(self, key: str) -> frozenset[str]:
        try:
            names = _archspec_names()
        except (ImportError, OSError, ValueError, LookupError, RuntimeError):
            # A processor that archspec cannot place: the kernel's names are left. Asked again next time.
            return frozenset()
        # A host folder that cannot be written costs the import again, nothing else.
        with contextlib.suppress(OSError):
            _replace(self._path, {"key": key, "names": sorted(names)})
        return names


def _archspec_names() -> frozenset[str]:
    from archspec.cpu import host  # type: ignore[import-untyped]  # archspec ships no types
    from archspec.cpu.alias import FEATURE_ALIASES  # type: ignore[import-untyped]  # as above

    processor = host()
    names = set(processor.features)
    names.update(alias for alias in FEATURE_ALIASES if alias in processor)
    names.update(one.name for one in (processor, *processor.ancestors))
    return frozenset(name.lower() for name in names)


def _digest(parts: list[Any]) -> str:
    import hashlib

    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _replace(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        beside.write_text(json.dumps(document), "utf-8")
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
