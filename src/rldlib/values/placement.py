"""Where calls go: what the choice is made of, and what was chosen with its reasons."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rldlib.values.link import CallSize, Link
from rldlib.values.profile import Demand

if TYPE_CHECKING:
    from rldlib.values.room import Shortfall
    from rldlib.values.support import Load

Place = Literal["remote", "local"]
Wish = Literal["auto", "remote", "local"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """How fast this host would perform the service; None is not measured.

    Attributes:
        score_rcu: What one hardware thread does, under the interpreter that would be used.
        busy: The share of its processors that is busy, 0 to 1.
    """

    score_rcu: int | None = None
    busy: float | None = None

    def __post_init__(self) -> None:
        if self.score_rcu is not None and self.score_rcu < 1:
            raise ValueError(f"a score of {self.score_rcu} RCU is none: at least 1")
        if self.busy is not None and not 0 <= self.busy <= 1:
            raise ValueError(f"busy is {self.busy}; it is a share from 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquiring:
    """What stands between this host and a local call.

    Attributes:
        running: A worker of the service is here: nothing does.
        environment: Its environment is here: a start does.
        fetch_bytes: What is to be fetched; None takes the profile's figure.
        source_bytes_per_s: How fast that comes; None is not measured.
        start_s: How long a start took here before; None takes the profile's limit.
    """

    running: bool = False
    environment: bool = False
    fetch_bytes: int | None = None
    source_bytes_per_s: float | None = None
    start_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("fetch_bytes", "source_bytes_per_s", "start_s"):
            figure = getattr(self, name)
            if figure is not None and not (math.isfinite(figure) and figure >= 0):
                raise ValueError(f"{name} is {figure}; it is a figure of 0 or more")
        if self.source_bytes_per_s == 0:
            raise ValueError("a source that gives 0 bytes a second is none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that a choice is made of. Nothing else has an influence.

    Attributes:
        demand: What the profile says that the service needs.
        wish: What the caller asked for.
        link: The way to the responder.
        load: How busy the responder said it is; None where it said nothing.
        size: What a call carries.
        host: How fast this host is.
        acquiring: What having the service here would cost.
        calls: How many calls are expected; None where nobody knows.
        budget_s: The longest latency of a call that its user bears; None where none was named.
        shortfalls: What this host lacks to hold the service; empty where it is held already.
        local_bars: Why else it cannot be performed here: no interpreter fits, an isolation that cannot hold.
        remote_bars: Why it cannot be performed there: nobody offers it, no common protocol, out of reach.
        held: Where its calls go now; None before the first.
    """

    demand: Demand = field(default_factory=Demand)
    wish: Wish = "auto"
    link: Link = field(default_factory=Link)
    load: Load | None = None
    size: CallSize = field(default_factory=CallSize)
    host: Host = field(default_factory=Host)
    acquiring: Acquiring = field(default_factory=Acquiring)
    calls: float | None = None
    budget_s: float | None = None
    shortfalls: tuple[Shortfall, ...] = ()
    local_bars: tuple[str, ...] = ()
    remote_bars: tuple[str, ...] = ()
    held: Place | None = None

    def __post_init__(self) -> None:
        for name in ("calls", "budget_s"):
            figure = getattr(self, name)
            if figure is not None and not (math.isfinite(figure) and figure >= 0):
                raise ValueError(f"{name} is {figure}; it is a figure of 0 or more")

    def bars(self, place: Place) -> tuple[str, ...]:
        """Why calls cannot go to a place; empty where they can."""
        if place == "remote":
            return self.remote_bars
        return (*map(str, self.shortfalls), *self.local_bars)

    @property
    def is_open(self) -> bool:
        """Whether there is anything to choose: no wish, and both places can perform it."""
        return self.wish == "auto" and not self.bars("local") and not self.bars("remote")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a call is expected to take in each place.

    Attributes:
        remote_s: A median call to the responder.
        remote_slow_s: One that few exceed: 95th percentile of the work, a slow round trip.
        local_s: A median call here.
        local_slow_s: One that few exceed.
        acquire_s: Until the service would be here, once.
        calls: How many calls that is weighed against.
        figures: Every number that went in, measured or assumed.
        assumed: A line for each number that was not measured.
    """

    remote_s: float
    remote_slow_s: float
    local_s: float
    local_slow_s: float
    acquire_s: float
    calls: float
    figures: dict[str, float]
    assumed: tuple[str, ...] = ()

    @property
    def break_even_calls(self) -> int | None:
        """From how many calls on the service is worth having here; None is never."""
        saved_s = self.remote_s - self.local_s
        if saved_s <= 0:
            return None
        calls = self.acquire_s / saved_s
        return math.floor(calls) + 1 if math.isfinite(calls) else None

    @property
    def remote_total_s(self) -> float:
        """All calls there."""
        return self.calls * self.remote_s

    @property
    def local_total_s(self) -> float:
        """Having it here, and all calls here."""
        return self.acquire_s + self.calls * self.local_s

    def facts(self) -> dict[str, Any]:
        """The estimate as plain data."""
        return {
            "expected_remote_s": self.remote_s,
            "expected_local_s": self.local_s,
            "slow_remote_s": self.remote_slow_s,
            "slow_local_s": self.local_slow_s,
            "acquire_s": self.acquire_s,
            "break_even_calls": self.break_even_calls,
            **{name: figure for name, figure in asdict(self).items() if name in {"calls", "figures"}},
            "assumed": list(self.assumed),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Where calls go.

    Attributes:
        placement: There.
        reasons: Why, the decisive one first.
        estimate: With every number.
    """

    placement: Place
    reasons: tuple[str, ...]
    estimate: Estimate

    def __str__(self) -> str:
        return _lines(self.placement, self.reasons, self.estimate)

    def facts(self) -> dict[str, Any]:
        """The choice as plain data, for `why`."""
        return {"placement": self.placement, "reasons": list(self.reasons), **self.estimate.facts()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Calls can go nowhere that the wish allows.

    Attributes:
        wish: What was asked for.
        reasons: Everything that is in the way.
        shortfalls: What this host lacks, where that is a part of it.
        estimate: As for a choice.
    """

    wish: Wish
    reasons: tuple[str, ...]
    shortfalls: tuple[Shortfall, ...]
    estimate: Estimate

    def __str__(self) -> str:
        return _lines("nowhere", self.reasons, self.estimate)

    def facts(self) -> dict[str, Any]:
        """The refusal as plain data, for `why`."""
        return {
            "placement": None,
            "wish": self.wish,
            "reasons": list(self.reasons),
            "shortfalls": [shortfall.facts() for shortfall in self.shortfalls],
            **self.estimate.facts(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What a host's own policy said; nothing of it is believed yet.

    Attributes:
        policy: The name of the plugin.
        answer: What it returned; None is no opinion.
        error: What it raised, as text; empty where it returned.
    """

    policy: str
    answer: object = None
    error: str = ""


def _lines(where: str, reasons: tuple[str, ...], estimate: Estimate) -> str:
    even = estimate.break_even_calls
    worth = "for no number of calls" if even is None else f"from {even:,} on"
    return "\n".join(
        (
            f"{where}: {'; '.join(reasons)}",
            f"a call: {_told(estimate.remote_s)} there, {_told(estimate.local_s)} here",
            f"a slow one: {_told(estimate.remote_slow_s)} there, {_told(estimate.local_slow_s)} here",
            f"to have it here: {_told(estimate.acquire_s)}, worth it {worth}; {estimate.calls:,g} expected",
            *estimate.assumed,
        )
    )


def _told(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
