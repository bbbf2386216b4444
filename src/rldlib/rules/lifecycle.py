"""The life of a supervised worker, as a table. The documentation's diagram is made from it."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a supervised worker stands."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    STOPPING = "STOPPING"
    ENDED = "ENDED"
    FATAL = "FATAL"


class Event(StrEnum):
    """What happens to it."""

    START = "START"  # somebody needs it
    READY = "READY"  # it said so
    LOST = "LOST"  # it ended, or did not get ready
    RETRY = "RETRY"  # the wait before the next start is over
    GIVE_UP = "GIVE_UP"  # it ended too often, or its very first start failed
    STOP = "STOP"  # nobody needs it any more
    GONE = "GONE"  # it was reaped


class LifecycleError(RuntimeError):
    """A bug: an event that cannot happen in this state."""


TABLE: dict[tuple[State, Event], State] = {
    (State.ENDED, Event.START): State.STARTING,
    (State.STARTING, Event.READY): State.RUNNING,
    (State.STARTING, Event.LOST): State.BACKOFF,
    (State.STARTING, Event.GIVE_UP): State.FATAL,
    (State.RUNNING, Event.LOST): State.BACKOFF,
    (State.BACKOFF, Event.RETRY): State.STARTING,
    (State.BACKOFF, Event.GIVE_UP): State.FATAL,
    (State.STARTING, Event.STOP): State.STOPPING,
    (State.RUNNING, Event.STOP): State.STOPPING,
    (State.BACKOFF, Event.STOP): State.STOPPING,
    (State.FATAL, Event.STOP): State.STOPPING,
    # A start that was under way when it was stopped ends one way or the other.
    (State.STOPPING, Event.READY): State.STOPPING,
    (State.STOPPING, Event.LOST): State.STOPPING,
    (State.STOPPING, Event.GONE): State.ENDED,
}


def after(state: State, event: Event) -> State:
    """The state that follows.

    Raises:
        LifecycleError: The table has no such entry.
    """
    following = TABLE.get((state, event))
    if following is None:
        raise LifecycleError(f"{event} cannot happen to a worker that is {state}; please report this")
    return following
