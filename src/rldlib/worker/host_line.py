"""The spawner's line to its host."""

from __future__ import annotations

import json
import os
from select import POLLIN, POLLOUT
from typing import TYPE_CHECKING, Any

from rldlib.worker.handing import hand, take

if TYPE_CHECKING:
    from select import poll


class HostLine:
    """Hears orders, and tells events without ever waiting for the host to listen.

    Args:
        end: A descriptor of sequenced packets.
        poll: Is kept to what there is to wait for.
    """

    def __init__(self, end: int, poll: poll) -> None:
        os.set_blocking(end, False)
        self._end = end
        self._poll = poll
        self._outgoing: list[bytes] = []
        poll.register(end, POLLIN)

    def fileno(self) -> int:
        """What to wait on."""
        return self._end

    def hear(self) -> tuple[bytes, list[int]] | None:
        """One message and its descriptors; None where there is none now.

        Raises:
            EOFError: The host is gone.
        """
        self._flush()
        try:
            data, fds = take(self._end)
        except BlockingIOError:
            return None
        except ConnectionResetError as exc:
            raise EOFError from exc
        if not data:
            raise EOFError
        return data, fds

    def tell(self, message: dict[str, Any]) -> None:
        """Tell the host, now or when it listens."""
        self._outgoing.append(json.dumps(message).encode())
        self._flush()

    def _flush(self) -> None:
        """Send what the host takes now: a host that reads slowly must not keep us from seeing it end."""
        try:
            while self._outgoing:
                hand(self._end, self._outgoing[0])
                del self._outgoing[0]
        except BlockingIOError:
            self._poll.register(self._end, POLLIN | POLLOUT)
            return
        except OSError:
            self._outgoing.clear()  # the host is gone, which the next poll tells
        self._poll.register(self._end, POLLIN)
