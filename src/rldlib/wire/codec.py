"""The codec: plain data and a few typed values, to frames and back.

A message is JSON; what JSON lacks travels as a tag, a dict with the one key
``"$"``: ``{"$": ["decimal", "19.99"]}``. A user's dict that has that key is
wrapped in a tag itself, so every dict comes back as it was. Buffers follow
the JSON in the frame's tail in the order of their tags, or lie outside it.

Plain messages stay in C: the encoder looks at types by the container, and the
decoder looks for tags only where the text has the key.
"""

from __future__ import annotations

import json
from json import encoder as json_encoder

from rldlib.wire.frames import MAX_FRAME_BYTES, MAX_HEAD_BYTES, Frame, ProtocolError, header
from rldlib.wire.lowering import PLAIN, Lowering, UnfitError, is_plain
from rldlib.wire.raising import Raising, bound_depth
from rldlib.wire.tags import MAX_DEPTH, TAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from rldlib.wire.segments import Outside

# What the kernel takes in one `sendmsg` is bounded (IOV_MAX is 1024).
_MAX_PARTS = 64
_TAG_TEXT = f'"{TAG}"'
# What a shorter head becomes is of no account: three megabytes at the worst.
_SHORT_HEAD_BYTES = 64 * 1024


class EncodingError(TypeError):
    """A value that does not travel.

    Attributes:
        path: Where it is, within the message's element, for example ``rows[2].price``.
        reason: What it is, and what would travel.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path or 'the value'} {self.reason}"


def encode(
    message: list[Any], outside: Outside | None = None, payload: int | None = None
) -> list[bytes | memoryview]:
    """The parts of the message's frame, for ``sendmsg``: header and head first.

    Args:
        message: A list; its elements may be any values that travel.
        outside: Where large buffers go; None sends them inline.
        payload: Which element may be anything, where the others are certainly plain.

    Raises:
        EncodingError: A value does not travel, or is too large. Nothing is
            left in `outside` then.
    """
    if is_plain(message if payload is None else message[payload]):
        head = _head(message)
        return [header(len(head), len(head)) + head]
    lowering = Lowering(outside)
    try:
        try:
            lowered = [item if type(item) in PLAIN else lowering.value(item, 2) for item in message]
        except UnfitError as unfit:
            raise EncodingError("".join(reversed(unfit.steps)).removeprefix("."), unfit.reason) from None
        return _parts(lowered, lowering.settle())
    except EncodingError:
        lowering.undo()
        raise


def decode(frame: Frame, outside: Outside | None = None) -> list[Any]:
    """The message in a frame.

    Args:
        frame: As `FrameReader` gave it.
        outside: Where large buffers are; None refuses them.

    Raises:
        ProtocolError: The frame is no message. Nothing else comes out.
    """
    if len(frame.head) > _SHORT_HEAD_BYTES and _crowded(frame.head):
        raise ProtocolError("a frame whose head holds too many values")
    try:
        text = str(frame.head, "utf-8", "surrogatepass")
        message, end = _read(text, 0)
    except (ValueError, RecursionError, StopIteration) as exc:
        raise ProtocolError(f"a frame whose head is no JSON: {exc!r:.200}") from exc
    if end != len(text) or type(message) is not list:
        raise ProtocolError("a frame whose head is no JSON list")
    # What is nested so deep has as many brackets twice.
    if len(text) > 2 * MAX_DEPTH and text.count("[") + text.count("{") > MAX_DEPTH:
        bound_depth(message)
    if _TAG_TEXT in text:
        Raising(frame.tail, outside).message(message)
    elif frame.tail:
        raise ProtocolError(f"a frame with {len(frame.tail):,} bytes that nothing refers to")
    return message


def _parts(lowered: list[Any], buffers: list[memoryview]) -> list[bytes | memoryview]:
    head = _head(lowered)
    size = len(head) + sum(map(len, buffers))
    if size > MAX_FRAME_BYTES:
        raise EncodingError(
            "",
            f"takes {size:,} bytes in one frame, and at most {MAX_FRAME_BYTES:,} are allowed; "
            "no shared memory was to be had for its buffers",
        )
    first = header(size, len(head)) + head
    if len(buffers) >= _MAX_PARTS:
        return [first + b"".join(buffers)]
    return [first, *(buffer for buffer in buffers if buffer)]


def _crowded(head: bytes) -> bool:
    from rldlib.wire.marks import is_crowded  # few messages are so long

    return is_crowded(head)


def _head(lowered: list[Any]) -> bytes:
    try:
        head = "".join(_write(lowered, 0)).encode("utf-8", "surrogatepass")
    except ValueError as exc:
        raise EncodingError("", f"cannot be written: {exc}") from exc
    if len(head) > MAX_HEAD_BYTES:
        raise EncodingError(
            "",
            f"takes {len(head):,} bytes as JSON, and at most {MAX_HEAD_BYTES:,} are allowed; "
            "bytes and arrays are not JSON, and may be larger",
        )
    if len(head) > _SHORT_HEAD_BYTES and _crowded(head):
        raise EncodingError(
            "",
            "holds more than a million values and names; an array counts as one, and a stream's items singly",
        )
    return head


def _writer() -> Callable[[list[Any], int], Iterable[str]]:
    json_text = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))
    make = getattr(json_encoder, "c_make_encoder", None)
    if make is None:
        return lambda message, _: (json_text.encode(message),)
    # `JSONEncoder.encode` makes this object anew each time: a third of what a small message costs.
    # The markers (None) would look for cycles; the depth was bounded already.
    text = json_encoder.encode_basestring
    written: Callable[[list[Any], int], Iterable[str]]
    written = make(None, json_text.default, text, None, ":", ",", False, False, True)  # noqa: FBT003
    return written


# Called with a message and 0, it gives the parts of its JSON.
_write = _writer()
# What `raw_decode` calls; it raises StopIteration where there is no value at all.
_read: Callable[[str, int], tuple[Any, int]] = vars(json.JSONDecoder())["scan_once"]
