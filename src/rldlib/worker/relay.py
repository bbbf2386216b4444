"""Who reads the socket: the thread that performs the call, which then costs no hand-over.

A thread that leads reads a message, and performs the call in it itself. It
is no reader meanwhile; so while calls come, another one looks every tick
whether the leader is still at the call it was at before, and then reads in its
stead: what comes during a long call is seen a tick or two after it came. The
call that finds nothing else in hand is handed over together with the lead.
"""

from __future__ import annotations

from threading import Lock, Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rldlib.worker.calls import Call
    from rldlib.worker.desk import Desk

_TICK_S = 0.001
# After so many ticks without a call the deputy sleeps until the next one.
_QUIET_TICKS = 50


class Lead:
    """The lead, for one thread to take, with the call that it begins with."""

    def __init__(self, relay: Relay, call: Call | None = None) -> None:
        self._relay = relay
        self._call = call

    def run(self) -> None:
        """Read and perform until the lead is another's, or the end."""
        call, self._call = self._call, None
        self._relay.lead(self, call)


class Relay:
    """See the module.

    Args:
        read: Reads one message and deals with it: the call to perform where it is one, `OTHER`
            where it is none, None where nothing more will come.
        desk: Has the other threads, and the calls in hand.
    """

    OTHER = object()

    def __init__(self, read: Callable[[], Any], desk: Desk) -> None:
        self._read = read
        self._desk = desk
        self._guard = Lock()
        self._lead: Lead | None = None
        # The number of the call the leader is at; 0 where it reads.
        self._at = 0
        self._calls = 0
        self._wanted = False
        self._parked = True
        self._called = Lock()
        self._never = Lock()

    def begin(self) -> None:
        """Give the lead away for the first time, and start the deputy."""
        self._called.acquire()
        self._never.acquire()
        Thread(target=self._stand_by, name="rldlib-reader", daemon=True).start()
        self._pass_on(None)

    def lead(self, lead: Lead, call: Call | None) -> None:
        """In a thread of the desk: read, and perform what comes."""
        while True:
            if call is not None:
                self._calls += 1
                self._at = self._calls
                if self._parked:
                    self._rouse()
                self._desk.perform(call)
                # Not kept until the next comes: its result may lie in shared memory.
                call = None
                with self._guard:
                    if self._lead is not lead:
                        return
                    self._at = 0
            if self._desk.ended:
                with self._guard:
                    self._wanted = True
                self._rouse()
                return
            found = self._desk.next_waiting() or self._read()
            if found is None:
                return
            if found is not self.OTHER:
                call = found
            del found

    def _pass_on(self, call: Call | None) -> None:
        lead = Lead(self, call)
        with self._guard:
            self._at = 0
            self._lead = lead
        self._desk.put(lead)

    def _rouse(self) -> None:
        with self._guard:
            if self._parked:
                self._parked = False
                self._called.release()

    def _stand_by(self) -> None:
        """The deputy: asleep, or watching the leader, or reading."""
        while True:
            self._called.acquire()
            while self._watch():
                if not self._deputise():
                    return

    def _watch(self) -> bool:
        """Watch until the lead is to be taken; False where there is nothing to watch."""
        before = quiet = 0
        while True:
            with self._guard:
                at = self._at
                if self._wanted or (at and at == before):
                    self._lead = None
                    self._at = 0
                    return True
                quiet = 0 if at != before else quiet + 1
                if quiet >= _QUIET_TICKS:
                    self._parked = True
                    return False
            before = at
            # A lock that nobody releases: the cheapest clock there is.
            self._never.acquire(timeout=_TICK_S)

    def _deputise(self) -> bool:
        """Read until the lead can be handed back; False where nothing more will come."""
        while True:
            found = self._read()
            if found is None:
                return False
            if found is not self.OTHER:
                if self._desk.is_only(found) and not self._desk.ended:
                    self._pass_on(found)
                    return True
                self._desk.put(found)
            del found
