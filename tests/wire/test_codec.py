from __future__ import annotations

import enum
import json
import tracemalloc
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.wire.values import plain_json, same, values

from rldlib.wire.codec import EncodingError, decode, encode
from rldlib.wire.frames import MAX_FRAME_BYTES, MAX_HEAD_BYTES, Frame, FrameReader, ProtocolError
from rldlib.wire.marks import MAX_MARKS
from rldlib.wire.tags import MAX_DEPTH


def travelled(value):
    """The value after a journey in a message."""
    reader = FrameReader()
    reader.feed(b"".join(map(bytes, encode(["reply", 1, value]))))
    message = decode(reader.next())
    assert message[:2] == ["reply", 1]
    assert reader.pending_bytes == 0
    return message[2]


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


@given(values)
@example({"$": ["decimal", "1"]})
@example({"$": {"$": [b"", {"$": None}]}, "more": b"x"})
@example([b"a", {"$": b"b"}, b"", b"c"])
def test_values_come_back_as_they_were(value):
    assert same(travelled(value), value)


@given(st.binary(), st.binary())
def test_arbitrary_bytes_are_refused_by_protocol_error_alone(head, tail):
    with suppress(ProtocolError):
        decode(Frame(head, memoryview(tail)))


@settings(max_examples=300)
@given(plain_json, st.binary(max_size=40))
def test_malformed_tags_are_refused_by_protocol_error_alone(value, tail):
    with suppress(ProtocolError):
        decode(Frame(json.dumps([value]).encode(), memoryview(tail)))


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"{}",
        b"[1] ",
        b"[1][2]",
        b"\xff",
        b"[" * 100_000,
        b"[" * 150 + b"]" * 150,
        b"[" + b"9" * 5000 + b"]",
        b'[{"$":1}]',
        b'[{"$":[]}]',
        b'[{"$":[1]}]',
        b'[{"$":["decimal","1"],"x":1}]',
        b'[{"$":["decimal"]}]',
        b'[{"$":["decimal",[0,[1],2]]}]',
        b'[{"$":["decimal","nope"]}]',
        b'[{"$":["datetime","2026-13-01"]}]',
        b'[{"$":["timedelta",1e400,0,0]}]',
        b'[{"$":["timedelta",999999999999,0,0]}]',
        b'[{"$":["uuid",5]}]',
        b'[{"$":["dict",[]]}]',
        b'[{"$":["bytes",1]}]',
        b'[{"$":["bytes",-1]}]',
        b'[{"$":["bytes",true]}]',
        b'[{"$":["bytes",[1,2]]}]',
        b'[{"$":["bytes",[1]]}]',
        b'[{"$":["eval","1"]}]',
        b'[{"$":["array","|O",[1],"C",0]}]',
        b'[{"$":["array","<f8",[-1],"C",0]}]',
        b'[{"$":["array","<f8",[2],"C",0]}]',
        b'[{"$":["array","<f8",[0,100000000000000000000],"C",0]}]',
        b'[{"$":["array","<f8",[0],"K",0]}]',
        b'[{"$":["array","<f8"]}]',
    ],
)
def test_what_is_no_message_is_refused(head):
    with pytest.raises(ProtocolError):
        decode(Frame(head))


@pytest.mark.parametrize("head", [b"[1]", b'[{"$":["bytes",2]}]', b'["\\"$\\""]'])
def test_bytes_that_nothing_refers_to_are_refused(head):
    with pytest.raises(ProtocolError, match="nothing refers to"):
        decode(Frame(head, memoryview(b"abc")))


def test_inline_buffers_cannot_overlap():
    """Else a small frame could have the receiver copy the same bytes a million times."""
    with pytest.raises(ProtocolError):
        decode(Frame(b'[{"$":["bytes",3]},{"$":["bytes",3]}]', memoryview(b"abc")))


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Word(str, enum.Enum):  # noqa: UP042 - services on 3.10 have no StrEnum
    YES = "yes"


@dataclass
class Row:
    name: str
    price: Decimal
    inner: Row | None = None


class Point(NamedTuple):
    x: int
    y: bytes


class Text(str):
    __slots__ = ()


class Number(int):
    pass


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ((1, (2,)), [1, [2]]),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Word.YES, "yes"),
        (Row("a", Decimal("1.10"), Row("b", Decimal(2))), None),
        (Point(1, b"y"), [1, b"y"]),
        (OrderedDict(a=1), {"a": 1}),
        (Text("x"), "x"),
        (Number(5), 5),
        ({Text("k"): 1}, {"k": 1}),
        (bytearray(b"ab"), b"ab"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_with_a_plain_meaning_come_as_that(sent, received):
    if isinstance(sent, Row):
        inner = {"name": "b", "price": Decimal(2), "inner": None}
        received = {"name": "a", "price": Decimal("1.10"), "inner": inner}
    assert same(travelled(sent), received)


def test_a_memoryview_comes_as_a_writable_one():
    view = travelled(memoryview(b"abcd")[::2])

    assert isinstance(view, memoryview)
    assert bytes(view) == b"ac"
    view[0] = 120
    assert bytes(view) == b"xc"


def test_infinities_travel():
    assert travelled([float("inf"), float("-inf")]) == [float("inf"), float("-inf")]
    assert travelled(float("nan")) != travelled(float("nan"))


def _itself():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "path", "told"),
    [
        ({1: 2}, "", "only str keys travel"),
        ({"a": {Word.YES: 1}}, "a", "only str keys travel"),
        ({"rows": [1, {"x": {2}}]}, "rows[1].x", "builtins.set"),
        ([Row("a", object())], "[0].price", "builtins.object"),
        ({"$": object()}, "$", "builtins.object"),
        (nested(MAX_DEPTH), None, "deep"),
        (_itself(), None, "contains itself"),
        (10**5000, "", "digits"),
        (memoryview(b"abcd").cast("c"), None, None),
    ],
    ids=[
        "int key",
        "enum key",
        "set",
        "in a dataclass",
        "under the tag's key",
        "deep",
        "cycle",
        "huge int",
        "chars",
    ],
)
def test_what_does_not_travel_is_named_with_its_path(value, path, told):
    if told is None:
        assert bytes(travelled(value)) == b"abcd"
        return
    with pytest.raises(EncodingError, match=told) as caught:
        encode(["reply", 1, value])
    assert path is None or caught.value.path == path


