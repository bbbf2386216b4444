"""Spinning is for quick successions only, and where it does not pay it is left."""

from __future__ import annotations

import os
from itertools import pairwise

import pytest

from rldlib.wire.patience import SPIN_S, Patience

QUICK, LONG = SPIN_S / 2, SPIN_S * 10


@pytest.fixture
def patience(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    return Patience()


def test_it_sleeps_until_something_came_quickly(patience):
    assert patience.left == 0
    patience.slept(LONG)
    assert patience.left == 0
    patience.slept(QUICK)
    assert patience.left > 0


def test_with_one_processor_it_never_spins(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    patience = Patience()
    patience.slept(QUICK)

    assert patience.left == 0


def test_what_does_not_pay_is_tried_again_ever_more_rarely(patience):
    tried = []
    for wait in range(5000):
        if patience.left > 0:
            tried.append(wait)
        patience.slept(QUICK)
    pauses = [later - earlier for earlier, later in pairwise(tried)]

    assert 5 < len(tried) < 20
    assert pauses == sorted(pauses)


def test_a_few_losses_do_not_end_what_pays(patience):
    patience.slept(QUICK)
    for _ in range(20):
        patience.spun(QUICK)
    patience.slept(LONG)

    assert patience.left > 0


def test_what_came_late_though_it_spun_did_not_pay(patience):
    """Others had the processor meanwhile."""
    patience.slept(QUICK)
    patience.spun(LONG)

    assert patience.left < 0
