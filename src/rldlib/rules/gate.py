"""Which wheels may come near an environment: decisions over the listing of a wheel.

Two sorts of faults. Some make a file no honest wheel; nobody can allow those,
since what unpacks it relies on them. The others (`EXCUSABLE`) are things that
wheels do on purpose now and then, and that reach beyond their own package:
the host's owner may allow one, for one exact file, as ``sha256:KIND``.
"""

from __future__ import annotations

import re
import stat
import sys
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packaging.utils import InvalidWheelFilename, canonicalize_name
from packaging.version import InvalidVersion, Version

from rldlib.rules.layout import UnknownSchemeError, destination
from rldlib.values.fault import Fault
from rldlib.values.wheel import read_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from rldlib.rules.archive import Member
    from rldlib.rules.layout import EntryScript, Scheme

EXCUSABLE: Final = frozenset(
    {"pth-file", "sitecustomize", "stdlib-shadow", "script-name", "data-target", "ratio", "too-large"}
)
UNBOUNDED: Final = frozenset({"ratio", "too-large"})
# Packages of language toolchains reach some 60,000 files; beyond it lies only harm to the file system.
MAX_MEMBERS: Final = 200_000
MAX_TOTAL_BYTES: Final = 16 * 1024**3
# Deflate reaches 1032 to 1. Tables of equal numbers in real wheels reach 250, in small files;
# whole real wheels stay below 20.
_MAX_MEMBER_RATIO: Final = 300
_MAX_TOTAL_RATIO: Final = 60
_RATIO_FREE_BYTES: Final = 16 * 1024**2
_MAX_PART_BYTES: Final = 255
_MAX_PATH_BYTES: Final = 1024
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_RESERVED_SCRIPT: Final = re.compile(
    r"(pythonw?[\d.]*t?(-config)?|pypy[\d.]*|pip[\d.]*|(de)?activate(_this)?(\..*)?|pyvenv\.cfg)(\.exe)?\Z"
)
_IMPORTABLE: Final = (".py", ".pyc", ".so", ".pyd")
# A second distribution inside a wheel would be taken for an installed one.
_DISTRIBUTIONS: Final = (".dist-info", ".egg-info", ".egg-link", ".egg")
# Gone from the newest CPython (PEP 594, PEP 632): what brings them back shadows nothing.
_REMOVED: Final = frozenset(
    [
        "aifc",
        "asynchat",
        "asyncore",
        "audioop",
        "cgi",
        "cgitb",
        "chunk",
        "crypt",
        "distutils",
        "imghdr",
        "imp",
        "lib2to3",
        "mailcap",
        "msilib",
        "nis",
        "nntplib",
        "ossaudiodev",
        "pipes",
        "smtpd",
        "sndhdr",
        "spwd",
        "sunau",
        "telnetlib",
        "uu",
        "xdrlib",
    ]
)
_STANDARD_LIBRARY: Final = sys.stdlib_module_names - _REMOVED


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What the file's name says a wheel is, and the two folders that belong to it."""

    info: str
    data: str
    name: str
    version: Version


def excused(faults: Iterable[Fault], sha256: str, allow: Collection[str]) -> tuple[Fault, ...]:
    """The faults that remain when the host's exceptions for this file are taken off."""
    return tuple(
        fault for fault in faults if fault.kind not in EXCUSABLE or f"{sha256}:{fault.kind}" not in allow
    )


# --- members ---------------------------------------------------------------------


def member_faults(members: Sequence[Member], archive_bytes: int) -> Iterator[Fault]:
    """What is wrong with members by themselves: paths, modes, sizes, duplicates."""
    for member in members:
        yield from _path_faults(member.name)
        yield from _mode_faults(member)
        if member.is_folder and (member.size or member.packed > 2):
            yield Fault("folder-content", f"{member.name}: is a folder and has content")
        if member.size > max(_RATIO_FREE_BYTES, _MAX_MEMBER_RATIO * member.packed):
            yield Fault("ratio", f"{member.name}: {member.packed:,} bytes unpack to {member.size:,}")
    yield from collisions([member.name for member in members], "duplicate-member")
    total = sum(member.size for member in members)
    if total > max(_RATIO_FREE_BYTES, _MAX_TOTAL_RATIO * archive_bytes):
        yield Fault("ratio", f"{archive_bytes:,} bytes unpack to {total:,}")
    if total > MAX_TOTAL_BYTES:
        yield Fault("too-large", f"unpacks to {total:,} bytes; at most {MAX_TOTAL_BYTES:,}")


