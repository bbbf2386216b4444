"""What is fuzzed: each reader of foreign bytes, the only errors it may raise, and what it may cost."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from rldlib.adapters import pylock
from rldlib.errors import MismatchError, ProfileError, UsageError, WheelRefusedError
from rldlib.rules.gate import UNBOUNDED
from rldlib.rules.inspection import Inspection
from rldlib.values import schema
from rldlib.values.document import parse_profile, render
from rldlib.values.foreign import MalformedDocumentError
from rldlib.values.metadata import MalformedMetadataError, parse_metadata
from rldlib.values.operations import read_operations
from rldlib.values.project_page import HTML_PAGE, JSON_PAGE, MalformedPageError, parse_page
from rldlib.values.remote_wheel import PREFIX_BYTES, read_prefix, read_wheel
from rldlib.values.wheel import wheel_file
from rldlib.wire import messages
from rldlib.wire.codec import decode, encode
from rldlib.wire.frames import FrameReader, ProtocolError
from tests.fuzz import exchange, mutation
from tests.fuzz.bounds import Bounds
from tests.hostile_wheels import HOSTILE
from tests.values import profiles
from tests.wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.fuzz.mutation import Mutate

MIB = 1024 * 1024
_URL = "https://index.example/simple/tax/"
_WHEEL = "evil-1.0-py3-none-any.whl"
_MARKERS = {
    "implementation_name": "cpython",
    "implementation_version": "3.11.7",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "6.18",
    "platform_system": "Linux",
    "platform_version": "1",
    "python_full_version": "3.11.7",
    "python_version": "3.11",
    "sys_platform": "linux",
}
_PYTHON = Version("3.11.7")


@dataclass(frozen=True, kw_only=True)
class Target:
    """One reader of foreign bytes.

    Attributes:
        read: Reads an input and looks at what came out, as rldlib would.
        refusals: The only errors that may come out.
        seeds: Valid and hostile inputs by name, beside the kept corpus.
        mutate: Makes an input of another one.
        bounds: What an input may cost.
    """

    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    seeds: Callable[[], Iterable[bytes]]
    mutate: Mutate
    bounds: Bounds = field(default_factory=Bounds)


# --- documents -------------------------------------------------------------------


def _profile(data: bytes) -> None:
    profile = parse_profile(data, source="fuzz")
    # What was read is written, and read again, the same.
    again = render(profile)
    if parse_profile(again, source="again") != profile:
        raise AssertionError("a profile reads otherwise once it was written")


def _page(data: bytes) -> None:
    kind = JSON_PAGE if data[:1] == b"{" else HTML_PAGE
    page = parse_page("tax", _URL, kind, data)
    for wheel in page.wheels:
        wheel.requires_python.contains(_PYTHON, prereleases=True)
        if not wheel.locator.startswith(("http://", "https://")) or wheel.name != "tax":
            raise AssertionError(f"a page led to {wheel.locator}")


def _metadata(data: bytes) -> None:
    metadata = parse_metadata(data)
    metadata.requires_python.contains(_PYTHON, prereleases=True)
    for requirement in metadata.wanted(_MARKERS, metadata.extras):
        requirement.specifier.contains(_PYTHON, prereleases=True)


def _lock(data: bytes) -> None:
    lock = pylock.read(data.decode("utf-8", "replace"))
    if pylock.read(pylock.write(lock)).digest != lock.digest:
        raise AssertionError("a lock reads otherwise once it was written")


# --- wheels ----------------------------------------------------------------------


def _gate(data: bytes) -> None:
    """As the gate does with and without unpacking; its faults are its answer."""
    inspection = Inspection(data, _WHEEL)
    if any(fault.kind in UNBOUNDED for fault in inspection.faults):
        return
    files = [inspection.verify(member, bytes) for member in inspection.members]
    if not inspection.faults:
        image = inspection.image([file for file in files if file is not None])
        if any(file.path.startswith("/") or ".." in file.path.split("/") for file in image.files):
            raise AssertionError("a path leaves its folder")


def _remote(data: bytes) -> None:
    wheel = wheel_file(_WHEEL, _URL + _WHEEL)
    pieces = []
    for ask in (
        lambda: read_prefix(wheel, data[:PREFIX_BYTES]),
        lambda: read_wheel(wheel, len(data), lambda start, length: data[start : start + length]),
    ):
        try:
            pieces.append(ask())
        except (WheelRefusedError, ProfileError) as exc:
            refused = exc
    if not pieces:
        raise refused


# --- the wire --------------------------------------------------------------------


def _frames(data: bytes, shapes: Any) -> Iterable[list[Any]]:
    # Cut where a hostile peer would cut: within headers and bodies.
    reader, step = FrameReader(), len(data) % 13 + 1
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
        while (frame := reader.next()) is not None:
            message = decode(frame)
            messages.verify(message, shapes)
            yield message


def _from_worker(data: bytes) -> None:
    """What a host makes of a worker's messages, its declared operations included."""
    for message in _frames(data, messages.FROM_WORKER):
        if message[0] == messages.READY:
            for operation in _declared(message[1]).values():
                schema.fits(operation["arguments"], {"a": 1})
                schema.check(operation["arguments"], {"a": 1, "b": [None]})
        elif message[0] in {messages.REPLY, messages.ITEM}:
            encode(message)


