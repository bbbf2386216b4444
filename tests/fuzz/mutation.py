"""Small changes to an input, by the shape it has: so that what is changed is still looked into."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import zipfile
from typing import TYPE_CHECKING, Any

from tests.wheels import record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    Mutate = Callable[[bytes, Random], bytes]

_NUMBERS = (0, -1, 1, 127, 255, 65535, 2**31, 2**32 - 1, 2**60, 2**63, 2**64, 10**40, 1.5, -0.0, 1e308)
_ODD = ("", "$", "\0", "\ud800", "é", "e\u0301", "\u2028", "\U0001f600", "..", "a" * 300, "9" * 5000)
_VALUES: tuple[Any, ...] = (*_NUMBERS, *_ODD, None, True, False, [], {}, [[]], {"": {}}, {"$": ["bytes", 1]})
_BYTES = (b"\0", b"\xff", b"\xed\xa0\x80", b"\r\n", b'"', b"\\", b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\7")


def of_bytes(tokens: Sequence[bytes] = ()) -> Mutate:
    """Bits, bytes, words and pieces; `tokens` are put in too."""
    tokens = (*tokens, *_BYTES)

    def mutate(data: bytes, random: Random) -> bytes:
        changed = bytearray(data)
        for _ in range(random.choice((1, 1, 2, 4, 8))):
            _edit(changed, tokens, random)
        return bytes(changed)

    return mutate


def _edit(data: bytearray, tokens: Sequence[bytes], random: Random) -> None:
    at = random.randrange(len(data) + 1)
    end = min(len(data), at + random.choice((1, 2, 4, 8, 64)))
    match random.randrange(7):
        case 0 if at < len(data):
            data[at] ^= 1 << random.randrange(8)
        case 1:
            data[at:end] = random.randbytes(end - at)
        case 2:
            del data[at:end]
        case 3:
            data[at:at] = random.choice(tokens)
        case 4:
            data[at:at] = data[at:end] * random.choice((1, 2, 16, 256))
        case 5 if len(data) >= at + 4:
            data[at : at + 4] = struct.pack(
                "<I", random.choice((0, 1, 2**16 - 1, 2**31, 2**32 - 1, len(data)))
            )
        case _:
            other = random.randrange(len(data) + 1)
            data[at:end] = data[other : other + end - at]


def of_json(data: bytes, random: Random) -> bytes:
    """One value or name of a document; what is no JSON comes back as it was."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return data
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        document = _changed(document, random, depth=0)
    try:
        text = json.dumps(document)
    except (ValueError, RecursionError):  # it was put into itself
        return data
    if random.random() < 0.05:
        text = text.replace("}", ',"schema":1,"schema":2}', 1)
    return text.encode("utf-8", "surrogatepass")


def _changed(value: Any, random: Random, depth: int) -> Any:
    if value and isinstance(value, (dict, list)) and depth < 20 and random.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = random.choice(keys)
        what = random.random()
        if what < 0.1:
            del value[key]
        elif what < 0.2 and isinstance(value, dict):
            value[random.choice(_ODD) or random.choice(list(value))] = value[key]
        elif what < 0.25 and isinstance(value, list):
            value.extend([value[key]] * random.choice((1, 3, 20)))
        else:
            value[key] = _changed(value[key], random, depth + 1)
        return value
    if random.random() < 0.1:
        for _ in range(random.choice((1, 5, 40, 200))):
            value = [value] if random.random() < 0.5 else {"a": value}
        return value
    if isinstance(value, str) and random.random() < 0.5:
        at = random.randrange(len(value) + 1)
        return value[:at] + random.choice(_ODD) + value[at + random.randrange(3) :]
    return random.choice(_VALUES)


def of_frames(data: bytes, random: Random) -> bytes:
    """The JSON of one frame of a stream; its header follows."""
    frames, at = [], 0
    while at + 8 <= len(data):
        size, head = struct.unpack_from("<II", data, at)
        body = data[at + 8 : at + 8 + size]
        frames.append((body[:head], body[head:]))
        at += 8 + size
    if not frames:
        return data
    which = random.randrange(len(frames))
    head, tail = frames[which]
    if random.random() < 0.2:
        tail = random.randbytes(random.choice((0, 1, 2, 8, 24)))
    frames[which] = of_json(head, random), tail
    if random.random() < 0.2:
        frames.append(random.choice(frames))
    return b"".join(struct.pack("<II", len(h) + len(t), len(h)) + h + t for h, t in frames)


def of_wheels(inner: Mutate) -> Mutate:
    """A member's content, name, mode or packing, with RECORD put right mostly; else the zip's own bytes."""

    def mutate(data: bytes, random: Random) -> bytes:
        if random.random() < 0.4:
            return inner(data, random)
        members = _members(data)
        if not members:
            return inner(data, random)
        return _rebuilt(members, inner, random)

    return mutate


def _members(data: bytes) -> dict[str, tuple[zipfile.ZipInfo, bytes]]:
    found = {}
    with contextlib.suppress(Exception), zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist()[:20]:
            if entry.file_size < 64 * 1024:
                found[entry.filename] = entry, archive.read(entry)
    return found


def _rebuilt(members: dict[str, tuple[zipfile.ZipInfo, bytes]], inner: Mutate, random: Random) -> bytes:
    contents = {name: content for name, (_, content) in members.items()}
    name = random.choice(list(contents))
    what = random.random()
    if what < 0.6:
        contents[name] = inner(contents[name], random)
    elif what < 0.8:
        odd = name[: random.randrange(len(name) + 1)] + random.choice(("/", "../", ".pth", *_ODD[:9]))
        contents[odd.replace("\ud800", "?").replace("\0", "?")] = contents.pop(name)
    info = next((name.partition("/")[0] for name in contents if ".dist-info/" in name), "")
    if info and random.random() < 0.8 and "RECORD" not in name:
        contents.pop(f"{info}/RECORD", None)
        contents[f"{info}/RECORD"] = record_of(contents, info)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for path, content in contents.items():
            entry = zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0))
            entry.external_attr = random.choice((0o100644, 0o100755, 0o100644, random.getrandbits(16))) << 16
            archive.writestr(entry, content, random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    return written.getvalue()


def either(*mutations: Mutate) -> Mutate:
    """One of these each time, at random."""
    return lambda data, random: random.choice(mutations)(data, random)
