"""The service `lens-finder`: which lenses fit a camera, from a catalogue that lies beside it.

The data are the Lensfun project's (CC BY-SA 3.0), and every answer says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rld_lens_finder.templates import Catalogue, Formats, TemplateError
from rldlib.plugin import Service, operation

if TYPE_CHECKING:
    from collections.abc import Iterable
    from sqlite3 import Row

    from rldlib.plugin import Resources

__all__ = ["Camera", "Fitting", "Found", "Kind", "Lens", "LensFinder", "TemplateError"]

Kind = Literal["rectilinear", "fisheye", "equisolid", "stereographic", "panoramic"]

# What each query is given, with a value to try it by.
_QUERIES: dict[str, dict[str, str | int | None]] = {
    "about": {},
    "camera_names": {"maker": ""},
    "cameras": {"maker": "", "camera": ""},
    "find": {"pattern": "", "limit": 1},
    "fits": {"camera": 0, "kind": None},
    "lens": {"lens": ""},
    "mounts": {},
}
_LENS = ("maker", "model", "name", "kind", "focal", "aperture", "mounts")
_ORIGIN = ("source", "licence")
_FORMATS = {
    "card": (*_LENS, *_ORIGIN),
    "row": _LENS,
    "sheet": ("camera", "count", "rows", *_ORIGIN),
}
# The catalogue is pinned by its hash: an answer is as old as the service's version, and no older.
_DAY_S = 86_400
_MOST = 500
_TOLD = 5


@dataclass(frozen=True)
class Camera:
    """A camera of the catalogue.

    Attributes:
        maker: Who makes it, as the camera itself writes it into its pictures.
        model: Likewise its model.
        variant: Which of several sensors or settings this is; None where there is one.
        mount: Its mount; a name of its own where the lens is fixed.
        crop_factor: How much smaller than 36 x 24 mm its sensor is.
    """

    maker: str
    model: str
    variant: str | None
    mount: str
    crop_factor: float


@dataclass(frozen=True)
class Lens:
    """A lens of the catalogue.

    Attributes:
        maker: Who makes it.
        model: Its model, as cameras write it into their pictures.
        name: Its model, as people say it.
        kind: How it projects.
        focal_min_mm: Its shortest focal length, in millimetres; None where that is unknown.
        focal_max_mm: Its longest; that of a prime lens is its shortest.
        widest_aperture: Its smallest f-number; None where that is unknown.
        crop_factor: The crop factor of the sensor that it was calibrated on.
        mounts: What it is made for, by name. A camera may take some through an adapter.
    """

    maker: str
    model: str
    name: str
    kind: Kind
    focal_min_mm: float | None
    focal_max_mm: float | None
    widest_aperture: float | None
    crop_factor: float
    mounts: list[str]


@dataclass(frozen=True)
class Fitting:
    """The lenses that fit a camera.

    Attributes:
        cameras: Every variant of the camera.
        lenses: What fits one of them at least, the shortest focal length first.
        source: Whose data these are.
        licence: What they may be used for.
    """

    cameras: list[Camera]
    lenses: list[Lens]
    source: str
    licence: str


@dataclass(frozen=True)
class Found:
    """Lenses by their name; see `Fitting` for the source and the licence."""

    lenses: list[Lens]
    source: str
    licence: str


class LensFinder(Service):
    """Lenses of some 1,300 that fit one of some 950 cameras."""

    _catalogue: Catalogue
    _formats: Formats
    _origin: dict[str, str]
    _mounts: dict[int, list[str]]

    def start(self, resources: Resources) -> None:
        """Open the catalogue, and see that the templates only read and only name."""
        self._formats = Formats(resources.json("formats"), _FORMATS)
        self._catalogue = Catalogue(resources.path("catalogue"), resources.text("queries"), _QUERIES)
        told = {row["name"]: row["text"] for row in self._catalogue.ask("about")}
        self._origin = {name: told[name] for name in _ORIGIN}
        self._mounts = {}
        for row in self._catalogue.ask("mounts"):
            self._mounts.setdefault(row["lens"], []).append(row["name"])

    def stop(self) -> None:
        """Close the catalogue."""
        self._catalogue.close()

    @operation(idempotent=True, cache_for=_DAY_S)
    def fits(self, maker: str, camera: str, *, kind: Kind | None = None) -> Fitting:
        """The lenses that fit a camera.

        Args:
            maker: Who makes the camera, for example ``Nikon``; capitals do not matter.
            camera: Its model, as people say it or as the camera writes it, for example ``D750``.
            kind: Only lenses that project so.

        Raises:
            ValueError: No such camera is in the catalogue; the message names those nearest to it.
        """
        rows = self._cameras(maker, camera)
        lenses = {
            (lens.maker, lens.model): lens
            for row in rows
            for lens in self._lenses(self._catalogue.ask("fits", camera=row["id"], kind=kind))
        }
        return Fitting(
            [_camera(row) for row in rows], sorted(lenses.values(), key=_by_focal_length), **self._origin
        )

    @operation(idempotent=True, cache_for=_DAY_S, media_type="text/html; charset=utf-8")
    def sheet(self, maker: str, camera: str, *, kind: Kind | None = None) -> str:
        """The lenses that fit a camera as a page of its own, every value escaped.

        Takes and raises what `fits` does.
        """
        fitting = self.fits(maker, camera, kind=kind)
        rows = "".join(self._formats.markup("row", **_shown(lens)) for lens in fitting.lenses)
        count, first = str(len(fitting.lenses)), fitting.cameras[0]
        return self._formats.markup(
            "sheet", camera=_title(first.maker, first.model), count=count, rows=rows, **self._origin
        )

    @operation(idempotent=True, cache_for=_DAY_S)
    def find(self, text: str, *, limit: int = 50) -> Found:
        """Lenses whose maker and name have all words of a text, in its order.

        Args:
            text: For example ``sigma 18-35``; of an empty one, every lens.
            limit: How many at most, from 1 to 500.

        Raises:
            ValueError: The limit is none.
        """
        if not 1 <= limit <= _MOST:
            raise ValueError(f"limit is {limit}; it is from 1 to {_MOST}")
        words = (word.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") for word in text.split())
        rows = self._catalogue.ask("find", pattern=f"%{'%'.join(words)}%", limit=limit)
        return Found(self._lenses(rows), **self._origin)

    @operation(idempotent=True, cache_for=_DAY_S, media_type="text/plain; charset=utf-8")
    def describe(self, lens: str) -> str:
        """One lens in a few lines.

        Args:
            lens: Its model or name, with its maker or without; capitals do not matter.

        Raises:
            ValueError: No lens, or more than one, is called so.
        """
        found = self._lenses(self._catalogue.ask("lens", lens=" ".join(lens.split())))
        if len(found) != 1:
            called = ", ".join(_title(each.maker, each.model) for each in found[:_TOLD])
            told = f"{len(found)} lenses are called {lens!r}" if found else f"no lens is called {lens!r}"
            raise ValueError(f"{told}: write one of {called}" if found else f"{told}; find() looks for parts")
        return self._formats.text("card", **_shown(found[0]), **self._origin)

    @operation(idempotent=True, cache_for=_DAY_S)
    def cameras(self, maker: str | None = None) -> list[str]:
        """The cameras in the catalogue, of one maker or of all, as ``MAKER: MODEL``."""
        return [f"{make}: {model}" for make, model in self._known(maker)]

    def _known(self, maker: str | None) -> list[tuple[str, str]]:
        rows = self._catalogue.ask("camera_names", maker=None if maker is None else _folded(maker))
        return [(row["maker"], row["model"]) for row in rows]

    def _cameras(self, maker: str, camera: str) -> list[Row]:
        makes, model = _folded(maker), _folded(camera)
        rows = self._catalogue.ask("cameras", maker=makes, camera=model.removeprefix(f"{makes} "))
        if not rows:
            raise ValueError(
                f"no camera {camera!r} of {maker!r} is in the catalogue{self._nearest(maker, camera)}"
            )
        return rows

    def _nearest(self, maker: str, camera: str) -> str:
        from difflib import get_close_matches  # costs a start what only a slip needs

        known = {_folded(_title(*each)): each for each in self._known(maker) or self._known(None)}
        close = get_close_matches(_folded(_title(maker, camera)), known, n=_TOLD)
        return f"; nearest are {', '.join(': '.join(known[name]) for name in close)}" if close else ""

    def _lenses(self, rows: Iterable[Row]) -> list[Lens]:
        return [
            Lens(
                maker=row["maker"],
                model=row["model"],
                name=row["name"] or row["model"],
                kind=row["kind"],
                focal_min_mm=row["focal_min_mm"],
                focal_max_mm=row["focal_max_mm"],
                widest_aperture=row["widest_aperture"],
                crop_factor=row["crop_factor"],
                mounts=self._mounts[row["id"]],
            )
            for row in rows
        ]


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _camera(row: Row) -> Camera:
    return Camera(row["maker"], row["model"], row["variant"], row["mount"], row["crop_factor"])


def _by_focal_length(lens: Lens) -> tuple[float, float, float, str, str]:
    return (
        lens.focal_min_mm or 0,
        lens.focal_max_mm or 0,
        lens.widest_aperture or 0,
        lens.maker,
        lens.model,
    )


def _title(maker: str, model: str) -> str:
    """Both, and the maker once: cameras write ``Nikon Corporation`` and ``Nikon D750``."""
    first = maker.partition(" ")[0]
    return model if first and _folded(model).startswith(_folded(first)) else f"{maker} {model}"


def _shown(lens: Lens) -> dict[str, str]:
    """A lens as the formats show it: texts by the names of their fields."""
    low, high = lens.focal_min_mm, lens.focal_max_mm
    focal = "unknown" if low is None else f"{low:g} mm" if low == high else f"{low:g}-{high:g} mm"
    aperture = "unknown" if lens.widest_aperture is None else f"f/{lens.widest_aperture:g}"
    return {
        "maker": lens.maker,
        "model": lens.model,
        "name": lens.name,
        "kind": lens.kind,
        "focal": focal,
        "aperture": aperture,
        "mounts": ", ".join(lens.mounts),
    }
