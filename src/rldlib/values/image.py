"""A wheel unpacked into one file: what lies where in it, and how that is checked on the way out.

The contents come first, the manifest after them, and at the end what tells the
manifest's size and hash: so a part of an image is never taken for one.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rldlib.values.data import Data

# A file of so many bytes begins with a block, so that file systems which share blocks can share its own.
LARGE_BYTES: Final = 64 * 1024
BLOCK_BYTES: Final = 4096
_MAGIC: Final = b"rldimg\0\2"
_END: Final = struct.Struct(">Q32s8s")


class DamagedImageError(ValueError):
    """An image is not what was written."""


# A tuple, as thousands are made in one start.
class ImageFile(NamedTuple):
    """One file of a wheel.

    Attributes:
        path: Its path in the wheel.
        sha256: The hash of its content, in hex.
        size: Its size in bytes.
        executable: Whether the wheel says that it can be run.
    """

    path: str
    sha256: str
    size: int
    executable: bool


def laid_out(sizes: Iterable[int]) -> tuple[list[int], int]:
    """Where each of the files begins, one after the other; and where the last one ends."""
    starts, at = [], 0
    for size in sizes:
        if size >= LARGE_BYTES:
            at = -(-at // BLOCK_BYTES) * BLOCK_BYTES
        starts.append(at)
        at += size
    return starts, at


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A wheel's content after the gate.

    Attributes:
        wheel: The wheel's file name.
        info: Its ``.dist-info`` folder.
        files: Every file, RECORD included, in the order in which they lie.
    """

    wheel: str
    info: str
    files: tuple[ImageFile, ...]

    def starts(self) -> list[int]:
        """Where each of its files begins."""
        return laid_out(file.size for file in self.files)[0]

    def end(self) -> bytes:
        """What follows the contents."""
        body = json.dumps({"wheel": self.wheel, "info": self.info, "files": self.files}).encode()
        return body + _END.pack(len(body), hashlib.sha256(body).digest(), _MAGIC)

    @classmethod
    def read(cls, data: Data) -> Self:
        """Read what follows the contents; these are not looked at.

        Raises:
            DamagedImageError: It is not what `end` made, or does not follow such contents.
        """
        told = len(data) - _END.size
        end = data[max(0, told) : len(data)]
        if len(end) != _END.size:
            raise DamagedImageError("it is shorter than its own end")
        size, sha256, magic = _END.unpack(end)
        body = data[max(0, told - size) : told]
        if magic != _MAGIC or hashlib.sha256(body).digest() != sha256:
            raise DamagedImageError("its end differs from its own hash")
        read = json.loads(body)
        files = tuple(map(ImageFile._make, read["files"]))
        if laid_out(file.size for file in files)[1] != told - size:
            raise DamagedImageError("its contents are not as long as its end says")
        return cls(wheel=read["wheel"], info=read["info"], files=files)
