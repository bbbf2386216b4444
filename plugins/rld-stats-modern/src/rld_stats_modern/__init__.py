"""The service `stats-modern`: array statistics with numpy 2.

Its twin `stats-classic` does the same with numpy 1.26. Both are small wheels of
their own and share no code on purpose: neither may need the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rldlib.plugin import Service, operation

__all__ = ["Histogram", "Stats"]


@dataclass(frozen=True)
class Histogram:
    """How often values fall between neighbouring edges.

    Attributes:
        counts: How many values fell in each bin.
        edges: The bins' borders, one more than there are bins; the last bin holds its upper border.
    """

    counts: list[int]
    edges: list[float]


class Stats(Service):
    """Statistics of numbers given as a list or as an array of any shape.

    An array is taken as the numbers in it, reckoned in double precision. NaN
    is never skipped: it makes NaN, and a histogram of it is refused.
    """

    @operation(idempotent=True)
    def library(self) -> str:
        """The version of numpy that reckons here."""
        return np.__version__

    @operation(idempotent=True)
    def mean(self, values: list[float] | np.ndarray) -> float:
        """The arithmetic mean."""
        return float(_numbers(values).mean())

    @operation(idempotent=True)
    def std(self, values: list[float] | np.ndarray, ddof: int = 0) -> float:
        """The standard deviation.

        Args:
            values: The numbers.
            ddof: What is taken off their count: 0 for a population, 1 for a sample.

        Raises:
            ValueError: There are not more than `ddof` values.
        """
        numbers = _numbers(values)
        if not 0 <= ddof < numbers.size:
            raise ValueError(f"ddof is {ddof}; of {numbers.size} values it may be 0 to {numbers.size - 1}")
        return float(numbers.std(ddof=ddof))

    @operation(idempotent=True)
    def quantiles(self, values: list[float] | np.ndarray, at: list[float]) -> list[float]:
        """The values below which these fractions of all values lie, linearly between neighbours.

        Args:
            values: The numbers.
            at: Fractions from 0 to 1; 0.5 is the median.
        """
        return [float(value) for value in np.quantile(_numbers(values), at)]

    @operation(idempotent=True)
    def histogram(self, values: list[float] | np.ndarray, bins: int = 10) -> Histogram:
        """The counts in bins of equal width from the least value to the greatest."""
        counts, edges = np.histogram(_numbers(values), bins=bins)
        return Histogram(counts=[int(count) for count in counts], edges=[float(edge) for edge in edges])

    @operation(idempotent=True)
    def describe(self, values: list[float] | np.ndarray) -> dict[str, float]:
        """Count, mean, standard deviation of the population, and the five numbers of a box plot."""
        numbers = _numbers(values)
        least, lower, middle, upper, greatest = np.quantile(numbers, [0, 0.25, 0.5, 0.75, 1])
        return {
            "count": float(numbers.size),
            "mean": float(numbers.mean()),
            "std": float(numbers.std()),
            "min": float(least),
            "25%": float(lower),
            "50%": float(middle),
            "75%": float(upper),
            "max": float(greatest),
        }

    @operation(idempotent=True)
    def scale(self, values: list[float] | np.ndarray, factor: float) -> np.ndarray:
        """Every value times the factor, as an array of the same shape; what came in stays as it was."""
        return np.asarray(values, dtype=np.float64) * factor


def _numbers(values: list[float] | np.ndarray) -> np.ndarray:
    """The values in one dimension; none at all have no statistics."""
    numbers = np.asarray(values, dtype=np.float64).ravel()
    if not numbers.size:
        raise ValueError("values is empty; give at least one number")
    return numbers
