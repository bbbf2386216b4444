"""The gate on files: hostile wheels by name, and honest ones of every make."""

from __future__ import annotations

import hashlib
import struct
import zipfile

import pytest
from tests.hostile_wheels import (
    DATA,
    HOSTILE,
    INFO,
    NAME,
    Entry,
    Zip,
    changing,
    members,
    raw,
    with_entries,
    with_file,
)
from tests.wheels import make_wheel, record_of, wheel_members, write_wheel

from rldlib.adapters.gate import check, inspect
from rldlib.errors import StorageError, WheelRefusedError
from rldlib.rules import gate


def _kinds(faults):
    return {fault.kind for fault in faults}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_wheel_is_refused_with_its_kind(name, tmp_path):
    kind, build = HOSTILE[name]
    wheel = build(tmp_path / "wheels")
    before = sorted(tmp_path.rglob("*")), wheel.read_bytes()

    faults = inspect(wheel)

    assert kind in _kinds(faults)
    assert all(fault.detail and str(fault) == f"{fault.kind}: {fault.detail}" for fault in faults)
    with pytest.raises(WheelRefusedError, match=kind):
        check(wheel)
    assert (sorted(tmp_path.rglob("*")), wheel.read_bytes()) == before


@pytest.mark.parametrize("name", [name for name, (kind, _) in HOSTILE.items() if kind not in gate.EXCUSABLE])
def test_what_no_honest_tool_writes_cannot_be_allowed(name, tmp_path):
    kind, build = HOSTILE[name]
    wheel = build(tmp_path)
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()

    assert kind in _kinds(inspect(wheel, allow={f"{sha256}:{kind}"}))


EXCUSABLE = [name for name, (kind, _) in HOSTILE.items() if kind in gate.EXCUSABLE]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "a bomb" else []) for name in EXCUSABLE]
)
def test_a_host_can_allow_one_kind_for_one_file(name, tmp_path):
    kind, build = HOSTILE[name]
    wheel = build(tmp_path)
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()

    assert inspect(wheel, allow={f"{sha256}:{kind}"}) == ()
    assert kind in _kinds(inspect(wheel, allow={f"{'0' * 64}:{kind}"}))
    assert kind in _kinds(inspect(wheel, allow={f"{sha256}:other"}))


def test_every_fault_is_told_not_the_first(tmp_path):
    wheel = with_entries(
        Entry(b"a.pth"),
        Entry(b"json.py"),
        Entry(f"{DATA}/scripts/python".encode()),
        Entry(b"sitecustomize.py"),
    )(tmp_path)

    assert _kinds(inspect(wheel)) == {"pth-file", "stdlib-shadow", "script-name", "sitecustomize"}


def test_an_honest_wheel_passes(tmp_path):
    wheel = make_wheel(
        tmp_path,
        "Good.Name",
        "1.0",
        {"good/__init__.py": "x = 1\n", "good/inner.pth": "no site folder", "good/data.bin": bytes(100_000)},
        entry_points={"console_scripts": {"good": "good:main"}, "other": {"what ever": "good"}},
        profile={"schema": 1},
    )

    assert inspect(wheel) == ()


def test_the_schemes_of_an_honest_wheel_pass(tmp_path):
    files = {
        f"{DATA}/scripts/tool",
        f"{DATA}/data/share/doc/a.txt",
        f"{DATA}/data/lib/liba.so",
        f"{DATA}/headers/a.h",
    }

    assert inspect(with_entries(*(Entry(path.encode()) for path in sorted(files)))(tmp_path)) == ()


@pytest.mark.parametrize("descriptor", ["<4sIII", "<III", "<4sIQQ", "<IQQ"])
def test_a_data_descriptor_that_agrees_passes(descriptor, tmp_path):
    first = members()["evil/__init__.py"]
    said = struct.pack(descriptor, *([b"PK\7\x08"] if "4s" in descriptor else []), *first.figures)

    wheel = changing("evil/__init__.py", flags=8, local_sizes=(0, 0, 0), after=said)(tmp_path)

    assert inspect(wheel) == ()


def test_sizes_said_again_in_a_zip64_field_pass(tmp_path):
    """Bazel's zipper writes them so."""
    size = len(members()["evil/__init__.py"].content)
    again = struct.pack("<HHQQ", 1, 16, size, size)

    assert inspect(changing("evil/__init__.py", local_extra=again)(tmp_path)) == ()


def test_a_zip64_archive_that_agrees_passes(tmp_path):
    def records(count, size, start):
        record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
        return record + struct.pack("<4sIQI", b"PK\6\7", 0, start + size, 1)

    assert inspect(raw(tmp_path, before_end=records)) == ()


