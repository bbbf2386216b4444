"""A wheel is stamped whole or not at all, and nothing else in it changes."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from installer.sources import WheelFile
from tests.wheels import make_wheel, wheel_members, write_wheel

from rldlib.adapters.stamping import read_profile, stamp
from rldlib.errors import ProfileError, StorageError, UsageError, WheelRefusedError
from rldlib.values.profile import MAX_PROFILE_BYTES

ENTRY = {"rldlib.services": {"tax": "rld_tax:Tax"}}
FILES = {"rld_tax/__init__.py": "class Tax: ...\n", "rld_tax/rates.json": b"{}" * 500}
INFO = "rld_tax-1.0.dist-info"


def profile(**fields):
    return json.dumps({"schema": 1, "service": "tax", "version": "1.0", **fields}).encode()


@pytest.fixture
def wheel(tmp_path):
    return make_wheel(tmp_path, "rld-tax", "1.0", FILES, entry_points=ENTRY)


def raw(path):
    """Every member but RECORD and the profile: its bytes as packed, and all that the zip says of it."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        told = []
        for info in archive.infolist():
            if info.filename.endswith(("/RECORD", "/rldlib.json")):
                continue
            file.seek(info.header_offset + 26)
            lengths = file.read(4)
            file.seek(info.header_offset)
            size = (
                30 + sum(int.from_bytes(lengths[at : at + 2], "little") for at in (0, 2)) + info.compress_size
            )
            told.append(
                (info.filename, file.read(size), info.external_attr, info.date_time, info.extra, info.comment)
            )
    return told


def test_a_stamped_wheel_carries_the_profile_first_and_stored(wheel):
    before = raw(wheel)
    stamp(wheel, profile())
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        first, last = archive.infolist()[0], archive.infolist()[-1]
        assert first.filename == f"{INFO}/rldlib.json"
        assert (first.header_offset, first.compress_type) == (0, zipfile.ZIP_STORED)
        assert first.date_time == archive.getinfo(f"{INFO}/METADATA").date_time
        assert last.filename == f"{INFO}/RECORD"
        assert archive.read(first) == profile()
    assert raw(wheel) == before
    assert read_profile(wheel) == profile()
    assert list(wheel.parent.iterdir()) == [wheel]


def test_a_stamped_wheel_passes_the_check_of_its_record(wheel):
    stamp(wheel, profile())
    with WheelFile.open(wheel) as opened:
        opened.validate_record()


def test_the_first_64_kib_of_a_stamped_wheel_hold_the_longest_profile(wheel):
    longest = profile(operations={"x": {"result": {"description": ""}}})
    longest = longest.replace(b'""', b'"' + b"a" * (MAX_PROFILE_BYTES - len(longest)) + b'"')
    assert len(longest) == MAX_PROFILE_BYTES
    stamp(wheel, longest)
    assert longest in wheel.read_bytes()[: 64 * 1024]


def test_stamping_again_replaces_the_profile_and_gives_the_same_bytes_each_time(wheel):
    stamp(wheel, profile(summary="first"))
    once = wheel.read_bytes()
    stamp(wheel, profile(summary="second"))
    assert read_profile(wheel) == profile(summary="second")
    stamp(wheel, profile(summary="first"))
    assert wheel.read_bytes() == once


