"""Fixtures of the tests of faults."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults.harness import Scene


@pytest.fixture
def scene(tmp_path):
    """A service and an empty root."""
    return Scene(tmp_path)


@pytest.fixture(scope="module")
def warden():
    """``warden(**order)``: run a host, kill it at an instant, and report what it left."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.warden"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )

    def order(**order):
        process.stdin.write(f"{json.dumps({name: _plain(value) for name, value in order.items()})}\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    with process:
        yield order
        process.stdin.close()


def _plain(value):
    return str(value) if isinstance(value, Path) else value
