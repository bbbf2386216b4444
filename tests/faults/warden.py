"""Runs hosts that are to be killed: ``python -m tests.faults.warden``, orders and reports as JSON lines.

It forks a host for each order, kills it at the instant that the order names,
and reports which processes were left. It is the subreaper of all that the
hosts start, so nothing escapes it.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time
from pathlib import Path

from tests.faults.tally import injected

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)
_PATIENCE_S = 20.0
# What a killed host leaves must be gone within a second; the machine may be busy.
_GONE_S = 4.0


def serve(order):
    """Run one host and kill it; ``{"reached", "status", "left"}``."""
    told, tells = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(told)
            _be_host(order, tells)
        except BaseException as exc:  # noqa: BLE001 - told to the test
            os.write(tells, f"{exc!r}".encode())
        finally:
            os._exit(3)
    os.close(tells)
    reached = _wait(told, order.get("after_s"))
    os.close(told)
    os.kill(pid, signal.SIGKILL)
    injected("SIGKILL")
    status, left = _reap(pid)
    return {"reached": reached, "status": status, "left": left}


def _wait(told, after_s):
    """Until the host says where it is, or its time is over."""
    ready, _, _ = select.select([told], [], [], _PATIENCE_S if after_s is None else after_s)
    return os.read(told, 65536).decode() if ready else ""


def _reap(host):
    status, until = None, time.monotonic() + _GONE_S
    while time.monotonic() < until:
        try:
            pid, code = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status, []
        if pid == host:
            status = os.waitstatus_to_exitcode(code)
        if pid == 0:
            time.sleep(0.005)
    left = [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    names = [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in left]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return status, names


def _be_host(order, tells):
    """In the fork: acquire and call, and stop at the instant."""
    from tests.faults.harness import Scene

    instant = order.get("instant", {})

    def here(text):
        os.write(tells, text.encode())
        time.sleep(1000)

    scene = Scene(Path(order["folder"]), root=Path(order["root"]))
    host = scene.daemon(_stopping(instant, here), _listening(instant, here))
    echo = host.acquire("echo")
    family = echo.breed() if order.get("breeds") else []
    if instant.get("during") == "call":
        echo.submit("wait", seconds=600)
    if "after_s" in order or order.get("closes"):
        echo.echo(value=1)
        host.close()
    here(json.dumps(family))


def _stopping(instant, here):
    """A file system that stops before the nth use of a call."""
    from tests.faults.harness import Watched

    class Stopping(Watched):
        left = instant.get("nth", 0)

        def meet(self, call, path):
            if call == instant.get("call") and instant.get("below", "") in path:
                self.left -= 1
                if self.left == 0:
                    here(path)

    return Stopping()


def _listening(instant, here):
    """A reporter that stops where a step of the main job begins or ends."""
    from rldlib.reporter import Reporter

    class Listening(Reporter):
        def step_began(self, service, step):
            if instant == {"step": step, "when": "began"}:
                here(step)

        def step_ended(self, service, step, seconds):
            if instant == {"step": step, "when": "ended"}:
                here(step)

    return Listening()


def main():
    """Serve orders until there are no more."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    import tests.faults.harness  # noqa: F401 - once, for every host

    for line in sys.stdin:
        print(json.dumps(serve(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