def test_a_member_with_zip64_sizes_passes(tmp_path):
    full = 0xFFFFFFFF
    entries = members()
    entry = entries["evil/__init__.py"]
    crc, packed, size = entry.figures
    wide = struct.pack("<HHQQ", 1, 16, size, packed)
    content = Zip(list(entries.values())).bytes()
    narrow = struct.pack("<III", crc, packed, size)
    wide_head = struct.pack("<III", crc, full, full)
    # Only the two headers of the first member change, each by the length of the field.
    entries["evil/__init__.py"] = Entry(entry.name, entry.content, extra=wide, local_extra=wide)
    content = Zip(list(entries.values())).bytes().replace(narrow, wide_head)
    path = tmp_path / NAME
    path.write_bytes(content)

    assert inspect(path) == ()


def test_folders_as_members_pass(tmp_path):
    def change(entries):
        return [Entry(b"evil/", b"", mode=0o040755), *entries.values()]

    assert inspect(raw(tmp_path, change)) == ()


def test_a_stronger_hash_in_record_passes(tmp_path):
    import base64

    found = wheel_members("evil", "1.0", {"evil/__init__.py": "x = 1\n"})
    own = f"{INFO}/RECORD"
    text = found[own].decode().splitlines()
    digest = base64.urlsafe_b64encode(hashlib.sha512(b"x = 1\n").digest()).rstrip(b"=").decode()
    text[0] = f"evil/__init__.py,sha512={digest},6"
    found[own] = "\n".join(text).encode()

    assert inspect(write_wheel(tmp_path, NAME, found)) == ()


def test_signatures_of_record_stay_out_of_record(tmp_path):
    found = wheel_members("evil", "1.0", {})
    wheel = write_wheel(tmp_path, NAME, {**found, f"{INFO}/RECORD.jws": b"{}"})
    assert inspect(wheel) == ()

    del found[f"{INFO}/RECORD"]
    found[f"{INFO}/RECORD.p7s"] = b"signed"
    found[f"{INFO}/RECORD"] = record_of(found, INFO)
    assert _kinds(inspect(write_wheel(tmp_path, NAME, found))) == {"record-malformed"}


def test_a_module_gone_from_the_standard_library_shadows_nothing(tmp_path):
    assert inspect(with_file("cgi.py")(tmp_path)) == ()


def test_the_name_is_the_one_that_was_asked_for(tmp_path):
    wheel = make_wheel(tmp_path, "good", "1.0")
    elsewhere = wheel.rename(tmp_path / ("0" * 64))

    assert inspect(elsewhere, filename=wheel.name) == ()
    assert _kinds(inspect(elsewhere, filename="other-1.0-py3-none-any.whl")) == {"dist-info"}
    assert _kinds(inspect(elsewhere)) == {"filename"}


def test_too_many_members_are_not_even_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(gate, "MAX_MEMBERS", 3)

    assert _kinds(inspect(make_wheel(tmp_path, "many", "1.0", {"a.txt": "", "b.txt": ""}))) == {
        "too-many-members"
    }


def test_a_wheel_too_large_once_unpacked_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(gate, "MAX_TOTAL_BYTES", 1000)

    assert _kinds(inspect(make_wheel(tmp_path, "large", "1.0", {"a.txt": "a" * 2000}))) == {"too-large"}


def test_a_file_that_is_not_there_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="No such file"):
        inspect(tmp_path / NAME)


def test_every_cut_of_a_wheel_is_refused(tmp_path):
    """A download that stopped anywhere is never taken for whole."""
    content = make_wheel(tmp_path / "whole", "cut", "1.0", {"cut/__init__.py": "x = 1\n" * 20}).read_bytes()
    cut = tmp_path / "cut-1.0-py3-none-any.whl"
    for end in range(0, len(content), 7):
        cut.write_bytes(content[:end])
        assert inspect(cut)


@pytest.mark.slow
def test_every_flipped_byte_of_a_wheel_is_refused_or_changes_nothing(tmp_path):
    """What passes in spite of a flipped byte unpacks to the same content."""
    whole = make_wheel(tmp_path / "whole", "flip", "1.0", {"flip/__init__.py": "x = 1\n" * 20})
    content = whole.read_bytes()
    flipped = tmp_path / whole.name
    with zipfile.ZipFile(whole) as archive:
        expected = {name: archive.read(name) for name in archive.namelist()}
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 0x41
        flipped.write_bytes(changed)
        if not inspect(flipped):
            with zipfile.ZipFile(flipped) as archive:
                assert {name: archive.read(name) for name in archive.namelist()} == expected
