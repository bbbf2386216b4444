"""The items of a streaming call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rldlib.adapters.calls import StreamCall
    from rldlib.adapters.channel import Channel


class Stream:
    """The items of a stream, as they come. For one thread at a time.

    Leaving it early, closing it or dropping it cancels the call.
    """

    def __init__(
        self, channel: Channel, call: StreamCall, deadline_s: float | None, until: float | None
    ) -> None:
        self._channel = channel
        self._call = call
        self._deadline_s = deadline_s
        self._until = until
        self._over = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._over:
            raise StopIteration
        try:
            there, item = self._channel.next_item(self._call, self._deadline_s, self._until)
        except BaseException:
            self.close()
            raise
        if not there:
            self._over = True
            raise StopIteration
        return item

    def close(self) -> None:
        """See `Items.close`."""
        if not self._over:
            self._over = True
            self._channel.cancel(self._call)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._over:
            self._channel.drop(self._call)
