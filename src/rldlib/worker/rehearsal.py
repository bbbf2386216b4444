"""What every worker does until READY, done once on nothing.

A forked process has its parent's memory until it writes to it, and every look
at an object writes its count of references: six hundred pages until READY,
each of which stops the process. A worker that waits for its order can have
that behind it. It touches what would be touched anyway, and keeps nothing.
"""

from __future__ import annotations

import contextlib
import gc

from rldlib.plugin import Resources, Service, operation
from rldlib.wire import messages
from rldlib.wire.codec import decode, encode
from rldlib.wire.frames import FrameReader
from rldlib.worker.loading import Life, LoadError, entry_point
from rldlib.worker.operations import bound

_NAME = "rehearsal"


def rehearse() -> None:
    """Load, start and describe a service that does nothing; nobody is told."""

    class Nothing(Service):
        @operation(idempotent=True)
        def nothing(self, value: int = 0) -> str:
            return str(value)

    with contextlib.suppress(LoadError):  # there is none
        entry_point(_NAME, _NAME, [])
    life = Life(Nothing(), _NAME)
    life.start(Resources(()))
    facts = {name: each.facts for name, each in bound(life.operations()).items()}
    reader = FrameReader()
    reader.feed(b"".join(map(bytes, encode([messages.READY, {"operations": facts}]))))
    frame = reader.next()
    assert frame is not None
    decode(frame)
    del life, Nothing, facts
    # Classes go by no other way; a service that asks for those of `Service` must find its own alone.
    gc.collect()
