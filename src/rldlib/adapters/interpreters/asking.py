"""Runs one candidate, bounded in time and in what it may say."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_ANSWER_BYTES: Final = 1024 * 1024
_QUESTION: Final = Path(__file__).with_name("question.py")


def ask(path: str, environment: Mapping[str, str], deadline_s: float) -> dict[str, Any] | None:
    """What the interpreter at `path` says of itself; None where it gave no answer in time.

    One that answers, with an error, is told as not usable: it will say the same again.
    """
    import packaging

    mounted = os.path.dirname(os.path.abspath(packaging.__file__))  # noqa: PTH100, PTH120 - an argument
    # Without what would change how it starts; a shim needs the rest.
    inherited = {name: value for name, value in environment.items() if not name.startswith(("PYTHON", "LD_"))}
    try:
        process = subprocess.Popen(
            [path, "-I", "-S", str(_QUESTION), mounted],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=inherited,
            start_new_session=True,
        )
    except OSError:
        return _unusable()
    with process:
        try:
            said = _listen(process, time.monotonic() + deadline_s)
        finally:
            _end(process)
    if said is None:
        return None
    try:
        answer = json.loads(said)
    except ValueError:
        return _unusable()
    return answer if isinstance(answer, dict) else _unusable()


def _unusable() -> dict[str, Any]:
    return {"executable": "", "version": "0", "implementation": "none", "complete": False}


def _listen(process: subprocess.Popen[bytes], until: float) -> bytes | None:
    """All it says; None where it has not ended by then, or says too much."""
    stream = process.stdout
    assert stream is not None
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while selector.select(max(0.0, until - time.monotonic())):
            chunk = os.read(stream.fileno(), 65536)
            said += chunk
            if not chunk:
                return said
            if len(said) > _MAX_ANSWER_BYTES:
                return b""  # no answer to this question is so long
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and all it started in its session; ended already is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
