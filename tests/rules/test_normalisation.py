"""RCU against raw seconds, on figures that ``python benchmarks/normalisation.py`` measured."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from pathlib import Path

MEASURED = json.loads((Path(__file__).parents[2] / "benchmarks" / "normalisation.json").read_text())


def _disagreement(cost) -> float:
    """How far two hosts disagree on what a service costs: the median over all pairs and services."""
    return statistics.median(
        abs(math.log(cost(one, work) / cost(other, work)))
        for one, other in itertools.combinations(MEASURED.values(), 2)
        for work in one["work_us"]
    )


def test_hosts_agree_better_on_what_a_service_costs_in_rcu_than_in_seconds():
    in_seconds = _disagreement(lambda host, work: host["work_us"][work])
    in_rcu = _disagreement(lambda host, work: host["work_us"][work] * host["rcu"])

    assert len(MEASURED) >= 3
    assert in_rcu < in_seconds
