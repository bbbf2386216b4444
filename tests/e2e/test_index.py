"""The main job against a package index, with the bytes that it sent."""

from __future__ import annotations

import os

import pytest

import rldlib
from tests.services import service_wheel
from tests.sources.hosts import bare_index_of, index_of
from tests.wheels import make_wheel

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
_PAYLOAD = 4 * 1024 * 1024
_PREFIX = 64 * 1024
_GREEDY = {"memory_peak_bytes": 2**50}


def _payload() -> dict[str, bytes]:
    return {"payload.bin": os.urandom(_PAYLOAD)}


def _of_wheels(served) -> dict[str, int]:
    return {path: sent for path, sent in served.sent.items() if path.endswith(".whl")}


def test_a_refusal_costs_the_profile_and_no_byte_of_the_payload(tmp_path):
    wheel = service_wheel(tmp_path / "wheels", files=_payload(), demand=_GREEDY)
    with (
        index_of(tmp_path / "wheels") as served,
        rldlib.LocalDaemon(index_url=served.url, root=tmp_path / "root") as daemon,
    ):
        with pytest.raises(rldlib.CapacityError, match=r"memory_peak_bytes needs 1024\.0 TiB"):
            daemon.acquire("echo")

        assert wheel.stat().st_size > _PAYLOAD
        assert _of_wheels(served) == {}
        assert served.total < 4096
    assert not (tmp_path / "root" / "store").exists()
    assert not (tmp_path / "root" / "services").exists()


def test_a_refusal_costs_at_most_a_prefix_where_the_index_serves_no_ranges(tmp_path):
    service_wheel(tmp_path / "wheels", files=_payload(), demand=_GREEDY)
    with (
        bare_index_of(tmp_path / "wheels") as served,
        rldlib.LocalDaemon(index_url=served.url, root=tmp_path / "root") as daemon,
    ):
        with pytest.raises(rldlib.CapacityError):
            daemon.acquire("echo")
        received = daemon.why("echo")[-1]["received_bytes"]

    assert 0 < received < _PREFIX + 4096
    assert served.total < 8 * _PREFIX
    assert not (tmp_path / "root" / "store").exists()


def test_the_nearest_version_that_fits_is_proposed(tmp_path):
    service_wheel(tmp_path / "wheels", "echo", "2.0", demand=_GREEDY)
    service_wheel(tmp_path / "wheels", "echo", "1.5", demand={"memory_peak_bytes": 1024})
    service_wheel(tmp_path / "wheels", "echo", "1.0")
    with (
        index_of(tmp_path / "wheels") as served,
        rldlib.LocalDaemon(index_url=served.url, root=tmp_path / "root") as daemon,
    ):
        with pytest.raises(rldlib.CapacityError, match=r"version 1\.5 would fit") as refused:
            daemon.acquire("echo")

        assert refused.value.alternative is not None
        assert daemon.acquire("echo==1.5").version == "1.5"


def test_the_next_service_uses_the_wheels_that_are_there(tmp_path):
    make_wheel(tmp_path / "wheels", "shared", "1.0", files={"shared.py": "value = 7\n"})
    service_wheel(tmp_path / "wheels", "one", requires=["shared"])
    service_wheel(tmp_path / "wheels", "two", requires=["shared"])
    with (
        index_of(tmp_path / "wheels") as served,
        rldlib.LocalDaemon(index_url=served.url, root=tmp_path / "root") as daemon,
    ):
        daemon.acquire("one")
        daemon.acquire("two")

        assert (
            sum(
                asked for path, asked in served.asked.items() if path.endswith("/shared-1.0-py3-none-any.whl")
            )
            == 1
        )


def test_a_retained_service_causes_no_traffic_at_all(tmp_path):
    service_wheel(tmp_path / "wheels")
    with index_of(tmp_path / "wheels") as served:
        asked = []
        for _ in range(2):
            with rldlib.LocalDaemon(index_url=served.url, root=tmp_path / "root") as daemon:
                daemon.acquire("echo").echo(value=1)
                asked.append(served.asked.total())

        assert asked[0] == asked[1] > 0


def test_a_service_is_found_by_its_distribution_and_by_the_usual_prefix(tmp_path):
    service_wheel(tmp_path / "wheels", "plain", distribution="plain")
    service_wheel(tmp_path / "wheels", "prefixed")
    service_wheel(tmp_path / "wheels", "elsewhere", distribution="acme-tools")
    with (
        index_of(tmp_path / "wheels") as served,
        rldlib.LocalDaemon(index_url=served.url, root=tmp_path / "root") as daemon,
    ):
        names = [daemon.acquire(text).service for text in ("plain", "prefixed", "elsewhere@acme-tools")]

        assert names == ["plain", "prefixed", "elsewhere"]
        with pytest.raises(rldlib.ServiceNotFoundError):
            daemon.acquire("elsewhere2")


def test_a_wrong_platform_is_refused_with_what_it_needs(tmp_path):
    service_wheel(tmp_path / "wheels").rename(tmp_path / "wheels" / "rld_echo-1.0-py3-none-win_amd64.whl")
    with (
        index_of(tmp_path / "wheels") as served,
        rldlib.LocalDaemon(index_url=served.url, root=tmp_path / "root") as daemon,
        pytest.raises(rldlib.InterpreterNotFoundError, match="py3-none-win_amd64"),
    ):
        daemon.acquire("echo")
    assert not (tmp_path / "root" / "store").exists()
