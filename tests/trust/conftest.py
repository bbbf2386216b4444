"""An authority, and a responder that serves it."""

from __future__ import annotations

import pytest
from tests.trust.responders import Clock, Responder

from rldlib.adapters.trust.authority import Authority


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def authority(tmp_path, clock):
    return Authority(tmp_path / "trust" / "own", clock)


@pytest.fixture
def responder(authority):
    with Responder(authority) as made:
        yield made
