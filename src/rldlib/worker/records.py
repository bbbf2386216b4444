"""Records: what the service logs, to the host."""

from __future__ import annotations

import sys

from rldlib.wire import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rldlib.worker.connection import Connection

_MAX_TEXT = 64 * 1024


class Records:
    """Sends log records from the moment the service uses `logging`; it does not import it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._watched = False

    def watch(self) -> None:
        """Begin, if the service has imported `logging` by now."""
        if not self._watched and "logging" in sys.modules:
            self._watched = True
            self._attach()

    def _attach(self) -> None:
        import logging

        connection = self._connection

        class Sender(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                try:
                    text = self.format(record)[:_MAX_TEXT]
                    connection.send_droppable([messages.LOG, int(record.levelno), str(record.name), text])
                except Exception:  # noqa: BLE001 - as every handler: a record must not break who logs
                    self.handleError(record)

        logging.getLogger().addHandler(Sender())
