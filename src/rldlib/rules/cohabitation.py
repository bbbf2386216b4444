"""Whether a service can be performed within the host's own process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from rldlib.rules.afterlife import after_use

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rldlib.values.lock import LockedWheel
    from rldlib.values.policy import Policy
    from rldlib.values.presence import Presence
    from rldlib.values.profile import ResourceProfile


def demands_unmet(profile: ResourceProfile, policy: Policy) -> tuple[str, ...]:
    """What a profile asks for that only a process of its own can give; empty where there is nothing.

    All of it, not the first: whoever changes the profile changes it once.
    """
    secrets = [resource.name for resource in profile.resources if resource.kind == "secret"]
    passing = [resource.name for resource in profile.resources if resource.after_use == "delete"]
    unmet = []
    if secrets:
        unmet.append(f"its secret {', '.join(secrets)} would be readable by all that runs here")
    if after_use(profile.life, policy) == "delete":
        unmet.append("nothing of it may stay after use, and what was imported stays")
    if passing:
        unmet.append(f"its resource {', '.join(passing)} may not stay after use, and what was read may")
    if profile.isolation.level != "none":
        unmet.append(f"it asks for isolation {profile.isolation.level}, and threads have none")
    return tuple(unmet)


def conflicts(wheels: Iterable[LockedWheel], present: Mapping[str, Presence]) -> tuple[str, ...]:
    """Every wheel that the process has otherwise already; empty where nothing is in the way.

    Args:
        wheels: The service's, pinned.
        present: What the process has, by normalised name.
    """
    found = ((wheel, present[wheel.name]) for wheel in wheels if wheel.name in present)
    told = (_conflict(wheel, presence) for wheel, presence in found)
    return tuple(text for text in told if text is not None)


def _conflict(wheel: LockedWheel, presence: Presence) -> str | None:
    if not _same(wheel.version, presence.version):
        had = presence.version or "of an unknown version"
        return f"this process has {wheel.name} {had} ({presence.where}), the service pins {wheel.version}"
    if presence.sha256 not in {None, wheel.sha256}:
        # Of one version, and yet another file: what was imported would be performed under its name.
        return f"this process has {wheel.name} {wheel.version} from another wheel ({presence.where})"
    return None


def _same(pinned: str, had: str) -> bool:
    try:
        return Version(pinned) == Version(had)
    except InvalidVersion:
        return pinned == had
