"""Where calls go: to the responder, or here. A function of measured numbers and of nothing else.

Three questions, in this order: where *can* they go, what does their user
bear, and what costs less over the calls that are expected. What is not
measured is assumed in favour of the responder, and told: nothing is moved
on a guess.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from rldlib.values.placement import Choice, Estimate, Place, Refusal
from rldlib.values.score import CONSERVATIVE_RCU

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldlib.values.placement import Opinion, Situation

# Assumed where nothing was measured: a good local network, a source like a home's, a host at half load.
ASSUMED_RTT_S = 0.001
ASSUMED_BYTES_PER_S = 100e6
ASSUMED_SOURCE_BYTES_PER_S = 1e6
ASSUMED_CALL_BYTES = 1024.0
ASSUMED_BUSY = 0.5
ASSUMED_CALLS = 1.0
# How fast an environment is unpacked and flushed to a slow disk, and the least that making one takes.
BUILD_BYTES_PER_S = 20e6
BUILD_S = 0.5
# A call over the local channel: two wake-ups of a process.
LOCAL_CALL_S = 0.0001
# Calls leave where they are only for what is better by more than this share: estimates swing by less.
MARGIN = 0.25
# A processor that is busy all the time still gives everyone a turn.
_MOST_BUSY = 0.99


def place(situation: Situation) -> Choice | Refusal:
    """Choose, or say what is in the way.

    ``remote`` overrides a service that is here already; ``local`` never goes
    to the responder. Without a wish, one place that cannot perform the service leaves the other.
    """
    estimate = reckon(situation)
    here, there = situation.bars("local"), situation.bars("remote")
    match situation.wish:
        case "local" if here:
            return _refused(situation, here, estimate)
        case "remote" if there:
            return _refused(situation, there, estimate)
        case "local" | "remote" as wish:
            unused = wish == "remote" and situation.acquiring.running
            reason = f"asked for by the caller{'; the worker here is not used' if unused else ''}"
            return Choice(placement=wish, reasons=(reason,), estimate=estimate)
        case "auto":
            if here and there:
                return _refused(situation, here + there, estimate)
            if here or there:
                only: Place = "remote" if here else "local"
                return Choice(placement=only, reasons=here or there, estimate=estimate)
            return _weighed(situation, estimate)


def heed(choice: Choice | Refusal, situation: Situation, opinions: Sequence[Opinion]) -> Choice | Refusal:
    """The choice after a host's own policies were asked: the first that names a place decides.

    They are asked where there is something to choose. What they answer is
    checked all the same: a policy that raises, names no place, or names one
    that cannot perform the service is not heeded, and the reasons say so.
    """
    if isinstance(choice, Refusal):
        return choice
    notes: list[str] = []
    for opinion in opinions:
        if opinion.error:
            notes.append(f"the policy {opinion.policy} raised {opinion.error}")
        elif opinion.answer is None:
            continue
        elif not situation.is_open:
            notes.append(f"the policy {opinion.policy} was not heeded: there is nothing to choose")
        elif not isinstance(opinion.answer, str) or opinion.answer not in get_args(Place):
            notes.append(f"the policy {opinion.policy} answered {opinion.answer!r:.60}, which is no place")
        else:
            chosen: Place = "local" if opinion.answer == "local" else "remote"
            reasons = (f"chosen by the policy {opinion.policy}", *choice.reasons, *notes)
            return Choice(placement=chosen, reasons=reasons, estimate=choice.estimate)
    return replace(choice, reasons=(*choice.reasons, *notes))


def _refused(situation: Situation, reasons: tuple[str, ...], estimate: Estimate) -> Refusal:
    shortfalls = () if situation.wish == "remote" else situation.shortfalls
    return Refusal(wish=situation.wish, reasons=reasons, shortfalls=shortfalls, estimate=estimate)


def _weighed(situation: Situation, estimate: Estimate) -> Choice:
    """Both places can: the latency that is borne, then the time that all calls take together."""
    held: Place = situation.held or ("local" if situation.acquiring.running else "remote")
    reasons: list[str] = []
    if situation.budget_s is not None:
        placement, reason = _within(situation.budget_s, held, estimate, running=situation.acquiring.running)
        if placement is not None:
            return Choice(placement=placement, reasons=(reason,), estimate=estimate)
        if reason:
            reasons.append(reason)
    here, there = estimate.local_total_s, estimate.remote_total_s
    compared = f"{estimate.calls:,g} calls take {here:.3g} s here with all it costs, {there:.3g} s there"
    if held == "local":
        placement = "remote" if there * (1 + MARGIN) < here else "local"
    else:
        placement = "local" if here * (1 + MARGIN) < there else "remote"
    if placement == held:
        compared += f"; it stays {held} but for a gain of {MARGIN:.0%}"
    return Choice(placement=placement, reasons=(compared, *reasons), estimate=estimate)


def _within(budget_s: float, held: Place, estimate: Estimate, *, running: bool) -> tuple[Place | None, str]:
    """The place that the latency budget decides for; None where it does not.

    Undesired latency is what moves a service. While there is none, nothing is brought here.
    """
    slow_there, slow_here = estimate.remote_slow_s, estimate.local_slow_s
    # What calls go to now may be a little worse than what they would move to.
    borne_there = slow_there <= budget_s * (1 - MARGIN if held == "local" else 1)
    borne_here = slow_here <= budget_s * (1 + MARGIN if held == "local" else 1)
    if borne_there:
        if running:
            return None, ""
        return "remote", f"slow calls take {slow_there:.3g} s there, within the budget of {budget_s:.3g} s"
    told = f"slow calls take {slow_there:.3g} s there, the budget is {budget_s:.3g} s"
    if borne_here:
        return "local", f"{told}, and {slow_here:.3g} s here"
    return None, f"{told}, and no less than {slow_here:.3g} s here either"


def reckon(situation: Situation) -> Estimate:
    """What a call would take in each place, with every number that went in."""
    known = _Known(situation)
    figures = known.figures
    carried_s = (
        figures["argument_bytes"] / figures["up_bytes_per_s"]
        + figures["result_bytes"] / figures["down_bytes_per_s"]
    )
    there = _Processor(figures["responder_score_rcu"], figures["responder_busy"], figures["ahead"])
    here = _Processor(figures["score_rcu"], figures["busy"], 0)
    median = situation.demand.cpu_call_p50_rcu_ms
    slow = max(median, situation.demand.cpu_call_p95_rcu_ms)
    return Estimate(
        remote_s=figures["rtt_s"] + carried_s + there.takes_s(median),
        remote_slow_s=figures["slow_rtt_s"] + carried_s + there.takes_s(slow),
        local_s=LOCAL_CALL_S + here.takes_s(median),
        local_slow_s=LOCAL_CALL_S + here.takes_s(slow),
        acquire_s=_acquire_s(situation, figures),
        calls=figures["calls"],
        figures=figures,
        assumed=tuple(known.assumed),
    )


class _Processor:
    """A processor that many share, each getting its turns: work takes 1 / (1 - busy) times as long."""

    def __init__(self, score_rcu: float, busy: float, ahead: float) -> None:
        self._rcu = score_rcu * (1 - min(busy, _MOST_BUSY))
        self._ahead = ahead

    def takes_s(self, work_rcu_ms: float) -> float:
        """The time of a call's work, and of the work that is done before it."""
        return work_rcu_ms / self._rcu / 1e3 * (1 + self._ahead)


