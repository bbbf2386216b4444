"""A small file system that is really full, at every stage."""

from __future__ import annotations

import os
import random
import shutil
import subprocess

import pytest
from tests.faults.harness import Scene
from tests.faults.tally import injected
from tests.wheels import make_wheel

from rldlib.errors import CapacityError, StorageError
from rldlib.values.policy import Policy

pytestmark = [pytest.mark.faults, pytest.mark.slow]
# Half of it is chance, so that a wheel, its image and its environment differ in size, but not by much.
_BIG = random.Random(5).randbytes(150_000).hex().encode()
# Else what the host keeps for itself is more than there is.
_ALL_OF_IT = Policy(disk_headroom_bytes=0)


@pytest.fixture
def small_disk(tmp_path):
    """``small_disk(kib)``: a folder with so much room; again, to give it more."""
    folder = tmp_path / "small"

    def resize(kib):
        options = f"size={kib}k,mode=755"
        if folder.exists():
            options = f"remount,{options}"
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "rldlib-test", folder],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"nothing may be mounted here: {done.stderr.strip()}")
        return folder

    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root mounts file systems")
    yield resize
    if os.path.ismount(folder):
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def big(tmp_path):
    """A scene whose service brings some hundred kilobytes."""
    scene = Scene(tmp_path)
    make_wheel(scene.wheels, "shared", "1.0", {"shared/__init__.py": "", "shared/big.txt": _BIG})
    return scene


@pytest.mark.parametrize("kib", [16, 64, 200, 320, 420, 520, 640, 720, 800])
def test_a_file_system_that_is_too_small_is_told_and_a_larger_one_needs_no_manual_step(
    kib, big, small_disk, tmp_path
):
    """Its room is known beforehand where it is obvious, and met where it is not."""
    scene = Scene(tmp_path, root=small_disk(kib) / "root", policy=_ALL_OF_IT)
    with scene.daemon() as host, pytest.raises((StorageError, CapacityError)) as told:
        host.prepare("echo")

    injected("file system of too few bytes")
    assert told.value.exit_status == 3
    scene.expect_nothing_half_done()
    scene.expect_nothing_left()
    small_disk(16_000)
    scene.expect_all_is_well()


def test_what_is_here_starts_on_a_full_disk(scene, small_disk, tmp_path):
    scene = Scene(tmp_path, root=small_disk(4_000) / "root", policy=_ALL_OF_IT)
    scene.expect_next_acquire()
    _fill(tmp_path / "small" / "ballast")

    with scene.daemon() as host:
        assert host.acquire("echo").echo(value=1) == 1

    (tmp_path / "small" / "ballast").unlink()
    scene.expect_all_is_well()


def test_a_full_disk_can_be_collected_and_released(scene, small_disk, tmp_path):
    scene = Scene(tmp_path, root=small_disk(4_000) / "root", policy=_ALL_OF_IT)
    scene.expect_next_acquire()
    _fill(tmp_path / "small" / "ballast")

    with scene.daemon() as host:
        assert host.release("echo")["freed_bytes"] > 0
    scene.expect_nothing_left()

    scene.expect_all_is_well()


def _fill(path):
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
