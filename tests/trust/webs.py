"""A network without one, for what is looked at some thousand times."""

from __future__ import annotations

from types import SimpleNamespace

from rldlib.errors import OversizeError
from rldlib.values.trust import METADATA_PATH, TARGETS_PATH

ADDRESS = "https://there:1"


class Web:
    """What a domain serves, or nothing.

    Attributes:
        asked: Every path that was asked for.
    """

    def __init__(self, forge):
        self._forge = forge
        self.asked = []

    def get(self, url, *, max_bytes, deadline_s):
        path = url.removeprefix(ADDRESS)
        self.asked.append(path)
        if path.startswith(TARGETS_PATH):
            body = self._forge.target(path.removeprefix(TARGETS_PATH))
        else:
            body = self._forge.metadata(path.removeprefix(METADATA_PATH))
        if body is not None and len(body) > max_bytes:
            raise OversizeError(url, "too long")
        return SimpleNamespace(status=404 if body is None else 200, body=body or b"")
