from __future__ import annotations

import hashlib
import io
import json
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.sources.hosts import Host, bare_index_of, index_of
from tests.wheels import make_wheel

from rldlib.adapters.http import Http
from rldlib.adapters.index import Index
from rldlib.errors import (
    MismatchError,
    ServiceNotFoundError,
    SourceUnavailableError,
    UsageError,
    WheelRefusedError,
)
from rldlib.values.project_page import JSON_PAGE
from rldlib.values.request import parse_request

_KIB = 1024
_PROFILE = {"service": "tax", "version": "1.0", "summary": "x" * 2000}
_BIG = random.Random(7).randbytes(4 * 1024 * _KIB)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "wheels"


def _asked(url: str, **options) -> Index:
    return Index(url, Http(), **options)


def _offer(index: Index, text: str = "tax"):
    return index.offers(parse_request(text))


def _big_tax(folder):
    return make_wheel(folder, "tax", "1.0", files={"payload.bin": _BIG}, profile=_PROFILE)


def _page(files, **more) -> bytes:
    return json.dumps({"meta": {"api-version": "1.1"}, "name": "tax", "files": files, **more}).encode()


def _json_host(body: bytes, **headers):
    return Host(
        lambda host, connection, head: host.answer(connection, body, Content_Type=JSON_PAGE, **headers)
    )


# --- which wheels -------------------------------------------------------------


def test_the_distribution_is_the_name_or_rld_and_the_name(folder):
    make_wheel(folder, "rld-tax", "1.0")
    with index_of(folder) as host:
        index = _asked(host.url)
        assert [wheel.filename for wheel in _offer(index)] == ["rld_tax-1.0-py3-none-any.whl"]

        make_wheel(folder, "tax", "2.0")
        make_wheel(folder, "odd-name", "3.0")
        index.refresh()
        assert [str(wheel.version) for wheel in _offer(index)] == ["2.0"]
        assert [str(wheel.version) for wheel in _offer(index, "tax@odd-name")] == ["3.0"]
        assert index.project("nothing") is None
        with pytest.raises(ServiceNotFoundError, match="no distribution toll nor rld-toll"):
            _offer(index, "toll")
        with pytest.raises(ServiceNotFoundError, match="no distribution toll;"):
            _offer(index, "tax@toll")
        index.close()


def test_it_names_every_project_and_asks_anew_each_time(folder):
    make_wheel(folder, "Rld.Tax", "1.0")
    with index_of(folder) as host:
        index = _asked(host.url)
        assert list(index.names()) == ["rld-tax"]
        make_wheel(folder, "plain", "1.0")
        assert sorted(index.names()) == ["plain", "rld-tax"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [pytest.param(b"{", JSON_PAGE, id="no page"), pytest.param(b"", "image/png", id="another kind")],
)
def test_an_index_whose_list_is_none_is_an_outage(body, kind):
    with (
        Host(lambda host, connection, head: host.answer(connection, body, Content_Type=kind)) as host,
        pytest.raises(SourceUnavailableError),
    ):
        _asked(host.url).names()


def test_a_page_without_wheels_ends_the_search(folder):
    """
    Who owns NAME on the index must not be passed over for whoever took rld-NAME.
    """
    with _json_host(_page([])) as host:
        with pytest.raises(ServiceNotFoundError, match="tax has no wheels there"):
            _offer(_asked(host.url))

        assert len(host.heads) == 1


def test_what_is_in_quarantine_is_not_offered():
    file = {"filename": "tax-1.0-py3-none-any.whl", "url": "tax-1.0-py3-none-any.whl", "hashes": {}}
    with _json_host(
        _page([file], **{"project-status": {"status": "quarantined", "reason": "malware"}})
    ) as host:
        index = _asked(host.url)
        with pytest.raises(ServiceNotFoundError, match="quarantine: malware"):
            _offer(index)
        assert index.project("tax") == ()


def test_a_page_is_asked_for_once_and_then_by_its_etag(folder):
    make_wheel(folder, "tax", "1.0")
    with index_of(folder) as host:
        index = _asked(host.url)
        with ThreadPoolExecutor(8) as pool:
            assert (
                len({wheels[0].filename for wheels in pool.map(lambda _: index.project("Tax"), range(16))})
                == 1
            )
        assert host.asked["/simple/tax/"] == 1
        sent = host.total

        index.refresh()
        assert index.project("tax")
        assert host.asked["/simple/tax/"] == 2
        assert host.total == sent
        index.close()


def test_identity_and_errors_hold_no_credentials():
    with Host(lambda host, connection, head: host.answer(connection, b"", "403 No")) as host:
        index = _asked(f"http://user:hidden@127.0.0.1:{host.port}/simple?token=hidden")
        assert "hidden" not in index.identity
        assert index.credentials == ("user", "hidden")
        with pytest.raises(SourceUnavailableError) as caught:
            _offer(index)
        assert "hidden" not in str(caught.value)


def test_an_index_is_an_https_url_or_on_loopback():
    for url in ("/somewhere", "http://index.example/simple/"):
        with pytest.raises(UsageError):
            _asked(url)


