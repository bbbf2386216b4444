"""Coroutines: calls of async functions and generators, on one event loop in a thread of its own.

This module, and asyncio, are imported only for a service that has some.
"""

from __future__ import annotations

import asyncio
from threading import Thread

from rldlib.plugin import _current
from rldlib.wire import messages
from rldlib.wire.codec import EncodingError
from rldlib.worker.calls import Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Any


class Loop:
    """The event loop, from its making to `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="rldlib-loop", daemon=True)
        self._thread.start()

    def settle(self, awaitable: Awaitable[Any]) -> Any:
        """Wait, in another thread than the loop's, for what a hook returned."""

        async def settled() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(settled(), self._loop).result()

    def soon(self, function: Any, *arguments: Any) -> None:
        """Call a function in the loop's thread; does nothing once it is closed."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def drain(self) -> None:
        """Cancel all that runs on it, and wait for its ends."""
        asyncio.run_coroutine_threadsafe(self._drain(), self._loop).result()

    async def _drain(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)
        await self._loop.shutdown_asyncgens()

    def close(self) -> None:
        """Stop the loop, and its thread."""
        self.soon(self._loop.stop)
        self._thread.join()
        self._loop.close()


class AsyncCall(Call):
    """One call of an async function or generator; `run` only gives it to the loop."""

    def __init__(self, *arguments: Any, loop: Loop) -> None:
        super().__init__(*arguments)
        self._loop = loop
        self._credit = 0
        self._task: asyncio.Task[None] | None = None
        self._granted: asyncio.Event | None = None

    def run(self) -> None:
        """Have the loop perform it."""
        self._loop.soon(self._launch)

    def cancel(self) -> None:
        """Cancel it as asyncio does."""
        self.cancelled = True
        self._loop.soon(self._cancel)

    def grant(self, items: int) -> None:
        """Let it hand out so many more items."""
        self._loop.soon(self._add, items)

    def _launch(self) -> None:
        self._granted = asyncio.Event()
        if self._credit > 0:
            self._granted.set()
        self._task = asyncio.get_running_loop().create_task(self._perform())

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _add(self, items: int) -> None:
        self._credit += items
        if self._granted is not None:
            self._granted.set()

    async def _perform(self) -> None:
        _current.set(self)
        try:
            keywords = self.begin()
            if keywords is None:
                return
            assert self._operation is not None
            if self._operation.stream:
                await self._hand_out(self._operation.function(**keywords))
            else:
                result = await self._operation.function(**keywords)
                keywords = None
                self.reply(result)
        except asyncio.CancelledError as exc:
            if self.cancelled:
                self.give_up()
            else:
                self.fault(exc)
        except EncodingError as exc:
            self.unsent(exc)
        except BaseException as exc:  # noqa: BLE001 - as in Call.run
            self.fault(exc)

    async def _hand_out(self, items: Any) -> None:
        assert self._granted is not None
        try:
            async for item in items:
                while self._credit <= 0:
                    self._granted.clear()
                    await self._granted.wait()
                self._credit -= 1
                self._connection.send([messages.ITEM, self.id, item])
            self._end([messages.END, self.id])
        finally:
            await items.aclose()
