"""Wheels that no honest tool writes, each by the name of its fault.

`HOSTILE` is the table: for each name the kind that the gate must tell, and how
the file is made. `EXCUSABLE` are those that a host may allow for one file.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.wheels import record_of, wheel_members, write_wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "evil-1.0-py3-none-any.whl"
INFO = "evil-1.0.dist-info"
DATA = "evil-1.0.data"


@dataclass(frozen=True)
class Entry:
    """One member as it is written; what is None is written as it should be."""

    name: bytes
    content: bytes = b"x = 1\n"
    mode: int = 0o100644
    needed: int = 20
    flags: int = 0
    method: int = 0
    packed: bytes | None = None
    size: int | None = None
    crc: int | None = None
    local_name: bytes | None = None
    local_sizes: tuple[int, int, int] | None = None
    extra: bytes = b""
    local_extra: bytes = b""
    comment: bytes = b""
    after: bytes = b""
    offset: int | None = None

    @property
    def data(self):
        if self.packed is not None:
            return self.packed
        if self.method != 8:
            return self.content
        packer = zlib.compressobj(wbits=-15)
        return packer.compress(self.content) + packer.flush()

    @property
    def figures(self):
        crc = zlib.crc32(self.content) if self.crc is None else self.crc
        return crc, len(self.data), len(self.content) if self.size is None else self.size


@dataclass
class Zip:
    """A zip written by hand."""

    entries: list[Entry]
    prefix: bytes = b""
    shifted: bool = True
    end: bytes = b""
    end_fields: dict = field(default_factory=dict)
    before_end: Callable[[int, int, int], bytes] = lambda count, size, start: b""

    def bytes(self):
        body, rows = bytearray(self.prefix if self.shifted else b""), []
        for entry in self.entries:
            offset = len(body) if entry.offset is None else entry.offset
            body += _local(entry) + entry.data + entry.after
            rows.append(_central(entry, offset))
        start, size = len(body), sum(map(len, rows))
        fields = {
            "disk": 0,
            "here": len(rows),
            "count": len(rows),
            "size": size,
            "start": start,
            "comment": 0,
        }
        fields |= self.end_fields
        body += b"".join(rows) + self.before_end(len(rows), size, start)
        body += struct.pack(
            "<4sHHHHIIH",
            b"PK\5\6",
            fields["disk"],
            0,
            fields["here"],
            fields["count"],
            fields["size"],
            fields["start"],
            fields["comment"],
        )
        return (b"" if self.shifted else self.prefix) + bytes(body) + self.end


def _local(entry):
    name = entry.name if entry.local_name is None else entry.local_name
    figures = entry.local_sizes or entry.figures
    head = (
        b"PK\3\4",
        entry.needed,
        entry.flags,
        entry.method,
        0,
        33,
        *figures,
        len(name),
        len(entry.local_extra),
    )
    return struct.pack("<4sHHHHHIIIHH", *head) + name + entry.local_extra


def _central(entry, offset):
    lengths = len(entry.name), len(entry.extra), len(entry.comment)
    head = (b"PK\1\2", 0x314, entry.needed, entry.flags, entry.method, 0, 33, *entry.figures, *lengths, 0, 0)
    packed = struct.pack("<4sHHHHHHIIIHHHHHII", *head, entry.mode << 16, offset)
    return packed + entry.name + entry.extra + entry.comment


def members(**given):
    """The members of a good wheel as entries, by path; RECORD comes last."""
    files = given.pop("files", {"evil/__init__.py": "x = 1\n"})
    return {
        path: Entry(path.encode(), content)
        for path, content in wheel_members("evil", "1.0", files, **given).items()
    }


def raw(
    folder: Path, changed: Callable[[dict[str, Entry]], list[Entry] | None] = lambda _: None, **zip_options
):
    """A good wheel with its entries changed; RECORD stays as it was unless `changed` says otherwise."""
    entries = members()
    listed = changed(entries)
    return _write(folder, Zip(list(entries.values()) if listed is None else listed, **zip_options).bytes())


def _write(folder, content, name=NAME):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return path


def with_entries(*extra: Entry):
    """A wheel with more members, RECORD made for them all."""

    def build(folder):
        entries = members()
        del entries[f"{INFO}/RECORD"]
        found = [*entries.values(), *extra]
        record = record_of({one.name.decode("utf-8", "surrogateescape"): one.content for one in found}, INFO)
        return _write(folder, Zip([*found, Entry(f"{INFO}/RECORD".encode(), record)]).bytes())

    return build


def with_file(path: str, content: str = "x = 1\n"):
    """A wheel with one more file, RECORD made for it."""
    return with_entries(Entry(path.encode(), content.encode(), flags=0 if path.isascii() else 0x800))


def changing(path: str, **fields):
    """A wheel with one entry changed as it is written."""

    def build(folder):
        def change(entries):
            entries[path] = replace(entries[path], **fields)

        return raw(folder, change)

    return build


def record(edit: Callable[[str], str]):
    """A wheel with another RECORD."""

    def build(folder):
        def change(entries):
            path = f"{INFO}/RECORD"
            entries[path] = Entry(path.encode(), edit(entries[path].content.decode()).encode())

        return raw(folder, change)

    return build


def info(path: str, content: str | None, name: str = NAME):
    """A wheel with another file in its .dist-info, RECORD made for it; None leaves it out."""

    def build(folder):
        found = wheel_members("evil", "1.0", {"evil/__init__.py": ""})
        del found[f"{INFO}/RECORD"]
        found.pop(f"{INFO}/{path}", None)
        if content is not None:
            found[f"{INFO}/{path}"] = content.encode()
        found[f"{INFO}/RECORD"] = record_of(found, INFO)
        return write_wheel(folder, name, found)

    return build


def _without(path):
    def build(folder):
        def change(entries):
            del entries[path]

        return raw(folder, change)

    return build


def _overlap(folder):
    def change(entries):
        first = next(iter(entries.values()))
        return [*entries.values(), replace(first, offset=0)]

    return raw(folder, change)


def _twice(folder):
    return raw(folder, lambda entries: [*entries.values(), next(iter(entries.values()))])


def _bomb(folder):
    return with_entries(Entry(b"evil/zeros", bytes(18 * 1024 * 1024), method=8))(folder)


def _zip64_locator(count, size, start):
    # A zip64 record that names a directory elsewhere than the end record does.
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start - 1)
    return record + struct.pack("<4sIQI", b"PK\6\7", 0, start + size, 1)


FIRST = "evil/__init__.py"
# By name: the kind that is told, and how the wheel is made.
HOSTILE: dict[str, tuple[str, Callable[[Path], Path]]] = {
    # --- one reading only
    "no zip at all": ("not-a-zip", lambda folder: _write(folder, b"#!/bin/sh\n" * 10)),
    "an empty file": ("not-a-zip", lambda folder: _write(folder, b"")),
    "bytes after the end": ("trailing-data", lambda folder: raw(folder, end=b"more")),
    "an archive comment": (
        "trailing-data",
        lambda folder: raw(folder, end=b"more", end_fields={"comment": 4}),
    ),
    "bytes before the first member": ("prefix-data", lambda folder: raw(folder, prefix=b"#!/bin/sh\n")),
    "bytes before it, offsets unchanged": (
        "prefix-data",
        lambda folder: raw(folder, prefix=b"#!/bin/sh\n", shifted=False),
    ),
    "bytes between two members": ("gap", changing(FIRST, after=b"hidden")),
    "two members share their bytes": ("overlap", _overlap),
    "a directory that ends too early": (
        "truncated",
        lambda folder: raw(folder, end_fields={"count": 9, "here": 9}),
    ),
    "a directory beyond the end": ("truncated", lambda folder: raw(folder, end_fields={"start": 10**8})),
    "a member beyond the end": ("truncated", changing(FIRST, offset=10**8)),
    "several disks": ("multi-disk", lambda folder: raw(folder, end_fields={"disk": 1})),
    "a zip64 count without its record": (
        "zip64",
        lambda folder: raw(folder, end_fields={"count": 0xFFFF, "here": 0xFFFF}),
    ),
    "a zip64 record that says something else": (
        "zip64",
        lambda folder: raw(folder, before_end=_zip64_locator),
    ),
    "a zip64 field that says something else": (
        "zip64",
        changing(FIRST, extra=struct.pack("<HHQQ", 1, 16, 1, 1)),
    ),
    "two names for one member": ("local-mismatch", changing(FIRST, local_name=b"evil/__init__.pi")),
    "two sizes for one member": ("local-mismatch", changing(FIRST, local_sizes=(0, 3, 3))),
    "a data descriptor that differs": (
        "local-mismatch",
        changing(FIRST, flags=8, local_sizes=(0, 0, 0), after=b"PK\7\x08" + bytes(12)),
    ),
    "encrypted": ("encrypted", changing(FIRST, flags=1)),
    "a format of the future": ("compression", changing(FIRST, needed=63)),
    "packed by an unusual method": ("compression", changing(FIRST, method=12)),
    "a second name in an extra field": (
        "extra-field",
        changing(FIRST, extra=struct.pack("<HH5s", 0x7075, 5, b"\1abcd")),
    ),
    "extra fields that do not fit": ("extra-field", changing(FIRST, extra=b"\1\0\xff")),
    "a name in no known encoding": ("name-encoding", changing(FIRST, name="evil/é.py".encode("latin-1"))),
    "a comment on a member": ("member-comment", changing(FIRST, comment=b"hi")),
    # --- paths
    "a path out of the folder": ("path-traversal", with_file("../outside.py")),
    "a path out of the folder, deeper": ("path-traversal", with_file("evil/../../outside.py")),
    "an absolute path": ("absolute-path", with_file("/etc/outside.py")),
    "a drive": ("drive-letter", with_file("C:/outside.py")),
    "a backslash": ("backslash", with_file("evil\\..\\outside.py")),
    "a NUL in a name": ("control-character", with_file("evil/a.py\0.txt")),
    "a line separator in a name": ("control-character", with_file("evil/a\u2028.py")),
    "an empty part": ("path-form", with_file("evil//a.py")),
    "a single dot": ("path-form", with_file("evil/./a.py")),
    "a name too long": ("path-length", with_file("evil/" + "a" * 300)),
    "the same member twice": ("duplicate-member", _twice),
    "the same member in other case": ("duplicate-member", with_file("Evil/__INIT__.py")),
    "the same member in another Unicode form": (
        "duplicate-member",
        with_entries(
            Entry("evil/\u00e9.py".encode(), flags=0x800), Entry("evil/e\u0301.py".encode(), flags=0x800)
        ),
    ),
    "a file that is a folder too": ("path-conflict", with_file("evil/__init__.py/a.py")),
    # --- modes
    "a symbolic link": ("symlink", changing(FIRST, mode=0o120777)),
    "a named pipe": ("special-mode", changing(FIRST, mode=0o010644)),
    "a set-id bit": ("special-mode", changing(FIRST, mode=0o104755)),
    "a folder with content": ("folder-content", with_entries(Entry(b"evil/sub/", b"hidden", mode=0o040755))),
    # --- content
    "a broken stream": ("stream", changing(FIRST, method=8, packed=b"\xff" * 6)),
    "bytes after a stream": (
        "stream",
        changing(FIRST, method=8, packed=replace(Entry(b"", b"x = 1\n"), method=8).data + b"hidden"),
    ),
    "a stream longer than it claims": (
        "size-mismatch",
        changing(FIRST, method=8, packed=replace(Entry(b"", bytes(10**6)), method=8).data),
    ),
    "a stream that ends early": ("size-mismatch", changing(FIRST, method=8, size=99)),
    "another checksum": ("crc-mismatch", changing(FIRST, crc=1)),
    # --- RECORD
    "no RECORD": ("dist-info", _without(f"{INFO}/RECORD")),
    "no METADATA": ("dist-info", info("METADATA", None)),
    "a RECORD that is no table": ("record-malformed", record(lambda text: text + "a,b\n")),
    "a RECORD of countless lines": ("record-malformed", record(lambda text: text + "\n" * 1000)),
    "a RECORD far too long": ("info-size", record(lambda text: text + "\n" * 100_000)),
    "entry points far too long": ("info-size", info("entry_points.txt", "[a]\n" * 100_000)),
    "a METADATA far too long": ("info-size", info("METADATA", "Name: evil\nVersion: 1.0\n\n" + "a" * 2**22)),
    "a RECORD that lists itself with a hash": (
        "record-malformed",
        record(lambda text: text.replace("RECORD,,", "RECORD,sha256=" + "A" * 43 + ",1")),
    ),
    "a file that RECORD lists twice": (
        "record-duplicate",
        record(lambda text: text + text.splitlines()[0] + "\n"),
    ),
    "a file that RECORD lacks": (
        "record-unlisted",
        record(lambda text: "\n".join(text.splitlines()[1:]) + "\n"),
    ),
    "a file that only RECORD has": (
        "record-phantom",
        record(lambda text: text + f"evil/more.py,sha256={'A' * 43},1\n"),
    ),
    "a file without a hash": (
        "record-weak-hash",
        record(lambda text: "evil/__init__.py,,\n" + "\n".join(text.splitlines()[1:]) + "\n"),
    ),
    "a weak hash": (
        "record-weak-hash",
        record(lambda text: "evil/__init__.py,md5=AAAA,6\n" + "\n".join(text.splitlines()[1:]) + "\n"),
    ),
    "other content than RECORD says": ("record-mismatch", changing(FIRST, content=b"x = 2\n")),
    "another size than RECORD says": (
        "record-mismatch",
        record(lambda text: text.replace(",6\n", ",7\n", 1)),
    ),
    # --- who it is
    "a file name of no wheel": ("filename", info("METADATA", "Name: evil\nVersion: 1.0\n", "evil.whl")),
    "two .dist-info folders": ("dist-info", with_file("other-1.0.dist-info/METADATA", "Name: other\n")),
    "a .dist-info of another version": (
        "dist-info",
        info("METADATA", "Name: evil\nVersion: 2.0\n", "evil-2.0-py3-none-any.whl"),
    ),
    "a METADATA of another name": ("metadata-mismatch", info("METADATA", "Name: good\nVersion: 1.0\n")),
    "a METADATA with two names": (
        "metadata-mismatch",
        info("METADATA", "Name: evil\nName: good\nVersion: 1.0\n"),
    ),
    "a METADATA of another version": ("metadata-mismatch", info("METADATA", "Name: evil\nVersion: 1.1\n")),
    "a wheel of the next format": ("wheel-version", info("WHEEL", "Wheel-Version: 2.0\n")),
    "entry points that cannot be read": ("entry-points", info("entry_points.txt", "console_scripts]\n")),
    "an entry point that names no function": (
        "entry-points",
        info("entry_points.txt", "[console_scripts]\na = b\n"),
    ),
    "a script out of its folder": (
        "path-traversal",
        info("entry_points.txt", "[console_scripts]\n../../a = b:c\n"),
    ),
    # --- where it goes
    "data in no known place": ("data-scheme", with_file(f"{DATA}/elsewhere/a.py")),
    "data of another wheel": ("data-scheme", with_file("other-1.0.data/purelib/a.py")),
    "another distribution": (
        "foreign-distribution",
        with_file(f"{DATA}/purelib/other-1.0.dist-info/METADATA"),
    ),
    "an old-style distribution": ("foreign-distribution", with_file("other.egg-info/PKG-INFO")),
    "two files for one place": ("duplicate-destination", with_file(f"{DATA}/purelib/evil/__init__.py")),
    "two scripts of one name": (
        "duplicate-destination",
        with_entries(
            Entry(f"{DATA}/scripts/tool".encode()),
            Entry(f"{INFO}/entry_points.txt".encode(), b"[console_scripts]\ntool = evil:main\n"),
        ),
    ),
    # --- what reaches beyond its package
    "a .pth": ("pth-file", with_file("evil.pth", "import evil")),
    "a .pth in another scheme": ("pth-file", with_file(f"{DATA}/platlib/evil.PTH", "import evil")),
    "a start file": ("pth-file", with_file("evil.start")),
    "sitecustomize": ("sitecustomize", with_file("sitecustomize.py")),
    "usercustomize as a package": ("sitecustomize", with_file("usercustomize/__init__.py")),
    "a module of the standard library": ("stdlib-shadow", with_file("json.py")),
    "a package of the standard library": ("stdlib-shadow", with_file(f"{DATA}/purelib/asyncio/__init__.py")),
    "an extension of the standard library": (
        "stdlib-shadow",
        with_file("_ssl.cpython-311-x86_64-linux-gnu.so"),
    ),
    "a python": ("script-name", with_file(f"{DATA}/scripts/python3")),
    "a python among the data": ("script-name", with_file(f"{DATA}/data/bin/python")),
    "a pip by entry point": ("script-name", info("entry_points.txt", "[console_scripts]\npip = evil:main\n")),
    "an activate": ("script-name", with_file(f"{DATA}/scripts/activate")),
    "a pyvenv.cfg": ("data-target", with_file(f"{DATA}/data/pyvenv.cfg")),
    "a file in site-packages by way of the data": (
        "data-target",
        with_file(f"{DATA}/data/lib/python3.11/site-packages/a.py"),
    ),
    "a bomb": ("ratio", _bomb),
}
