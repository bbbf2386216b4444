"""The items of a streaming call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from rldlib.adapters.calls import StreamCall


class Giver(Protocol):
    """Where the items come from. Safe for many threads."""

    def next_item(self, call: StreamCall, deadline_s: float | None, until: float | None) -> tuple[bool, Any]:
        """Whether there is one more item, and the item."""
        ...

    def cancel(self, call: StreamCall) -> None:
        """Nobody takes items any more."""
        ...

    def drop(self, call: StreamCall) -> None:
        """The same, soon; for finalizers, which must not wait for anything."""
        ...


class Stream:
    """The items of a stream, as they come. For one thread at a time.

    Leaving it early, closing it or dropping it cancels the call.
    """

    def __init__(self, giver: Giver, call: StreamCall, deadline_s: float | None, until: float | None) -> None:
        self._giver = giver
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
            there, item = self._giver.next_item(self._call, self._deadline_s, self._until)
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
            self._giver.cancel(self._call)
            # Another thread may wait for an item: there is none any more.
            self._call.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._over:
            self._giver.drop(self._call)
