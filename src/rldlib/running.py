"""A service that a daemon performs here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading

    from rldlib.journey import Journey
    from rldlib.preparation import Prepared
    from rldlib.supervisor import Supervisor
    from rldlib.values.request import ServiceRequest


@dataclass(slots=True, kw_only=True)
class Running:
    """It, and how many handles use it.

    Attributes:
        prepared: What it was started from; it owns the room.
        supervisor: Keeps its worker running.
        journey: How it came here.
        mode: Where it is performed: ``process`` or ``inprocess``.
        handles: How many were handed out and not given back.
        idle: Ends it once nobody has used it for long enough.
    """

    prepared: Prepared
    supervisor: Supervisor
    journey: Journey
    mode: str
    handles: int = 0
    idle: threading.Timer | None = None

    def satisfies(self, request: ServiceRequest) -> bool:
        """Whether its version is one that the request takes."""
        return request.specifier.contains(self.prepared.profile.version, prereleases=True)