def _acquire_s(situation: Situation, figures: dict[str, float]) -> float:
    if situation.acquiring.running:
        return 0.0
    if situation.acquiring.environment:
        return figures["start_s"]
    fetch_s = figures["fetch_bytes"] / figures["source_bytes_per_s"]
    return fetch_s + BUILD_S + situation.demand.disk_bytes / BUILD_BYTES_PER_S + figures["start_s"]


class _Known:
    """The numbers of a situation; those that were not measured are assumed, and told."""

    def __init__(self, situation: Situation) -> None:
        self.figures: dict[str, float] = {}
        self.assumed: list[str] = []
        link, size = situation.link, situation.size
        rtt_s = self._take("rtt_s", link.rtt_s, ASSUMED_RTT_S)
        self.figures["slow_rtt_s"] = rtt_s if link.slow_rtt_s is None else link.slow_rtt_s
        self._take("up_bytes_per_s", link.up_bytes_per_s, ASSUMED_BYTES_PER_S)
        self._take("down_bytes_per_s", link.down_bytes_per_s, ASSUMED_BYTES_PER_S)
        self._take("argument_bytes", size.argument_bytes, ASSUMED_CALL_BYTES)
        self._take("result_bytes", size.result_bytes, ASSUMED_CALL_BYTES)
        self._take("calls", situation.calls, ASSUMED_CALLS)
        score = self._take("score_rcu", situation.host.score_rcu, CONSERVATIVE_RCU)
        self._take("busy", situation.host.busy, ASSUMED_BUSY)
        self._responder(situation, score)
        acquiring, demand = situation.acquiring, situation.demand
        fetched = demand.download_bytes if acquiring.fetch_bytes is None else acquiring.fetch_bytes
        self.figures["fetch_bytes"] = 0 if acquiring.environment or acquiring.running else fetched
        if self.figures["fetch_bytes"]:
            self._take("source_bytes_per_s", acquiring.source_bytes_per_s, ASSUMED_SOURCE_BYTES_PER_S)
        else:
            self.figures["source_bytes_per_s"] = acquiring.source_bytes_per_s or ASSUMED_SOURCE_BYTES_PER_S
        self.figures["start_s"] = demand.startup_s if acquiring.start_s is None else acquiring.start_s
        if acquiring.start_s is None and not acquiring.running:
            self.assumed.append(
                f"start_s: {demand.startup_s:g} is the profile's limit; none was measured here"
            )
        if not demand.cpu_call_p50_rcu_ms:
            self.assumed.append("cpu_call_p50_rcu_ms: 0; the profile says of no work in a call")

    def _responder(self, situation: Situation, score: float) -> None:
        load = situation.load
        if load is None:
            self.assumed.append("load: idle assumed; the responder told none")
            slots, taken, queued, busy, told = 1, 0, 0, 0.0, None
        else:
            slots, taken, queued, told = load.slots, load.active, load.queued, load.score_rcu
            busy = self._take("responder_busy", load.busy, min(1.0, load.active / load.slots))
        self.figures["responder_busy"] = busy
        # How many calls' time passes until a slot is free for this one.
        self.figures["ahead"] = max(0, taken + queued + 1 - slots) / slots
        # As fast as this host, which favours neither.
        self._take("responder_score_rcu", told, score)

    def _take(self, name: str, measured: float | None, otherwise: float) -> float:
        if measured is None:
            self.assumed.append(f"{name}: {otherwise:,g} assumed; none measured")
        self.figures[name] = otherwise if measured is None else measured
        return self.figures[name]
