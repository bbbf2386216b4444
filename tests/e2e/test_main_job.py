"""From a directory or an index to an answer, and what is kept of it."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

import rldlib
from tests.services import ECHO, rld_json, service_wheel

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def wheels(tmp_path):
    folder = tmp_path / "wheels"
    service_wheel(folder)
    return folder


def test_a_service_of_a_directory_answers_without_any_network(wheels, tmp_path):
    with rldlib.LocalDaemon(wheels=wheels, root=tmp_path / "root") as daemon:
        echo = daemon.acquire("echo>=1")

        assert echo.double(amount=Decimal("19.99")) == Decimal("39.98")
        assert (echo.placement, echo.version) == ("local", "1.0")
        assert echo.worker["environment"].startswith(str(tmp_path / "root"))


def test_a_retained_service_starts_again_without_source_and_without_building(wheels, tmp_path):
    first = rld_json("call", "echo", "echo", "value=1", "--wheels", wheels, "--root", tmp_path / "root")
    for wheel in wheels.iterdir():
        wheel.unlink()

    again = rld_json("call", "echo", "echo", "value=1", "--root", tmp_path / "root")

    assert [step["name"] for step in again["steps"]] == ["promise", "start", "call"]
    assert again["worker"]["environment"] == first["worker"]["environment"]


def test_two_threads_that_ask_at_once_get_one_worker(wheels, tmp_path):
    with rldlib.LocalDaemon(wheels=wheels, root=tmp_path / "root") as daemon, ThreadPoolExecutor(4) as pool:
        handles = list(pool.map(daemon.acquire, ["echo"] * 4))

        assert len({handle.worker["pid"] for handle in handles}) == 1


def test_several_services_are_performed_by_one_daemon(wheels, tmp_path):
    service_wheel(wheels, "second")
    service_wheel(wheels, "third")
    with rldlib.LocalDaemon(wheels=wheels, root=tmp_path / "root") as daemon:
        handles = [daemon.acquire(name) for name in ("echo", "second", "third")]

        assert [handle.echo(value=handle.service) for handle in handles] == ["echo", "second", "third"]
        assert len({handle.worker["pid"] for handle in handles}) == 3


def test_two_daemons_in_one_process_share_nothing(wheels, tmp_path):
    with (
        rldlib.LocalDaemon(wheels=wheels, root=tmp_path / "a") as one,
        rldlib.LocalDaemon(wheels=wheels, root=tmp_path / "b") as other,
    ):
        first, second = one.acquire("echo"), other.acquire("echo")

        assert first.worker["pid"] != second.worker["pid"]
        assert first.worker["environment"] != second.worker["environment"]
        one.close()
        assert second.echo(value="still here") == "still here"


def test_a_version_that_changed_under_its_name_is_refused_until_released(wheels, tmp_path):
    root = tmp_path / "root"
    rld_json("acquire", "echo", "--wheels", wheels, "--root", root)
    pinned = rld_json("lock", "echo", "--root", root)
    service_wheel(wheels, code=ECHO + "\n# changed\n")
    service_wheel(wheels, "echo", "0.9")
    rld_json("gc", "--root", root)

    error = rld_json("call", "echo", "echo", "value=1", "--wheels", wheels, "--root", root, status=5)["error"]

    assert "rld release echo" in error["message"]
    assert rld_json("lock", "echo", "--root", root) == pinned
    rld_json("release", "echo", "--root", root)
    assert rld_json("call", "echo", "echo", "value=1", "--wheels", wheels, "--root", root)["result"] == 1


def test_a_wheel_that_holds_another_service_is_refused(tmp_path):
    service_wheel(tmp_path / "wheels", "other", distribution="rld-tax")

    error = rld_json(
        "call", "tax@rld-tax", "echo", "--wheels", tmp_path / "wheels", "--root", tmp_path / "r", status=5
    )

    assert "expected tax, found other" in error["error"]["message"]


def test_a_data_resource_shipped_in_the_wheel_is_found_by_its_hash_and_in_order(tmp_path):
    data, template = b'{"WA": "6.5"}', b"hello"
    code = (
        "from rldlib.plugin import Service, operation\n\n"
        "class Echo(Service):\n"
        "    def start(self, resources):\n"
        "        self.names, self.rates = list(resources.names), resources.json('rates')\n"
        "    @operation\n"
        "    def told(self):\n"
        "        return [self.names, self.rates]\n"
    )
    resources = [
        {
            "name": "template",
            "kind": "data",
            "sha256": hashlib.sha256(template).hexdigest(),
            "size": 5,
            "requires": ["rates"],
        },
        {"name": "rates", "kind": "data", "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)},
        {"name": "extra", "kind": "x-unheard-of", "sha256": "0" * 64, "size": 1, "required": False},
    ]
    blobs = tmp_path / "wheels" / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (blobs / hashlib.sha256(template).hexdigest()).write_bytes(template)
    service_wheel(tmp_path / "wheels", code=code, files={"rates.json": data}, resources=resources)

    told = rld_json("call", "echo", "told", "--wheels", tmp_path / "wheels", "--root", tmp_path / "root")

    assert told["result"] == [["rates", "template"], {"WA": "6.5"}]


def test_after_life_terminate_stops_the_worker_and_keeps_the_environment(tmp_path):
    service_wheel(tmp_path / "wheels", life={"after_use": "terminate"})
    with rldlib.LocalDaemon(wheels=tmp_path / "wheels", root=tmp_path / "root") as daemon:
        echo = daemon.acquire("echo")
        environment, pid = echo.worker["environment"], echo.worker["pid"]
        echo.release()

        assert daemon.acquire("echo").worker["pid"] != pid
    assert (tmp_path / "root").joinpath(environment).is_dir()


def test_after_life_retain_keeps_the_worker_for_the_next_handle(wheels, tmp_path):
    with rldlib.LocalDaemon(wheels=wheels, root=tmp_path / "root") as daemon:
        echo = daemon.acquire("echo")
        pid = echo.worker["pid"]
        echo.release()

        assert daemon.acquire("echo").worker["pid"] == pid


def test_after_life_delete_leaves_no_environment_no_wheel_and_no_history(tmp_path):
    service_wheel(tmp_path / "wheels", life={"after_use": "delete"})
    root = tmp_path / "root"

    rld_json("call", "echo", "echo", "value=1", "--wheels", tmp_path / "wheels", "--root", root)

    left = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    assert not [path for path in left if "echo" in path or "environments" in path or ".whl" in path], left
    rld_json("why", "echo", "--root", root, status=4)
