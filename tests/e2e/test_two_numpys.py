"""Two services whose dependencies conflict run side by side, whatever the host has."""

from __future__ import annotations

import shutil

import pytest

import rldlib

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]


def test_two_numpys_run_side_by_side_in_one_host(example_wheels, pip_download, tmp_path):
    wheels = tmp_path / "wheels"
    shutil.copytree(example_wheels, wheels)
    # The classic one takes no Python from 3.13 on: wheels for both are there.
    for python in ("3.10", "3.11", "3.12"):
        pip_download(wheels, "numpy==1.26.4", python)
    for python in ("3.11", "3.12", "3.13"):
        pip_download(wheels, "numpy>=2,<2.4", python)

    with rldlib.LocalDaemon(wheels=wheels, root=tmp_path / "root") as daemon:
        classic, modern = daemon.acquire("stats-classic"), daemon.acquire("stats-modern")

        assert classic.library().startswith("1.26")
        assert modern.library().startswith("2.")
        assert classic.mean(values=[1.0, 2.0, 6.0]) == modern.mean(values=[1.0, 2.0, 6.0]) == 3.0
        assert classic.worker["environment"] != modern.worker["environment"]
