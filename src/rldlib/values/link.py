"""What is known of the way to a responder: estimates that each measurement moves a little."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

# RFC 6298, 2.3: the weights of a new sample, as fractions, in the smoothed time and in its deviation.
_TIME_WEIGHT = 1 / 8
_DEVIATION_WEIGHT = 1 / 4
# RFC 6298, 2.2 and 2.3: what is rarely exceeded lies so many deviations above.
_DEVIATIONS = 4
# A change of bandwidth should show within a few transfers; there are far fewer of them than of round trips.
_RATE_WEIGHT = 1 / 4
# Below it a transfer's time is that of its round trip.
_LEAST_BYTES = 16 * 1024
# What no network does; it keeps a clock's tick from becoming an infinite rate.
_MOST_BYTES_PER_S = 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Round trips and transfers to one responder, smoothed; None is not measured yet.

    Attributes:
        rtt_s: The smoothed round-trip time (SRTT of RFC 6298).
        rtt_deviation_s: Its smoothed deviation (RTTVAR).
        up_bytes_per_s: What it takes from here.
        down_bytes_per_s: What comes from it.
    """

    rtt_s: float | None = None
    rtt_deviation_s: float | None = None
    up_bytes_per_s: float | None = None
    down_bytes_per_s: float | None = None

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            figure = getattr(self, name)
            if figure is not None and not (math.isfinite(figure) and figure >= 0):
                raise ValueError(f"{name} is {figure}; it is a figure of 0 or more")
        if 0 in {self.up_bytes_per_s, self.down_bytes_per_s}:
            raise ValueError("a link that carries 0 bytes a second is none")

    @property
    def slow_rtt_s(self) -> float | None:
        """What a round trip rarely exceeds: SRTT + 4 RTTVAR."""
        if self.rtt_s is None:
            return None
        return self.rtt_s + _DEVIATIONS * (self.rtt_deviation_s or 0.0)

    def round_trip(self, seconds: float) -> Link:
        """The link after one more round trip; exchanges that were repeated tell none (Karn's algorithm)."""
        _measured(seconds)
        if self.rtt_s is None or self.rtt_deviation_s is None:
            return replace(self, rtt_s=seconds, rtt_deviation_s=seconds / 2)
        # The deviation first: it is that from the time expected until now.
        deviation = _blend(self.rtt_deviation_s, abs(self.rtt_s - seconds), _DEVIATION_WEIGHT)
        return replace(self, rtt_s=_blend(self.rtt_s, seconds, _TIME_WEIGHT), rtt_deviation_s=deviation)

    def sent(self, size_bytes: int, seconds: float) -> Link:
        """The link after so many bytes went up; a small transfer tells nothing of its rate."""
        return replace(self, up_bytes_per_s=self._rate(self.up_bytes_per_s, size_bytes, seconds))

    def received(self, size_bytes: int, seconds: float) -> Link:
        """The link after so many bytes came down."""
        return replace(self, down_bytes_per_s=self._rate(self.down_bytes_per_s, size_bytes, seconds))

    def _rate(self, known: float | None, size_bytes: int, seconds: float) -> float | None:
        _measured(seconds)
        if size_bytes < _LEAST_BYTES:
            return known
        rate = size_bytes / max(seconds, size_bytes / _MOST_BYTES_PER_S)
        if known is None:
            return rate
        # Seconds are what adds up, so seconds per byte are blended, not bytes per second.
        return 1 / _blend(1 / known, 1 / rate, _RATE_WEIGHT)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSize:
    """What a call of a service carries, smoothed; None is not measured yet.

    Attributes:
        argument_bytes: To the service.
        result_bytes: From it.
    """

    argument_bytes: float | None = None
    result_bytes: float | None = None

    def __post_init__(self) -> None:
        for figure in (self.argument_bytes, self.result_bytes):
            if figure is not None and not (math.isfinite(figure) and figure >= 0):
                raise ValueError(f"a call of {figure} bytes is none")

    def seen(self, argument_bytes: int, result_bytes: int) -> CallSize:
        """The sizes after one more call."""
        return CallSize(
            argument_bytes=_next(self.argument_bytes, argument_bytes),
            result_bytes=_next(self.result_bytes, result_bytes),
        )


def _next(known: float | None, figure: int) -> float:
    return float(figure) if known is None else _blend(known, figure, _TIME_WEIGHT)


def _blend(known: float, new: float, weight: float) -> float:
    return (1 - weight) * known + weight * new


def _measured(seconds: float) -> None:
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"{seconds} s is no measurement; a monotonic clock gives 0 or more")
