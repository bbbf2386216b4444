from __future__ import annotations

import pytest

from rldlib.rules.supervision import GiveUp, Restart, is_hung, is_stuck, next_start, silent_after_s, told_end
from rldlib.values.profile import HostSettings

SETTINGS = HostSettings(restarts=3, restart_period_s=60, heartbeat_s=5)


def test_the_first_loss_is_made_good_at_once():
    assert next_start([100.0], 100.0, SETTINGS) == Restart(0.0)


def test_each_further_restart_waits_longer():
    settings = HostSettings(restarts=20, restart_period_s=60)
    waits = [next_start([100.0] * ends, 100.0, settings).after_s for ends in range(2, 12)]

    assert waits[:3] == [0.1, 0.2, 0.4]
    assert waits == sorted(waits)
    assert waits[-1] == 10.0


def test_it_is_given_up_beyond_the_limit_with_the_figures():
    decision = next_start([97.0, 98.0, 99.0, 100.0], 100.0, SETTINGS)

    assert isinstance(decision, GiveUp)
    assert "4 times within 60 s" in decision.reason
    assert "at most 3 times" in decision.reason


def test_ends_before_the_period_do_not_count():
    assert next_start([1.0, 2.0, 3.0, 100.0], 100.0, SETTINGS) == Restart(0.0)


def test_no_restart_is_allowed_where_none_is():
    assert isinstance(next_start([100.0], 100.0, HostSettings(restarts=0)), GiveUp)


@pytest.mark.parametrize(
    ("silence_s", "before", "now", "hung"),
    [
        pytest.param(14.9, 1.0, 1.0, False, id="heard of lately"),
        pytest.param(15.0, 1.0, 1.0, True, id="silent and idle"),
        pytest.param(99.0, 1.0, 1.01, False, id="silent and working"),
        pytest.param(99.0, None, 1.0, False, id="not looked at before"),
        pytest.param(99.0, 1.0, None, False, id="nobody can know"),
    ],
)
def test_a_worker_is_hung_when_it_is_silent_and_does_not_work(silence_s, before, now, hung):
    assert silent_after_s(SETTINGS) == 15.0
    assert is_hung(silence_s, SETTINGS, before, now) is hung


def test_a_worker_is_stuck_when_no_thread_is_left_for_anyone_who_waits():
    assert not is_stuck(1, threads=2)
    assert is_stuck(2, threads=2)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (0, "exited with status 0"),
        (3, "exited with status 3"),
        (-9, "killed by SIGKILL"),
        (-63, "killed by signal 63"),
    ],
)
def test_an_end_is_told_in_words(code, told):
    assert told_end(code) == told
