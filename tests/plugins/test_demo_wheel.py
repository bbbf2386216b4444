"""The wheel that `rld demo` carries is what its project in `plugins/` builds; the two cannot drift apart.

Nothing is built here, so that this needs neither network nor time. What
fails is mended by ``nox -s demo_wheel``.
"""

from __future__ import annotations

import configparser
import hashlib
import tomllib
import zipfile
from importlib import resources
from pathlib import Path

import pytest
from packaging.metadata import Metadata

from rldlib.adapters.gate import inspect
from rldlib.rules.project import Distribution, profile_of
from rldlib.values.document import render
from rldlib.values.profile import PROFILE_NAME

PROJECT = Path(__file__).parents[2] / "plugins" / "rld-sales-tax"
MENDING = "run 'nox -s demo_wheel'"


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel():
    with resources.as_file(resources.files("rldlib.cli") / "demo") as folder:
        found = sorted(folder.glob("*.whl"))
        assert len(found) == 1, f"{MENDING}: it leaves one wheel in {folder}"
        yield found[0]


@pytest.fixture(scope="module")
def members(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def info(project):
    return f"rld_sales_tax-{project['project']['version']}.dist-info"


def pin(file):
    data = (PROJECT / file).read_bytes()
    return hashlib.sha256(data).hexdigest(), len(data)


def test_it_is_named_by_the_project_s_version(wheel, project):
    assert wheel.name == f"rld_sales_tax-{project['project']['version']}-py3-none-any.whl", MENDING


def test_the_gate_accepts_it(wheel):
    assert inspect(wheel) == ()


def test_its_modules_and_data_are_the_project_s_byte_for_byte(members):
    source = PROJECT / "src"
    files = {path.relative_to(source).as_posix(): path for path in source.rglob("*") if path.is_file()}
    expected = {name: path.read_bytes() for name, path in files.items() if "__pycache__" not in name}
    assert {name: data for name, data in members.items() if ".dist-info/" not in name} == expected, MENDING


def test_its_profile_is_the_project_s_and_comes_first(members, project, info):
    told = Distribution(
        name=project["project"]["name"],
        version=project["project"]["version"],
        summary=project["project"]["description"],
    )
    profile, faults = profile_of(project["tool"]["rldlib"], told, pin)
    assert not faults
    assert profile is not None
    assert next(iter(members)) == f"{info}/{PROFILE_NAME}"
    assert members[f"{info}/{PROFILE_NAME}"] == render(profile), MENDING


def test_its_entry_points_are_the_project_s(members, project, info):
    entries = configparser.ConfigParser()
    entries.read_string(members[f"{info}/entry_points.txt"].decode())
    told = {group: dict(entries[group]) for group in entries.sections()}
    assert told == project["project"]["entry-points"], MENDING


def test_its_metadata_is_the_project_s_readme_included(members, project, info):
    metadata, told = Metadata.from_email(members[f"{info}/METADATA"]), project["project"]
    assert metadata.name == told["name"]
    assert metadata.summary == told["description"], MENDING
    assert str(metadata.requires_python) == told["requires-python"], MENDING
    assert [str(one) for one in metadata.requires_dist or ()] == told["dependencies"], MENDING
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert metadata.description == readme, MENDING
