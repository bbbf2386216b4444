"""The directory of a responder: what it offers, as it tells others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from rldlib.values.profile import SERVICE, SHA256
from rldlib.values.records import Many, Maybe, Record, shaped
from rldlib.values.shapes import Flag, Published, Text
from rldlib.values.support import INSTANT

# So many versions of a service are told, the newest ones.
MAX_VERSIONS: Final = 100
# So many distributions of a source are looked into.
MAX_SERVICES: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Offering:
    """One service that a responder offers.

    Attributes:
        service: Its name.
        versions: The versions that there are wheels of, the newest first.
        summary: What it does, in the words of its newest profile.
        signed_until: Until when what is signed of it is believed, where something was signed already;
            it is signed anew well before, for as long as the responder runs.
    """

    service: str = field(metadata=shaped(SERVICE))
    versions: tuple[str, ...] = field(metadata=shaped(Many(Published(64), MAX_VERSIONS)))
    summary: str = field(default="", metadata=shaped(Text(512)))
    signed_until: str | None = field(default=None, metadata=shaped(Maybe(INSTANT)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Offerings:
    """All that a responder offers to who asks.

    Attributes:
        domain: Who offers it: the SHA-256 of the root that its word is believed by.
        complete: Whether all of the source was looked into; the rest can be asked for by name.
        services: By name.
    """

    domain: str = field(metadata=shaped(SHA256))
    complete: bool = field(default=True, metadata=shaped(Flag()))
    services: tuple[Offering, ...] = field(default=(), metadata=shaped(Many(Record(Offering), MAX_SERVICES)))
