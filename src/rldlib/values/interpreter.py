"""A CPython of this host."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from packaging.version import Version

from rldlib.values.tags import Tags

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from packaging.tags import Tag

# Workers run on every CPython from here on.
OLDEST_PYTHON = Version("3.10")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """One interpreter that workers can run on.

    Attributes:
        executable: Absolute path of the base interpreter, never of a virtualenv.
        version: Its full version, for example 3.12.1.
        tags: The wheel tags it takes, the best first.
        markers: Its values for environment markers (PEP 508).
        own: Whether it is the interpreter this process runs on.
    """

    executable: str
    version: Version
    tags: Sequence[Tag]
    markers: Mapping[str, str]
    own: bool = False

    @property
    def ranks(self) -> Mapping[Tag, int]:
        """The rank of each wheel tag; 0 is the one it prefers."""
        if isinstance(self.tags, Tags):
            return self.tags.ranks
        return {tag: rank for rank, tag in enumerate(self.tags)}

    @property
    def label(self) -> str:
        """What tells kinds of interpreters apart, for example ``cpython-3.12.1-linux-x86_64``.

        Two interpreters with one label can share a lock and an environment's
        content, though not the environment itself.
        """
        markers = self.markers
        kind = "cpython" + ("t" if any(tag.abi.endswith("t") for tag in islice(self.tags, 1)) else "")
        return f"{kind}-{self.version}-{markers['sys_platform']}-{markers['platform_machine']}"

    def __str__(self) -> str:
        return f"CPython {self.version} ({self.executable})"
