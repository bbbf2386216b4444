"""Messages: what host and worker say to each other.

A message is a list whose first element is its kind. The tables below are the
protocol: what is not in them, or does not fit, ends the connection.

Segments of shared memory are made by the host only, and announced once with
their descriptor (``SCM_RIGHTS``). `filler` says who writes into the segment
for as long as it lives: ``"host"`` for arguments, ``"worker"`` for results.
The other side says ``free`` once it has let go of what was in it. A segment
of 0 bytes, without a descriptor, answers a ``need`` that cannot be met.

Host to worker::

    ["start", {service, version, distribution, resources, threads, heartbeat_s, protocol, pluggy}]
    ["call", id, operation, arguments, deadline_s or null]
    ["cancel", id]["credit", id, n]["check", id]
    ["segment", segment_id, size, filler]["free", segment_id]["stop", deadline_s]

Worker to host::

    ["ready", {protocol, service, version, pid, python, operations}]
    ["failed", {stage, type, message, traceback}]
    ["reply", id, value]["item", id, value]["end", id]
    ["fault", id, type, message, traceback]["refused", id, issues]
    ["beat"]["log", level, logger, text]["progress", id, done, total or null, text]
    ["need", size]["free", segment_id]

Credit: a stream sends no item before it has credit; ``credit`` adds to it.
A ``check`` is answered by ``reply`` or ``fault``. Every ``call`` has exactly
one end (``reply``, ``fault``, ``refused`` or ``end``), a cancelled one too:
its end is then a fault of type `CANCELLED`.
"""

from __future__ import annotations

from rldlib.wire.frames import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Shape = tuple[int, tuple[tuple[type, ...], ...], frozenset[tuple[type, ...]], int]

PROTOCOL = 1

START = "start"
CALL = "call"
CANCEL = "cancel"
CREDIT = "credit"
CHECK = "check"
SEGMENT = "segment"
STOP = "stop"

READY = "ready"
FAILED = "failed"
REPLY = "reply"
FAULT = "fault"
REFUSED = "refused"
ITEM = "item"
END = "end"
BEAT = "beat"
LOG = "log"
PROGRESS = "progress"
NEED = "need"

FREE = "free"

HOST = "host"
WORKER = "worker"

# The types of faults that the worker itself tells of, in the place of an exception's name.
CANCELLED = "rldlib.Cancelled"
OVERDUE = "rldlib.Overdue"

_NUMBER = (int, float)
_OPTIONAL_NUMBER = (int, float, type(None))
_ANY = (object,)


def _shape(*allowed: tuple[type, ...]) -> Shape:
    """What `verify` looks at: the size, the types of each element, and all of them that fit as they are.

    What may be anything comes last. `bool` passes for no number.
    """
    fitting: set[tuple[type, ...]] = {()}
    for types in allowed:
        if types is not _ANY:
            fitting = {(*before, kind) for before in fitting for kind in types}
    return len(allowed) + 1, allowed, frozenset(fitting), 1 + sum(types is not _ANY for types in allowed)


# Kind -> what comes after it.
FROM_HOST: Mapping[str, Shape] = {
    START: _shape((dict,)),
    CALL: _shape((int,), (str,), (dict,), _OPTIONAL_NUMBER),
    CANCEL: _shape((int,)),
    CREDIT: _shape((int,), (int,)),
    CHECK: _shape((int,)),
    SEGMENT: _shape((int,), (int,), (str,)),
    FREE: _shape((int,)),
    STOP: _shape(_NUMBER),
}
FROM_WORKER: Mapping[str, Shape] = {
    READY: _shape((dict,)),
    FAILED: _shape((dict,)),
    REPLY: _shape((int,), _ANY),
    FAULT: _shape((int,), (str,), (str,), (str,)),
    REFUSED: _shape((int,), (list,)),
    ITEM: _shape((int,), _ANY),
    END: _shape((int,)),
    BEAT: _shape(),
    LOG: _shape((int,), (str,), (str,)),
    PROGRESS: _shape((int,), _NUMBER, _OPTIONAL_NUMBER, (str,)),
    NEED: _shape((int,)),
    FREE: _shape((int,)),
}


def verify(message: list[Any], shapes: Mapping[str, Shape]) -> str:
    """The message's kind, once it was seen to fit `FROM_HOST` or `FROM_WORKER`.

    Only the outer shape is seen to: what is inside ``start``, ``ready`` and
    ``failed`` is for their readers.

    Raises:
        ProtocolError: An unknown kind, or elements that do not fit it.
    """
    kind = message[0] if message else None
    shape = shapes.get(kind) if type(kind) is str else None
    if type(kind) is not str or shape is None:
        # Only a text is quoted: what a peer made of an array may be nothing that can be shown.
        told = repr(kind[:80]) if type(kind) is str else f"a {type(kind).__name__}"
        raise ProtocolError(f"a message of an unknown kind: {told}")
    size, allowed, fitting, bounded = shape
    if len(message) != size:
        raise ProtocolError(f"a {kind} message with {len(message) - 1} elements; it has {size - 1}")
    # All types in one step: this is asked of every message.
    if tuple(map(type, message[1:bounded])) not in fitting:
        index = next(n for n, types in enumerate(allowed, 1) if type(message[n]) not in types)
        found = type(message[index]).__name__
        raise ProtocolError(f"a {kind} message whose element {index} is a {found}")
    return kind
