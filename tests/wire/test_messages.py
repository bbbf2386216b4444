from __future__ import annotations

import pytest

from rldlib.wire import messages
from rldlib.wire.frames import ProtocolError


@pytest.mark.parametrize(
    ("message", "shapes"),
    [
        (["call", 1, "table", {}, None], messages.FROM_HOST),
        (["call", 1, "table", {}, 2.5], messages.FROM_HOST),
        (["stop", 1], messages.FROM_HOST),
        (["reply", 1, object()], messages.FROM_WORKER),
        (["beat"], messages.FROM_WORKER),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_the_protocol_has_passes(message, shapes):
    assert messages.verify(message, shapes) == message[0]


@pytest.mark.parametrize(
    "message",
    [
        [],
        ["shout"],
        [None],
        [["beat"]],
        ["beat", 1],
        ["reply", 1],
        ["reply", "1", 2],
        ["reply", True, 2],
        ["need", 1.5],
    ],
    ids=repr,
)
def test_what_the_protocol_lacks_is_refused(message):
    with pytest.raises(ProtocolError):
        messages.verify(message, messages.FROM_WORKER)
