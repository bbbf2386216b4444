"""Scores of this host's interpreters: measured when asked, kept, found again.

`find` is all that a decision uses: it never measures.
"""

from __future__ import annotations

import json
import math
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rldlib.errors import StorageError, UnavailableError
from rldlib.values.score import SUITE, Score

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rldlib.values.interpreter import Interpreter

_KERNELS = Path(__file__).with_name("kernels.py")
# The suite takes 0.8 s on any host; on one so overrun that it takes this, no score is worth keeping.
_TIME_LIMIT_S = 60
_MAX_OUTPUT_BYTES = 64 * 1024


class Scores:
    """The scores kept in one host folder.

    Keyed by what they hold for: the interpreter's path and version, and the
    processor. A folder shared by several hosts keeps theirs apart.
    """

    def __init__(self, host_dir: Path) -> None:
        self._folder = host_dir / "scores"
        self._lock = host_dir / "calibration.lock"
        self._processor: str | None = None

    @property
    def processor(self) -> str:
        """The processor, as the system names it."""
        if self._processor is None:
            self._processor = _processor()
        return self._processor

    def find(self, interpreter: Interpreter) -> Score | None:
        """The score that was measured here; None where none was, or what was kept is damaged."""
        try:
            document = json.loads(self._path(interpreter).read_bytes())
            score = Score(**document)
        except (OSError, ValueError, TypeError):
            # A damaged or foreign file is no score; measuring replaces it.
            return None
        return score if score.suite == SUITE and score.measured else None

    def measure(self, interpreter: Interpreter) -> Score:
        """Run the suite by that interpreter, about 0.8 s, and keep the score.

        One at a time on a host: two that run side by side would score each other.

        Raises:
            UnavailableError: The interpreter does not run the suite.
            StorageError: The score could not be kept.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Never unlinked: whoever waits for it waits for this very file.
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise StorageError(str(self._folder), exc.strerror or str(exc)) from exc
        try:
            _wait_for(descriptor)
            # Taken before: the suite itself keeps a processor busy.
            load, pressure = _load(), _pressure()
            document = _run(interpreter)
        finally:
            os.close(descriptor)
        score = Score(
            rcu=max(1, round(document["rcu"])),
            spread=round(document["spread"], 4),
            suite=document["suite"],
            executable=interpreter.executable,
            python=str(interpreter.version),
            processor=self.processor,
            rounds=document["rounds"],
            kernels_us=document["kernels_us"],
            load=load,
            pressure=pressure,
            taken=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._keep(self._path(interpreter), score)
        return score

    def _path(self, interpreter: Interpreter) -> Path:
        import hashlib

        key = json.dumps([interpreter.executable, str(interpreter.version), self.processor])
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

    def _keep(self, path: Path, score: Score) -> None:
        beside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        try:
            with beside.open("x", encoding="utf-8") as stream:
                json.dump(score.facts(), stream, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(path)
        except OSError as exc:
            beside.unlink(missing_ok=True)
            raise StorageError(str(path), exc.strerror or str(exc)) from exc


def _run(interpreter: Interpreter) -> dict[str, Any]:
    import subprocess

    command = [interpreter.executable, "-I", "-S", str(_KERNELS)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env={}, timeout=_TIME_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise UnavailableError(f"{interpreter} could not be scored: {exc}") from exc
    if done.returncode != 0:
        told = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise UnavailableError(
            f"{interpreter} could not be scored: status {done.returncode}, {told or 'no output'}"
        )
    try:
        return _checked(json.loads(done.stdout[:_MAX_OUTPUT_BYTES]))
    except (ValueError, LookupError, TypeError) as exc:
        raise UnavailableError(f"{interpreter} could not be scored: its answer was no score ({exc})") from exc


def _checked(document: dict[str, Any]) -> dict[str, Any]:
    """What the suite prints, with its types; anything else raises."""
    checked: dict[str, Any] = {
        "suite": int(document["suite"]),
        "rcu": float(document["rcu"]),
        "spread": float(document["spread"]),
        "rounds": int(document["rounds"]),
        "kernels_us": {str(name): float(value) for name, value in document["kernels_us"].items()},
    }
    if not (math.isfinite(checked["rcu"]) and checked["rcu"] > 0 and checked["suite"] == SUITE):
        raise ValueError(f"{checked['rcu']} RCU of suite {checked['suite']}")
    return checked


def _wait_for(descriptor: int) -> None:
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX)


def _processor() -> str:
    """The processor's name: the first line of /proc/cpuinfo that tells it, else the architecture's."""
    named = dict(_cpuinfo())
    told = [named[name] for name in ("model name", "cpu model", "Model", "CPU part", "isa") if name in named]
    return " ".join((os.uname().machine, *told[:1]))


def _cpuinfo() -> Iterator[tuple[str, str]]:
    try:
        with open("/proc/cpuinfo", "rb", buffering=0) as stream:  # noqa: PTH123 - unbuffered: its start is enough
            text = stream.read(4096).decode("utf-8", "replace")
    except OSError:
        return
    for line in text.splitlines():
        name, _, value = line.partition(":")
        yield name.strip(), value.strip()


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def _pressure() -> float | None:
    """``some avg10`` of the kernel's pressure stall information."""
    try:
        some = Path("/proc/pressure/cpu").read_text("utf-8").split()
        return float(some[1].partition("=")[2])
    except (OSError, ValueError, LookupError):
        # Not Linux, or a kernel built or booted without it.
        return None
