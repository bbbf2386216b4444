"""How much room a host has: what it was measured to have, less what is spoken for.

Three things are taken off: the headroom its owner keeps, what was promised,
and what others use. What a worker uses of its own promise is both promised
and used; it is counted once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rldlib.values.room import Room, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldlib.values.measurement import Measurement
    from rldlib.values.policy import Policy
    from rldlib.values.promise import Promise
    from rldlib.values.score import Score


def room(measurement: Measurement, promises: Sequence[Promise], score: Score, policy: Policy) -> Room:
    """What is left for a new service, each figure with a note on how it came about.

    A figure that could not be measured is 0, or empty, and `Room.failed`
    says why.
    """
    memory, memory_note = _memory(measurement, promises, policy)
    disk, disk_note = _disk(measurement, promises, policy)
    processor, processor_note = _processor(measurement, promises, score, policy)
    unread = tuple(f"{field}: unknown, counted as none: {why}" for field, why in measurement.failed.items())
    return Room(
        memory_bytes=memory,
        disk_bytes=disk,
        cpu_idle_rcu=processor,
        threads=math.ceil(measurement.threads),
        open_files=measurement.open_files,
        score_rcu=score.rcu,
        hardware=measurement.hardware,
        devices=measurement.devices,
        gpu_memory_bytes=measurement.gpu_memory_bytes,
        failed=measurement.failed,
        notes=(memory_note, disk_note, processor_note, *unread, *measurement.notes),
    )


def _memory(measurement: Measurement, promises: Sequence[Promise], policy: Policy) -> tuple[int, str]:
    """The least that any limit leaves: the smallest limit need not be the fullest."""
    promised = sum(promise.memory_bytes for promise in promises)
    # Capped: what a worker uses beyond its promise is taken from everybody.
    of_promises = sum(
        min(promise.memory_bytes, measurement.worker_memory_bytes.get(promise.id, 0)) for promise in promises
    )
    offers = []
    for level in measurement.memory:
        others = max(0, level.used_bytes - of_promises)
        left = level.limit_bytes - policy.memory_headroom_bytes - promised - others
        note = (
            f"memory: {_bytes(left)} = {_bytes(level.limit_bytes)} ({level.name}) "
            f"- {_bytes(policy.memory_headroom_bytes)} headroom - {_bytes(promised)} promised "
            f"- {_bytes(others)} used by others"
        )
        offers.append((left, note))
    if policy.memory_limit_bytes is not None and offers:
        left = policy.memory_limit_bytes - promised
        note = f"memory: {_bytes(left)} = {_bytes(policy.memory_limit_bytes)} (policy) - {_bytes(promised)} promised"
        offers.append((left, note))
    left, note = min(offers, default=(0, "memory: none, no limit could be read"))
    return max(0, left), note


def _disk(measurement: Measurement, promises: Sequence[Promise], policy: Policy) -> tuple[int, str]:
    here = [promise for promise in promises if promise.id not in measurement.disk_elsewhere]
    # A worker starts once everything is installed: from then on its disk is
    # used, no longer only promised.
    pending = sum(promise.disk_bytes for promise in here if promise.worker_pid is None)
    left = measurement.disk_free_bytes - policy.disk_headroom_bytes - pending
    note = (
        f"disk: {_bytes(left)} = {_bytes(measurement.disk_free_bytes)} free "
        f"- {_bytes(policy.disk_headroom_bytes)} headroom - {_bytes(pending)} promised and not yet written"
    )
    if policy.disk_limit_bytes is not None:
        promised = sum(promise.disk_bytes for promise in here)
        below = policy.disk_limit_bytes - promised
        if below < left:
            left = below
            note = f"disk: {_bytes(left)} = {_bytes(policy.disk_limit_bytes)} (policy) - {_bytes(promised)} promised"
    return max(0, left), note


def _processor(
    measurement: Measurement, promises: Sequence[Promise], score: Score, policy: Policy
) -> tuple[int, str]:
    promised = sum(promise.cpu_idle_rcu for promise in promises)
    # Rounded down: a part of an RCU is nobody's.
    capacity = int(measurement.threads * score.rcu) - policy.cpu_headroom_rcu
    note = f"{measurement.threads:g} threads x {score} - {policy.cpu_headroom_rcu:,} headroom"
    if policy.cpu_limit_rcu is not None and policy.cpu_limit_rcu < capacity:
        capacity = policy.cpu_limit_rcu
        note = f"{capacity:,} (policy)"
    left = capacity - promised
    return max(0, left), f"processor: {left:,} RCU = {note} - {promised:,} promised"


def _bytes(amount: int) -> str:
    return told("_bytes", amount).partition(" (")[0]
