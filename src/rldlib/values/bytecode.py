"""Bytecode of one wheel's modules for one kind of interpreter, so that it can be checked on the way out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMAT: Final = 1


class DamagedBytecodeError(ValueError):
    """It is not what `Bytecode.dump` wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytecode:
    """What the compiler made of some modules of a wheel.

    Attributes:
        tag: The interpreter's cache tag, which is in the name of each file: ``cpython-312``.
        files: The content of each file, by its source's path below site-packages.
    """

    tag: str
    files: Mapping[str, bytes | memoryview] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """What its files take, in bytes."""
        return sum(map(len, self.files.values()))

    def with_files(self, files: Mapping[str, bytes | memoryview]) -> Self:
        """The same with more files; what is there already stays as it is."""
        return type(self)(tag=self.tag, files={**files, **self.files})

    def dump(self) -> bytes:
        """A line with the hash of the next, a line that lists the files with their hashes, and the files."""
        files = sorted(self.files.items())
        rows = [[path, hashlib.sha256(content).hexdigest(), len(content)] for path, content in files]
        head = json.dumps([_FORMAT, self.tag, rows]).encode()
        content = b"".join(content for _, content in files)
        return b"\n".join((hashlib.sha256(head).hexdigest().encode(), head, content))

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read it, and compare every file with its hash.

        Raises:
            DamagedBytecodeError: It is not what `dump` wrote.
        """
        told, _, rest = data.partition(b"\n")
        head, _, content = rest.partition(b"\n")
        if hashlib.sha256(head).hexdigest().encode() != told:
            raise DamagedBytecodeError("its list differs from its own hash")
        read = json.loads(head)
        if read[0] != _FORMAT:
            raise DamagedBytecodeError("it was written in another way")
        _, tag, rows = read
        view, begin, files = memoryview(content), 0, {}
        for path, sha256, size in rows:
            files[path] = view[begin : begin + size]
            begin += size
            if hashlib.sha256(files[path]).hexdigest() != sha256:
                raise DamagedBytecodeError(f"that of {path} differs from its hash")
        return cls(tag=tag, files=files)


def place_of(path: str, tag: str) -> str:
    """Where Python looks for the bytecode of a source."""
    folder, _, name = path.rpartition("/")
    inner = f"__pycache__/{name.removesuffix('.py')}.{tag}.pyc"
    return f"{folder}/{inner}" if folder else inner