# --- hostile pages -------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers", "told"),
    [
        (b"[" * 100_000, {}, "nested too deeply"),
        (b"x", {"Content_Length": str(10**10)}, "at most 33,554,432 bytes"),
        (b"<h1>Log in</h1>", {"Content_Type": "text/plain"}, "no page of a package index"),
        (_page([]), {"Content_Encoding": "br"}, "plain bytes"),
    ],
)
def test_a_page_that_is_none_is_an_outage(body, headers, told):
    with Host(
        lambda host, connection, head: host.answer(connection, body, **{"Content_Type": JSON_PAGE, **headers})
    ) as host:
        index = _asked(host.url)
        with pytest.raises(SourceUnavailableError, match=told):
            _offer(index)
        index.close()


def test_an_index_that_sends_elsewhere_for_what_it_lacks_lacks_it(folder):
    """
    What lies there is not looked at: it would be a second index.
    """
    make_wheel(folder, "rld-tax", "1.0")
    make_wheel(folder / "other", "tax", "9.0")
    own = b'<a href="/rld_tax-1.0-py3-none-any.whl">own</a>'
    with index_of(folder / "other") as other:

        def lacking(host, connection, head):
            name = head.split(" ")[1].strip("/").rpartition("/")[2]
            if name == "rld-tax":
                host.answer(connection, own)
            else:
                host.answer(connection, b"", "303 See Other", Location=f"{other.url}{name}/?token=hidden")

        with Host(lacking) as host:
            index = _asked(f"{host.url}/simple/")
            assert [str(wheel.version) for wheel in _offer(index)] == ["1.0"]
            assert index.project("tax") is None
            with pytest.raises(ServiceNotFoundError, match="which is another server and not asked") as caught:
                _offer(index, "toll")
            index.close()

        assert f"it redirects to {other.url}toll/, " in str(caught.value)
        assert "hidden" not in str(caught.value)
        assert other.asked.total() == 0


def test_a_login_page_with_status_200_offers_nothing():
    with Host(
        lambda host, connection, head: host.answer(connection, b"<html><form>Log in</form></html>")
    ) as host:
        index = _asked(host.url)
        with pytest.raises(ServiceNotFoundError, match="no wheels"):
            _offer(index)
        index.close()


def test_a_sibling_that_differs_from_its_hash_is_refused():
    name = "tax-1.0-py3-none-any.whl"
    said = {"sha256": "0" * 64}
    file = {
        "filename": name,
        "url": f"/files/{name}",
        "hashes": {},
        "core-metadata": said,
        "rldlib-profile": said,
    }
    with _json_host(_page([file])) as host:
        index = _asked(host.url)
        (wheel,) = _offer(index)
        for read in (index.profile, index.metadata):
            with pytest.raises(MismatchError, match="sha256"):
                read(wheel)
        index.close()


def test_a_file_that_is_no_wheel_is_refused(folder):
    folder.mkdir()
    (folder / "tax-1.0-py3-none-any.whl").write_bytes(b"<html>" * 20_000)
    with index_of(folder) as host, bare_index_of(folder) as bare:
        for url in (host.url, bare.url):
            index = _asked(url)
            (wheel,) = _offer(index)
            for read in (index.profile, index.metadata):
                with pytest.raises(WheelRefusedError):
                    read(wheel)
            index.close()


def test_a_size_that_the_file_has_not_is_told(folder):
    path = _big_tax(folder)
    with index_of(folder) as host:
        root = host.url.removesuffix("/simple/")
        file = {"filename": path.name, "url": f"{root}/files/{path.name}", "hashes": {}, "size": 1_000_000}
        with _json_host(_page([file])) as lying:
            index = _asked(lying.url)
            (wheel,) = _offer(index)
            with pytest.raises(MismatchError, match="the size of"):
                index.profile(wheel)
            with pytest.raises(MismatchError, match="the size of"):
                index.metadata(wheel)
            index.close()


# --- what reading costs ----------------------------------------------------------


def test_a_profile_costs_its_bytes_where_the_index_has_it_beside(folder):
    path = _big_tax(folder)
    with index_of(folder) as host:
        index = _asked(host.url)
        (wheel,) = _offer(index)
        profile = index.profile(wheel)
        index.close()

    assert json.loads(profile) == _PROFILE
    assert host.sent[f"/files/{path.name}.rldlib.json"] == len(profile)
    assert host.sent[f"/files/{path.name}"] == 0
    assert index.received_bytes < 8 * _KIB


def _without_siblings(wheel):
    from dataclasses import replace

    return replace(wheel, metadata_sha256=None, profile_sha256=None)


