"""The product's own measure: what a user's call costs here, and what it cost over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
_BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "latency.py"


def test_median_and_tail_of_a_call_are_told_for_both_sides_that_answer_the_same():
    done = subprocess.run(
        [sys.executable, _BENCHMARK, "--rounds", "3", "--calls", "60"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    named = [name for name in figures if "p50" in name or "p99" in name]
    assert len(named) >= 4
    assert all(figures[name]["median"] > 0 for name in named)
