"""Compiles sources for one host, and runs none of them: ``python -I -S compiling.py HOST NICE``.

It speaks in frames on its standard input and output: four bytes with the
length, then so many bytes. The host sends one, a JSON list of ``[PATH, NAME,
SHA256, SIZE]``; then the compiler sends its cache tag, and for each source the
content of its ``.pyc``, nothing where it cannot be compiled or differs from
its hash.

The bytecode is hash-based and unchecked (PEP 552): whoever lays it beside its
source vouches for both. NAME is what tracebacks would name, were it not that
Python gives every module that it imports the path it was found at.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import marshal
import os
import stat
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

if __name__ == "__main__":
    # Started by path: mount the package from here, without running the `__init__` that is the host's.
    _package = type(sys)("rldlib")
    _package.__path__ = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    sys.modules["rldlib"] = _package

from rldlib.worker.containment import die_with_parent

_LENGTH_BYTES = 4
# PEP 552: hash-based, and not compared with its source again.
_UNCHECKED = (1).to_bytes(4, "little")


def compiled(path: str, name: str, sha256: str, size: int) -> bytes:
    """The bytecode of one source; nothing where it is not what its hash says, or is no Python."""
    try:
        source = _read(path, size)
        if hashlib.sha256(source).hexdigest() != sha256:
            return b""
        code = compile(source, name, "exec", dont_inherit=True, optimize=0)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return b""
    return importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(source) + marshal.dumps(code)


def _read(path: str, size: int) -> bytes:
    """What a worker may have put there: never wait for it, never read more than was promised."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size != size:
            return b""
        with open(fd, "rb", closefd=False) as file:
            return file.read(size)
    finally:
        os.close(fd)


def main(host: int, niceness: int) -> None:
    """Serve one request, and be gone when the host is."""
    die_with_parent()
    # The host may have ended before the line above: then nobody will kill us.
    if os.getppid() != host:
        return
    os.nice(niceness)
    with open(0, "rb", closefd=False) as asked, open(1, "wb", closefd=False) as told:
        length = int.from_bytes(asked.read(_LENGTH_BYTES), "little")
        sources = json.loads(asked.read(length))
        _tell(told, (sys.implementation.cache_tag or "").encode())
        for path, name, sha256, size in sources:
            _tell(told, compiled(path, name, sha256, size))


def _tell(told: BinaryIO, body: bytes) -> None:
    told.write(len(body).to_bytes(_LENGTH_BYTES, "little") + body)
    told.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
