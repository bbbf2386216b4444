"""What the host has: the only part that asks the operating system for room."""

from __future__ import annotations

from rldlib.adapters.probe.host import Probe, ScoreKeeper

__all__ = ["Probe", "ScoreKeeper"]
