"""Arrays across the border: right, large, and side by side with another numpy."""

from __future__ import annotations

import sys

import pytest

import rldlib
from tests.services import service_wheel

np = pytest.importorskip("numpy")

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]
_64_MIB = 64 * 1024 * 1024
_CODE = """
import numpy as np
from rldlib.plugin import Service, operation


class Echo(Service):
    @operation
    def back(self, values: np.ndarray) -> np.ndarray:
        return values

    @operation
    def negative(self, values: np.ndarray) -> np.ndarray:
        return -values

    @operation
    def total(self, values: np.ndarray) -> float:
        return float(values.sum())
"""


@pytest.fixture(scope="module")
def numpy_wheels(tmp_path_factory, pip_download):
    folder = tmp_path_factory.mktemp("numpy")
    pip_download(folder, "numpy>=2")
    service_wheel(
        folder,
        code=_CODE,
        requires=["numpy>=2"],
        requires_python=f"=={sys.version_info[0]}.{sys.version_info[1]}.*",
    )
    return folder


def test_64_mib_go_there_and_back_unchanged_and_the_memory_is_used_again(numpy_wheels, tmp_path):
    values = np.arange(_64_MIB // 8, dtype=np.float64)
    with rldlib.LocalDaemon(wheels=numpy_wheels, root=tmp_path / "root") as daemon:
        echo = daemon.acquire("echo")
        for _ in range(3):
            answer = echo.negative(values=values)

            assert answer.dtype == values.dtype
            assert np.array_equal(answer, -values)
            del answer
        assert echo.total(values=values) == float(values.sum())


def test_an_array_outlives_the_call_the_next_calls_and_the_worker(numpy_wheels, tmp_path):
    with rldlib.LocalDaemon(wheels=numpy_wheels, root=tmp_path / "root") as daemon:
        echo = daemon.acquire("echo")
        kept = [echo.back(values=np.full(200_000, number)) for number in range(5)]
    assert [int(values[0]) for values in kept] == [0, 1, 2, 3, 4]
    assert all((values == values[0]).all() for values in kept)
