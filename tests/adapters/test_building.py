"""A project's wheel is built by the caller's pip and carries what its table says."""

from __future__ import annotations

import hashlib

import pytest
from tests.projects import BACKEND, make_project

from rldlib.adapters.building import build
from rldlib.adapters.stamping import read_profile
from rldlib.errors import ProfileError, StorageError, UsageError
from rldlib.values.document import parse_profile, render

WHEEL = "rld_tax-1.0-py3-none-any.whl"
DATA = b"WA 6.5\n" * 40
DIGEST = hashlib.sha256(DATA).hexdigest()
RESOURCE = '\n[tool.rldlib]\n[[tool.rldlib.resources]]\nname = "rates"\nkind = "data"\nfile = "{file}"\n'


@pytest.mark.slow
def test_a_project_becomes_a_stamped_wheel(tmp_path):
    project = make_project(tmp_path / "p", "[tool.rldlib.demand]\nmemory_peak_bytes = 1000\n")
    out = tmp_path / "out" / "wheels"
    wheel = build(project, out)
    assert wheel == out / WHEEL
    assert list(out.iterdir()) == [wheel]
    profile = parse_profile(read_profile(wheel), source="x")
    # The distribution is RLD_Tax: what is not said comes from it.
    assert (profile.service, profile.version, profile.summary) == ("tax", "1.0", "Sales tax à la carte")
    assert profile.demand.memory_peak_bytes == 1000
    assert read_profile(wheel) == render(profile)


@pytest.mark.slow
def test_a_file_of_the_wheel_is_pinned_by_its_bytes(tmp_path):
    files = {"rld_tax/rates.txt": DATA}
    project = make_project(tmp_path / "p", RESOURCE.format(file="rld_tax/rates.txt"), files=files)
    wheel = build(project, tmp_path / "out")
    (resource,) = parse_profile(read_profile(wheel), source="x").resources
    assert (resource.sha256, resource.size) == (DIGEST, len(DATA))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [WHEEL]


@pytest.mark.slow
def test_a_file_that_is_not_in_the_wheel_is_put_beside_it_under_its_hash(tmp_path):
    project = make_project(
        tmp_path / "p", RESOURCE.format(file="data/rates.txt"), files={"data/rates.txt": DATA}
    )
    out = tmp_path / "out"
    build(project, out)
    assert (out / "blobs" / "sha256" / DIGEST).read_bytes() == DATA
    assert sorted(path.name for path in out.iterdir()) == ["blobs", WHEEL]


@pytest.mark.slow
def test_a_wheel_is_as_readable_as_its_project(tmp_path):
    """Some backends write through a private temporary file."""
    project = make_project(tmp_path / "p", "[tool.rldlib]\n")
    (project / "pyproject.toml").chmod(0o640)
    assert build(project, tmp_path / "out").stat().st_mode & 0o777 == 0o640


@pytest.mark.slow
def test_a_wheel_built_again_takes_the_place_of_the_old_one(tmp_path):
    project = make_project(tmp_path / "p", "[tool.rldlib]\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / WHEEL).write_bytes(b"old")
    assert read_profile(build(project, tmp_path / "out"))


@pytest.mark.parametrize(
    ("table", "faults"),
    [
        pytest.param(
            "[tool.rldlib]\nschema = 1\nversion = '2'\n[tool.rldlib.demand]\nthreads = 0\nmemory = 1\n",
            {"schema", "version", "demand.threads", "demand.memory"},
            id="many at once",
        ),
        pytest.param("[tool.rldlib.life]\nidle_s = 2026-01-01\n", {"life.idle_s"}, id="a date"),
        pytest.param("[tool.rldlib.life]\nidle_s = nan\n", {"life.idle_s"}, id="NaN"),
        pytest.param(
            "[tool.rldlib.operations.x.result]\nsince = 10:00:00\n",
            {"operations.x.result.since"},
            id="a time",
        ),
        pytest.param(RESOURCE.format(file="none.txt"), {"resources[0].file"}, id="no such file"),
        pytest.param(RESOURCE.format(file="rld_tax"), {"resources[0].file"}, id="a folder"),
        pytest.param(
            RESOURCE.format(file="../p/backend.py"), {"resources[0].file"}, id="a path that leads out"
        ),
        pytest.param(RESOURCE.format(file="/etc/hostname"), {"resources[0].file"}, id="an absolute path"),
        pytest.param(RESOURCE.format(file="away.txt"), {"resources[0].file"}, id="a link that leads out"),
        pytest.param(
            RESOURCE.format(file="backend.py") + "size = 1\n", {"resources[0].file"}, id="file and size"
        ),
        pytest.param(
            RESOURCE.format(file="backend.py").replace('"data"', '"secret"'),
            {"resources[0].file"},
            id="a secret file",
        ),
        pytest.param(
            RESOURCE.format(file="backend.py").replace('"backend.py"', "1"),
            {"resources[0].file"},
            id="a number",
        ),
    ],
)
def test_every_fault_of_the_table_is_told_before_anything_is_built(tmp_path, table, faults):
    project = make_project(tmp_path / "p", table, backend="raise SystemExit('built')")
    (project / "away.txt").symlink_to("/etc/hostname")
    with pytest.raises(ProfileError) as caught:
        build(project, tmp_path / "out")
    assert {issue.partition(":")[0] for issue in caught.value.issues} == {
        f"tool.rldlib.{at}" for at in faults
    }
    assert caught.value.source == str(project / "pyproject.toml")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        pytest.param("", "has no table [tool.rldlib]", id="no table"),
        pytest.param("[tool]\nrldlib = 1\n", "has no table [tool.rldlib]", id="no table of that name"),
        pytest.param("[tool.rldlib\n", "is no TOML", id="no TOML"),
    ],
)
def test_a_project_that_says_nothing_is_a_slip_of_the_caller(tmp_path, tables, told):
    project = make_project(tmp_path / "p", tables)
    with pytest.raises(UsageError) as caught:
        build(project, tmp_path / "out")
    assert told in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_project_is_a_slip_of_the_caller(tmp_path):
    with pytest.raises(UsageError, match=r"pyproject\.toml cannot be read: No such file"):
        build(tmp_path / "nowhere", tmp_path / "out")


@pytest.mark.slow
def test_a_project_that_does_not_build_is_told_with_pips_last_lines(tmp_path):
    backend = "def build_wheel(*_):\n    raise RuntimeError('the compiler is on strike')\n"
    project = make_project(tmp_path / "p", "[tool.rldlib]\n", backend=backend)
    with pytest.raises(UsageError) as caught:
        build(project, tmp_path / "out")
    assert "does not build: pip exited with status 1" in str(caught.value)
    assert "the compiler is on strike" in str(caught.value)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_a_wheel_whose_profile_is_refused_does_not_come_out(tmp_path):
    """Its entry points are known only once it is built."""
    backend = BACKEND.replace("tax = rld_tax:Tax", "vat = rld_tax:Tax")
    project = make_project(tmp_path / "p", "[tool.rldlib]\n", backend=backend)
    with pytest.raises(ProfileError, match="tax is not the wheel's entry point vat"):
        build(project, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    project = make_project(tmp_path / "p", "[tool.rldlib]\n")
    (tmp_path / "out").write_bytes(b"a file")
    with pytest.raises(StorageError, match="out"):
        build(project, tmp_path / "out")
