from __future__ import annotations

import pytest

from rldlib.rules.lifecycle import TABLE, Event, LifecycleError, State, after


def test_a_worker_s_life_without_trouble():
    state = State.ENDED
    for event in (Event.START, Event.READY, Event.STOP, Event.GONE):
        state = after(state, event)

    assert state is State.ENDED


def test_an_event_that_cannot_happen_is_named_with_its_state():
    with pytest.raises(LifecycleError, match="RETRY cannot happen to a worker that is RUNNING"):
        after(State.RUNNING, Event.RETRY)


@pytest.mark.parametrize("state", State)
def test_every_state_is_reached_and_left(state):
    assert state in TABLE.values()
    assert state in {before for before, _ in TABLE}


@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING, State.BACKOFF, State.FATAL])
def test_whatever_it_does_it_can_be_stopped(state):
    assert after(after(state, Event.STOP), Event.GONE) is State.ENDED
