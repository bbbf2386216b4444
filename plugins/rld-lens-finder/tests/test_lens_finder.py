"""What the lens-finder service answers, called without a worker."""

from __future__ import annotations

import json
import sqlite3
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rld_lens_finder import LensFinder, TemplateError
from rldlib.plugin import Resources

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "src" / "rld_lens_finder"
FILES = {
    "catalogue": PROJECT / "catalogue" / "lenses.sqlite",
    "queries": PACKAGE / "queries.sql",
    "formats": PACKAGE / "formats.json",
}


@pytest.fixture
def finder():
    service = started()
    yield service
    service.stop()


def started(**other):
    service = LensFinder()
    files = {**FILES, **other}
    service.start(
        Resources([{"name": name, "kind": "data", "path": str(path)} for name, path in files.items()])
    )
    return service


def names(lenses):
    return [lens.name for lens in lenses]


class Page(HTMLParser):
    """The tags of a page, and the texts between them."""

    def __init__(self, document):
        super().__init__()
        self.tags = []
        self.texts = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def test_lenses_of_the_cameras_own_mount_fit(finder):
    fitting = finder.fits("Nikon", "D750")
    assert [(camera.model, camera.mount, camera.crop_factor) for camera in fitting.cameras] == [
        ("Nikon D750", "Nikon F AF", 1.0)
    ]
    assert "Nikkor AF-S 18-35mm f/3.5-4.5G ED" in names(fitting.lenses)
    assert all(lens.crop_factor <= 1.0 / 0.96 for lens in fitting.lenses), "no lens for smaller sensors"


def test_a_smaller_sensor_takes_more_lenses(finder):
    whole, small = finder.fits("Nikon", "D750"), finder.fits("Nikon", "D7100")
    assert {lens.model for lens in whole.lenses} < {lens.model for lens in small.lenses}


def test_lenses_of_a_compatible_mount_fit_too(finder):
    fitting = finder.fits("Canon", "EOS 5D Mark III")
    screwed = [lens for lens in fitting.lenses if lens.mounts == ["M42"]]
    assert screwed, "through an adapter"
    assert all("Canon EF" not in lens.mounts for lens in screwed)


@pytest.mark.parametrize(
    ("maker", "camera"),
    [
        ("Canon", "Canon EOS 5D Mark III"),
        ("canon", "eos 5d  mark iii"),
        ("CANON", "EOS 5D MARK III"),
    ],
)
def test_a_camera_is_called_as_people_and_as_cameras_do(finder, maker, camera):
    assert finder.fits(maker, camera) == finder.fits("Canon", "EOS 5D Mark III")


def test_a_camera_of_several_variants_takes_what_fits_one_of_them(finder):
    fitting = finder.fits("Panasonic", "DMC-LX3")
    assert {camera.variant for camera in fitting.cameras} == {"1:1", "16:9", "3:2", "4:3"}
    assert fitting.lenses


def test_lenses_come_with_the_shortest_focal_length_first_and_once_each(finder):
    lenses = finder.fits("Sony", "ILCE-7M3").lenses
    shortest = [lens.focal_min_mm or 0 for lens in lenses]
    assert shortest == sorted(shortest)
    assert len({(lens.maker, lens.model) for lens in lenses}) == len(lenses)


def test_lenses_can_be_asked_for_by_how_they_project(finder):
    every = finder.fits("Canon", "EOS 5D Mark III").lenses
    fisheyes = finder.fits("Canon", "EOS 5D Mark III", kind="fisheye").lenses
    assert fisheyes
    assert fisheyes == [lens for lens in every if lens.kind == "fisheye"]


def test_an_unknown_camera_is_told_with_those_nearest_to_it(finder):
    with pytest.raises(ValueError, match=r"no camera 'D751' of 'Nikon' .* nearest are .*Nikon D750"):
        finder.fits("Nikon", "D751")
    with pytest.raises(ValueError, match=r"no camera '' of '' is in the catalogue$"):
        finder.fits("", "")


def test_lenses_are_found_by_words_of_their_name(finder):
    found = finder.find("SIGMA 18-35").lenses
    assert "Sigma 18-35mm f/1.8 DC HSM [A]" in [lens.model for lens in found]
    assert all("sigma" in f"{lens.maker} {lens.model}".lower() for lens in found)
    assert finder.find("no lens is called this").lenses == []


def test_no_more_lenses_are_found_than_asked_for(finder):
    assert len(finder.find("", limit=7).lenses) == 7
    for limit in (0, 501):
        with pytest.raises(ValueError, match=rf"limit is {limit}; it is from 1 to 500"):
            finder.find("", limit=limit)


@pytest.mark.parametrize(
    "text", ["%", "_", "\\", "'", "' OR 1=1 --", '"; DROP TABLE lens; --', "x' UNION SELECT 1", ":limit", "?"]
)
def test_what_is_asked_for_is_never_part_of_the_query(finder, text):
    """
    A sign that means something in SQL is looked for as it is.
    """
    every = finder.find("", limit=500)
    found = finder.find(text).lenses
    assert all(text in f"{lens.maker} {lens.model} {lens.name}" for lens in found)
    with pytest.raises(ValueError, match="no camera"):
        finder.fits(text, text)
    with pytest.raises(ValueError, match="no lens is called"):
        finder.describe(text)
    assert finder.find("", limit=500) == every


def test_a_lens_is_described_in_text(finder):
    card = finder.describe("canon ef 50mm f/1.8 stm")
    assert card.startswith("Canon EF 50mm f/1.8 STM\n")
    assert "focal     50 mm\n" in card
    assert "aperture  f/1.8\n" in card
    assert "Canon EF" in card


