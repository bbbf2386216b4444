"""Where everything of one root lies. Names only; nothing here touches the disk.

```
store/wheels/sha256/HEX      a wheel as it was fetched, by the hash of the file
store/images/HEX             the same wheel unpacked, after the gate, with the hash of every file
store/blobs/sha256/HEX       a data resource
store/bytecode/HEX/KIND      bytecode of a wheel's modules, for one kind of interpreter
environments/DIGEST/         a virtualenv, complete; its marker is written last
locks/building               shared by who builds environments, held alone by who collects
locks/KIND-XX                locks, never removed: one for each first byte of a hash
tmp/KIND-KEY                 being built by whoever holds the lock of that kind and key
tmp/environment-KEY.*        the same, before it has that name
tmp/gone-*                   renamed aside, being removed by anyone
```

What has its name is complete: it was built in ``tmp``, flushed, and renamed.
Locks are taken in the order of `KINDS`, one of each kind at most by one thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

if TYPE_CHECKING:
    from pathlib import Path

# A wheel's bytecode comes after its image: so it goes after it too, and none is left without one.
Kind = Literal["environment", "image", "wheel", "blob", "bytecode"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
ENVIRONMENT_MARKER: Final = "rldlib-environment.json"
# In an environment: what bytecode was laid in it, and that the store has all of its bytecode.
BYTECODE_LISTING: Final = "rldlib-bytecode.json"
BYTECODE_KEPT: Final = "rldlib-bytecode-kept"


@dataclass(frozen=True, slots=True)
class Places:
    """The paths of one root.

    Attributes:
        root: Its absolute path.
    """

    root: Path

    def folder(self, kind: Kind) -> Path:
        """Where all things of a kind lie."""
        match kind:
            case "environment":
                return self.root / "environments"
            case "image":
                return self.root / "store" / "images"
            case "wheel":
                return self.root / "store" / "wheels" / "sha256"
            case "blob":
                return self.root / "store" / "blobs" / "sha256"
            case "bytecode":
                return self.root / "store" / "bytecode"

    def place(self, kind: Kind, key: str) -> Path:
        """Where one thing lies once it is complete."""
        return self.folder(kind) / key

    def beside(self, kind: Kind, key: str) -> Path:
        """Where it is built; only the holder of its lock may look there."""
        return self.aside / f"{kind}-{key}"

    def lock(self, kind: Kind, key: str) -> Path:
        """Its lock. Keys share 256 locks of a kind, so that their number has a bound."""
        return self.root / "locks" / f"{kind}-{key[:2]}"

    @property
    def building(self) -> Path:
        """The lock that keeps images in place while environments are made of them."""
        return self.root / "locks" / "building"

    @property
    def aside(self) -> Path:
        """Where things are built and removed, on the same file system as their places."""
        return self.root / "tmp"


def built_thing(name: str) -> tuple[Kind, str] | None:
    """The kind and key of an entry of `Places.aside`; None where it is being removed."""
    kind, _, key = name.partition("-")
    for known in KINDS:
        if kind == known and key:
            return known, key
    return None
