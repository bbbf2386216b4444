"""The wrapper puts the very profile into a wheel that `rld build` does, around any backend."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from installer.sources import WheelFile
from tests.projects import BACKEND, MORE_HOOKS, make_project

from rldlib.adapters.building import build
from rldlib.adapters.stamping import read_profile, stamp
from rldlib.values.document import parse_profile

PLUGIN = Path(__file__).parents[2] / "plugins" / "rldlib-build"
SYSTEM = 'build-backend = "rldlib_build"'
INFO = "rld_tax-1.0.dist-info"
# Something in every part, defaults said aloud included.
TABLE = """
    [tool.rldlib]
    service = "tax"

    [tool.rldlib.demand]
    memory_peak_bytes = 33_554_432
    startup_s = 5.0
    hardware = ["avx2"]
    threads = 1
    gpu = { memory_bytes = 1 }

    [[tool.rldlib.resources]]
    name = "rates"
    kind = "data"
    file = "rld_tax/rates.txt"
    use = "Read once: \\u00e0 la carte."
    policy = "any"

    [[tool.rldlib.resources]]
    name = "key"
    kind = "secret"
    authority = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    target = "keys/eu"
    requires = ["rates"]

    [tool.rldlib.operations.table]
    idempotent = true
    [tool.rldlib.operations.table.arguments]
    type = "object"
    properties = { state = { type = "string", default = "WA" } }

    [tool.rldlib.host]
    restarts = 3
    stop_s = 1
"""
INNER = '\n[tool.rldlib-build]\nbackend = "backend"\nbackend-path = ["."]\n'
FILES = {"rld_tax/rates.txt": b"WA 6.5\n" * 40}


@pytest.fixture
def wrapper(monkeypatch):
    """The backend as a front end has it: in the project's folder, with a search path of its own."""

    def enter(project):
        monkeypatch.chdir(project)
        monkeypatch.setattr(sys, "path", sys.path.copy())
        monkeypatch.delitem(sys.modules, "backend", raising=False)
        place = PLUGIN / "src" / "rldlib_build" / "__init__.py"
        spec = importlib.util.spec_from_file_location("rldlib_build", place)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield enter
    sys.modules.pop("backend", None)


def wrapped(folder, tables=TABLE + INNER, backend=BACKEND, files=FILES):
    return make_project(folder, tables, backend=backend, system=SYSTEM, files=files)


@pytest.mark.slow
def test_the_profile_is_the_one_of_rld_build_byte_for_byte(tmp_path, wrapper):
    plain = build(make_project(tmp_path / "plain", TABLE, files=FILES), tmp_path / "out")
    name = wrapper(wrapped(tmp_path / "p")).build_wheel(str(tmp_path))
    assert read_profile(tmp_path / name) == read_profile(plain)
    # What `rld stamp` would make of it is what it is already.
    before = (tmp_path / name).read_bytes()
    stamp(tmp_path / name, read_profile(plain))
    with zipfile.ZipFile(io.BytesIO(before)) as old, zipfile.ZipFile(tmp_path / name) as new:
        assert [info.filename for info in old.infolist()] == [info.filename for info in new.infolist()]
        assert all(old.read(info) == new.read(info.filename) for info in old.infolist())


def test_a_wrapped_wheel_is_valid_and_has_the_profile_first_and_stored(tmp_path, wrapper):
    path = tmp_path / wrapper(wrapped(tmp_path / "p")).build_wheel(str(tmp_path))
    with WheelFile.open(path) as opened:
        opened.validate_record()
    with zipfile.ZipFile(path) as archive:
        first, last = archive.infolist()[0], archive.infolist()[-1]
        assert (first.filename, first.compress_type) == (f"{INFO}/rldlib.json", zipfile.ZIP_STORED)
        assert first.date_time == (2020, 1, 1, 0, 0, 0)
        assert last.filename == f"{INFO}/RECORD"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p", path.name]


def test_a_table_that_says_nothing_takes_all_from_the_project(tmp_path, wrapper):
    name = wrapper(wrapped(tmp_path / "p", "[tool.rldlib]\n" + INNER)).build_wheel(str(tmp_path))
    profile = parse_profile(read_profile(tmp_path / name), source="x")
    assert (profile.service, profile.version, profile.summary) == ("tax", "1.0", "Sales tax à la carte")