def _declared(facts: Any) -> dict[str, Any]:
    try:
        return read_operations(facts.get("operations"))
    except ValueError:
        return {}


def _from_host(data: bytes) -> None:
    for _message in _frames(data, messages.FROM_HOST):
        pass


def _schema(data: bytes) -> None:
    """A schema as a worker declares it, and an argument as a user writes it."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(document, dict):
        declared = document.get("schema")
        value = schema.convert(declared, document.get("value"))
        schema.check(declared, value)


# --- seeds -----------------------------------------------------------------------


def _profiles() -> Iterable[bytes]:
    return [profiles.data(), json.dumps(profiles.WHOLE).encode()]


def _requirements() -> Iterable[bytes]:
    yield (
        b"Metadata-Version: 2.1\nName: tax\nVersion: 1.0\nRequires-Python: >=3.8,<4\nProvides-Extra: fast\n"
        b'Requires-Dist: numpy (>=1.20,!=1.21.*) ; extra == "fast" and (python_version < "3.13" or '
        b"sys_platform in 'linux darwin')\nRequires-Dist: other[a,b] @ https://example.org/x.whl\n"
        b"Requires-Dist: third~=2.1; platform_release >= '20' and os_name not in \"nt\"\n\nText\n"
    )


def _pages() -> Iterable[bytes]:
    wheel = "tax-1.0-cp311.py3-none-manylinux_2_17_x86_64.any.whl"
    file = {
        "filename": wheel,
        "url": f"../../files/{wheel}",
        "hashes": {"sha256": "ab" * 32},
        "requires-python": ">=3.10",
        "size": 100,
        "yanked": "bad",
        "core-metadata": {"sha256": "ab" * 32},
        "rldlib-profile": True,
    }
    meta = {"api-version": "1.4", "project-status": "archived", "project-status-reason": "old"}
    yield json.dumps({"meta": meta, "name": "tax", "files": [file], "versions": ["1.0"]}).encode()
    yield (
        '<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.3"><base href="/x/">'
        '<meta name="pypi:project-status" content="deprecated"></head><body><h1>Links</h1>'
        f'<a href="../files/{wheel}#sha256={"ab" * 32}" data-requires-python="&gt;=3.10" data-yanked '
        f'data-core-metadata="sha256={"ab" * 32}" rel="internal">{wheel}</a><br/></body></html>'
    ).encode()


def _locks() -> Iterable[bytes]:
    from rldlib.values.lock import Lock, LockedWheel

    wheels = tuple(
        LockedWheel(
            name=name,
            version="1.0",
            filename=f"{name}-1.0-py3-none-any.whl",
            locator=f"{place}/{name}-1.0-py3-none-any.whl",
            sha256="ab" * 32,
            size=100,
        )
        for name, place in (("other", "/wheels"), ("tax", "https://index.example"))
    )
    yield pylock.write(
        Lock(
            service="tax",
            version="1.0",
            distribution="tax",
            source="https://index.example/simple/",
            interpreter="cpython-3.11.7-linux-x86_64",
            wheels=wheels,
        )
    ).encode()


def _wheels() -> Iterable[bytes]:
    with TemporaryDirectory() as folder:
        made = [
            make_wheel(
                Path(folder),
                "evil",
                "1.0",
                {"evil/__init__.py": "x = 1\n", "evil-1.0.data/scripts/tool": "#!python\n"},
                profile=profiles.WHOLE,
                entry_points={"console_scripts": {"run": "evil:main"}},
            )
        ]
        made += [build(Path(folder) / str(number)) for number, (_, build) in enumerate(HOSTILE.values())]
        yield from [data for path in made if len(data := path.read_bytes()) < 16 * 1024]


def _streams(shapes: Any) -> Iterable[bytes]:
    example = {
        int: 1,
        str: "text",
        dict: {"a": 1},
        list: [],
        float: 1.5,
        object: {"$": "x"},
        type(None): None,
    }
    whole = b""
    for kind, (_, shape, *_) in shapes.items():
        whole += b"".join(map(bytes, encode([kind, *(example[allowed[0]] for allowed in shape)])))
    yield whole
    for value in _values():
        yield b"".join(map(bytes, encode([messages.REPLY, 1, value])))
    operation = {
        "kind": "call",
        "arguments": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "array", "items": {"type": "string"}}},
            "required": ["a"],
            "additionalProperties": False,
        },
        "result": {},
        "idempotent": True,
        "cache_for_s": None,
        "media_type": None,
    }
    yield b"".join(map(bytes, encode([messages.READY, {"operations": {"echo": operation}}])))


def _values() -> Iterable[Any]:
    import datetime as dt
    import uuid
    from decimal import Decimal

    import numpy as np

    yield [Decimal("19.99"), uuid.UUID(int=7), dt.timedelta(days=1), dt.date(2026, 1, 1), dt.time(1, 2)]
    yield [dt.datetime(2026, 1, 1, tzinfo=dt.UTC), b"bytes", {"$": ["dict", 1]}, memoryview(b"view")]
    yield [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.ones((2, 2), "<i2")),
        np.array(["a"]),
        np.array(1),
    ]
    yield [np.array(["2026-01-01"], "M8[D]"), np.zeros((0, 3)), np.array([1j]), np.array([True])]


def _schemas() -> Iterable[bytes]:
    formats = {
        "decimal": "19.99",
        "date-time": "2026-01-01T00:00:00+00:00",
        "date": "2026-01-01",
        "time": "01:02:03",
        "duration": "P1DT2H3.5S",
        "uuid": "12345678-1234-5678-1234-567812345678",
    }
    properties = {name: {"type": "string", "format": name} for name in formats}
    properties |= {
        "bytes": {"type": "string", "contentEncoding": "base64"},
        "either": {"anyOf": [{"type": "null"}, {"type": "array", "prefixItems": [{"type": "integer"}]}]},
        "one": {"enum": [1, "two", True]},
        "array": {"type": "array", "x-numpy": "float64", "items": {"type": "number"}},
        "map": {"type": "object", "additionalProperties": {"type": "boolean"}},
    }
    declared = {
        "type": "object",
        "properties": properties,
        "required": ["one"],
        "additionalProperties": False,
    }
    value = formats | {
        "bytes": {"$base64": "AAEC"},
        "either": [1],
        "one": 1,
        "array": [1, 2],
        "map": {"a": True},
    }
    yield json.dumps({"schema": declared, "value": value}).encode()


# --- all of them -------------------------------------------------------------------

_TEXT = mutation.of_bytes
_JSON = mutation.either(mutation.of_json, mutation.of_json, _TEXT((b'"', b"{", b"[", b",", b"1e400", b"NaN")))
_HEADERS = (
    b"Requires-Dist: ",
    b"Version: ",
    b"\n",
    b" ; ",
    b"extra == 'a'",
    b"(",
    b" and ",
    b">=",
    b".*",
    b"===",
)
_TAGS = (
    b"<a href=",
    b"<base href=",
    b"<!",
    b"<!--",
    b"</",
    b">",
    b"&#",
    b"&amp",
    b".whl",
    b"#sha256=",
    b"%2f",
    b"//[",
)
_TOML = (
    b"[[packages]]\n",
    b"[",
    b"]",
    b"'''",
    b'"""',
    b"=",
    b".a",
    b"{",
    b"marker = ",
    b"1979-05-27",
    b"0x",
    b"inf",
)
_JOIN = (
    b"rldlib://",
    b"[",
    b"]:",
    b":",
    b"#root-sha256=",
    b"&min=",
    b"@",
    b"%25",
    b"\xe2\x84\x80",
    b"0x",
    b"/",
)
_INNER = _TEXT(
    (b",", b"\n", b"sha256=", b"[console_scripts]\n", b"a = b:c\n", b"Name: evil\n", b"Wheel-Version: 1.0\n")
)
_WHEEL_MUTATIONS = mutation.of_wheels(_INNER)

