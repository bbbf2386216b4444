from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest
import requests
from packaging.specifiers import SpecifierSet
from tests.sources.hosts import index_of
from tests.wheels import make_wheel

from rldlib.values.project_page import HTML_PAGE, JSON_PAGE, parse_page


@pytest.fixture
def folder(tmp_path):
    make_wheel(
        tmp_path / "w",
        "Rld-Tax",
        "1.0",
        requires_python=">=3.10",
        profile={"service": "tax", "version": "1.0"},
        files={"x.py": "x" * 5000},
    )
    make_wheel(tmp_path / "w", "plain", "1.0")
    (tmp_path / "secret.whl").write_text("secret")
    return tmp_path / "w"


@pytest.fixture
def host(folder):
    with index_of(folder) as serving:
        yield serving


@pytest.fixture
def get(host):
    with requests.Session() as session:
        session.trust_env = False

        def ask(path, **headers):
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            return session.get(
                host.url.removesuffix("/simple/") + path, headers=headers, allow_redirects=False
            )

        yield ask


def test_json_and_html_tell_the_same_wheels(get, folder):
    by_json = get("/simple/rld-tax/", Accept=JSON_PAGE)
    by_html = get("/simple/rld-tax/")
    assert (by_json.headers["content-type"], by_html.headers["content-type"].partition(";")[0]) == (
        JSON_PAGE,
        HTML_PAGE,
    )
    (told,) = parse_page("rld-tax", by_json.url, JSON_PAGE, by_json.content).wheels
    (shown,) = parse_page("rld-tax", by_html.url, HTML_PAGE, by_html.content).wheels
    path = folder / told.filename

    assert told.sha256 == shown.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert told.requires_python == shown.requires_python == SpecifierSet(">=3.10")
    assert told.size == path.stat().st_size
    assert (
        told.metadata_sha256
        == shown.metadata_sha256
        == hashlib.sha256(get(f"/files/{path.name}.metadata").content).hexdigest()
    )
    assert (
        told.profile_sha256
        == shown.profile_sha256
        == hashlib.sha256(get(f"/files/{path.name}.rldlib.json").content).hexdigest()
    )
    assert json.loads(by_json.content)["versions"] == ["1.0"]


@pytest.mark.parametrize(
    ("accept", "is_json"),
    [
        ("*/*", False),
        ("text/html", False),
        (JSON_PAGE, True),
        (f"{JSON_PAGE};q=0.1, text/html;q=0.9", False),
        (f"{JSON_PAGE}, {HTML_PAGE}; q=0.1, text/html; q=0.01", True),
        (f"{JSON_PAGE};q=nonsense", False),
    ],
)
def test_the_kind_of_page_follows_accept(get, accept, is_json):
    for path in ("/simple/", "/simple/plain/"):
        assert (get(path, Accept=accept).headers["content-type"] == JSON_PAGE) == is_json


def test_all_projects_are_listed(get):
    assert [one["name"] for one in get("/simple/", Accept=JSON_PAGE).json()["projects"]] == [
        "plain",
        "rld-tax",
    ]
    assert get("/healthz").text == "ok\n"
    assert "2 projects" in get("/").text


@pytest.mark.parametrize(
    ("path", "target"),
    [("/simple", "/simple/"), ("/simple/Rld_Tax/", "/simple/rld-tax/"), ("/simple/plain", "/simple/plain/")],
)
def test_other_spellings_lead_to_the_page(get, path, target):
    answer = get(path)

    assert (answer.status_code, answer.headers["location"]) == (301, target)


def test_an_unchanged_page_is_not_sent_again(get, folder):
    first = get("/simple/plain/", Accept=JSON_PAGE)
    again = get("/simple/plain/", Accept=JSON_PAGE, If_None_Match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")

    make_wheel(folder, "plain", "2.0")
    changed = get("/simple/plain/", Accept=JSON_PAGE, If_None_Match=first.headers["etag"])
    assert changed.json()["versions"] == ["1.0", "2.0"]


def test_files_are_given_in_ranges(get, folder):
    path = next(folder.glob("*Tax*"))
    whole = get(f"/files/{path.name}")
    part = get(f"/files/{path.name}", Range="bytes=10-19")
    assert whole.content == path.read_bytes()
    assert (part.status_code, part.content) == (206, path.read_bytes()[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{path.stat().st_size}"

    etag = whole.headers["etag"]
    assert get(f"/files/{path.name}", Range="bytes=10-", If_Range=etag).status_code == 206
    assert get(f"/files/{path.name}", Range="bytes=10-", If_Range='"other"').status_code == 200
    assert get(f"/files/{path.name}", Range="bytes=99999999-").status_code == 416


@pytest.mark.parametrize(
    "path",
    [
        "/simple/none/",
        "/files/none-1.0-py3-none-any.whl",
        "/files/none-1.0-py3-none-any.whl.metadata",
        "/files/plain-1.0-py3-none-any.whl.rldlib.json",
        "/files/..%2Fsecret.whl",
        "/files/%2e%2e/secret.whl",
        "/files/%2Fetc%2Fhostname",
        "/blobs/sha256/..%2F..%2F..%2Fsecret.whl",
        "/blobs/sha256/" + "0" * 64,
        "/other",
    ],
)
def test_nothing_else_is_given(host, path):
    """
    Sent as it is: clients would tidy the path up.
    """
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            host.url.removesuffix("/simple/") + path
        )


def test_a_broken_wheel_is_told_without_what_cannot_be_read(get, folder):
    (folder / "broken-1.0-py3-none-any.whl").write_bytes(b"no zip")
    (file,) = get("/simple/broken/", Accept=JSON_PAGE).json()["files"]

    assert "core-metadata" not in file
    assert file["hashes"]["sha256"] == hashlib.sha256(b"no zip").hexdigest()


def test_a_folder_that_is_gone_is_an_outage(get, folder):
    folder.rename(folder.parent / "elsewhere")

    assert get("/simple/plain/").status_code == 503


@pytest.mark.slow
def test_it_says_where_it_is_once_it_is_there(folder):
    code = (
        "import sys; from pathlib import Path; from rldlib.server.index import serve_index;"
        "serve_index(Path(sys.argv[1]), on_ready=lambda url, pid: print(url, pid, flush=True))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            url, pid = process.stdout.readline().split()
            assert int(pid) == process.pid
            with requests.Session() as session:
                session.trust_env = False
                assert session.get(url, headers={"Accept": JSON_PAGE}).json()["projects"]
        finally:
            os.kill(process.pid, signal.SIGINT)
            process.wait(10)
