"""Where calls go, and why: the cases people have, and what holds for all numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldlib.rules.placement import MARGIN, heed, place, reckon
from rldlib.values.link import CallSize, Link
from rldlib.values.placement import Acquiring, Choice, Host, Opinion, Refusal, Situation
from rldlib.values.profile import Demand
from rldlib.values.room import Shortfall
from rldlib.values.support import Load

DEMAND = Demand(
    cpu_call_p50_rcu_ms=10_000,
    cpu_call_p95_rcu_ms=20_000,
    startup_s=2,
    disk_bytes=10**7,
    download_bytes=10**6,
)
SHORT = Shortfall("memory_peak_bytes", 2**34, 2**30)
# Measured on both sides: equally fast, both idle, on a good network, and worth nothing but itself.
EVEN = Situation(
    demand=DEMAND,
    link=Link(rtt_s=0.001, rtt_deviation_s=0.0005, up_bytes_per_s=1e8, down_bytes_per_s=1e8),
    load=Load(slots=4, busy=0.0, score_rcu=1000),
    size=CallSize(argument_bytes=1000, result_bytes=10_000),
    host=Host(score_rcu=1000, busy=0.0),
    acquiring=Acquiring(source_bytes_per_s=1e7, start_s=0.5),
    calls=1000,
)


def placed(situation):
    choice = place(situation)
    assert isinstance(choice, Choice), choice
    return choice.placement


def changed(situation, name, **figures):
    """The situation with one of its parts changed."""
    return replace(situation, **{name: replace(getattr(situation, name), **figures)})


# --- cases ---------------------------------------------------------------------------


def test_between_equals_calls_stay_remote():
    assert placed(EVEN) == "remote"


def test_a_loaded_responder_makes_calls_local():
    assert placed(changed(EVEN, "load", busy=0.9)) == "local"
    assert placed(changed(EVEN, "load", active=4, queued=40)) == "local"


def test_a_thin_link_and_large_results_make_calls_local():
    thin = changed(EVEN, "link", down_bytes_per_s=1e5)
    assert placed(thin) == "local"
    assert placed(changed(thin, "size", result_bytes=10)) == "remote"


def test_a_long_way_makes_calls_local():
    assert placed(changed(EVEN, "link", rtt_s=0.2)) == "local"


def test_a_few_calls_are_not_worth_bringing_the_service_here():
    loaded = changed(EVEN, "load", busy=0.9)
    even = reckon(loaded).break_even_calls
    assert even is not None
    assert placed(replace(loaded, calls=even)) == "remote"
    assert placed(replace(loaded, calls=2 * even)) == "local"


def test_the_break_even_is_where_the_totals_meet():
    loaded = changed(EVEN, "load", busy=0.9)
    even = reckon(loaded).break_even_calls
    before, after = (reckon(replace(loaded, calls=calls)) for calls in (even - 1, even))
    assert before.local_total_s >= before.remote_total_s
    assert after.local_total_s < after.remote_total_s


def test_where_a_call_saves_nothing_no_number_of_calls_is_enough():
    slower = replace(EVEN, host=Host(score_rcu=200, busy=0.0), calls=1e9)
    assert placed(slower) == "remote"
    assert reckon(slower).break_even_calls is None


def test_a_service_that_is_here_already_costs_nothing_to_have():
    few = replace(changed(EVEN, "load", busy=0.9), calls=3)
    assert placed(few) == "remote"
    assert placed(changed(few, "acquiring", running=True)) == "local"


def test_an_environment_that_is_here_saves_the_fetch():
    costs = [
        reckon(replace(EVEN, acquiring=Acquiring(start_s=0.5, **there))).acquire_s
        for there in ({}, {"fetch_bytes": 10}, {"environment": True}, {"running": True})
    ]
    assert costs == sorted(costs, reverse=True)
    assert costs[-2:] == [0.5, 0.0]


def test_below_the_latency_budget_nothing_is_brought_here():
    loaded = changed(EVEN, "load", busy=0.9)
    assert placed(loaded) == "local"
    choice = place(replace(loaded, budget_s=1.0))
    assert choice.placement == "remote"
    assert choice.reasons == ("slow calls take 0.203 s there, within the budget of 1 s",)


def test_undesired_latency_makes_calls_local_however_few():
    slow = replace(changed(EVEN, "link", rtt_s=0.5), calls=1)
    assert placed(slow) == "remote"
    assert placed(replace(slow, budget_s=0.1)) == "local"


def test_a_budget_that_neither_place_keeps_leaves_it_to_the_totals():
    hopeless = replace(EVEN, budget_s=0.001)
    assert placed(hopeless) == "remote"
    assert placed(changed(hopeless, "load", busy=0.9)) == "local"
    assert "no less than" in place(hopeless).reasons[1]


# --- where they can go ----------------------------------------------------------------

FAR = replace(changed(EVEN, "link", rtt_s=10.0), calls=1e6)


@pytest.mark.parametrize(
    "bars", [{"shortfalls": (SHORT,)}, {"local_bars": ("no interpreter fits: it needs >=3.14",)}]
)
def test_what_does_not_fit_stays_remote_at_any_price(bars):
    assert placed(FAR) == "local"
    choice = place(replace(FAR, budget_s=0.01, **bars))
    assert choice.placement == "remote"
    assert "memory_peak_bytes needs" in choice.reasons[0] or "no interpreter fits" in choice.reasons[0]


def test_what_nobody_performs_there_comes_here():
    choice = place(replace(EVEN, remote_bars=("no common protocol",)))
    assert (choice.placement, choice.reasons) == ("local", ("no common protocol",))


def test_what_can_go_nowhere_is_refused_with_everything_in_the_way():
    refusal = place(replace(EVEN, shortfalls=(SHORT,), local_bars=("no room",), remote_bars=("silent",)))
    assert isinstance(refusal, Refusal)
    assert refusal.shortfalls == (SHORT,)
    assert refusal.reasons == (str(SHORT), "no room", "silent")


def test_the_wish_for_remote_overrides_a_service_that_is_here():
    here = changed(FAR, "acquiring", running=True)
    assert placed(here) == "local"
    choice = place(replace(here, wish="remote"))
    assert choice.placement == "remote"
    assert choice.reasons == ("asked for by the caller; the worker here is not used",)


def test_the_wish_for_local_never_goes_remote():
    assert placed(replace(EVEN, wish="local", calls=0)) == "local"
    refusal = place(replace(EVEN, wish="local", shortfalls=(SHORT,)))
    assert isinstance(refusal, Refusal)
    assert refusal.shortfalls == (SHORT,)
    assert "memory_peak_bytes needs" in str(refusal)


def test_the_wish_for_remote_never_comes_here():
    refusal = place(replace(FAR, wish="remote", remote_bars=("out of reach",), shortfalls=(SHORT,)))
    assert isinstance(refusal, Refusal)
    assert refusal.reasons == ("out of reach",)
    assert refusal.shortfalls == ()


# --- what is not known ---------------------------------------------------------------------


def test_nothing_is_moved_on_a_guess():
    choice = place(Situation(demand=DEMAND))
    assert choice.placement == "remote"


def test_every_number_that_was_not_measured_is_told():
    assumed = " ".join(place(Situation()).estimate.assumed)
    for name in (
        *("rtt_s", "up_bytes_per_s", "down_bytes_per_s", "argument_bytes", "result_bytes", "calls"),
        *("score_rcu", "busy", "load", "responder_score_rcu", "start_s", "cpu_call_p50_rcu_ms"),
    ):
        assert f"{name}: " in assumed, name
    assert place(EVEN).estimate.assumed == ()


def test_a_responder_that_tells_no_share_is_as_busy_as_its_slots():
    estimate = reckon(replace(EVEN, load=Load(slots=4, active=2)))
    assert estimate.figures["responder_busy"] == 0.5
    assert any(line.startswith("responder_busy: 0.5 assumed") for line in estimate.assumed)
    assert estimate.figures["responder_score_rcu"] == 1000


def test_numbers_and_reasons_are_plain_data():
    for told in (place(EVEN), place(Situation()), place(replace(EVEN, wish="local", shortfalls=(SHORT,)))):
        facts = told.facts()
        assert json.loads(json.dumps(facts, allow_nan=False)) == facts
        assert {"placement", "reasons", "expected_remote_s", "expected_local_s", "break_even_calls"} <= set(
            facts
        )
        assert facts["figures"]["rtt_s"] == 0.001


def test_people_read_the_same():
    told = str(place(EVEN))
    assert told.splitlines()[0].startswith("remote: 1,000 calls take ")
    assert "worth it from " in told or "for no number of calls" in told


@pytest.mark.parametrize(
    "build",
    [
        lambda: Host(score_rcu=0),
        lambda: Host(busy=1.1),
        lambda: Acquiring(fetch_bytes=-1),
        lambda: Acquiring(source_bytes_per_s=0),
        lambda: Situation(calls=float("nan")),
        lambda: Situation(budget_s=-1),
    ],
)
def test_figures_that_are_none_are_refused(build):
    with pytest.raises(ValueError, match=r"is none|figure of 0 or more|a share from 0 to 1"):
        build()


# --- what holds for all numbers ---------------------------------------------------------------

rates = st.floats(min_value=1e3, max_value=1e9)
shares = st.floats(min_value=0, max_value=1)
scores = st.integers(min_value=50, max_value=20_000)
maybe_places = st.sampled_from([None, "remote", "local"])


@st.composite
def situations(draw):
    work = draw(st.floats(min_value=0, max_value=1e6))
    return Situation(
        demand=Demand(
            cpu_call_p50_rcu_ms=work,
            cpu_call_p95_rcu_ms=work * draw(st.floats(min_value=0, max_value=10)),
            startup_s=draw(st.floats(min_value=0.1, max_value=60)),
            disk_bytes=draw(st.integers(0, 10**9)),
            download_bytes=draw(st.integers(0, 10**9)),
        ),
        link=Link(
            rtt_s=draw(st.floats(min_value=0, max_value=2)),
            rtt_deviation_s=draw(st.floats(min_value=0, max_value=1)),
            up_bytes_per_s=draw(rates),
            down_bytes_per_s=draw(rates),
        ),
        load=Load(
            slots=draw(st.integers(1, 32)),
            active=draw(st.integers(0, 64)),
            queued=draw(st.integers(0, 200)),
            busy=draw(shares),
            score_rcu=draw(scores),
        ),
        size=CallSize(argument_bytes=draw(st.integers(0, 10**7)), result_bytes=draw(st.integers(0, 10**7))),
        host=Host(score_rcu=draw(scores), busy=draw(shares)),
        acquiring=Acquiring(
            running=draw(st.booleans()), environment=draw(st.booleans()), source_bytes_per_s=draw(rates)
        ),
        calls=draw(st.floats(min_value=0, max_value=1e6)),
        budget_s=draw(st.none() | st.floats(min_value=0, max_value=10)),
        held=draw(maybe_places),
    )


def never_back(less, more):
    """Whatever speaks for local may turn remote into local, and never local into remote."""
    assert (placed(less), placed(more)) != ("local", "remote")


@given(situations(), st.data())
def test_more_load_never_makes_calls_remote(situation, data):
    load = situation.load
    more = replace(
        load,
        active=data.draw(st.integers(load.active, 100)),
        queued=data.draw(st.integers(load.queued, 300)),
        busy=data.draw(st.floats(min_value=load.busy, max_value=1)),
    )
    never_back(situation, replace(situation, load=more))


@given(situations(), st.data())
def test_less_bandwidth_never_makes_calls_remote(situation, data):
    """What the service itself would come over keeps its own figure: a slower source speaks for remote."""
    link = situation.link
    less = {
        name: data.draw(st.floats(min_value=1e2, max_value=getattr(link, name)))
        for name in ("up_bytes_per_s", "down_bytes_per_s")
    }
    never_back(situation, changed(situation, "link", **less))


@given(situations(), st.data())
def test_a_longer_way_never_makes_calls_remote(situation, data):
    longer = data.draw(st.floats(min_value=situation.link.rtt_s, max_value=10))
    never_back(situation, changed(situation, "link", rtt_s=longer))


@given(situations(), st.data())
def test_more_calls_never_make_them_remote(situation, data):
    """Unless a call here takes longer by more than the margin: then calls speak against it."""
    more = data.draw(st.floats(min_value=situation.calls, max_value=1e7))
    estimate = reckon(situation)
    if estimate.local_s <= estimate.remote_s * (1 + MARGIN):
        never_back(situation, replace(situation, calls=more))


@given(situations(), st.data())
def test_what_is_cheaper_to_have_is_never_left_for_it(situation, data):
    faster = data.draw(st.floats(min_value=situation.acquiring.source_bytes_per_s, max_value=1e10))
    never_back(situation, changed(situation, "acquiring", source_bytes_per_s=faster))


@given(situations(), st.data())
def test_a_busier_host_never_makes_calls_local(situation, data):
    busier = data.draw(st.floats(min_value=situation.host.busy, max_value=1))
    never_back(changed(situation, "host", busy=busier), situation)


@given(situations(), st.sampled_from(["auto", "remote", "local"]))
def test_what_does_not_fit_is_never_local(situation, wish):
    told = place(replace(situation, wish=wish, shortfalls=(SHORT,)))
    assert isinstance(told, Refusal) if wish == "local" else told.placement == "remote"


@given(situations(), st.booleans(), st.booleans())
def test_a_wish_is_kept_or_refused(situation, here, there):
    barred = replace(situation, local_bars=("b",) * here, remote_bars=("b",) * there)
    for wish, refused in (("local", here), ("remote", there)):
        told = place(replace(barred, wish=wish))
        assert isinstance(told, Refusal) if refused else told.placement == wish
    assert isinstance(place(barred), Refusal) == (here and there)


@given(situations(), st.lists(st.floats(min_value=0.95, max_value=1.05), min_size=2, max_size=40))
def test_estimates_that_swing_do_not_make_calls_flap(situation, swings):
    """
    Figures within 5 % of each other: calls move once at most, whatever the figures are.
    """
    held, moves = placed(situation), 0
    for swing in swings:
        rtt_s, rate = situation.link.rtt_s * swing, situation.link.down_bytes_per_s * swing
        now = replace(changed(situation, "link", rtt_s=rtt_s, down_bytes_per_s=rate), held=held)
        then, held = held, placed(now)
        moves += held != then
    assert moves <= 1


@given(situations())
def test_a_choice_that_is_held_is_chosen_again(situation):
    first = placed(situation)
    assert placed(replace(situation, held=first)) == first


# --- a policy of the host's own -----------------------------------------------------------


def heeded(situation, *opinions):
    return heed(place(situation), situation, opinions)


def test_the_first_policy_that_names_a_place_decides():
    choice = heeded(
        EVEN,
        Opinion(policy="shy"),
        Opinion(policy="mine", answer="local"),
        Opinion(policy="late", answer="remote"),
    )
    assert choice.placement == "local"
    assert choice.reasons[0] == "chosen by the policy mine"
    assert choice.estimate == place(EVEN).estimate


@pytest.mark.parametrize("answer", ["moon", "LOCAL", 1, True, ["local"], b"local", {"placement": "local"}])
def test_an_answer_that_is_no_place_is_not_heeded_and_told(answer):
    choice = heeded(EVEN, Opinion(policy="odd", answer=answer))
    assert choice.placement == place(EVEN).placement
    assert choice.reasons[-1].startswith("the policy odd answered ")


def test_a_policy_that_raised_is_told_and_the_next_is_asked():
    choice = heeded(
        EVEN, Opinion(policy="broken", error="KeyError: 'x'"), Opinion(policy="mine", answer="local")
    )
    assert choice.placement == "local"
    assert "the policy broken raised KeyError: 'x'" in choice.reasons


@given(situations(), maybe_places, st.sampled_from(["auto", "remote", "local"]), st.booleans(), st.booleans())
def test_no_policy_sends_calls_where_they_cannot_go(situation, answer, wish, here, there):
    barred = replace(situation, wish=wish, local_bars=("b",) * here, remote_bars=("b",) * there)
    told = heeded(barred, Opinion(policy="any", answer=answer))
    if wish != "auto" or here or there:
        assert told.facts()["placement"] == place(barred).facts()["placement"]