TARGETS: dict[str, Target] = {
    "profile": Target(read=_profile, refusals=(ProfileError,), seeds=_profiles, mutate=_JSON),
    "page": Target(
        read=_page, refusals=(MalformedPageError,), seeds=_pages, mutate=mutation.either(_JSON, _TEXT(_TAGS))
    ),
    "metadata": Target(
        read=_metadata, refusals=(MalformedMetadataError,), seeds=_requirements, mutate=_TEXT(_HEADERS)
    ),
    "lock": Target(read=_lock, refusals=(MismatchError,), seeds=_locks, mutate=_TEXT(_TOML)),
    "gate": Target(
        read=_gate,
        refusals=(),
        seeds=_wheels,
        mutate=_WHEEL_MUTATIONS,
        bounds=Bounds(inflated_bytes=32 * MIB, memory_bytes=24 * MIB),
    ),
    "remote-wheel": Target(
        read=_remote,
        refusals=(WheelRefusedError, ProfileError),
        seeds=_wheels,
        mutate=_WHEEL_MUTATIONS,
        bounds=Bounds(inflated_bytes=16 * MIB, memory_bytes=16 * MIB),
    ),
    "wire-from-worker": Target(
        read=_from_worker,
        refusals=(ProtocolError,),
        seeds=lambda: _streams(messages.FROM_WORKER),
        mutate=mutation.either(mutation.of_frames, _TEXT((b'{"$":["', b"\x10\0\0\0\x10\0\0\0"))),
    ),
    "wire-from-host": Target(
        read=_from_host,
        refusals=(ProtocolError,),
        seeds=lambda: _streams(messages.FROM_HOST),
        mutate=mutation.either(mutation.of_frames, _TEXT((b'{"$":["', b"\x10\0\0\0\x10\0\0\0"))),
    ),
    "support": Target(
        read=exchange.support_message,
        refusals=(MalformedDocumentError,),
        seeds=exchange.support_messages,
        mutate=_JSON,
    ),
    "join": Target(
        read=exchange.join_string, refusals=(UsageError,), seeds=exchange.join_strings, mutate=_TEXT(_JOIN)
    ),
    "brief-lock": Target(
        read=exchange.brief_lock, refusals=(), seeds=exchange.brief_locks, mutate=_TEXT((b"[1, ", b"null"))
    ),
    "schema": Target(read=_schema, refusals=(ValueError,), seeds=_schemas, mutate=_JSON),
}

CORPUS = Path(__file__).with_name("corpus")


def kept(name: str) -> dict[str, bytes]:
    """The kept inputs of a target, by their names."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / name).glob("*"))}


def mutated(name: str, random) -> Iterable[bytes]:
    """Endlessly, inputs made of the kept ones and the seeds."""
    target = TARGETS[name]
    inputs = [*target.seeds(), *kept(name).values()]
    for data in itertools.cycle(inputs):
        yield target.mutate(data, random)