def test_the_profile_is_as_old_as_source_date_epoch_says(wheel, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    stamp(wheel, profile())
    with zipfile.ZipFile(wheel) as archive:
        assert archive.infolist()[0].date_time == (2023, 11, 14, 22, 13, 20)


@pytest.mark.parametrize("told", ["", "soon", "-1", "1", "9" * 40])
def test_a_useless_source_date_epoch_changes_nothing(wheel, monkeypatch, told):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", told)
    stamp(wheel, profile())
    with zipfile.ZipFile(wheel) as archive:
        assert archive.infolist()[0].date_time == (2020, 1, 1, 0, 0, 0)


def test_the_mode_of_the_file_stays(wheel):
    wheel.chmod(0o640)
    stamp(wheel, profile())
    assert wheel.stat().st_mode & 0o777 == 0o640


def test_a_wheel_behind_a_link_is_stamped_and_the_link_stays(wheel, tmp_path):
    link = tmp_path / "links" / wheel.name
    link.parent.mkdir()
    link.symlink_to(wheel)
    stamp(link, profile())
    assert link.is_symlink()
    assert read_profile(wheel) == profile()


def test_a_wheel_that_was_written_without_seeking_is_stamped(tmp_path):
    """Its sizes follow each member in a data descriptor, which belongs to the member."""
    path = tmp_path / "rld_tax-1.0-py3-none-any.whl"
    with path.open("wb") as file, zipfile.ZipFile(_Stream(file), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in wheel_members("rld-tax", "1.0", FILES, entry_points=ENTRY).items():
            archive.writestr(name, content)
    before = raw(path)
    stamp(path, profile())
    assert raw(path) == before
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


class _Stream:
    """A file that can only be written on, as a pipe is."""

    def __init__(self, file):
        self.write, self.flush = file.write, file.flush


def test_a_service_may_declare_rldlib(tmp_path):
    path = make_wheel(tmp_path, "rld-tax", "1.0", FILES, requires=["rldlib"], entry_points=ENTRY)
    stamp(path, profile())
    assert read_profile(path) == profile()


@pytest.mark.parametrize(
    ("fields", "entries", "told"),
    [
        pytest.param({"version": "1.1"}, ENTRY, "version: 1.1 is not the wheel's version 1.0", id="version"),
        pytest.param(
            {"service": "vat"}, ENTRY, "service: vat is not the wheel's entry point tax", id="service"
        ),
        pytest.param(
            {}, {}, "service: the wheel has no entry point of the group rldlib.services", id="no entry point"
        ),
        pytest.param(
            {},
            {"rldlib.services": {"tax": "a:b", "vat": "a:c"}},
            "service: the wheel has the services tax, vat; one wheel, one service",
            id="two services",
        ),
        pytest.param({"demand": {"threads": 0}}, ENTRY, "demand.threads: 0 is below 1", id="malformed"),
    ],
)
def test_a_profile_that_is_not_of_the_wheel_is_refused(tmp_path, fields, entries, told):
    path = make_wheel(tmp_path, "rld-tax", "1.0", FILES, entry_points=entries)
    before = path.read_bytes()
    with pytest.raises(ProfileError) as caught:
        stamp(path, profile(**fields))
    assert caught.value.issues[0].startswith(told)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_every_difference_between_profile_and_wheel_is_told_at_once(wheel):
    with pytest.raises(ProfileError) as caught:
        stamp(wheel, profile(service="vat", version="2"))
    assert [issue.partition(":")[0] for issue in caught.value.issues] == ["version", "service"]


# --- what is no wheel ------------------------------------------------------------


def _without(name):
    def members(found):
        del found[f"{INFO}/{name}"]

    return members


def _with(name, content=b"x"):
    def members(found):
        found[name] = content

    return members


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(_without("METADATA"), "lacks METADATA", id="no METADATA"),
        pytest.param(_without("RECORD"), "lacks RECORD", id="no RECORD"),
        pytest.param(_with("other-1.dist-info/METADATA"), "2 .dist-info folders", id="two dist-infos"),
        pytest.param(_with(f"{INFO}/RECORD.jws"), "RECORD is signed", id="signed"),
        pytest.param(
            _with(f"{INFO}/entry_points.txt", b"no section"), "entry_points.txt cannot be read", id="entries"
        ),
        pytest.param(
            _with(f"{INFO}/entry_points.txt", b"\xff"), "entry_points.txt cannot be read", id="entries' bytes"
        ),
        pytest.param(_with(f"{INFO}/RECORD", b"\xff"), "RECORD is no UTF-8", id="RECORD's bytes"),
    ],
)
def test_a_wheel_that_lacks_what_a_wheel_has_is_refused(tmp_path, change, told):
    members = wheel_members("rld-tax", "1.0", FILES, entry_points=ENTRY)
    change(members)
    _refused(write_wheel(tmp_path, "rld_tax-1.0-py3-none-any.whl", members), told)


def _cut(data):
    return data[:-30]


def _longer(data):
    return data + b"x"


def _prefixed(data):
    return b"#!/bin/sh\n" + data


def _end_overwritten(data):
    return data[:-12] + b"\xff" * 12


def _row_overwritten(data):
    at = data.index(b"PK\x01\x02")
    return data[:at] + b"PK\x09\x09" + data[at + 4 :]


def _offset_overwritten(data):
    """The second row points at the first member's header."""
    at = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4) + 42
    return data[:at] + bytes(4) + data[at + 4 :]


@pytest.mark.parametrize(
    "change",
    [_cut, _longer, _prefixed, _end_overwritten, _row_overwritten, _offset_overwritten, bytes, lambda _: b""],
)
def test_a_file_that_is_no_plain_zip_is_refused(wheel, change):
    data = change(wheel.read_bytes())
    if change is bytes:
        data = data[: len(data) // 2]
    wheel.write_bytes(data)
    _refused(wheel, "zip: ")
    with pytest.raises(WheelRefusedError):
        read_profile(wheel)


def test_a_file_that_is_not_named_like_a_wheel_is_refused(wheel):
    _refused(wheel.rename(wheel.with_name("tax.zip")), "name: ")


def test_a_wheel_under_another_name_is_refused(wheel):
    _refused(wheel.rename(wheel.with_name("rld_tax-1.1-py3-none-any.whl")), "is not of the name and version")


def test_a_folder_is_no_wheel(tmp_path):
    folder = tmp_path / "rld_tax-1.0-py3-none-any.whl"
    folder.mkdir()
    with pytest.raises(WheelRefusedError, match="it is a folder"):
        stamp(folder, profile())


def test_a_missing_file_is_a_slip_of_the_caller(tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        stamp(tmp_path / "rld_tax-1.0-py3-none-any.whl", profile())


def _refused(path, told):
    before = path.read_bytes()
    with pytest.raises(WheelRefusedError) as caught:
        stamp(path, profile())
    assert told in str(caught.value)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


# --- reading -----------------------------------------------------------------------


def test_a_plain_wheel_carries_no_profile(wheel):
    assert read_profile(wheel) is None


def test_a_profile_is_read_whatever_the_file_is_called(wheel):
    stamp(wheel, profile())
    assert read_profile(wheel.rename(wheel.with_name("0f" * 32))) == profile()


@pytest.mark.parametrize("size", [MAX_PROFILE_BYTES + 1, 5_000_000])
def test_a_profile_that_is_too_long_is_not_unpacked(tmp_path, size):
    members = wheel_members("rld-tax", "1.0", FILES, entry_points=ENTRY)
    path = tmp_path / "rld_tax-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{INFO}/rldlib.json", b" " * size)
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ProfileError, match="over 61,440 bytes"):
        read_profile(path)


