"""The service's side: from its entry point to its stop hook, in threads of its own."""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from typing import TYPE_CHECKING, Any, cast

from rldlib.adapters.inprocess.passage import carried
from rldlib.plugin import Resources
from rldlib.wire import messages
from rldlib.worker.desk import Desk
from rldlib.worker.faults import told
from rldlib.worker.loading import Life, entry_point, load
from rldlib.worker.operations import bound
from rldlib.worker.records import Records

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rldlib.values.start import StartOrder
    from rldlib.worker.connection import Connection
    from rldlib.worker.coroutines import Loop
    from rldlib.worker.operations import Operation


class Performer:
    """One service. Hooks run in its first thread, which performs calls too, as in a worker.

    Args:
        order: What is to be started.
        packages: Where the environment's distributions lie.
        tell: Told every message to the host, as it arrives there.
        on_left: Called once the service has come to its end.
    """

    def __init__(
        self,
        order: StartOrder,
        packages: Path,
        tell: Callable[[list[Any]], None],
        on_left: Callable[[Path], None],
    ) -> None:
        self._order = order
        self._packages = packages
        self._tell = tell
        self._on_left = on_left
        # Calls come from any thread, and a desk has one reader.
        # What ends here may call back, and whoever is called may call again.
        self._reading = threading.RLock()
        self._desk: Desk | None = None
        self._operations: Mapping[str, Operation] = {}
        self._loop: Loop | None = None
        self._until: float | None = None
        self.left = threading.Event()
        self._thread = threading.Thread(target=self._perform, name=f"rldlib-{order.service}", daemon=True)

    def start(self) -> None:
        """Load it and get it ready; the end of that is told as ``ready`` or ``failed``."""
        self._thread.start()

    # --- what the host says --------------------------------------------------------

    def take(self, message: list[Any]) -> None:
        """Take a ``call``."""
        with self._reading:
            assert self._desk is not None
            self._desk.take(message)

    def cancel(self, number: int) -> None:
        """Cancel a call: it is not begun where it waits, and told where it runs."""
        with self._reading:
            if self._desk is not None:
                self._desk.cancel(number)

    def grant(self, number: int, items: int) -> None:
        """Let a stream hand out so many more items."""
        with self._reading:
            if self._desk is not None:
                self._desk.grant(number, items)

    def end(self, within_s: float) -> None:
        """Begin nothing more, and come to the stop hook once the calls under way are through."""
        with self._reading:
            self._until = time.monotonic() + within_s
            if self._desk is not None:
                self._desk.end()

    # --- what a desk says: the two methods of a connection that it uses --------------

    def send(self, message: list[Any], _payload: int | None = None) -> None:
        """Tell the host something. See `Connection.send`.

        Raises:
            EncodingError: Something in it does not travel; nothing was told.
        """
        self._tell(carried(message))

    def send_droppable(self, message: list[Any]) -> None:
        """The same: nothing is in the way here."""
        self.send(message)

    # --- its life --------------------------------------------------------------------

    def _perform(self) -> None:
        try:
            served = self._get_ready()
            if served is not None:
                self._serve(*served)
        finally:
            if self._loop is not None:
                self._loop.close()
            self._on_left(self._packages)
            self.left.set()

    def _get_ready(self) -> tuple[Life, Desk] | None:
        order, stage = self._order, "mount"
        try:
            target = entry_point(order.service, order.distribution, [str(self._packages)])
            stage = "load"
            life = Life(load(target), order.service)
            stage = "start"
            self._settle(life.start(Resources(order.resources)))
            stage = "operations"
            self._operations = bound(life.operations())
            ready = carried([messages.READY, self._facts()])
        except BaseException as exc:  # noqa: BLE001 - the service's own code runs here, and may raise anything
            facts = dict(zip(("type", "message", "traceback"), told(exc), strict=True))
            self.send([messages.FAILED, {"stage": stage, **facts}])
            return None
        desk = self._open()
        self._tell(ready)
        return life, desk

    def _open(self) -> Desk:
        connection = cast("Connection", self)
        desk = Desk(
            connection,
            self._operations,
            threads=self._order.profile.demand.threads,
            loop=self._the_loop() if any(one.asynchronous for one in self._operations.values()) else None,
            records=_NoRecords(connection),
        )
        desk.open()
        with self._reading:
            self._desk = desk
            if self._until is not None:
                desk.end()
        return desk

    def _facts(self) -> dict[str, Any]:
        return {
            "protocol": messages.PROTOCOL,
            "service": self._order.service,
            "version": self._order.version,
            "pid": os.getpid(),
            "python": platform.python_version(),
            "operations": {name: operation.facts for name, operation in self._operations.items()},
        }

    def _serve(self, life: Life, desk: Desk) -> None:
        desk.work()
        desk.wait_ended(self._until or 0.0)
        if self._loop is not None:
            self._loop.drain()
        try:
            self._settle(life.stop())
        except BaseException:  # whatever it is, the service ends
            service = self._order.service
            logging.getLogger(f"rldlib.services.{service}").exception("the stop hook of %s failed", service)

    def _the_loop(self) -> Loop:
        if self._loop is None:
            from rldlib.worker.coroutines import Loop

            self._loop = Loop()
        return self._loop

    def _settle(self, result: Any) -> Any:
        """What a hook returned; waited for where it is a coroutine."""
        return self._the_loop().settle(result) if hasattr(result, "__await__") else result


class _NoRecords(Records):
    """What a service logs here goes where the host's own records go."""

    def watch(self) -> None:
        """See `Records.watch`."""
