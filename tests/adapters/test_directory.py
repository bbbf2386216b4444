from __future__ import annotations

import hashlib
import io
import os
import time

import pytest
from tests.wheels import make_wheel

from rldlib.adapters.directory import Directory
from rldlib.errors import ServiceNotFoundError, SourceUnavailableError, WheelRefusedError
from rldlib.values.request import parse_request


def _names(source, text="tax"):
    return [
        wheel.filename.partition("-")[0] + " " + str(wheel.version)
        for wheel in source.offers(parse_request(text))
    ]


def _carrier(folder, name, version, service="tax"):
    return make_wheel(folder, name, version, profile={"service": service, "version": version})


def test_a_service_is_found_by_name_first_and_then_by_profile(tmp_path):
    source = Directory(tmp_path)
    _carrier(tmp_path, "quite-other", "3.0")
    assert _names(source) == ["quite_other 3.0"]

    _carrier(tmp_path, "rld-tax", "2.0")
    assert _names(source) == ["rld_tax 2.0"]

    _carrier(tmp_path, "tax", "1.0")
    _carrier(tmp_path, "tax", "1.1")
    _carrier(tmp_path, "tax", "9.0", service="another")
    assert _names(source) == ["tax 1.0", "tax 1.1"]
    assert _names(source, "tax@quite-other") == ["quite_other 3.0"]


def test_malformed_wheels_are_passed_over_unless_they_have_the_name(tmp_path):
    _carrier(tmp_path, "quite-other", "3.0")
    (tmp_path / "broken-1.0-py3-none-any.whl").write_bytes(b"PK\3\4 and no more")
    (tmp_path / "tax-1.0-py3-none-any.whl").write_bytes(b"nothing")
    (tmp_path / "tax-one.whl").write_bytes(b"")
    (tmp_path / "tax-2.0-py3-none-any.whl").mkdir()
    os.mkfifo(tmp_path / "tax-3.0-py3-none-any.whl")
    (tmp_path / "tax-4.0-py3-none-any.whl").symlink_to("nowhere")
    source = Directory(tmp_path)
    assert _names(source) == ["quite_other 3.0"]

    (tmp_path / "quite_other-3.0-py3-none-any.whl").unlink()
    (wheel,) = source.offers(parse_request("tax"))
    with pytest.raises(WheelRefusedError, match="begins with b'noth'"):
        source.profile(wheel)


def test_what_is_not_there_is_told(tmp_path):
    _carrier(tmp_path, "tax", "1.0", service="another")
    source = Directory(tmp_path)
    with pytest.raises(ServiceNotFoundError, match="no wheel there carries"):
        source.offers(parse_request("tax"))
    with pytest.raises(ServiceNotFoundError, match="no wheel of other"):
        source.offers(parse_request("tax@other"))
    assert source.project("other") is None
    with pytest.raises(SourceUnavailableError, match="no such file or directory"):
        Directory(tmp_path / "gone").project("tax")


def test_a_file_that_comes_changes_or_goes_is_seen(tmp_path):
    source = Directory(tmp_path)
    assert source.project("tax") is None
    path = make_wheel(tmp_path, "tax", "1.0")
    (wheel,) = source.project("tax")
    first = source.pin(wheel)
    assert (first.sha256, first.size) == (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)

    make_wheel(tmp_path, "tax", "1.0", files={"more.py": ""})
    (wheel,) = source.project("tax")
    assert source.pin(wheel).sha256 != first.sha256
    path.unlink()
    with pytest.raises(SourceUnavailableError, match="no such file"):
        source.pin(wheel)
    assert source.project("tax") is None


def test_profile_and_metadata_are_read(tmp_path):
    _carrier(tmp_path, "tax", "1.0")
    make_wheel(tmp_path, "plain", "1.0")
    source = Directory(tmp_path)

    assert b'"tax"' in source.profile(source.project("tax")[0])
    assert source.profile(source.project("plain")[0]) is None
    assert b"Name: plain" in source.metadata(source.project("plain")[0])


def test_only_its_own_wheels_are_fetched(tmp_path):
    folder = tmp_path / "wheels"
    path = make_wheel(folder, "tax", "1.0")
    outside = make_wheel(tmp_path, "tax", "2.0")
    source = Directory(folder)
    into = io.BytesIO()
    source.fetch(str(path), into, max_bytes=path.stat().st_size)
    assert into.getvalue() == path.read_bytes()

    for locator in (
        str(outside),
        f"{folder}/../{outside.name}",
        "/etc/hostname",
        f"{folder}/gone-1.0-py3-none-any.whl",
    ):
        with pytest.raises(SourceUnavailableError):
            source.fetch(locator, io.BytesIO(), max_bytes=10_000)
    with pytest.raises(SourceUnavailableError, match="at most 10 bytes"):
        source.fetch(str(path), io.BytesIO(), max_bytes=10)


def test_a_blob_is_below_it(tmp_path):
    data = b"rates"
    sha256 = hashlib.sha256(data).hexdigest()
    (tmp_path / "blobs" / "sha256").mkdir(parents=True)
    (tmp_path / "blobs" / "sha256" / sha256).write_bytes(data)
    source = Directory(tmp_path)
    into = io.BytesIO()

    assert source.blob(sha256, into, max_bytes=5)
    assert into.getvalue() == data
    assert not source.blob("0" * 64, io.BytesIO(), max_bytes=5)
    assert not source.blob("../../../etc/hostname", io.BytesIO(), max_bytes=5)


@pytest.mark.slow
def test_thousands_of_wheels_cost_a_listing(tmp_path):
    _carrier(tmp_path, "tax", "1.0")
    for number in range(5_000):
        (tmp_path / f"other{number}-1.0-py3-none-any.whl").touch()
    source = Directory(tmp_path)
    began = time.perf_counter()

    assert _names(source) == ["tax 1.0"]
    assert time.perf_counter() - began < 0.5