def test_by_ranges_a_profile_costs_16_kib_and_metadata_64(folder):
    path = _big_tax(folder)
    with index_of(folder) as host:
        index = _asked(host.url)
        wheel = _without_siblings(_offer(index)[0])

        assert json.loads(index.profile(wheel)) == _PROFILE
        assert host.sent[f"/files/{path.name}"] == 16 * _KIB
        assert host.asked[f"/files/{path.name}"] == 1

        assert b"Name: tax" in index.metadata(wheel)
        assert host.sent[f"/files/{path.name}"] == 80 * _KIB
        assert index.profile(wheel) is not None
        assert host.asked[f"/files/{path.name}"] == 2
        index.close()


def test_by_ranges_a_wheel_without_profile_is_known_from_its_directory(folder):
    path = make_wheel(folder, "tax", "1.0", files={"payload.bin": _BIG})
    with index_of(folder) as host:
        index = _asked(host.url)
        wheel = _without_siblings(_offer(index)[0])

        assert index.profile(wheel) is None
        assert host.sent[f"/files/{path.name}"] == 80 * _KIB
        assert b"Name: tax" in index.metadata(wheel)
        assert host.asked[f"/files/{path.name}"] == 2
        index.close()


def test_a_small_wheel_is_read_once(folder):
    path = make_wheel(folder, "tax", "1.0", profile=_PROFILE)
    with index_of(folder) as host:
        index = _asked(host.url)
        wheel = _without_siblings(_offer(index)[0])

        assert index.profile(wheel)
        assert index.metadata(wheel)
        assert host.asked[f"/files/{path.name}"] == 1
        index.close()


def test_without_ranges_a_profile_costs_what_is_under_way(folder):
    """
    No more than 64 KiB is taken; what the host had sent before it saw the end is little.
    """
    path = _big_tax(folder)
    with bare_index_of(folder) as host:
        index = _asked(host.url)
        (wheel,) = _offer(index)
        assert (wheel.sha256, wheel.size) == (None, None)
        profile = index.profile(wheel)
        received = index.received_bytes
        index.close()

    assert json.loads(profile) == _PROFILE
    assert host.asked[f"/files/{path.name}"] == 1
    assert received < 66 * _KIB
    assert host.sent[f"/files/{path.name}"] < 512 * _KIB


def test_without_ranges_a_large_wheel_without_profile_costs_64_kib(folder):
    make_wheel(folder, "tax", "1.0", files={"payload.bin": _BIG})
    with bare_index_of(folder) as host:
        index = _asked(host.url)
        (wheel,) = _offer(index)

        assert index.profile(wheel) is None
        assert index.received_bytes < 200 * _KIB
        index.close()


def test_without_ranges_and_hashes_the_file_is_fetched_once_for_all(folder):
    path = _big_tax(folder)
    with bare_index_of(folder) as host:
        index = _asked(host.url)
        (wheel,) = _offer(index)

        assert b"Name: tax" in index.metadata(wheel)
        pinned = index.pin(wheel)
        assert pinned.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert pinned.size == path.stat().st_size
        sent, into = host.total, io.BytesIO()
        index.fetch(wheel.locator, into, max_bytes=pinned.size)

        assert into.getvalue() == path.read_bytes()
        assert host.total == sent
        index.close()


def test_a_missing_size_costs_a_head(folder):
    path = _big_tax(folder)
    with index_of(folder) as host:
        index = _asked(host.url)
        from dataclasses import replace

        wheel = replace(_offer(index)[0], size=None)

        assert index.pin(wheel).size == path.stat().st_size
        assert host.sent[f"/files/{path.name}"] == 0
        index.close()


# --- files and blobs ---------------------------------------------------------------


def test_files_come_from_where_the_page_says_and_from_nowhere_else(folder):
    path = make_wheel(folder, "tax", "1.0")
    with index_of(folder) as files:
        root = files.url.removesuffix("/simple/")
        file = {"filename": path.name, "url": f"{root}/files/{path.name}", "hashes": {}}
        with _json_host(_page([file])) as host:
            index = _asked(host.url)
            into = io.BytesIO()
            index.fetch(f"{root}/files/{path.name}", into, max_bytes=10_000)
            assert into.getvalue() == path.read_bytes()

            for other in (
                f"{root}/files/other-1.0-py3-none-any.whl",
                f"{root}/healthz",
                "file:///etc/hostname",
                "/etc/hostname",
            ):
                with pytest.raises(SourceUnavailableError):
                    index.fetch(other, io.BytesIO(), max_bytes=10_000)
            index.close()


def test_a_blob_is_beside_the_index(folder):
    data = b"rates"
    sha256 = hashlib.sha256(data).hexdigest()
    (folder / "blobs" / "sha256").mkdir(parents=True)
    (folder / "blobs" / "sha256" / sha256).write_bytes(data)
    with index_of(folder) as host:
        index = _asked(host.url)
        into = io.BytesIO()

        assert index.blob(sha256, into, max_bytes=5)
        assert into.getvalue() == data
        assert not index.blob("0" * 64, io.BytesIO(), max_bytes=5)
        assert not index.blob("../../secret", io.BytesIO(), max_bytes=5)
        with pytest.raises(SourceUnavailableError, match="at most 4 bytes"):
            index.blob(sha256, io.BytesIO(), max_bytes=4)
        index.close()