def _path_faults(path: str) -> Iterator[Fault]:
    if not path.isprintable() and any(unicodedata.category(char) in {"Cc", "Zl", "Zp"} for char in path):
        yield Fault("control-character", f"{path!r}: has a control character in its name")
    if "\\" in path:
        yield Fault("backslash", f"{path}: has a backslash in its name")
    if path.startswith("/"):
        yield Fault("absolute-path", f"{path}: is absolute")
    parts = path.removesuffix("/").split("/")
    if ".." in parts:
        yield Fault("path-traversal", f"{path}: leaves its folder")
    if "." in parts or "" in parts[1:] or path in {"", "/"}:
        yield Fault("path-form", f"{path!r}: has an empty part or a single dot")
    if any(_DRIVE.match(part) for part in parts):
        yield Fault("drive-letter", f"{path}: names a drive")
    size = len(path) if path.isascii() else len(path.encode("utf-8", "surrogatepass"))
    if size > _MAX_PATH_BYTES or (size > _MAX_PART_BYTES and max(map(_bytes, parts)) > _MAX_PART_BYTES):
        yield Fault("path-length", f"{path[:80]}...: is longer than file systems take")


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _mode_faults(member: Member) -> Iterator[Fault]:
    kind = stat.S_IFMT(member.mode)
    if kind == stat.S_IFLNK:
        yield Fault("symlink", f"{member.name}: is a symbolic link")
    elif kind not in {0, stat.S_IFDIR if member.is_folder else stat.S_IFREG}:
        yield Fault("special-mode", f"{member.name}: is neither a file nor a folder (mode {member.mode:o})")
    if stat.S_IMODE(member.mode) & 0o7000:
        yield Fault("special-mode", f"{member.name}: has a set-id or sticky bit (mode {member.mode:o})")


def collisions(paths: Iterable[str], kind: str) -> Iterator[Fault]:
    """Paths that some file system takes for the same, and files that another path needs as a folder."""
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        key = _folded(path)
        if key in files:
            yield Fault(kind, f"{path}: is there twice, also as {files[key]}")
        files[key] = path
        if key.endswith("/"):
            folders.setdefault(key, path)
        at = key.rfind("/", 0, -1)
        while at >= 0 and key[: at + 1] not in folders:
            folders[key[: at + 1]] = path
            at = key.rfind("/", 0, at)
    for key, path in folders.items():
        if key[:-1] in files:
            yield Fault("path-conflict", f"{files[key[:-1]]}: is a file, and a folder for {path}")


def _folded(path: str) -> str:
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


# --- who it is ---------------------------------------------------------------------


def identify(filename: str, paths: Iterable[str]) -> tuple[Identity | None, list[Fault]]:
    """Compare the file's name with the one ``.dist-info`` folder that there must be."""
    try:
        name, version, _, _ = read_name(filename)
    except InvalidWheelFilename as exc:
        return None, [Fault("filename", str(exc))]
    tops = {path.partition("/")[0] for path in paths}
    infos = sorted(top for top in tops if top.lower().endswith(".dist-info"))
    if len(infos) != 1:
        return None, [Fault("dist-info", f"has {len(infos)} .dist-info folders instead of one")]
    stem = infos[0][: -len(".dist-info")]
    found, _, told = stem.rpartition("-")
    faults = []
    if not infos[0].endswith(".dist-info") or canonicalize_name(found) != name or _version(told) != version:
        faults.append(Fault("dist-info", f"{infos[0]}: does not belong to {filename}"))
    datas = sorted(top for top in tops if top.lower().endswith(".data"))
    if any(top != f"{stem}.data" for top in datas):
        faults.append(Fault("data-scheme", f"{', '.join(datas)}: is not {stem}.data"))
    return Identity(info=infos[0], data=f"{stem}.data", name=name, version=version), faults


def _version(text: str) -> Version | None:
    try:
        return Version(text.replace("_", "-"))
    except InvalidVersion:
        return None