def test_a_name_of_no_lens_or_of_many_is_told(finder):
    with pytest.raises(ValueError, match=r"no lens is called 'nothing'; find\(\) looks for parts"):
        finder.describe("nothing")
    with pytest.raises(ValueError, match=r"\d+ lenses are called 'fixed lens': write one of "):
        finder.describe("fixed lens")


def test_a_sheet_has_a_row_for_each_lens_that_fits(finder):
    fitting, sheet = finder.fits("Nikon", "D750"), Page(finder.sheet("Nikon", "D750"))
    assert sheet.tags.count("tr") == len(fitting.lenses) + 1
    assert "Lenses for Nikon D750" in sheet.texts
    assert set(names(fitting.lenses)) <= set(sheet.texts)


def test_every_answer_names_its_source_and_licence(finder):
    for answer in (finder.fits("Nikon", "D750"), finder.find("sigma")):
        assert answer.source.startswith("Lensfun lens database")
        assert answer.licence.startswith("CC BY-SA 3.0")
    for document in (finder.sheet("Nikon", "D750"), finder.describe("Canon EF 50mm f/1.8 STM")):
        assert "Lensfun lens database" in document
        assert "CC BY-SA 3.0" in document


def test_the_cameras_of_a_maker_are_listed(finder):
    nikons = finder.cameras("nikon")
    assert "Nikon Corporation: Nikon D750" in nikons
    assert all(name.startswith("Nikon") for name in nikons)
    assert len(finder.cameras()) > 900
    assert finder.cameras("no such maker") == []


# --- templates ------------------------------------------------------------------


def edited(tmp_path, name, change):
    path = tmp_path / name
    path.write_text(change(FILES[name].read_text(encoding="utf-8")), encoding="utf-8")
    return {name: path}


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM lens",
        "UPDATE about SET text = ''",
        "DROP TABLE lens",
        "CREATE TEMP TABLE other (x)",
        "ATTACH '{there}' AS other",
        "VACUUM INTO '{there}'",
        "PRAGMA writable_schema = 1",
        "SELECT load_extension('{there}')",
        "SELECT name, text FROM about; DELETE FROM about",
        "SELECT name, text FROM about WHERE name = ?",
        "SELECT name, text FROM about WHERE name = :other",
        "WITH RECURSIVE all(x) AS (SELECT 1 UNION ALL SELECT x FROM all) SELECT x FROM all",
        "SELECT hex(zeroblob(1000000000))",
        "no SQL",
        "",
    ],
)
def test_a_query_that_does_more_than_read_is_refused_at_the_start(tmp_path, query):
    there = tmp_path / "there"
    before = FILES["catalogue"].read_bytes()
    queries = edited(
        tmp_path,
        "queries",
        lambda text: text.replace("SELECT name, text FROM about", query.format(there=there)),
    )
    with pytest.raises(TemplateError, match="the query about cannot be used: "):
        started(**queries)
    assert FILES["catalogue"].read_bytes() == before
    assert not there.exists()


def test_a_missing_or_an_unknown_query_is_told(tmp_path):
    with pytest.raises(TemplateError, match=r"the queries are .*; they have to be about, camera_names, "):
        started(**edited(tmp_path, "queries", lambda text: text.replace("-- name: about", "-- name: other")))


@pytest.mark.parametrize(
    "field",
    [
        "name.__class__",
        "name[0]",
        "name!r",
        "name:>1000000000",
        "name.__init__.__globals__",
        "other",
        "",
        "0",
        "name:{maker}",
    ],
)
def test_a_format_that_does_more_than_name_its_fields_is_refused_at_the_start(tmp_path, field):
    def change(text):
        formats = json.loads(text)
        return json.dumps({**formats, "card": f"{{{field}}}"})

    with pytest.raises(
        TemplateError, match=r"the format card has .*; it may name maker, model, name, kind, "
    ):
        started(**edited(tmp_path, "formats", change))


def test_a_format_with_a_loose_brace_is_told(tmp_path):
    with pytest.raises(TemplateError, match="the format card cannot be read"):
        started(**edited(tmp_path, "formats", lambda text: json.dumps({**json.loads(text), "card": "{"})))


@pytest.mark.parametrize("formats", ["[]", "{}", '{"card": 1}'])
def test_formats_that_are_none_are_told(tmp_path, formats):
    with pytest.raises(TemplateError, match="the formats are "):
        started(**edited(tmp_path, "formats", lambda _: formats))


def test_an_edited_template_changes_the_answer_and_nothing_else(tmp_path):
    formats = edited(
        tmp_path, "formats", lambda text: json.dumps({**json.loads(text), "card": "{{{name}}} {focal}"})
    )
    service = started(**formats)
    try:
        assert service.describe("Canon EF 50mm f/1.8 STM") == "{Canon EF 50mm f/1.8 STM} 50 mm"
    finally:
        service.stop()


def test_hostile_text_of_the_catalogue_stays_text(tmp_path):
    catalogue = tmp_path / "catalogue"
    catalogue.write_bytes(FILES["catalogue"].read_bytes())
    database = sqlite3.connect(catalogue)
    database.execute("UPDATE lens SET name = ? || id", ["<script>alert({maker})</script>"])
    database.commit()
    database.close()
    service = started(catalogue=catalogue)
    try:
        page = Page(service.sheet("Nikon", "D750"))
        assert "script" not in page.tags
        assert any(text.startswith("<script>alert({maker})</script>") for text in page.texts)
    finally:
        service.stop()
