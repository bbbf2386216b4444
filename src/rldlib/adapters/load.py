"""How busy this host is, as a responder tells it with every answer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rldlib.values.support import Load

if TYPE_CHECKING:
    from collections.abc import Callable


def load_probe(score_rcu: int | None) -> Callable[[], Load]:
    """What tells the load of this host.

    Args:
        score_rcu: What each of its hardware threads does; None where it was never scored.
    """
    threads = len(os.sched_getaffinity(0))

    def load() -> Load:
        # The average of a minute: a moment's rush would send everybody away at once.
        busy = min(1.0, os.getloadavg()[0] / threads)
        return Load(slots=threads, busy=round(busy, 3), score_rcu=score_rcu)

    return load
