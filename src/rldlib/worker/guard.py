"""The guard: one small process between the spawner and one worker.

It is forked from the spawner, and forks a process that will be the worker, both
before it is known whose (`Blank`). With the order it makes that process the
worker; it adopts whatever the worker leaves behind, and writes the worker's
output to its log. All that the worker
starts stays below its guard, so nobody has to find out afterwards whose
descendant an orphan was. When the worker ends, however it ends, the rest of
its tree is killed, and only then the end is told. When the spawner ends, so
does the guard, and all below it.
"""

from __future__ import annotations

import json
import os
import select
import signal
from typing import TYPE_CHECKING, Any

from rldlib.worker.containment import Wakeup, adopt_orphans, call_process, end_descendants, reap
from rldlib.worker.handing import close_all_but, take
from rldlib.worker.launching import Blank, LaunchError
from rldlib.worker.output import CappedLog

if TYPE_CHECKING:
    from rldlib.worker.identity import Identity

# What the spawner says; an empty message is its end.
TERM = b"T"
KILL = b"K"
# As processes are listed.
NAME = "rldlib-guard"
# One read of the worker's output; a pipe holds as much.
_OUTPUT_BYTES = 65536
_NOT_STARTED = "the guard could not be set up"


class Guard:
    """See the module. `run` is all that happens in its process.

    Args:
        identity: What this process is: what a worker is that executes nothing.
        line: To the spawner; a descriptor of sequenced packets.
    """

    def __init__(self, identity: Identity, line: int) -> None:
        self._identity = identity
        self._line = line
        self._log: CappedLog | None = None
        self._worker = 0
        self._output = -1

    def run(self) -> None:
        """Get a worker's order, see that through, and tell how it ended; never returns.

        Raises:
            Forked: In the worker's process, where nothing is executed.
        """
        code: int | None = None
        try:
            signal.set_wakeup_fd(-1)
            wakeup = Wakeup(signal.SIGCHLD, signal.SIGTERM)
            close_all_but({0, 1, 2, self._line, *wakeup.descriptors()})
            call_process(NAME)
            adopt_orphans()
            if self._start(Blank(self._identity), wakeup):
                code = self._watch(wakeup)
        except LaunchError as exc:
            self._tell(is_="failed", reason=str(exc))
            os._exit(0)
        except Exception as exc:  # noqa: BLE001 - told to the spawner, which tells the host
            self._tell(is_="failed", reason=f"{_NOT_STARTED}: {exc!r}")
        try:
            for pid, status in end_descendants():
                if pid == self._worker:
                    code = os.waitstatus_to_exitcode(status)
            self._drain()
            self._close_log()
            if code is not None:
                self._tell(is_="ended", code=code)
        finally:
            os._exit(0)

    def _start(self, blank: Blank, wakeup: Wakeup) -> bool:
        """Wait for an order and start its worker; False at the end of the spawner."""
        while not self._is_told(wakeup):
            if signal.SIGTERM in wakeup.take():
                return False
        data, fds = take(self._line)
        if not data:
            return False
        # The promise is held open while anything of the worker is there.
        channel, _promise = fds
        if not blank.become(data, channel):
            # It was killed while it waited: make one, and use it at once.
            os.close(blank.output)
            blank = Blank(self._identity)
            if not blank.become(data, channel):
                raise LaunchError("it was killed before it had its order")
        os.close(channel)
        self._worker, self._output = blank.pid, blank.output
        self._tell(is_="spawned", pid=self._worker)
        order = json.loads(data[1:])
        self._log = CappedLog(order["log"], order["log_bytes"])
        return True

    def _is_told(self, wakeup: Wakeup) -> bool:
        """Wait until there is something; whether the spawner said it."""
        poll = select.poll()
        poll.register(self._line, select.POLLIN)
        poll.register(wakeup, select.POLLIN)
        return self._line in dict(poll.poll())

    def _watch(self, wakeup: Wakeup) -> int | None:
        """Serve until the worker ended (its code) or must be killed with all below it (None)."""
        poll = select.poll()
        poll.register(self._line, select.POLLIN)
        poll.register(self._output, select.POLLIN)
        poll.register(wakeup, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if wakeup.fileno() in ready:
                if signal.SIGTERM in wakeup.take():
                    return None
                for pid, status in reap() or ():
                    if pid == self._worker:
                        return os.waitstatus_to_exitcode(status)
            if self._line in ready:
                word = os.read(self._line, 16)
                if word != TERM:
                    return None
                os.kill(self._worker, signal.SIGTERM)
            if self._output in ready and not self._pump():
                poll.unregister(self._output)

    def _pump(self) -> bool:
        """Move one pipe's worth of output to the log; False at its end."""
        try:
            data = os.read(self._output, _OUTPUT_BYTES)
        except BlockingIOError:
            return True
        self._write(data)
        return bool(data)

    def _drain(self) -> None:
        """What the pipe still holds; its writers are gone."""
        while self._output >= 0:
            try:
                data = os.read(self._output, _OUTPUT_BYTES)
            except BlockingIOError:
                return
            if not data:
                return
            self._write(data)

    def _write(self, data: bytes) -> None:
        if self._log is not None:
            self._log.write(data)

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()

    def _tell(self, **message: Any) -> None:
        message["is"] = message.pop("is_")
        try:
            os.write(self._line, json.dumps(message).encode())
        except OSError:
            self._close_log()  # the spawner is gone; this process is about to be
