"""Builds ``lenses.sqlite`` from the Lensfun database that an installed lensfunpy carries.

::

    python plugins/rld-lens-finder/catalogue/build.py            # writes it
    python plugins/rld-lens-finder/catalogue/build.py --check    # says whether it is up to date

The same database makes the same bytes, wherever and with whatever SQLite it
is built. lensfunpy is needed here alone: the service needs it not.
"""

from __future__ import annotations

import argparse
import re
import sqlite3
import sys
import tempfile
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Iterator

CATALOGUE = Path(__file__).with_name("lenses.sqlite")
SOURCE = "Lensfun lens database, https://lensfun.github.io/"
LICENCE = "CC BY-SA 3.0, https://creativecommons.org/licenses/by-sa/3.0/"

_Thing = TypeVar("_Thing")
_Key = tuple[str | float, ...]
_SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE mount (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE takes (camera_mount INTEGER, lens_mount INTEGER, PRIMARY KEY (camera_mount, lens_mount))
    WITHOUT ROWID;
CREATE TABLE camera (
    id INTEGER PRIMARY KEY, maker TEXT NOT NULL, model TEXT NOT NULL, variant TEXT,
    mount INTEGER NOT NULL, crop_factor REAL NOT NULL
);
CREATE TABLE camera_name (maker TEXT, model TEXT, camera INTEGER, PRIMARY KEY (model, maker, camera))
    WITHOUT ROWID;
CREATE TABLE lens (
    id INTEGER PRIMARY KEY, maker TEXT NOT NULL, model TEXT NOT NULL, name TEXT, kind TEXT NOT NULL,
    focal_min_mm REAL, focal_max_mm REAL, widest_aperture REAL, crop_factor REAL NOT NULL
);
CREATE TABLE lens_mount (lens INTEGER, mount INTEGER, PRIMARY KEY (lens, mount)) WITHOUT ROWID;
"""
# Small pages waste less: the catalogue is fetched whole.
_PAGE_BYTES = 1024
# SQLite's file format, 1.3: the change counter, the version of the file that the number of the library is
# valid for, and that number, here of the first that had VACUUM INTO. Readers need none of them true.
_TRACES = (
    (24, (1).to_bytes(4, "big")),
    (92, (1).to_bytes(4, "big")),
    (96, (3_027_000).to_bytes(4, "big")),
)
_HEADER_BYTES = 100
# Likewise 1.6: what a page holds, and how long its own header is. No row here is so long that it overflows.
_PAGE_HEADS = {0x02: 12, 0x05: 12, 0x0A: 8, 0x0D: 8}

# How a model says its figures, as Lensfun 0.3 reads it: focal lengths and the widest aperture.
_FIGURES = (
    re.compile(
        r"(?:\s+|^)(?P<low>[0-9]+[0-9.]*)(?:-(?P<high>[0-9]+[0-9.]*))?(?:mm)?\s+(?:f/|f|1/|1:)?"
        r"(?P<aperture>[0-9.]+)(?:-[0-9.]+)?",
        re.IGNORECASE,
    ),
    re.compile(
        r"\s+1:(?P<aperture>[0-9.]+)(?:-[0-9.]+)?\s+(?P<low>[0-9.]+)(?:-(?P<high>[0-9.]+))?(?:mm)?",
        re.IGNORECASE,
    ),
    re.compile(r"(?P<aperture>[0-9.]+)(?:-[0-9.]+)?\s*/\s*(?P<low>[0-9.]+)(?:-(?P<high>[0-9.]+))?"),
)
# The figures in such a name are those of something else than the lens.
_ATTACHMENTS = ("adapter", "reducer", "booster", "extender", "converter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A camera as the database has it; names by language, the database's own under ``""``."""

    makers: dict[str, str]
    models: dict[str, str]
    variant: str | None
    mount: str
    crop_factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """A lens, calibrated on a sensor of one crop factor."""

    makers: dict[str, str]
    models: dict[str, str]
    mounts: frozenset[str]
    kind: str
    crop_factor: float
    focal_min_mm: float | None
    focal_max_mm: float | None
    widest_aperture: float | None


@dataclass(slots=True, kw_only=True)
class Database:
    """What the XML files say, in the order of their names."""

    compatible: dict[str, frozenset[str]] = field(default_factory=dict)
    cameras: list[Camera] = field(default_factory=list)
    lenses: list[Lens] = field(default_factory=list)


def read(folder: Path) -> Database:
    """Read all of the database's XML files."""
    found = Database()
    for path in sorted(folder.glob("*.xml")):
        for element in ET.parse(path).getroot():  # noqa: S314 - files of an installed distribution
            match element.tag:
                case "mount":
                    compatible = frozenset(_texts(element, "compat"))
                    found.compatible[_names(element, "name")[""]] = compatible
                case "camera":
                    found.cameras.append(_camera(element))
                case "lens":
                    found.lenses.append(_lens(element))
                case _:
                    raise ValueError(f"{path.name} has a <{element.tag}>, which this script does not know")
    return found


def _camera(element: ET.Element) -> Camera:
    return Camera(
        makers=_names(element, "maker"),
        models=_names(element, "model"),
        variant=_names(element, "variant").get(""),
        mount=_texts(element, "mount")[0],
        crop_factor=float(_texts(element, "cropfactor")[0]),
    )


def _lens(element: ET.Element) -> Lens:
    models = _names(element, "model")
    low, high, aperture = _figures(element, models[""])
    return Lens(
        makers=_names(element, "maker"),
        models=models,
        mounts=frozenset(_texts(element, "mount")),
        kind=(_texts(element, "type") or ["rectilinear"])[0],
        crop_factor=float(_texts(element, "cropfactor")[0]),
        focal_min_mm=low,
        focal_max_mm=high,
        widest_aperture=aperture,
    )


def _texts(element: ET.Element, tag: str) -> list[str]:
    return [" ".join((child.text or "").split()) for child in element.findall(tag)]


def _names(element: ET.Element, tag: str) -> dict[str, str]:
    """By language. Of two in one language the last holds, as for Lensfun."""
    texts = zip(element.findall(tag), _texts(element, tag), strict=True)
    return {child.get("lang", ""): text for child, text in texts}


def _figures(element: ET.Element, model: str) -> tuple[float | None, float | None, float | None]:
    """Focal lengths and widest aperture: as stated, else by the model's name, else as calibrated."""
    low, high = _stated(element, "focal")
    aperture = _stated(element, "aperture")[0]
    if low is None or aperture is None:
        said = None
        if not any(word in model for word in _ATTACHMENTS):
            said = next((match for each in _FIGURES if (match := each.search(model))), None)
        lows, highs = [], []
        if said is not None:
            aperture = aperture or _number(said["aperture"])
            lows.append(_number(said["low"]))
            highs.append(_number(said["high"] or ""))
        calibrated = [float(each.get("focal", 0)) for each in element.findall("calibration/*")]
        low = low or min([each for each in (*lows, *calibrated) if each], default=None)
        high = high or max([each for each in (*highs, *calibrated) if each], default=None)
        apertures = [float(each.get("aperture", 0)) for each in element.findall("calibration/vignetting")]
        aperture = aperture or min((each for each in apertures if each), default=None)
    return low, high or low, aperture


def _stated(element: ET.Element, tag: str) -> tuple[float | None, float | None]:
    low = high = None
    for child in element.findall(tag):
        low = _number(child.get("min") or child.get("value") or "") or low
        high = _number(child.get("max") or child.get("value") or "") or high
    return low, high


def _number(text: str) -> float | None:
    """As C's atof: what can be read of it, nothing where that is zero."""
    match = re.match(r"[0-9]*\.?[0-9]*", text)
    figure = match[0] if match else ""
    return (float(figure) if figure.strip(".") else 0.0) or None


def catalogue(found: Database, version: str) -> bytes:
    """The catalogue as the bytes of an SQLite file.

    Args:
        found: What is in it.
        version: Which lensfunpy it was read from.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lenses.sqlite"
        database = sqlite3.connect(":memory:", isolation_level=None)
        try:
            database.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            database.execute("PRAGMA encoding = 'UTF-8'")
            # What moves within a page leaves zeros behind, not a copy of itself; the new file inherits it.
            database.execute("PRAGMA secure_delete = ON")
            database.executescript(_SCHEMA)
            for table, rows in _tables(found, version):
                places = ", ".join("?" * len(rows[0]))
                database.executemany(f"INSERT INTO {table} VALUES ({places})", rows)  # noqa: S608 - own names
            # Copies table by table, each in its order: pages lie as if nothing had ever been changed.
            database.execute("VACUUM INTO ?", (str(path),))
        finally:
            database.close()
        return _without_traces(bytearray(path.read_bytes()))


def _without_traces(file: bytearray) -> bytes:
    """The same database without what tells of the library that wrote it.

    That is its number, how often it wrote, and what lay in its memory where
    a page has nothing to say: between the pointers to its cells and the cells.
    """
    for at, told in _TRACES:
        file[at : at + 4] = told
    for start in range(0, len(file), _PAGE_BYTES):
        at = start or _HEADER_BYTES
        kind = file[at]
        if kind not in _PAGE_HEADS:
            raise RuntimeError(f"page {start // _PAGE_BYTES + 1} is none of a table or an index: {kind}")
        cells = int.from_bytes(file[at + 3 : at + 5], "big")
        used = start + int.from_bytes(file[at + 5 : at + 7], "big")
        free = at + _PAGE_HEADS[kind] + 2 * cells
        file[free:used] = bytes(used - free)
    return bytes(file)


def _tables(found: Database, version: str) -> Iterator[tuple[str, list[tuple[object, ...]]]]:
    """Each table with its rows, in the order of its key."""
    # Of two entries for one thing the last holds, and crop factors are told apart to 0.01, as by Lensfun.
    cameras = _by_key({(*_own(one), one.variant or ""): one for one in found.cameras})
    lenses = _by_key({(*_own(one), round(one.crop_factor, 2)): one for one in found.lenses})
    used = {camera.mount for camera in found.cameras}.union(*(lens.mounts for lens in found.lenses))
    mounts = {name: number for number, name in enumerate(sorted(used), 1)}
    about = {"built_from": f"lensfunpy {version}", "licence": LICENCE, "source": SOURCE}
    yield "about", sorted(about.items())
    yield "mount", [(number, name) for name, number in mounts.items()]
    yield "takes", sorted(_takes(found, mounts))
    yield "camera", [(at, *_camera_row(one, mounts)) for at, one in enumerate(cameras, 1)]
    yield "camera_name", sorted({(*names, at) for at, one in enumerate(cameras, 1) for names in _called(one)})
    yield "lens", [(at, *_lens_row(one)) for at, one in enumerate(lenses, 1)]
    yield (
        "lens_mount",
        sorted({(at, mounts[name]) for at, one in enumerate(lenses, 1) for name in one.mounts}),
    )


def _by_key(things: dict[_Key, _Thing]) -> list[_Thing]:
    return [things[key] for key in sorted(things)]


def _own(thing: Camera | Lens) -> tuple[str, str]:
    return thing.makers[""], thing.models[""]


def _takes(found: Database, mounts: dict[str, int]) -> Iterator[tuple[int, int]]:
    """Which lenses a camera takes: those of its own mount, and those of the mounts compatible with it."""
    for name in {camera.mount for camera in found.cameras}:
        for other in {name} | found.compatible.get(name, frozenset()):
            if other in mounts:
                yield mounts[name], mounts[other]


def _camera_row(camera: Camera, mounts: dict[str, int]) -> tuple[object, ...]:
    return *_own(camera), camera.variant, mounts[camera.mount], camera.crop_factor


def _lens_row(lens: Lens) -> tuple[object, ...]:
    maker, model = _own(lens)
    name = lens.models.get("en", model)
    figures = lens.focal_min_mm, lens.focal_max_mm, lens.widest_aperture, lens.crop_factor
    return maker, model, None if name == model else name, lens.kind, *figures


def _called(camera: Camera) -> set[tuple[str, str]]:
    """What people write for maker and model, in any language, the maker's name before the model or not."""
    makers = {folded(maker) for maker in camera.makers.values()}
    models = {folded(model) for model in camera.models.values()}
    models |= {model.removeprefix(f"{maker} ") for model in models for maker in makers}
    return {(maker, model) for maker in makers for model in models}


def folded(text: str) -> str:
    """A name as it is looked up: spaces and capitals do not matter."""
    return " ".join(text.casefold().split())


def main(arguments: list[str] | None = None) -> int:
    """Build the catalogue, or say whether it is what would be built."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where it would change")
    parser.add_argument(
        "--out", type=Path, default=CATALOGUE, help="where it goes (default: beside this script)"
    )
    options = parser.parse_args(arguments)
    built = installed()
    if options.check:
        there = options.out.read_bytes() if options.out.exists() else b""
        print(f"{options.out}: {'as' if there == built else 'NOT as'} the installed lensfunpy has it")
        return int(there != built)
    options.out.write_bytes(built)
    print(f"{options.out}: {len(built):,} bytes")
    return 0


def installed() -> bytes:
    """The catalogue of the lensfunpy that this interpreter has."""
    found = distribution("lensfunpy")
    return catalogue(read(Path(str(found.locate_file("lensfunpy/db_files")))), found.version)


if __name__ == "__main__":
    sys.exit(main())
