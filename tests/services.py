"""Small real services for tests: a wheel each, and the `rld` command to use them by."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

ECHO = '''
"""A service that shows what a worker does."""

import os
import signal
import subprocess
import sys
import time
from decimal import Decimal

from rldlib.plugin import Service, operation


class Echo(Service):
    @operation(idempotent=True)
    def echo(self, value):
        return value

    @operation
    def double(self, amount: Decimal) -> Decimal:
        return amount * 2

    @operation
    def fail(self, text: str) -> None:
        raise ValueError(text)

    @operation
    def leave(self, status: int) -> None:
        os._exit(status)

    @operation
    def kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @operation
    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    @operation
    def say(self, text: str) -> None:
        print(text, flush=True)

    @operation
    def python(self) -> str:
        return ".".join(map(str, sys.version_info[:3]))

    @operation
    def modules(self) -> list[str]:
        return sorted(sys.modules)

    @operation
    def count(self, to: int):
        yield from range(to)

    @operation
    def breed(self) -> list[int]:
        """Start a child in a session of its own that ignores every signal it can."""
        code = (
            "import signal, time\\n"
            "for number in range(1, signal.NSIG):\\n"
            "    try: signal.signal(number, signal.SIG_IGN)\\n"
            "    except (OSError, ValueError): pass\\n"
            "print('deaf', flush=True)\\n"
            "time.sleep(600)"
        )
        child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE)
        child.stdout.readline()
        return [os.getpid(), child.pid]
'''


def service_wheel(
    folder: Path,
    service: str = "echo",
    version: str = "1.0",
    code: str = ECHO,
    *,
    object_name: str = "Echo",
    distribution: str | None = None,
    requires: Sequence[str] = (),
    requires_python: str | None = None,
    files: Mapping[str, str | bytes] | None = None,
    **profile: Any,
) -> Path:
    """A wheel with one module of `code`; further keywords are sections of its profile."""
    distribution = distribution or f"rld-{service}"
    module = distribution.replace("-", "_")
    return make_wheel(
        folder,
        distribution,
        version,
        files={f"{module}.py": code, **(files or {})},
        requires=requires,
        requires_python=requires_python,
        profile={"schema": 1, "service": service, "version": version, **profile},
        entry_points={"rldlib.services": {service: f"{module}:{object_name}"}},
    )


def rld(*arguments: str | os.PathLike[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "rldlib", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )


def rld_json(*arguments: str | os.PathLike[str], status: int = 0, **environment: str) -> Any:
    """Run the command with ``--json``; its one document."""
    done = rld(*arguments, "--json", **environment)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)
