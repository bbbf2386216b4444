"""The worker process: from START to READY, then calls until the host has had enough."""

from __future__ import annotations

import os
import sys
from _socket import socket
from threading import Event, Lock, Thread
from time import monotonic

from rldlib.plugin import Resources
from rldlib.wire import messages
from rldlib.wire.frames import ProtocolError
from rldlib.worker.connection import Connection
from rldlib.worker.desk import Desk, answer_check
from rldlib.worker.faults import told
from rldlib.worker.loading import Life, LoadError, entry_point, load, mount_pluggy
from rldlib.worker.operations import Operation, bound
from rldlib.worker.reading import Reading
from rldlib.worker.records import Records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rldlib.worker.coroutines import Loop

# Without a host nobody waits for the service: it gets this long to put its things away.
_ORPHAN_S = 1.0
_STATUS_FAILED = 1
_ORDERED = {
    "service",
    "version",
    "distribution",
    "resources",
    "threads",
    "heartbeat_s",
    "protocol",
    "pluggy",
}


class Worker:
    """One service, from START to its end.

    Args:
        connection: The channel to the host; closed at the end.
        leave: How the process is left when the service does not come to its end in time.
        folders: Where the service's distribution is looked for.
    """

    def __init__(
        self,
        connection: Connection,
        leave: Callable[[int], object] = os._exit,
        folders: list[str] | None = None,
    ) -> None:
        self._connection = connection
        self._leave = leave
        self._folders = sys.path if folders is None else folders
        self._records = Records(connection)
        self._loop: Loop | None = None
        self._over = Event()
        self._beats = Lock()
        self._deadline: float | None = None
        self._status = _STATUS_FAILED

    def perform(self) -> int:
        """All of it, in the thread that calls; the status to exit with."""
        try:
            order = self._order()
        except ProtocolError as exc:
            _complain(exc)
            return _STATUS_FAILED
        if order is None:
            return 0
        served = self._get_ready(order)
        if served is None:
            # A thread that the service has started meanwhile must not keep the process.
            self._leave_within(_ORPHAN_S)
            return _STATUS_FAILED
        self._serve(*served)
        self._status = 0
        return 0

    def finish(self) -> None:
        """Call off the watch: for a worker that is no process of its own."""
        self._over.set()

    # --- until READY ---------------------------------------------------------

    def _order(self) -> dict[str, Any] | None:
        message = self._connection.receive()
        if message is None:
            return None
        if message[0] != messages.START:
            raise ProtocolError(f"a {message[0]} message came before start")
        found: dict[str, Any] = message[1]
        missing = _ORDERED - found.keys()
        if missing:
            raise ProtocolError(f"a start message without {', '.join(sorted(missing))}")
        return found

    def _get_ready(self, order: dict[str, Any]) -> tuple[Life, Desk] | None:
        stage = "mount"
        try:
            _same_protocol(order["protocol"])
            mount_pluggy(order["pluggy"])
            target = entry_point(order["service"], order["distribution"], self._folders)
            stage = "load"
            life = Life(load(target), order["service"])
            self._records.watch()
            stage = "start"
            self._settle(life.start(Resources(order["resources"])))
            stage = "operations"
            operations = bound(life.operations())
        except BaseException as exc:  # noqa: BLE001 - the service's own code runs here, and may raise anything
            facts = dict(zip(("type", "message", "traceback"), told(exc), strict=True))
            self._connection.send([messages.FAILED, {"stage": stage, **facts}])
            return None
        return life, self._open(order, operations)

    def _open(self, order: dict[str, Any], operations: dict[str, Operation]) -> Desk:
        self._records.watch()
        needs_loop = any(operation.asynchronous for operation in operations.values())
        desk = Desk(
            self._connection,
            operations,
            threads=max(1, int(order["threads"])),
            loop=self._the_loop() if needs_loop else None,
            records=self._records,
        )
        # Told before a thread is started, each of which is waited for; what comes stays in the socket.
        self._connection.send([messages.READY, _facts(order, operations)])
        desk.open()
        self._beats.acquire()
        Thread(
            target=self._beat, args=(float(order["heartbeat_s"]),), name="rldlib-beat", daemon=True
        ).start()
        return desk

    def _the_loop(self) -> Loop:
        if self._loop is None:
            from rldlib.worker.coroutines import Loop

            self._loop = Loop()
        return self._loop

    def _settle(self, result: Any) -> Any:
        """What a hook returned; waited for where it is a coroutine."""
        return self._the_loop().settle(result) if hasattr(result, "__await__") else result

    # --- from READY on -------------------------------------------------------

    def _serve(self, life: Life, desk: Desk) -> None:
        reading = Reading(lambda spin: self._take_in(life, desk, spin=spin), desk)
        self._connection.on_wait = reading.hurry
        desk.read_with(reading)
        desk.work()
        # Whoever performed calls is through, and reads no more: a shorter bound may still come, or the end.
        reading.hurry()
        desk.wait_ended(self._deadline or 0.0)
        if self._loop is not None:
            self._loop.drain()
        try:
            self._settle(life.stop())
        except BaseException:  # noqa: BLE001 - whatever it is, the worker ends; its log says why
            sys.excepthook(*sys.exc_info())
        self._beats.release()
        if self._loop is not None:
            self._loop.close()

    def _take_in(self, life: Life, desk: Desk, *, spin: bool) -> bool:
        """Wait for what the host says, and deal with all that came; False once nothing more comes."""
        try:
            if self._connection.heard and self._deal(life, desk):
                return True
            if self._connection.read(spin=spin):
                self._deal(life, desk)
                return True
        except ProtocolError as exc:
            _complain(exc)
        # Whether it is gone or talks nonsense, there is no host any more.
        self._end(desk, _ORPHAN_S)
        return False

    def _deal(self, life: Life, desk: Desk) -> bool:
        """Deal with what was read; whether there was something."""
        heard = False
        while (message := self._connection.next()) is not None:
            heard = True
            self._dispatch(message, life, desk)
            # Not kept until the next comes: its arguments may lie in shared memory.
            del message
        return heard

    def _dispatch(self, message: list[Any], life: Life, desk: Desk) -> None:
        kind = message[0]
        if kind == messages.CALL:
            desk.take(message)
        elif kind == messages.CANCEL:
            desk.cancel(message[1])
        elif kind == messages.CREDIT:
            desk.grant(message[1], message[2])
        elif kind == messages.CHECK:

            def check() -> Any:
                return self._settle(life.check())

            # Not the desk's: it is asked just when all its threads are busy.
            Thread(target=answer_check, args=(self._connection, check, message[1]), daemon=True).start()
        elif kind == messages.STOP:
            self._end(desk, message[1])
        else:
            raise ProtocolError("a second start message")

    def _end(self, desk: Desk, within_s: float) -> None:
        """End within so many seconds; the first bound stays, unless a later one is shorter."""
        deadline = monotonic() + within_s
        if self._deadline is None or deadline < self._deadline:
            self._deadline = deadline
            self._leave_within(within_s)
        desk.end()

    def _leave_within(self, seconds: float) -> None:
        # It goes on watching while the interpreter ends: that too may hang on a thread of the service.
        Thread(target=self._watch, args=(seconds,), name="rldlib-end", daemon=True).start()

    def _watch(self, seconds: float) -> None:
        if not self._over.wait(seconds):
            self._leave(self._status)

    def _beat(self, every_s: float) -> None:
        # A lock with a time-out is the cheapest clock that can be told to stop.
        while not self._beats.acquire(timeout=every_s):
            self._connection.send([messages.BEAT])


def _complain(exc: ProtocolError) -> None:
    sys.stderr.write(f"rldlib worker: the host broke the protocol: {exc}\n")


def _same_protocol(spoken: object) -> None:
    if spoken != messages.PROTOCOL:
        raise LoadError(f"the host speaks protocol {spoken}, this worker {messages.PROTOCOL}")


def _facts(order: dict[str, Any], operations: dict[str, Operation]) -> dict[str, Any]:
    return {
        "protocol": messages.PROTOCOL,
        "service": order["service"],
        "version": order["version"],
        "pid": os.getpid(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "operations": {name: operation.facts for name, operation in operations.items()},
    }


def run(descriptor: int) -> None:
    """Be the worker on an inherited socket, and exit."""
    # Programs that the service starts have no business with the host.
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - the name of the function says what is set
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # Into the log line by line: what a killed worker said last is what one wants to read.
            stream.reconfigure(line_buffering=True)
    worker = Worker(Connection(socket(fileno=descriptor)))
    sys.exit(worker.perform())