def test_the_greatest_depth_travels():
    """The message itself is the first level."""
    assert travelled(nested(MAX_DEPTH - 1)) == nested(MAX_DEPTH - 1)


def test_more_than_a_frame_holds_is_refused():
    with pytest.raises(EncodingError, match="shared memory"):
        encode([bytes(MAX_FRAME_BYTES)])


def test_more_json_than_is_read_is_refused_where_it_is_written():
    """As many bytes travel: they do not grow when they are read."""
    with pytest.raises(EncodingError, match=r"16,777,2\d\d bytes as JSON, and at most 16,777,216"):
        encode(["reply", 1, "x" * MAX_HEAD_BYTES])

    assert travelled(bytes(MAX_HEAD_BYTES)) == bytes(MAX_HEAD_BYTES)


@pytest.mark.slow
@pytest.mark.parametrize(
    "cell",
    [b"[]", b"{}", b'{"":0}', b"0", b'"ab"', b"[" * 90 + b"]" * 90, b'{"":' * 90 + b"0" + b"}" * 90],
    ids=["lists", "dicts", "pairs", "numbers", "texts", "nested lists", "nested dicts"],
)
def test_tiny_values_by_the_million_are_refused_before_they_are_read(cell):
    """Sixteen megabytes of such JSON would become hundreds."""
    count = (MAX_HEAD_BYTES - 100) // (len(cell) + 1)
    frame = Frame(b'["reply",1,[' + b",".join([cell] * count) + b"]]")

    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match="too many values"):
            decode(frame)
        assert tracemalloc.get_traced_memory()[1] < 2 * MAX_HEAD_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_as_many_values_as_may_travel_are_bounded_in_memory():
    cell = {"": {"": {"": {"": {"": {"": {"": {"": {"": 0}}}}}}}}}
    parts = encode(["reply", 1, [cell] * (MAX_MARKS // 20)])
    frame = Frame(bytes(parts[0][8:]))

    tracemalloc.start()
    try:
        decode(frame)
        assert tracemalloc.get_traced_memory()[1] < 128 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_more_values_than_are_read_are_refused_where_they_are_written():
    with pytest.raises(EncodingError, match="more than a million values"):
        encode(["reply", 1, list(range(MAX_MARKS))])

    assert travelled(list(range(MAX_MARKS - 3))) == list(range(MAX_MARKS - 3))


@pytest.mark.slow
@pytest.mark.parametrize("text", [',:[{"\\' * 200_000, "\\" * 3_000_001, '","' * 700_000])
def test_marks_within_a_text_are_none(text):
    assert travelled(text) == text
    assert travelled([text, text[:-1]]) == [text, text[:-1]]


def test_many_buffers_are_few_parts():
    """The kernel takes a bounded number at once."""
    parts = encode([[b"x"] * 5000])

    assert len(parts) == 1
    assert travelled([b"x"] * 5000) == [b"x"] * 5000


class Shelf:
    """A place outside that holds everything put there."""

    def __init__(self, refuses=False):
        self.held = {}
        self.refuses = refuses

    def put(self, data):
        if self.refuses:
            return None
        self.held[len(self.held)] = bytes(data)
        return len(self.held) - 1, len(data)

    def take_back(self, segment_id):
        del self.held[segment_id]

    def get(self, segment_id, length):
        return bytearray(self.held[segment_id][:length])


def test_large_buffers_go_outside_and_small_ones_do_not():
    shelf, large = Shelf(), bytes(100_000)
    parts = encode([b"small", large, b"small too", memoryview(large)], shelf)
    reader = FrameReader()
    reader.feed(b"".join(parts))
    message = decode(reader.next(), shelf)

    assert len(shelf.held) == 2
    assert sum(map(len, parts)) < 1000
    assert (message[0], message[1], message[2], bytes(message[3])) == (b"small", large, b"small too", large)


def test_large_buffers_go_inline_where_there_is_no_room_outside():
    parts = encode([bytes(100_000)], Shelf(refuses=True))

    assert sum(map(len, parts)) > 100_000


@pytest.mark.parametrize("bad", [object(), 10**5000], ids=["object", "huge int"])
def test_nothing_is_left_outside_by_a_message_that_is_not_sent(bad):
    shelf = Shelf()
    with pytest.raises(EncodingError):
        encode([bytes(100_000), bad], shelf)

    assert shelf.held == {}