def test_a_profile_that_unpacks_to_more_than_it_says_is_refused(tmp_path):
    members = wheel_members("rld-tax", "1.0", FILES, entry_points=ENTRY)
    path = tmp_path / "rld_tax-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{INFO}/rldlib.json", b" " * 5_000_000)
        for name, content in members.items():
            archive.writestr(name, content)
    data = path.read_bytes().replace((5_000_000).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    path.write_bytes(data)
    with pytest.raises(WheelRefusedError, match="has not the length and checksum"):
        read_profile(path)


@given(changes=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_damaged_wheel_is_read_or_refused_and_nothing_else_comes_out(tmp_path_factory, changes):
    path = make_wheel(tmp_path_factory.mktemp("wheel"), "rld-tax", "1.0", FILES, entry_points=ENTRY)
    stamp(path, profile())
    data = bytearray(path.read_bytes())
    for at, byte in changes:
        data[at % len(data)] = byte
    path.write_bytes(data)
    with contextlib.suppress(WheelRefusedError, ProfileError):
        read_profile(path)
    with contextlib.suppress(WheelRefusedError, ProfileError):
        stamp(path, profile())


# --- interruptions ---------------------------------------------------------------------

_STAMP = """
import sys
from pathlib import Path
from rldlib.adapters.stamping import stamp
{before}
stamp(Path(sys.argv[1]), sys.argv[2].encode())
"""
# Ends the process with SIGKILL at the n-th event in which the stamp touches the file system.
_KILL = """
import os, signal
left = int(sys.argv[3])
def ends(event, arguments):
    global left
    if event in ("open", "os.link", "os.rename", "os.remove", "os.chmod", "fcntl.flock"):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(ends)
"""


@pytest.mark.slow
def test_a_stamp_that_is_killed_at_any_step_leaves_a_whole_wheel(wheel):
    """Old or new, never between; and what may lie beside is gone with the next stamp."""
    before = wheel.read_bytes()
    for step in range(1, 40):
        command = [
            sys.executable,
            "-c",
            _STAMP.format(before=_KILL),
            str(wheel),
            profile().decode(),
            str(step),
        ]
        status = subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode
        visible = [path for path in wheel.parent.iterdir() if not path.name.startswith(".")]
        assert visible == [wheel]
        if status == 0:
            break
        assert status == -signal.SIGKILL
        with zipfile.ZipFile(wheel) as archive:
            assert archive.testzip() is None
        assert read_profile(wheel) in {None, profile()}
        wheel.write_bytes(before)
    assert 5 < step < 39
    assert list(wheel.parent.iterdir()) == [wheel]
    assert read_profile(wheel) == profile()


@pytest.mark.slow
def test_a_full_disk_leaves_the_wheel_as_it_was(tmp_path):
    """The limit on the size of a file stands for the disk: writing fails in the same place."""
    path = make_wheel(
        tmp_path, "rld-tax", "1.0", FILES | {"big.bin": os.urandom(200_000)}, entry_points=ENTRY
    )
    before = path.read_bytes()
    limits = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, {resource.RLIM_INFINITY}))"
    )
    command = [sys.executable, "-c", _STAMP.format(before=limits), str(path), profile().decode()]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert StorageError.__name__ in done.stderr
    assert "File too large" in done.stderr
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_stamp_left_is_removed_by_the_next(wheel):
    wheel.with_name(f".{wheel.name}.stamping").write_bytes(b"half")
    stamp(wheel, profile())
    assert list(wheel.parent.iterdir()) == [wheel]


def test_a_system_without_unnamed_files_stamps_as_well(wheel, monkeypatch):
    monkeypatch.delattr(os, "O_TMPFILE")
    stamp(wheel, profile())
    assert read_profile(wheel) == profile()
    assert list(wheel.parent.iterdir()) == [wheel]


def test_two_stamps_at_once_both_end_well(wheel):
    texts = [profile(summary=str(at)) for at in range(8)]
    errors = []

    def run(text):
        try:
            for _ in range(5):
                stamp(wheel, text)
        except BaseException as exc:  # noqa: BLE001 - told by the assertion below
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert read_profile(wheel) in texts
    assert list(wheel.parent.iterdir()) == [wheel]