def test_a_hook_exists_where_the_inner_backend_has_it(tmp_path, wrapper):
    bare = wrapper(wrapped(tmp_path / "bare"))
    hooks = ("get_requires_for_build_wheel", "prepare_metadata_for_build_wheel", "build_editable")
    assert not any(hasattr(bare, name) for name in hooks)
    assert hasattr(bare, "build_wheel")
    assert hasattr(bare, "build_sdist")

    rich = wrapper(wrapped(tmp_path / "rich", backend=BACKEND + MORE_HOOKS))
    assert all(hasattr(rich, name) for name in hooks)
    assert not hasattr(rich, "get_requires_for_build_sdist")
    assert not hasattr(rich, "prepare_metadata_for_build_editable")
    assert not hasattr(rich, "something_else")
    assert rich.get_requires_for_build_wheel() == ["something"]


def test_metadata_prepared_ahead_and_editable_wheels_carry_the_profile(tmp_path, wrapper):
    backend = wrapper(wrapped(tmp_path / "p", backend=BACKEND + MORE_HOOKS))
    whole = read_profile(tmp_path / backend.build_wheel(str(tmp_path)))
    (tmp_path / "metadata").mkdir()
    folder = backend.prepare_metadata_for_build_wheel(str(tmp_path / "metadata"))
    assert (tmp_path / "metadata" / folder / "rldlib.json").read_bytes() == whole
    (tmp_path / "editable").mkdir()
    name = backend.build_editable(str(tmp_path / "editable"), {}, metadata_directory=None)
    assert read_profile(tmp_path / "editable" / name) == whole


def test_a_source_distribution_is_the_inner_backends(tmp_path, wrapper):
    assert wrapper(wrapped(tmp_path / "p")).build_sdist(str(tmp_path)) == "rld_tax-1.0.tar.gz"


def test_a_backend_may_be_an_object_in_a_module(tmp_path, wrapper):
    inner = BACKEND + "\n\nclass Backends:\n    build_wheel = staticmethod(build_wheel)\n"
    project = wrapped(tmp_path / "p", TABLE + INNER.replace('"backend"', '"backend:Backends"'), inner)
    assert wrapper(project).build_wheel(str(tmp_path))


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        pytest.param("[tool.rldlib]\n", "no table [tool.rldlib-build]", id="no inner backend's table"),
        pytest.param("[tool.rldlib]\n[tool.rldlib-build]\n", "has no backend", id="no inner backend"),
        pytest.param(INNER, "no table [tool.rldlib]", id="no profile"),
        pytest.param(
            "[tool.rldlib]\nversion = '1'\n" + INNER, "tool.rldlib.version: the build writes it", id="version"
        ),
        pytest.param(
            "[tool.rldlib.demand]\nmemory = 1\n" + INNER,
            "tool.rldlib.demand.memory: is unknown",
            id="unknown name",
        ),
        pytest.param(
            "[tool.rldlib]\n" + INNER.replace('["."]', '[".."]'),
            "'..' is no path below the project",
            id="path out",
        ),
        pytest.param(
            '[[tool.rldlib.resources]]\nname = "a"\nkind = "data"\nfile = "backend.py"\n' + INNER,
            "'backend.py' is not in the wheel",
            id="a file that stays behind",
        ),
    ],
)
def test_what_the_project_does_not_say_is_told_and_no_wheel_is_changed(tmp_path, wrapper, tables, told):
    backend = wrapper(wrapped(tmp_path / "p", tables))
    with pytest.raises(ValueError, match=re.escape(told)):
        backend.build_wheel(str(tmp_path))
    for path in tmp_path.glob("*.whl"):
        assert read_profile(path) is None
    assert not list(tmp_path.glob(".*"))


# --- real backends, from a folder of wheels ------------------------------------------

