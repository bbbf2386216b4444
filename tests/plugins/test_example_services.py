"""The example services build with their own backends into wheels that a host takes."""

from __future__ import annotations

import configparser
import hashlib
import json
import shutil
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.metadata import Metadata

from rldlib.adapters.building import build
from rldlib.adapters.gate import inspect
from rldlib.values.document import parse_profile
from rldlib.values.profile import PROFILE_NAME

pytestmark = [pytest.mark.slow, pytest.mark.network]

PLUGINS = Path(__file__).parents[2] / "plugins"
SERVICES = ("lens-finder", "price-list", "sales-tax", "stats-classic", "stats-modern")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """``built(service)``: its wheel, built once, from a copy since backends leave files in the project."""
    wheels = {}

    def once(service):
        if service not in wheels:
            project = copied(service, tmp_path_factory.mktemp("project"))
            wheels[service] = build(project, tmp_path_factory.mktemp("out"))
        return wheels[service]

    return once


def copied(service, folder):
    ignored = shutil.ignore_patterns("build", "dist", "*.egg-info", "__pycache__")
    return shutil.copytree(PLUGINS / f"rld-{service}", folder / f"rld-{service}", ignore=ignored)


def project_of(service):
    return tomllib.loads((PLUGINS / f"rld-{service}" / "pyproject.toml").read_text(encoding="utf-8"))


def info_of(wheel):
    name, version = wheel.name.split("-")[:2]
    return f"{name}-{version}.dist-info"


def member(wheel, name):
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(name)


def test_no_two_backends_are_needed_to_be_the_same():
    """
    Authors keep the backend they have; the examples show three.
    """
    backends = {project_of(service)["build-system"]["build-backend"] for service in SERVICES}
    assert backends == {"hatchling.build", "setuptools.build_meta", "flit_core.buildapi"}


@pytest.mark.parametrize("service", SERVICES)
def test_an_example_builds_into_a_wheel_that_the_gate_accepts(built, service):
    assert inspect(built(service)) == ()


@pytest.mark.parametrize("service", SERVICES)
def test_its_profile_comes_first_and_is_the_project_s(built, service):
    wheel, project = built(service), project_of(service)
    with zipfile.ZipFile(wheel) as archive:
        first = archive.infolist()[0]
        profile = parse_profile(archive.read(first), source=wheel.name)

    assert first.filename == f"{info_of(wheel)}/{PROFILE_NAME}"
    assert first.compress_type == zipfile.ZIP_STORED
    assert profile.service == service
    assert profile.version == project["project"]["version"]
    assert profile.summary == project["project"]["description"]
    assert profile.demand.memory_peak_bytes == project["tool"]["rldlib"]["demand"]["memory_peak_bytes"]
    assert 0 < profile.demand.memory_start_bytes <= profile.demand.memory_peak_bytes
    assert profile.demand.measured


@pytest.mark.parametrize("service", SERVICES)
def test_the_files_of_its_resources_are_in_the_wheel_or_beside_it(built, service):
    wheel = built(service)
    with zipfile.ZipFile(wheel) as archive:
        profile = parse_profile(archive.read(archive.namelist()[0]), source=wheel.name)
        content = {hashlib.sha256(archive.read(name)).hexdigest(): name for name in archive.namelist()}

    table = project_of(service)["tool"]["rldlib"]
    files = {one["name"]: one["file"] for one in table.get("resources", ())}
    assert {one.name: content.get(one.sha256) for one in profile.resources} == {
        name: file.removeprefix("src/") if file.startswith("src/") else None for name, file in files.items()
    }
    beside = {path.name: path for path in (wheel.parent / "blobs" / "sha256").glob("*")}
    assert set(beside) == {one.sha256 for one in profile.resources} - set(content), (
        "blobs of the others alone"
    )
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == name for name, path in beside.items())
    assert {path.name for path in wheel.parent.iterdir()} == {wheel.name, *(["blobs"] if beside else [])}


@pytest.mark.parametrize("service", SERVICES)
def test_it_has_one_entry_point_named_like_the_service(built, service):
    wheel = built(service)
    entries = configparser.ConfigParser()
    entries.read_string(member(wheel, f"{info_of(wheel)}/entry_points.txt").decode())
    assert entries.sections() == ["rldlib.services"]
    assert list(entries["rldlib.services"]) == [service]


@pytest.mark.parametrize("service", SERVICES)
def test_it_declares_its_own_dependencies_and_never_rldlib(built, service):
    wheel = built(service)
    data = member(wheel, f"{info_of(wheel)}/METADATA")
    metadata = Metadata.from_email(data)
    names = {requirement.name for requirement in metadata.requires_dist or ()}
    assert names == {"lens-finder": set(), "price-list": {"jinja2"}, "sales-tax": set()}.get(
        service, {"numpy"}
    )
    assert metadata.requires_python is not None
    assert "3.10" in metadata.requires_python
    assert ("3.13" in metadata.requires_python) == (service != "stats-classic")
    assert HeaderParser().parsestr(data.decode())["Name"] == f"rld-{service}"


@pytest.mark.parametrize("service", SERVICES)
def test_it_holds_its_typed_package_and_nothing_else(built, service):
    package = f"rld_{service.replace('-', '_')}"
    source = PLUGINS / f"rld-{service}" / "src" / package
    wheel = built(service)
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == {f"{package}/{path.name}" for path in source.iterdir() if path.is_file()}
    assert f"{package}/py.typed" in names


def test_the_same_sources_build_the_same_bytes(built, tmp_path):
    """
    `rld demo` carries this wheel: whoever builds it again must get it again.
    """
    first = built("sales-tax")
    again = build(copied("sales-tax", tmp_path), tmp_path / "out")
    assert again.read_bytes() == first.read_bytes()


def test_a_resource_that_was_edited_gets_another_hash(tmp_path):
    project = copied("sales-tax", tmp_path)
    rates = project / "src" / "rld_sales_tax" / "rates.json"
    document = json.loads(rates.read_bytes())
    document["states"]["WA"]["percent"] = "6.6"
    rates.write_text(json.dumps(document))

    wheel = build(project, tmp_path / "out")

    profile = parse_profile(member(wheel, f"{info_of(wheel)}/{PROFILE_NAME}"), source=wheel.name)
    assert profile.resources[0].sha256 == hashlib.sha256(rates.read_bytes()).hexdigest()
