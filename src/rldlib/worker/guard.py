"""The guard: one small process between the spawner and one worker.

It is forked from the spawner, starts the worker, adopts whatever the worker
leaves behind, and writes the worker's output to its log. All that the worker
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
from rldlib.worker.launching import LaunchError, close_all_but, launch
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
        order: What the host asks for.
        identity: What this process is, where the worker is to be forked from it.
        line: To the spawner; a descriptor of sequenced packets.
        channel: The worker's.
        promise: Held open while anything of the worker is there.
    """

    def __init__(
        self, order: dict[str, Any], identity: Identity | None, *, line: int, channel: int, promise: int
    ) -> None:
        self._line = line
        self._channel = channel
        self._promise = promise
        self._log = CappedLog(order["log"], order["log_bytes"])
        self._order = order
        self._identity = identity
        self._worker = 0
        self._output = -1

    def run(self) -> None:
        """Start the worker, see it through, and tell how it ended; never returns.

        Raises:
            Forked: In the worker's process, where nothing is executed.
        """
        code: int | None = None
        try:
            signal.set_wakeup_fd(-1)
            wakeup = Wakeup(signal.SIGCHLD, signal.SIGTERM)
            kept = {0, 1, 2, self._line, self._channel, self._promise}
            close_all_but(kept | set(wakeup.descriptors()))
            call_process(NAME)
            adopt_orphans()
            self._start()
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
            self._log.close()
            if code is not None:
                self._tell(is_="ended", code=code)
        finally:
            os._exit(0)

    def _start(self) -> None:
        self._output, output = os.pipe2(os.O_CLOEXEC)
        self._worker = launch(self._order, self._identity, self._channel, output)
        os.close(output)
        os.close(self._channel)
        os.set_blocking(self._output, False)
        self._tell(is_="spawned", pid=self._worker)

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
        self._log.write(data)
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
            self._log.write(data)

    def _tell(self, **message: Any) -> None:
        message["is"] = message.pop("is_")
        try:
            os.write(self._line, json.dumps(message).encode())
        except OSError:
            self._log.close()  # the spawner is gone; this process is about to be
