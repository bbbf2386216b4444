"""What a worker is started with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rldlib.values.lock import LockedWheel
    from rldlib.values.profile import ResourceProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOrder:
    """Everything that starts one worker, and starts it again.

    Attributes:
        service: The service it performs.
        version: Its version.
        distribution: The distribution whose entry point is loaded.
        python: The environment's interpreter.
        environment: The environment.
        profile: Its profile: limits, declared operations, host settings.
        resources: ``{"name", "kind", "path", "use"}`` each, in the order they need.
        log: Where its output goes.
        wheels: What the environment consists of.
        scratch: A folder of its own for temporary files; None leaves it the host's.
    """

    service: str
    version: str
    distribution: str
    python: Path
    environment: Path
    profile: ResourceProfile
    resources: tuple[Mapping[str, Any], ...]
    log: Path
    wheels: tuple[LockedWheel, ...] = ()
    scratch: Path | None = None
