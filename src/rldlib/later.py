"""A submitted call that waits for a worker."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any

from rldlib.errors import CallTimeoutError, RldlibError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class LaterCall(Future[Any]):
    """The future of a call that cannot be sent yet. It ends as the call does, once that is sent.

    Attributes:
        until: When its deadline is over, by the monotonic clock; None is never.
    """

    def __init__(
        self, service: str, operation: str, arguments: Mapping[str, Any], deadline_s: float | None
    ) -> None:
        super().__init__()
        self.until = None if deadline_s is None else time.monotonic() + deadline_s
        self._service = service
        self._operation = operation
        self._arguments = arguments
        self._deadline_s = deadline_s
        self._sent: Future[Any] | None = None

    def is_past(self, now: float) -> bool:
        """Whether its deadline is over."""
        return self.until is not None and self.until <= now

    def follow(self, send: Callable[[str, str, Mapping[str, Any], float | None], Future[Any]]) -> None:
        """Send the call, and end as it does."""
        left = None if self.until is None else self.until - time.monotonic()
        try:
            if left is not None and left <= 0:
                raise CallTimeoutError(self._service, self._operation, self._deadline_s or 0)
            self._sent = send("submit", self._operation, self._arguments, left)
        except RldlibError as exc:
            with contextlib.suppress(InvalidStateError):  # it was cancelled
                self.set_exception(exc)
            return
        if self.cancelled():
            self._sent.cancel()
        self._sent.add_done_callback(self._take)

    def cancel(self) -> bool:
        """Cancel the call, also where it runs; False where it has ended."""
        if self.cancelled():
            return True
        if not super().cancel():
            return False
        # Those who wait for several futures are told by this alone.
        self.set_running_or_notify_cancel()
        if self._sent is not None:
            self._sent.cancel()
        return True

    def _take(self, sent: Future[Any]) -> None:
        if sent.cancelled():
            return
        error = sent.exception()
        with contextlib.suppress(InvalidStateError):  # it was cancelled
            if error is not None:
                self.set_exception(error)
            else:
                self.set_result(sent.result())
