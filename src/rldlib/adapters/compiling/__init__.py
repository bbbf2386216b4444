"""Bytecode for the store: of what workers imported, made after they are ready, in a process apart."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

from rldlib.adapters.files import REAL
from rldlib.values.places import BYTECODE_KEPT

if TYPE_CHECKING:
    from pathlib import Path

    from rldlib.adapters.compiling.background import Background
    from rldlib.adapters.files import FileSystem
    from rldlib.ports import Store
    from rldlib.values.interpreter import Interpreter
    from rldlib.values.lock import Lock

# The first calls of a worker come first, and import what they need.
_AFTER_S: Final = 0.2


class Compiling:
    """See `rldlib.ports.Compiling`. Where all is kept, it costs a start one look, and imports nothing.

    Args:
        store: Keeps the bytecode.
        wait_s: How long `close` waits for what was begun.
        after_s: How long the first environment is left alone.
        files: The file system.
    """

    def __init__(
        self, store: Store, *, wait_s: float, after_s: float = _AFTER_S, files: FileSystem = REAL
    ) -> None:
        self._store = store
        self._wait_s = wait_s
        self._after_s = after_s
        self._files = files
        self._guard = threading.Lock()
        self._background: Background | None = None
        self._closed = False

    def later(self, environment: Path, lock: Lock, interpreter: Interpreter) -> None:
        """See `Compiling.later`."""
        if os.path.lexists(f"{environment}/{BYTECODE_KEPT}"):
            return
        from rldlib.adapters.compiling.background import Background, Task

        with self._guard:
            if self._closed:
                return
            if self._background is None:
                self._background = Background(self._store, after_s=self._after_s, files=self._files)
            self._background.add(Task(environment=environment, lock=lock, interpreter=interpreter))

    def close(self) -> None:
        """See `Compiling.close`."""
        with self._guard:
            self._closed = True
            background, self._background = self._background, None
        if background is not None:
            background.close(self._wait_s)
