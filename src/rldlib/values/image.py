"""A wheel unpacked: what lies in its image, so that it can be checked on the way out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Final, Self

# Beside the unpacked tree; written last but for the rename.
MANIFEST_NAME: Final = "image.json"
TREE_NAME: Final = "tree"


class DamagedImageError(ValueError):
    """A manifest is not what was written."""


@dataclass(frozen=True, slots=True)
class ImageFile:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A wheel's content after the gate.

    Attributes:
        wheel: The wheel's file name.
        info: Its ``.dist-info`` folder.
        files: Every file, RECORD included, in the wheel's order.
    """

    wheel: str
    info: str
    files: tuple[ImageFile, ...]

    @property
    def size(self) -> int:
        """What its files take, in bytes."""
        return sum(file.size for file in self.files)

    def dump(self) -> bytes:
        """The manifest: a line with the hash of the rest, and the rest."""
        rows = [[file.path, file.sha256, file.size, file.executable] for file in self.files]
        body = json.dumps({"wheel": self.wheel, "info": self.info, "files": rows}).encode()
        return hashlib.sha256(body).hexdigest().encode() + b"\n" + body

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a manifest.

        Raises:
            DamagedImageError: It is not what `dump` wrote.
        """
        told, _, body = data.partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != told:
            raise DamagedImageError("the manifest differs from its own hash")
        read = json.loads(body)
        files = tuple(ImageFile(*row) for row in read["files"])
        return cls(wheel=read["wheel"], info=read["info"], files=files)
