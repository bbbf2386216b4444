from __future__ import annotations

import hashlib

import pytest

from rldlib.values.lock import Lock, LockedWheel
from rldlib.values.lock_text import brief, read_brief

STANDARD = b"lock-version = '1.0'\n"
LOCK = Lock(
    service="sales-tax",
    version="1.2.0",
    distribution="rld-sales-tax",
    source="https://index.example/simple/",
    interpreter="cpython-3.11.7-linux-x86_64",
    wheels=(
        LockedWheel(
            name="rld-sales-tax",
            version="1.2.0",
            filename="rld_sales_tax-1.2.0-py3-none-any.whl",
            locator="https://index.example/rld_sales_tax-1.2.0-py3-none-any.whl",
            sha256="ab" * 32,
            size=1234,
        ),
    ),
)


def test_a_lock_comes_back_whole():
    assert read_brief(brief(LOCK, STANDARD), STANDARD) == LOCK


def test_it_counts_for_the_very_bytes_it_was_made_of():
    assert read_brief(brief(LOCK, STANDARD), STANDARD + b"\n") is None


@pytest.mark.parametrize("at", [0, 63, 64, 100, -1])
def test_a_damaged_byte_makes_it_nothing(at):
    data = bytearray(brief(LOCK, STANDARD))
    data[at] ^= 1

    assert read_brief(bytes(data), STANDARD) is None


@pytest.mark.parametrize("length", [0, 1, 64, 65, -1])
def test_a_part_of_it_is_nothing(length):
    assert read_brief(brief(LOCK, STANDARD)[:length], STANDARD) is None


def test_a_later_format_is_nothing():
    import hashlib

    content = b'[2, "whatever"]'
    data = hashlib.sha256(content).hexdigest().encode() + content

    assert read_brief(data, STANDARD) is None


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"{}", b"[]", b"3", b"[" * 100_000, b'[1, "%s", {"a": 1}, []]']
)
def test_what_has_its_digest_and_is_no_lock_is_nothing(content):
    """Whoever can write to the store must not end a start that the standard file serves."""
    content = content.replace(b"%s", hashlib.sha256(STANDARD).hexdigest().encode())

    assert read_brief(hashlib.sha256(content).hexdigest().encode() + content, STANDARD) is None
