"""The CPythons of this host, each asked once what it is.

What an interpreter says is kept in the host's directory by its path, size and
time of change. Only base interpreters count: a virtualenv's executable is a
link, and leads to the one it was made of.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, Final

from rldlib.adapters.files import replace_atomically
from rldlib.adapters.interpreters.answers import MalformedAnswerError, read_answer
from rldlib.adapters.interpreters.whereabouts import candidates
from rldlib.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rldlib.values.interpreter import Interpreter

_FORMAT: Final = 1
_PROBES_AT_ONCE: Final = 4
# An interpreter that did not answer may do so later: the machine was busy, or a disk away.
_ASK_AGAIN_S: Final = 3600.0


class Interpreters:
    """See `rldlib.ports.Interpreters`."""

    def __init__(
        self, host_dir: Path, *, environment: Mapping[str, str] | None = None, probe_deadline_s: float = 5.0
    ) -> None:
        """Name where the answers are kept; nothing is asked yet.

        Args:
            host_dir: The host's directory.
            environment: Where PATH and the like are read; the process's own by default.
            probe_deadline_s: How long one candidate may take to answer.
        """
        self._kept = host_dir / "interpreters.json"
        self._environment = os.environ if environment is None else environment
        self._probe_deadline_s = probe_deadline_s
        self._found: tuple[Interpreter, ...] | None = None

    def all(self) -> Sequence[Interpreter]:
        """See `Interpreters.all`."""
        if self._found is None:
            self._found = tuple(_sorted(self._find()))
        return self._found

    def _find(self) -> dict[str, Interpreter]:
        """Every usable interpreter by its real executable."""
        known = self._read()
        there = {key: path for path in candidates(self._environment) if (key := _key(path))}
        found: dict[str, Interpreter] = {}
        unknown = [key for key in there if not _take(known.get(key), found)]
        if unknown:
            known.update(self._ask({key: there[key] for key in unknown}))
            for key in unknown:
                _take(known[key], found)
            self._keep({key: answer for key, answer in known.items() if key in there})
        return found

    def _ask(self, paths: Mapping[str, str]) -> dict[str, Any]:
        from concurrent.futures import ThreadPoolExecutor

        from rldlib.adapters.interpreters.asking import ask

        def answer(path: str) -> dict[str, Any]:
            told = ask(path, self._environment, self._probe_deadline_s)
            return told if told is not None else {"silent_at": time.time()}

        with ThreadPoolExecutor(_PROBES_AT_ONCE, "rldlib-probe") as pool:
            return dict(zip(paths, pool.map(answer, paths.values()), strict=True))

    def _read(self) -> dict[str, Any]:
        try:
            read = json.loads(self._kept.read_bytes())
        except (OSError, ValueError):
            return {}  # never asked, or damaged: asked again
        well_formed = isinstance(read, dict) and read.get("format") == _FORMAT
        return read["answers"] if well_formed and isinstance(read.get("answers"), dict) else {}

    def _keep(self, answers: Mapping[str, Any]) -> None:
        try:
            replace_atomically(self._kept, json.dumps({"format": _FORMAT, "answers": answers}).encode())
        except StorageError:
            return  # the next process asks again


def _take(answer: Any, found: dict[str, Interpreter]) -> bool:
    """Put an answer's interpreter into `found`; False where it must be asked again."""
    if not isinstance(answer, dict):
        return False
    silent_at = answer.get("silent_at")
    if silent_at is not None:
        return isinstance(silent_at, int | float) and 0 <= time.time() - silent_at < _ASK_AGAIN_S
    try:
        interpreter = read_answer(answer)
    except MalformedAnswerError:
        return False
    if interpreter is not None:
        found.setdefault(interpreter.executable, interpreter)
    return True


def _key(path: str) -> str | None:
    """What changes when another interpreter is put there."""
    try:
        found = os.stat(path)  # noqa: PTH116 - beside strings
    except OSError:
        return None
    return f"{found.st_size}:{found.st_mtime_ns}:{path}"


def _sorted(found: Mapping[str, Interpreter]) -> list[Interpreter]:
    newest = sorted(found.values(), key=lambda one: one.version, reverse=True)
    return sorted(newest, key=lambda one: not one.own)
