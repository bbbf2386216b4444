"""Performs services in threads of this very process.

Importing this costs nothing: what performs a service comes with the first one.
"""

from __future__ import annotations

import atexit
import sys
import threading
from typing import TYPE_CHECKING

from rldlib.errors import WorkerStartError
from rldlib.reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rldlib.adapters.inprocess.service import LoadedService
    from rldlib.adapters.io_loop import IoLoop
    from rldlib.ports import HeldPromise
    from rldlib.values.presence import Presence
    from rldlib.values.start import StartOrder

# What nobody waits for gets this long to put its things away, as a worker without a host does.
_ORPHAN_S = 1.0


class InProcess:
    """See `rldlib.ports.HostProcess`. Safe for many threads.

    Args:
        reporter: Told of the progress of calls.
    """

    def __init__(self, reporter: Reporter | None = None) -> None:
        self._reporter = reporter or Reporter()
        self._lock = threading.Lock()
        self._services: list[LoadedService] = []
        self._loop: IoLoop | None = None
        self._closed = False

    @property
    def label(self) -> str:
        """See `HostProcess.label`."""
        import platform
        import sysconfig

        kind = sys.implementation.name + ("t" if sysconfig.get_config_var("Py_GIL_DISABLED") else "")
        return f"{kind}-{platform.python_version()}-{sys.platform}-{platform.machine()}"

    def present(self, names: Iterable[str]) -> Mapping[str, Presence]:
        """See `HostProcess.present`."""
        from rldlib.adapters.inprocess.premises import PREMISES

        return PREMISES.present(names)

    def warm_up(self) -> None:
        """See `Workers.warm_up`: this process runs already."""

    def start(self, order: StartOrder, held: HeldPromise) -> LoadedService:
        """See `Workers.start`.

        The promise is this process's own, and lives as long: nobody else
        needs its descriptor. No worker's pid is told of it either, since the
        memory of the whole host would be taken for the service's.

        Raises:
            WorkerStartError: It did not get ready in time, or is not what its profile declares.
            ServiceFaultError: The service's own start raised.
            InProcessRefusedError: Something in this process is in the way of it.
        """
        del held
        from rldlib.adapters.inprocess.premises import PREMISES, packages_of
        from rldlib.adapters.inprocess.service import LoadedService

        packages = packages_of(order.environment)
        loop = self._living(order.service)
        PREMISES.enter(order.service, packages, order.wheels)
        service = LoadedService(order, packages, loop, self._reporter, on_left=PREMISES.leave)
        try:
            service.greet()
        except BaseException:
            service.stop(_ORPHAN_S)
            raise
        with self._lock:
            self._services.append(service)
        service.on_end(lambda _: self._services.remove(service))
        return service

    def close(self) -> None:
        """See `Workers.close`."""
        with self._lock:
            self._closed = True
            services, loop, self._loop = list(self._services), self._loop, None
        atexit.unregister(self.close)
        for service in services:
            service.stop(_ORPHAN_S)
        if loop is not None:
            loop.close()

    def _living(self, service: str) -> IoLoop:
        from rldlib.adapters.io_loop import IoLoop

        with self._lock:
            if self._closed:
                raise WorkerStartError(service, "this daemon is closed")
            if self._loop is None:
                self._loop = IoLoop("rldlib-inprocess")
                atexit.register(self.close)
            return self._loop
