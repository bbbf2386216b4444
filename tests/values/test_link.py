"""Estimates of a link move with each measurement, and not too far."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldlib.values.link import CallSize, Link

times = st.floats(min_value=0, max_value=100)
# Below what any network does, which the rate is bounded by.
sizes = st.integers(min_value=16 * 1024, max_value=10**9)


def test_the_first_round_trip_is_taken_as_it_is_with_half_of_it_as_deviation():
    """RFC 6298, 2.2."""
    link = Link().round_trip(0.2)
    assert (link.rtt_s, link.rtt_deviation_s) == (0.2, 0.1)
    assert link.slow_rtt_s == pytest.approx(0.6)


def test_further_round_trips_are_smoothed_with_the_weights_of_rfc_6298():
    """RFC 6298, 2.3: RTTVAR = 3/4 RTTVAR + 1/4 |SRTT - R'|, then SRTT = 7/8 SRTT + 1/8 R'."""
    link = Link().round_trip(0.2).round_trip(0.4)
    assert link.rtt_deviation_s == pytest.approx(0.75 * 0.1 + 0.25 * 0.2)
    assert link.rtt_s == pytest.approx(0.875 * 0.2 + 0.125 * 0.4)


def test_nothing_is_known_before_it_was_measured():
    link = Link()
    assert link.rtt_s is link.slow_rtt_s is link.up_bytes_per_s is link.down_bytes_per_s is None


@given(st.lists(times, min_size=1, max_size=50))
def test_a_smoothed_time_lies_among_those_measured(measured):
    link = Link()
    for seconds in measured:
        link = link.round_trip(seconds)
    assert min(measured) - 1e-9 <= link.rtt_s <= max(measured) + 1e-9
    assert link.slow_rtt_s >= link.rtt_s


@given(st.lists(st.tuples(sizes, st.floats(min_value=1e-3, max_value=100)), min_size=1, max_size=50))
def test_a_smoothed_rate_lies_among_those_measured(measured):
    link = Link()
    for size, seconds in measured:
        link = link.received(size, seconds)
    rates = [size / seconds for size, seconds in measured]
    assert min(rates) * (1 - 1e-9) <= link.down_bytes_per_s <= max(rates) * (1 + 1e-9)
    assert link.up_bytes_per_s is None


def test_a_link_that_changed_is_believed_after_some_transfers():
    link = Link().sent(10**6, 1.0)
    for _ in range(12):
        link = link.sent(10**6, 10.0)
    assert link.up_bytes_per_s == pytest.approx(10**5, rel=0.1)


def test_a_small_transfer_tells_nothing_of_the_rate():
    link = Link().received(10**6, 1.0)
    assert link.received(1000, 1.0) == link
    assert Link().received(1000, 1.0) == Link()


def test_a_transfer_within_a_tick_of_the_clock_makes_no_infinite_rate():
    assert math.isfinite(Link().received(10**6, 0.0).down_bytes_per_s)


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_what_no_monotonic_clock_measures_is_refused(seconds):
    for measure in (Link().round_trip, lambda s: Link().sent(10**6, s), lambda s: Link().received(10**6, s)):
        with pytest.raises(ValueError, match="is no measurement"):
            measure(seconds)


@pytest.mark.parametrize(
    "figures", [{"rtt_s": -1.0}, {"up_bytes_per_s": 0}, {"down_bytes_per_s": math.nan}, {"rtt_s": math.inf}]
)
def test_figures_that_are_none_are_refused(figures):
    with pytest.raises(ValueError, match=r"figure of 0 or more|is none"):
        Link(**figures)


def test_the_size_of_a_call_is_smoothed_too():
    assert CallSize().seen(100, 1000) == CallSize(argument_bytes=100, result_bytes=1000)
    assert CallSize().seen(100, 1000).seen(900, 1000) == CallSize(argument_bytes=200, result_bytes=1000)
    with pytest.raises(ValueError, match="a call of -1 bytes is none"):
        CallSize(argument_bytes=-1)
