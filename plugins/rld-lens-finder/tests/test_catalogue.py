"""The catalogue is what its script makes of the Lensfun database, and says what Lensfun says."""

from __future__ import annotations

import importlib.util
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from rld_lens_finder import LensFinder
from rldlib.plugin import Resources

PROJECT = Path(__file__).parents[1]
CATALOGUE = PROJECT / "catalogue" / "lenses.sqlite"
# Of each maker's mounts, of sensors of all sizes, of several variants, and with a lens of its own.
CAMERAS = (
    ("Canon", "Canon EOS 5D Mark III"),
    ("Canon", "Canon EOS 70D"),
    ("Canon", "Canon EOS M"),
    ("Canon", "Canon EOS R"),
    ("Canon", "Canon EOS-1D Mark III"),
    ("Canon", "Canon PowerShot G12"),
    ("Fujifilm", "X-T1"),
    ("Fujifilm", "FinePix S3Pro"),
    ("Hasselblad", "Hasselblad 500 mech."),
    ("Leica Camera AG", "M9 Digital Camera"),
    ("Nikon Corporation", "Nikon 1 J1"),
    ("Nikon Corporation", "Nikon D3"),
    ("Nikon Corporation", "Nikon D5100"),
    ("Nikon Corporation", "Nikon D750"),
    ("Nikon Corporation", "Nikon Z 6"),
    ("Olympus Imaging Corp.", "E-M5"),
    ("Olympus Imaging Corp.", "E-30"),
    ("Panasonic", "DMC-GH4"),
    ("Panasonic", "DMC-LX3"),
    ("Pentax", "Pentax K-5"),
    ("Pentax", "Pentax Q"),
    ("Samsung", "NX300"),
    ("Sigma", "Sigma SD1"),
    ("Sony", "ILCE-7M3"),
    ("Sony", "NEX-7"),
    ("Sony", "SLT-A77V"),
)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("lens_catalogue", PROJECT / "catalogue" / "build.py")
    module = sys.modules["lens_catalogue"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["lens_catalogue"]


@pytest.fixture(scope="module")
def lensfun():
    """Lensfun itself, with the database that the catalogue was built from."""
    lensfunpy = pytest.importorskip("lensfunpy")
    with closing(sqlite3.connect(f"file:{CATALOGUE}?mode=ro", uri=True)) as database:
        (built_from,) = database.execute("SELECT text FROM about WHERE name = 'built_from'").fetchone()
    if built_from != f"lensfunpy {lensfunpy.__version__}":
        pytest.skip(f"the catalogue is of {built_from}")
    return lensfunpy.Database()


@pytest.fixture(scope="module")
def finder():
    package = PROJECT / "src" / "rld_lens_finder"
    service = LensFinder()
    service.start(
        Resources(
            [
                {"name": "catalogue", "path": str(CATALOGUE)},
                {"name": "queries", "path": str(package / "queries.sql")},
                {"name": "formats", "path": str(package / "formats.json")},
            ]
        )
    )
    yield service
    service.stop()


def by_lensfun(lensfun, maker, model):
    """Every lens that Lensfun finds for a variant of the camera."""
    cameras = [camera for camera in lensfun.cameras if (camera.maker, camera.model) == (maker, model)]
    assert cameras, f"Lensfun knows no {model}"
    # The catalogue's names have no spaces around them; two of the database's have.
    return {
        (lens.maker, " ".join(lens.model.split()))
        for camera in cameras
        for lens in lensfun.find_lenses(camera)
    }


@pytest.mark.parametrize(("maker", "model"), CAMERAS)
def test_what_fits_is_what_lensfun_finds(lensfun, finder, maker, model):
    fitting = {(lens.maker, lens.model) for lens in finder.fits(maker, model).lenses}
    assert fitting == by_lensfun(lensfun, maker, model)


@pytest.mark.slow
def test_what_fits_is_what_lensfun_finds_for_every_camera(lensfun, finder):
    cameras = sorted({(camera.maker, camera.model) for camera in lensfun.cameras})
    assert len(cameras) > 900
    different = [
        camera
        for camera in cameras
        if {(lens.maker, lens.model) for lens in finder.fits(*camera).lenses} != by_lensfun(lensfun, *camera)
    ]
    assert different == []


def test_figures_of_a_lens_are_those_of_lensfun(lensfun, finder):
    told = {
        (lens.maker, lens.model): lens for text in "aeiou0" for lens in finder.find(text, limit=500).lenses
    }
    compared = 0
    for lens in lensfun.lenses:
        ours = told.get((lens.maker, lens.model))
        if ours is None or round(lens.crop_factor, 3) != round(ours.crop_factor, 3):
            continue
        assert ours.focal_min_mm == pytest.approx(lens.min_focal or None), lens
        assert ours.focal_max_mm == pytest.approx(lens.max_focal or None), lens
        assert ours.widest_aperture == pytest.approx(lens.min_aperture or None), lens
        assert set(ours.mounts) == set(lens.mounts), lens
        compared += 1
    assert compared > 500


@pytest.mark.slow
def test_the_catalogue_is_what_its_script_makes(lensfun, script):
    assert script.installed() == CATALOGUE.read_bytes()


@pytest.mark.slow
def test_the_same_database_makes_the_same_bytes_in_any_order(lensfun, script):
    folder = Path(sys.modules["lensfunpy"].__file__).parent / "db_files"
    found = script.read(folder)
    found.cameras.sort(key=lambda camera: camera.crop_factor)
    found.compatible = dict(reversed(found.compatible.items()))
    version = sys.modules["lensfunpy"].__version__
    assert script.catalogue(found, version) == CATALOGUE.read_bytes()


def test_the_file_tells_nothing_of_the_library_that_wrote_it():
    header = CATALOGUE.read_bytes()[:100]
    number = 1_000_000 * sqlite3.sqlite_version_info[0] + 1000 * sqlite3.sqlite_version_info[1]
    assert header[96:100] == (3_027_000).to_bytes(4, "big") != number.to_bytes(4, "big")
    assert header[24:28] == header[92:96] == (1).to_bytes(4, "big")


def test_the_file_is_sound_and_small():
    with closing(sqlite3.connect(f"file:{CATALOGUE}?mode=ro&immutable=1", uri=True)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    assert CATALOGUE.stat().st_size < 300_000


@pytest.mark.slow
def test_the_script_says_whether_the_catalogue_is_up_to_date(lensfun, script, tmp_path, capsys):
    out = tmp_path / "lenses.sqlite"
    assert script.main(["--out", str(out), "--check"]) == 1
    assert not out.exists()
    assert script.main(["--out", str(out)]) == 0
    assert script.main(["--out", str(out), "--check"]) == 0
    assert "as the installed lensfunpy has it" in capsys.readouterr().out