def metadata_faults(identity: Identity, metadata: dict[str, list[str]]) -> Iterator[Fault]:
    """Whether METADATA says the name and version that the file's name says."""
    names, versions = metadata.get("name", []), metadata.get("version", [])
    if [canonicalize_name(name) for name in names] != [identity.name]:
        yield Fault("metadata-mismatch", f"METADATA names {names or 'nothing'}, the file {identity.name}")
    if [_version(version) for version in versions] != [identity.version]:
        yield Fault(
            "metadata-mismatch", f"METADATA has version {versions or None}, the file {identity.version}"
        )


def wheel_faults(wheel: dict[str, list[str]]) -> Iterator[Fault]:
    """Whether WHEEL is of a version that we can read."""
    versions = wheel.get("wheel-version", [])
    if len(versions) != 1 or not versions[0].startswith("1."):
        yield Fault("wheel-version", f"WHEEL has version {versions or None}; only 1.x is read")


# --- where it goes -----------------------------------------------------------------


def placement_faults(paths: Iterable[str], identity: Identity) -> Iterator[Fault]:
    """What would reach beyond the wheel's own package once it is installed."""
    targets = []
    for path in paths:
        try:
            scheme, inner = destination(path, identity.data)
        except UnknownSchemeError:
            yield Fault("data-scheme", f"{path}: lies in no known part of {identity.data}")
            continue
        scheme, inner = _as_lies(scheme, inner)
        targets.append(f"{scheme}/{inner}")
        yield from _target_faults(scheme, inner, path, identity.info)
    yield from collisions(targets, "duplicate-destination")


def _as_lies(scheme: Scheme, path: str) -> tuple[Scheme, str]:
    """A file of the data scheme that lands among the scripts is a script."""
    first, _, rest = path.partition("/")
    if scheme == "data" and first.lower() in {"bin", "scripts"} and rest:
        return "scripts", rest
    return scheme, path


def _target_faults(scheme: Scheme, inner: str, path: str, info: str) -> Iterator[Fault]:
    match scheme:
        case "site":
            yield from _site_faults(inner, path, info)
        case "scripts":
            yield from script_faults(inner, path)
        case "data":
            first, _, rest = inner.lower().partition("/")
            if first in {"pyvenv.cfg", "bin", "scripts"} or (
                first in {"lib", "lib64"} and rest.startswith("python")
            ):
                yield Fault("data-target", f"{path}: would change the environment itself")
        case "headers":
            pass  # nothing reads them at run time


def _site_faults(inner: str, path: str, info: str) -> Iterator[Fault]:
    top, slash, _ = inner.partition("/")
    folded = _folded(top)
    if not slash and folded.endswith((".pth", ".start")):
        yield Fault("pth-file", f"{path}: would run at every start of the interpreter")
    if folded.endswith(_DISTRIBUTIONS) and top != info:
        yield Fault("foreign-distribution", f"{path}: belongs to another distribution than {info}")
    if not slash and not folded.endswith(_IMPORTABLE):
        return
    module = folded if slash else folded.partition(".")[0]
    if module in {"sitecustomize", "usercustomize"}:
        yield Fault("sitecustomize", f"{path}: would run at every start of the interpreter")
    elif module in _STANDARD_LIBRARY:
        yield Fault("stdlib-shadow", f"{path}: has the name of a module of the standard library")


def script_faults(name: str, where: str) -> Iterator[Fault]:
    """Whether a script may have this name."""
    if not name or name in {".", ".."} or "/" in name or "\\" in name or not name.isprintable():
        yield Fault("path-traversal", f"{where}: {name!r} is no name for a script")
    elif _RESERVED_SCRIPT.match(name.lower()):
        yield Fault("script-name", f"{where}: {name} would replace a command of the environment")


def entry_script_faults(
    scripts: Sequence[EntryScript], paths: Iterable[str], identity: Identity
) -> Iterator[Fault]:
    """Likewise for the scripts that entry points declare, which are no members."""
    for script in scripts:
        yield from script_faults(script.name, "entry_points.txt")
    shipped = [inner for scheme, inner in _shipped(paths, identity) if scheme == "scripts"]
    yield from collisions([*shipped, *(script.name for script in scripts)], "duplicate-destination")


def _shipped(paths: Iterable[str], identity: Identity) -> Iterator[tuple[Scheme, str]]:
    for path in paths:
        if path.startswith(f"{identity.data}/"):
            try:
                yield _as_lies(*destination(path, identity.data))
            except UnknownSchemeError:
                continue  # told by `placement_faults`
