"""A service whose data lie beside its wheel: from a directory, from an index, and again with neither."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path

import pytest

import rldlib
from rldlib.rules.project import Distribution, profile_of
from rldlib.values.document import render
from tests.services import rld, rld_json
from tests.sources.hosts import index_of
from tests.wheels import make_wheel

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
PROJECT = Path(__file__).parents[2] / "plugins" / "rld-lens-finder"
CATALOGUE = PROJECT / "catalogue" / "lenses.sqlite"
DIGEST = hashlib.sha256(CATALOGUE.read_bytes()).hexdigest()


@pytest.fixture
def wheels(tmp_path):
    """What ``rld build`` leaves: the wheel, and the catalogue as a blob beside it."""
    folder = tmp_path / "wheels"
    told = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    name, version = told["project"]["name"], told["project"]["version"]
    profile, faults = profile_of(
        told["tool"]["rldlib"], Distribution(name=name, version=version, summary=""), pin
    )
    assert profile is not None, faults
    package = PROJECT / "src" / "rld_lens_finder"
    make_wheel(
        folder,
        name,
        version,
        files={
            f"{package.name}/{path.name}": path.read_bytes() for path in package.iterdir() if path.is_file()
        },
        profile=json.loads(render(profile)),
        entry_points=told["project"]["entry-points"],
    )
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (blobs / DIGEST).write_bytes(CATALOGUE.read_bytes())
    return folder


def pin(file):
    data = (PROJECT / file).read_bytes()
    return hashlib.sha256(data).hexdigest(), len(data)


def test_lenses_that_fit_a_camera_come_from_a_directory_of_wheels_and_blobs(wheels, tmp_path):
    with rldlib.LocalDaemon(wheels=wheels, root=tmp_path / "root") as daemon:
        finder = daemon.acquire("lens-finder")
        fitting = finder.fits(maker="Nikon", camera="D750", kind="fisheye")

        assert [camera["model"] for camera in fitting["cameras"]] == ["Nikon D750"]
        assert {lens["kind"] for lens in fitting["lenses"]} == {"fisheye"}
        assert any("Nikon F AF" in lens["mounts"] for lens in fitting["lenses"])
        assert fitting["licence"].startswith("CC BY-SA 3.0")
        assert "focal     50 mm" in finder.describe(lens="Canon EF 50mm f/1.8 STM")
        assert finder.sheet(maker="Nikon", camera="D750").startswith("<!DOCTYPE html>")
        with pytest.raises(rldlib.ServiceFaultError, match=r"no camera 'D751' .* nearest are .*Nikon D750"):
            finder.fits(maker="Nikon", camera="D751")


def test_the_command_gives_the_same_answer(wheels, tmp_path):
    places = ("--wheels", wheels, "--root", tmp_path / "root")
    told = rld_json("call", "lens-finder", "fits", "maker=Nikon", "camera=D750", *places)
    assert told["result"]["cameras"][0]["mount"] == "Nikon F AF"
    assert rld("call", "lens-finder", "describe", "lens=nothing", *places).returncode == 6


def test_the_catalogue_is_fetched_from_an_index_once(wheels, tmp_path):
    with index_of(wheels) as served:
        for _ in range(2):
            with rldlib.LocalDaemon(index_url=served.url, root=tmp_path / "root") as daemon:
                assert daemon.acquire("lens-finder").cameras(maker="nikon")
        assert served.sent[f"/blobs/sha256/{DIGEST}"] == CATALOGUE.stat().st_size
        assert served.asked[f"/blobs/sha256/{DIGEST}"] == 1


def test_what_was_retained_starts_again_with_its_data_and_without_a_source(wheels, tmp_path):
    with rldlib.LocalDaemon(wheels=wheels, root=tmp_path / "root") as daemon:
        before = daemon.acquire("lens-finder").fits(maker="Pentax", camera="K-5")

    with rldlib.LocalDaemon(root=tmp_path / "root") as daemon:
        assert daemon.acquire("lens-finder").fits(maker="Pentax", camera="K-5") == before


@pytest.mark.faults
def test_a_catalogue_that_is_not_what_the_profile_pins_is_not_used(wheels, tmp_path):
    blob = wheels / "blobs" / "sha256" / DIGEST
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    with (
        rldlib.LocalDaemon(wheels=wheels, root=tmp_path / "root") as daemon,
        pytest.raises(rldlib.MismatchError),
    ):
        daemon.acquire("lens-finder")
    assert not list((tmp_path / "root" / "store" / "blobs").rglob(DIGEST))


@pytest.mark.faults
def test_without_its_catalogue_the_service_does_not_start(wheels, tmp_path):
    (wheels / "blobs" / "sha256" / DIGEST).unlink()
    with (
        rldlib.LocalDaemon(wheels=wheels, root=tmp_path / "root") as daemon,
        pytest.raises(rldlib.ResourceUnavailableError, match="catalogue"),
    ):
        daemon.acquire("lens-finder")
