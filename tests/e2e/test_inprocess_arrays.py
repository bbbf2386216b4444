"""Arrays in the host's own process: its own numpy, and no memory that two may write."""

from __future__ import annotations

import pytest

import rldlib
from tests.services import service_wheel

np = pytest.importorskip("numpy")

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]

_CODE = """
import numpy
from rldlib.plugin import Service, operation


class Echo(Service):
    @operation
    def fill(self, values: numpy.ndarray) -> numpy.ndarray:
        values[:] = 7
        self.kept = values
        return values

    @operation
    def kept_sum(self) -> float:
        return float(self.kept.sum())

    @operation
    def same(self, file: str) -> bool:
        return numpy.__file__ == file
"""


@pytest.mark.parametrize("mode", ["process", "inprocess"])
def test_an_array_is_shared_with_nobody(tmp_path, pip_download, mode):
    pip_download(tmp_path, f"numpy=={np.__version__}")
    service_wheel(tmp_path, "inp-numpy", code=_CODE, requires=[f"numpy=={np.__version__}"])
    values = np.zeros((512, 512))
    with rldlib.LocalDaemon(wheels=tmp_path, root=tmp_path / "root") as daemon:
        handle = daemon.acquire("inp-numpy", mode=mode)
        told = handle.fill(values=values)
        told[0, 0] = 0

        assert values.sum() == 0
        assert told.flags.writeable
        assert handle.kept_sum() == 7 * values.size
        assert handle.same(file=np.__file__) is (mode == "inprocess")


def test_another_numpy_than_the_hosts_is_refused_by_name(tmp_path, pip_download):
    pip_download(tmp_path, "numpy<2")
    service_wheel(tmp_path, "inp-old-numpy", code=_CODE, requires=["numpy<2"])
    with rldlib.LocalDaemon(wheels=tmp_path, root=tmp_path / "root") as daemon:
        with pytest.raises(rldlib.InProcessRefusedError) as told:
            daemon.acquire("inp-old-numpy", mode="inprocess")

        (reason,) = told.value.reasons
        assert reason.startswith(f"this process has numpy {np.__version__} (")
        assert "the service pins 1." in reason
        assert list((tmp_path / "root").rglob("*.whl")) == []