PROJECT = """
    [project]
    name = "rld-tax"
    version = "1.0"
    description = "Sales tax, à la carte."
    dependencies = []

    [project.entry-points."rldlib.services"]
    tax = "rld_tax:Tax"
"""
_SETUPTOOLS = """
[tool.setuptools]
packages = ["rld_tax"]

[tool.setuptools.package-data]
rld_tax = ["*.txt"]
"""
BACKENDS = {
    "setuptools": ("setuptools", "setuptools.build_meta", _SETUPTOOLS),
    "hatchling": (
        "hatchling",
        "hatchling.build",
        '[tool.hatch.build.targets.wheel]\npackages = ["rld_tax"]\n',
    ),
    "flit": ("flit-core", "flit_core.buildapi", ""),
}
EXTRA_BACKENDS = {
    "poetry": (
        "poetry-core",
        "poetry.core.masonry.api",
        "[tool.poetry]\npackages = [{ include = 'rld_tax' }]\n",
    ),
    "pdm": ("pdm-backend", "pdm.backend", ""),
    "uv": ("uv_build", "uv_build", '[tool.uv.build-backend]\nmodule-root = ""\n'),
}
_ALL = [
    *(pytest.param(name, marks=[pytest.mark.network, pytest.mark.slow]) for name in BACKENDS),
    *(pytest.param(name, marks=[pytest.mark.backends_extra, pytest.mark.slow]) for name in EXTRA_BACKENDS),
]


def _pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def shelf(tmp_path_factory):
    """A folder of wheels: the wrapper, and the backends as they are asked for."""
    folder = tmp_path_factory.mktemp("shelf")
    # A copy: setuptools leaves its traces beside what it builds.
    copy = tmp_path_factory.mktemp("sources") / PLUGIN.name
    shutil.copytree(PLUGIN, copy, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    _pip("wheel", "--no-deps", "--wheel-dir", folder, copy)
    return folder


@pytest.fixture
def local(shelf, monkeypatch):
    """Puts a backend on the shelf; from then on pip knows nothing but the shelf."""

    def only(requirement):
        _pip(
            "download",
            "--quiet",
            "--only-binary",
            ":all:",
            "--dest",
            shelf,
            requirement,
            *_needs(requirement),
        )
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))

    return only


def _needs(requirement):
    # Asked for by hatchling for editable wheels, at build time.
    return ["editables"] if requirement == "hatchling" else []


def _real(folder, name, *, is_wrapped):
    requirement, backend, settings = (BACKENDS | EXTRA_BACKENDS)[name]
    requires = f'"rldlib-build", "{requirement}"' if is_wrapped else f'"{requirement}"'
    project = make_project(folder, PROJECT + TABLE, files=FILES)
    (project / "backend.py").unlink()
    text = (project / "pyproject.toml").read_text(encoding="utf-8").partition("\n[project]")[2]
    system = f'[build-system]\nrequires = [{requires}]\nbuild-backend = "{"rldlib_build" if is_wrapped else backend}"\n'
    inner = f'\n[tool.rldlib-build]\nbackend = "{backend}"\n' if is_wrapped else ""
    (project / "pyproject.toml").write_text(f"{system}\n[project]{text}{inner}\n{settings}", encoding="utf-8")
    return project


@pytest.mark.parametrize("name", _ALL)
def test_a_real_backend_inside_gives_the_same_profile(tmp_path, local, name):
    local((BACKENDS | EXTRA_BACKENDS)[name][0])
    _pip("wheel", "--no-deps", "--wheel-dir", tmp_path, _real(tmp_path / "wrapped", name, is_wrapped=True))
    (wheel,) = tmp_path.glob("*.whl")
    with WheelFile.open(wheel) as opened:
        opened.validate_record()
    plain = build(_real(tmp_path / "plain", name, is_wrapped=False), tmp_path / "out")
    assert read_profile(wheel) == read_profile(plain)
    with zipfile.ZipFile(wheel) as ours, zipfile.ZipFile(plain) as theirs:
        assert ours.namelist()[0] == theirs.namelist()[0] == f"{INFO}/rldlib.json"
        assert set(ours.namelist()) == set(theirs.namelist())


@pytest.mark.parametrize("name", _ALL)
def test_an_editable_installation_carries_the_profile(tmp_path, local, name):
    local((BACKENDS | EXTRA_BACKENDS)[name][0])
    project = _real(tmp_path / "p", name, is_wrapped=True)
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    _pip("--python", python, "install", "--no-deps", "--editable", project)
    code = (
        "import importlib.metadata as m, json, rld_tax\n"
        "found = m.distribution('rld-tax')\n"
        "print(json.dumps([rld_tax.__file__, found.read_text('rldlib.json'), found.read_text('RECORD')]))"
    )
    told = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    place, profile, record = json.loads(told)
    assert Path(place) == project / "rld_tax" / "__init__.py"
    assert parse_profile(profile.encode(), source="x").demand.memory_peak_bytes == 33_554_432
    assert f"{INFO}/rldlib.json" in {row[0] for row in csv.reader(io.StringIO(record))}
