"""What the stats-modern service answers, called without a worker and with whatever numpy is installed."""

from __future__ import annotations

import math

import pytest

np = pytest.importorskip("numpy")

from rld_stats_modern import Histogram, Stats  # noqa: E402 - needs numpy


@pytest.fixture
def stats():
    return Stats()


@pytest.fixture(params=["list", "array", "matrix", "integers", "every other"])
def one_to_four(request):
    """The numbers 1 to 4 in the forms that callers have them."""
    return {
        "list": [1.0, 2.0, 3.0, 4.0],
        "array": np.array([1.0, 2.0, 3.0, 4.0]),
        "matrix": np.array([[1.0, 2.0], [3.0, 4.0]]),
        "integers": np.array([1, 2, 3, 4], dtype=np.int32),
        "every other": np.array([1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 0.0])[::2],
    }[request.param]


def test_it_names_its_numpy(stats):
    assert stats.library() == np.__version__


def test_lists_and_arrays_of_any_shape_have_the_same_statistics(stats, one_to_four):
    assert stats.mean(one_to_four) == 2.5
    assert stats.std(one_to_four) == pytest.approx(math.sqrt(1.25))
    assert stats.std(one_to_four, ddof=1) == pytest.approx(math.sqrt(5 / 3))
    assert stats.quantiles(one_to_four, [0, 0.5, 1]) == [1.0, 2.5, 4.0]
    assert stats.histogram(one_to_four, bins=3) == Histogram(counts=[1, 1, 2], edges=[1.0, 2.0, 3.0, 4.0])


def test_a_description_has_eight_numbers(stats, one_to_four):
    assert stats.describe(one_to_four) == {
        "count": 4.0,
        "mean": 2.5,
        "std": pytest.approx(math.sqrt(1.25)),
        "min": 1.0,
        "25%": 1.75,
        "50%": 2.5,
        "75%": 3.25,
        "max": 4.0,
    }


def test_results_are_plain_numbers(stats, one_to_four):
    histogram = stats.histogram(one_to_four)
    assert type(stats.mean(one_to_four)) is float
    assert {type(value) for value in stats.describe(one_to_four).values()} == {float}
    assert {type(value) for value in stats.quantiles(one_to_four, [0.1, 0.9])} == {float}
    assert {type(count) for count in histogram.counts} == {int}
    assert {type(edge) for edge in histogram.edges} == {float}


def test_scaling_keeps_the_shape_and_leaves_the_input_alone(stats):
    values = np.arange(6.0).reshape(2, 3)

    scaled = stats.scale(values, 2.0)

    assert scaled.tolist() == [[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]]
    assert values.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert stats.scale([1.0, 2.0], 0.5).tolist() == [0.5, 1.0]
    assert stats.scale([], 2.0).tolist() == []


def test_read_only_arrays_are_taken_as_they_are(stats):
    values = np.arange(4.0)
    values.flags.writeable = False
    assert stats.mean(values) == 1.5
    assert stats.scale(values, 2.0).tolist() == [0.0, 2.0, 4.0, 6.0]


@pytest.mark.parametrize("values", [[], "no numbers", [[]]])
@pytest.mark.parametrize("operation", ["mean", "std", "histogram", "describe"])
def test_no_numbers_have_no_statistics(stats, operation, values):
    with pytest.raises(ValueError):
        getattr(stats, operation)(values)


@pytest.mark.parametrize("ddof", [-1, 2, 3])
def test_a_deviation_needs_more_values_than_are_taken_off(stats, ddof):
    with pytest.raises(ValueError, match=rf"ddof is {ddof}; of 2 values it may be 0 to 1"):
        stats.std([1.0, 2.0], ddof=ddof)


def test_a_quantile_outside_zero_to_one_is_refused(stats):
    with pytest.raises(ValueError):
        stats.quantiles([1.0], [1.5])


def test_nan_is_never_skipped(stats):
    assert math.isnan(stats.mean([1.0, math.nan]))
    with pytest.raises(ValueError):
        stats.histogram([1.0, math.nan])
