from __future__ import annotations

import pytest

from rldlib.errors import CapacityError
from rldlib.values.room import Alternative, Shortfall, told


@pytest.mark.parametrize(
    ("resource", "amount", "text"),
    [
        ("memory_peak_bytes", 512, "512 bytes"),
        ("memory_peak_bytes", 1536, "1.5 KiB (1,536 bytes)"),
        ("disk_bytes", 3 * 2**40, "3.0 TiB (3,298,534,883,328 bytes)"),
        ("disk_bytes", 5 * 2**50, "5120.0 TiB (5,629,499,534,213,120 bytes)"),
        ("cpu_idle_rcu", 1500, "1,500 RCU"),
        ("threads", 12, "12"),
    ],
)
def test_an_amount_is_told_with_its_unit(resource, amount, text):
    assert told(resource, amount) == text


def test_a_refusal_tells_every_number_and_the_nearest_alternative():
    lacking = (Shortfall("memory_peak_bytes", 2048, 1024), Shortfall("hardware", "avx512f", ""))

    error = CapacityError("tax", "2.0", lacking, Alternative("version", "1.0", "rld call 'tax==1.0'"))

    assert str(error) == (
        "no room for tax 2.0: memory_peak_bytes needs 2.0 KiB (2,048 bytes), this host has 1.0 KiB (1,024 bytes): "
        "1.0 KiB (1,024 bytes) short; hardware needs avx512f, this host has none. "
        "version 1.0 would fit: rld call 'tax==1.0'."
    )
    assert error.facts()["shortfalls"][0] == {
        "resource": "memory_peak_bytes",
        "needed": 2048,
        "available": 1024,
    }
