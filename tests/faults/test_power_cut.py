"""A power cut after any flush or rename: what was not flushed is lost, in part or whole."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.faults.harness import Scene
from tests.faults.power import Disk, restore
from tests.faults.tally import injected

from rldlib.adapters.collection import collect
from rldlib.adapters.environments import Environments
from rldlib.adapters.host_directory import host_directory

pytestmark = [pytest.mark.faults, pytest.mark.slow]
_SEED = 7
# Of all that differ; each is a root of its own, and is used.
_LOOKED_AT = 60
_BY_HAND = b"raise ImportError('damaged')\n"


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path / "root", _SEED)
    yield disk
    disk.close()


def _life_of_a_root(scene, disk):
    """Built, flushed, damaged, healed, flushed again, and collected; what was certain once it was flushed."""
    with scene.daemon(disk) as host:
        environment = Path(host.prepare("echo")["environment"])
    _flush(scene, disk, environment)
    next(environment.glob("lib/*/*/rld_echo.py")).write_bytes(_BY_HAND)
    with scene.daemon(disk) as host:
        host.acquire("echo")
    _flush(scene, disk, environment)
    flushed = disk.layouts[-3]
    collect(scene.root, [], files=disk)
    return flushed


def _flush(scene, disk, environment):
    Environments(scene.root, host_directory(), files=disk)._flushing.flush(environment.name)


def test_a_power_cut_at_any_instant_leaves_nothing_that_is_taken_for_whole(disk, tmp_path, monkeypatch):
    scene = Scene(tmp_path)
    flushed = _life_of_a_root(scene, disk)
    different = list(
        {repr(sorted(layout.items())): layout for layout in disk.layouts if not _is_damaged(layout)}.values()
    )
    assert len(different) > 50
    # The boot that built them is over.
    monkeypatch.setattr("rldlib.adapters.environments.flushing.boot", lambda: "another boot")
    chosen = random.Random(_SEED).sample(different, min(_LOOKED_AT, len(different)))
    for number, layout in enumerate([*chosen, flushed]):
        after = Scene(tmp_path, root=tmp_path / f"after-{number}")
        restore(layout, after.root)
        injected("power cut")

        after.expect_nothing_half_done(after_power_cut=True)
        # Else the images would prove nothing of environments.
        assert layout is not flushed or _is_found(after)
        after.expect_next_prepare()
        after.expect_nothing_left()
    after.expect_next_acquire()


def _is_damaged(layout):
    """Whether the damage made by the test lies in an environment: a failing start tells it, no sooner."""
    return any(name.startswith("environments/") and data == _BY_HAND for name, data in layout.items())


def _is_found(scene):
    (place,) = (scene.root / "environments").iterdir()
    return scene.environments.find(place.name) == place


def test_what_was_not_flushed_is_not_found_after_the_next_boot_and_is_built_again(scene, monkeypatch):
    with scene.daemon() as host:
        environment = Path(host.prepare("echo")["environment"])
    monkeypatch.setattr("rldlib.adapters.environments.flushing.boot", lambda: "another boot")

    assert scene.environments.find(environment.name) is None
    scene.expect_next_acquire()


def test_the_model_of_a_disk_loses_what_was_not_flushed(disk, tmp_path):
    """Against itself: a file renamed without a flush is empty, one without its folder's flush gone."""
    from rldlib.adapters.files import flush_path, replace_atomically, write_file

    place = tmp_path / "root" / "services" / "echo" / "1.0"
    place.mkdir(parents=True)
    write_file(str(place / "beside"), b"content", files=disk)
    disk.rename(str(place / "beside"), str(place / "named"))
    strict, named, _ = disk.layouts[-3:]
    assert "services/echo/1.0/named" not in strict
    assert named["services/echo/1.0/named"] == b""

    flush_path(str(place / "named"), files=disk)
    flush_path(str(place), files=disk)
    assert disk.layouts[-3]["services/echo/1.0/named"] == b"content"

    replace_atomically(place / "named", b"new", files=disk)
    assert disk.layouts[-3]["services/echo/1.0/named"] == b"new"
    assert {layout.get("services/echo/1.0/named") for layout in disk.layouts[-9:]} <= {b"content", b"new"}
