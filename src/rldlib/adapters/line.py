"""One worker's socket: sends without blocking, is read by whoever waits, ends once."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from rldlib.adapters.incoming import Incoming
from rldlib.adapters.io_loop import HANGUP, READABLE, WRITABLE
from rldlib.adapters.outgoing import Outgoing
from rldlib.adapters.turns import Turns
from rldlib.adapters.watch import Watch
from rldlib.wire.codec import encode
from rldlib.wire.frames import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from rldlib.adapters.calls import WaitingCall
    from rldlib.adapters.io_loop import IoLoop

_INTERRUPTED = "killed, since the thread that read from it was interrupted"


class Line:
    """The host's end of a worker's socket. Safe for many threads.

    A thread that waits for its reply reads where nobody does, and hands that
    on when it has what it waited for: a call then costs no hand-over between
    threads. Where nobody waits, the loop's thread reads.

    Args:
        sock: A blocking socket; the line owns it.
        loop: Reads where nobody waits, and sends what was left over.
        under_way: The calls whose ends are still to come.
        take_in: Given what was read, in order; raises `ProtocolError`.
        on_broken: Told once that the worker must be killed if it lives.
        on_lost: Told once how it ended.

    Attributes:
        lost: How the worker ended; None while it lives.
    """

    def __init__(
        self,
        sock: socket.socket,
        loop: IoLoop,
        *,
        under_way: Collection[object],
        take_in: Callable[[bytes], None],
        on_broken: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self.lost: str | None = None
        self._sock = sock
        self._under_way = under_way
        self._take_in = take_in
        self._on_broken = on_broken
        self._on_lost = on_lost
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._incoming = Incoming(sock)
        self._outgoing = Outgoing(sock)
        self._turns = Turns(self._lock, self._arm)
        self._ending: str | None = None
        self._watch = Watch(loop, sock.fileno(), self._on_ready, self._lock, self._arm)

    @property
    def last_heard(self) -> float:
        """When something came from it last, by the monotonic clock."""
        return self._incoming.heard

    # --- sending -----------------------------------------------------------------

    def exchange(
        self, parts: list[bytes | memoryview], call: WaitingCall, until: float | None
    ) -> bool | None:
        """Put a call on its way and wait until it is ready.

        Returns:
            False where it was sent and is not ready in time, None where it
            was not sent: there was no room in time, or the worker is lost.
        """
        if self._outgoing.blocked and not self._wait_for_room(until):
            return None
        if self._turns.mine():  # a callback of the thread that reads
            return self.wait(call, until) if self.post(parts, call, until) else None
        try:
            with self._lock:
                if self.lost is not None:
                    return None
                # With the lead, where it is to be had: else the loop would wake up for the reply too.
                leads = self._turns.claim()
            self._outgoing.send(parts, call)
            if self._outgoing.blocked:
                self._arm_now()
            if leads:
                self._read_for(call, until)
        finally:
            self._leave()
        return call.over or self.wait(call, until)

    def post(self, parts: list[bytes | memoryview], call: WaitingCall, until: float | None) -> bool:
        """Put a call on its way; False where there was no room for it in time, or the worker is lost."""
        if self._outgoing.blocked and not self._wait_for_room(until):
            return False
        if self.lost is not None:
            return False
        self._outgoing.send(parts, call)
        with self._lock:
            # Perhaps nobody waits for its end: the loop is to see it.
            self._watch.attend()
            self._arm()
        return True

    def send(self, message: list[Any], fd: int | None = None) -> None:
        """Send what nobody waits for; takes the descriptor over. Does nothing where the worker is lost."""
        self._outgoing.send(encode(message), fd=fd)
        if self._outgoing.blocked:
            self._arm_now()

    def _wait_for_room(self, until: float | None) -> bool:
        with self._lock:
            while self._outgoing.full and self.lost is None:
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._room.wait(left)
        return self.lost is None

    def take_back(self, call: WaitingCall) -> bool:
        """Whether nothing of a call was sent yet; then nothing will be."""
        return self._outgoing.drop(call)

    # --- reading -----------------------------------------------------------------

    def wait(self, call: WaitingCall, until: float | None) -> bool:
        """Wait until a call is ready; False where it is not in time."""
        if call.ready:
            return True
        if self._turns.mine():
            # A callback of the thread that reads: it reads on, for itself and all others.
            self._read_for(call, until)
            return call.ready
        try:
            return self._wait(call, until)
        finally:
            # Wherever it was interrupted, it neither leads nor follows any more.
            self._leave()
            self._turns.follow_no_more(call)

    def _wait(self, call: WaitingCall, until: float | None) -> bool:
        while not call.ready:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return False
            if self._turns.leader is None and self._claims():
                self._read_for(call, until)
                self._leave()
            else:
                self._turns.follow(call, left)
        return True

    def _claims(self) -> bool:
        with self._lock:
            return self._turns.claim()

    def _leave(self) -> None:
        if self._turns.mine():
            with self._lock:
                if not self._turns.leave():
                    self._rest()
                if self.lost is not None:
                    self._sock.close()

    def _read_for(self, call: WaitingCall, until: float | None) -> None:
        turns = self._turns
        while not (call.over or call.ready or turns.over):
            # Where others wait too, the processor is theirs.
            data = self._incoming.receive(until, spin=turns.alone)
            if data is not None:
                self._take(data)
            elif until is not None and time.monotonic() >= until:
                return

    def _take(self, data: bytes) -> None:
        if not data:
            self._at_end()
            return
        try:
            self._take_in(data)
        except ProtocolError as exc:
            self._break(f"killed, since it broke the protocol with {exc}")
        except BaseException:
            # What was read and not taken in is lost: others would wait for it for ever.
            self._break(_INTERRUPTED)
            raise

    def read_now(self) -> None:
        """Take in what lies in the socket, where nobody reads; in the loop's thread only."""
        self._on_ready(READABLE)

    def _on_ready(self, events: int) -> None:
        """In the loop's thread."""
        with self._lock:
            if events & WRITABLE:
                self._outgoing.flush(again=True)
                if not self._outgoing.full:
                    self._room.notify_all()
                self._arm()
            leads = events & ~WRITABLE != 0 and self._turns.claim()
            if not leads and events & HANGUP:
                # It stays to be told: where somebody reads, let only them see it.
                self._watch.pause()
        if leads:
            self._read_now()

    def _read_now(self) -> None:
        """Take in what lies in the socket. For who leads, and leaves then."""
        try:
            while (data := self._incoming.receive_now()) is not None:
                self._take(data)
                if self._ending is None or self._turns.over:
                    break  # others wait for this thread
        finally:
            with self._lock:
                if not self._turns.leave():
                    self._arm()
                if self.lost is not None:
                    self._sock.close()

    def _rest(self) -> None:
        """Nobody reads, and nobody waits to; soon somebody may again. With the lock held."""
        if self._under_way:
            self._watch.attend()
        else:
            self._watch.rest(self._incoming.heard)
        self._arm()

    def _arm_now(self) -> None:
        with self._lock:
            self._arm()

    def _arm(self) -> None:
        """Have the loop wait for what nobody else does. With the lock held."""
        self._watch.adjust(read=self._turns.leader is None, write=self._outgoing.blocked)

    # --- the end -----------------------------------------------------------------

    def ended(self, how: str) -> None:
        """The worker is gone. What it had sent is still read; then the line is lost."""
        with self._lock:
            self._ending = how
            over = self._turns.over
            # Wakes whoever reads, also where somebody else holds the other end.
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            leads = self._turns.claim()
        if over:
            self.finish(how)
        if leads:
            # Here and now: the loop may be about to close.
            self._read_now()

    def finish(self, how: str) -> None:
        """Let go of the socket, whatever may still come."""
        with self._lock:
            if self.lost is not None:
                return
            self.lost = how
            self._turns.over = True
            self._outgoing.close()
            self._room.notify_all()
            self._watch.close()
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            if self._turns.leader is None:
                self._sock.close()
        self._on_lost(how)

    def abandon(self, how: str) -> None:
        """In a forked child: the line is its parent's, and so is whoever holds its lock."""
        self._lock = threading.Lock()
        self._turns = Turns(self._lock, self._arm)
        self._turns.over = True
        self._watch.abandon()
        self._outgoing = Outgoing(self._sock)
        self._outgoing.close()
        self.lost = how
        self._sock.close()

    def _at_end(self) -> None:
        """Nothing more will come. How the worker ended is told by the spawner."""
        with self._lock:
            self._turns.over = True
            ending = self._ending
            # The other end stays readable: the loop would never sleep again.
            self._watch.close()
        if ending is not None:
            self.finish(ending)
        elif self.lost is None:
            self._on_broken()

    def _break(self, how: str) -> None:
        self.finish(how)
        self._on_broken()
