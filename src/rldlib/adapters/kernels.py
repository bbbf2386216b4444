"""The RCU suite, version 1: what one hardware thread does under one interpreter.

A self-contained script, run by the interpreter that is scored:
``EXE -I -S kernels.py`` prints one JSON document. Standard library only, and
nothing newer than Python 3.10. A change to a kernel, to its input or to a
reference time makes figures incomparable: it is a new suite, never a repair.
"""

from __future__ import annotations

import gc
import hashlib
import json
import math
import re
import sys
import time
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SUITE = 1
DURATION_S = 0.7
# A round takes 10 to 40 ms, so slow hosts get fewer than they would need.
MIN_ROUNDS = 8

# Microseconds per kernel on the hardware thread that scores 1000 RCU: the
# shortest quiet times of CPython 3.11.7 on a server core of 2022 (Zen 4 at
# 2.6 GHz, in a virtual machine), rounded to 1 %. Frozen: never measured again.
REFERENCE_US = {
    "bytecode": 1000.0,
    "containers": 980.0,
    "json": 940.0,
    "regex": 930.0,
    "native": 980.0,
    "float": 990.0,
}

_DOCUMENT = {
    "service": "price-list",
    "rows": [
        {
            "id": number,
            "name": f"item {number}",
            "price": number * 1.25,
            "tags": ["a", "b\u00e9"],
            "on": None,
        }
        for number in range(440)
    ],
}
_TEXT = " ".join(
    f"2026-{n % 12 + 1:02}-{n % 28 + 1:02} user{n}@example.org paid {n * 7 % 900}.{n % 100:02} EUR "
    f"for order #{n * 37 % 99999:05};"
    for n in range(160)
)
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(\d{4})-(\d\d)-(\d\d)",
        r"\b[\w.]+@[\w.]+\b",
        r"(?:\d+\.\d\d) [A-Z]{3}",
        r"#0*([1-9]\d*)(?=;)",
    )
)
_BYTES = bytes((n * n * 31 + n // 7) % 251 for n in range(104 * 1024))


def _step(state: int, word: int) -> int:
    if word & 1:
        return (state * 31 + word) % 1000003
    return state ^ word


def bytecode() -> int:
    """Calls, branches and small integers."""
    state = 7
    for word in range(12000):
        state = _step(state, word)
        while state > 900000:
            state //= 3
    return state


def containers() -> int:
    """Dicts, lists, sets, tuples, sorting."""
    groups: dict[int, list[tuple[int, int]]] = {}
    for number in range(4000):
        groups.setdefault(number * 7919 % 307, []).append((number % 97, number))
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    seen = {pair for _, pairs in ordered for pair in pairs if pair[0] > 13}
    names = [f"k{key}" for key, _ in ordered]
    return len(seen) + len({name: len(name) for name in names}) + len("".join(names).split("k"))


def json_documents() -> int:
    """A document of nested plain values, written and read."""
    return len(json.loads(json.dumps(_DOCUMENT, sort_keys=True))["rows"])


def regex() -> int:
    """Regular expressions over a log."""
    return sum(len(pattern.findall(_TEXT)) for pattern in _PATTERNS) + len(_PATTERNS[1].sub("x", _TEXT))


def native() -> int:
    """Compiled library code: SHA-256 and zlib."""
    packed = zlib.compress(_BYTES, 6)
    return hashlib.sha256(zlib.decompress(packed) * 4).digest()[0]


def floats() -> float:
    """Floating point in plain Python: an orbit, integrated."""
    x, y, vx, vy, energy = 1.0, 0.0, 0.0, 1.0, 0.0
    for _ in range(4000):
        cube = math.sqrt(x * x + y * y) ** 3
        vx -= 0.01 * x / cube
        vy -= 0.01 * y / cube
        x += 0.01 * vx
        y += 0.01 * vy
        energy += math.sin(vx) * math.cos(vy)
    return energy


KERNELS: tuple[tuple[str, Callable[[], float]], ...] = (
    ("bytecode", bytecode),
    ("containers", containers),
    ("json", json_documents),
    ("regex", regex),
    ("native", native),
    ("float", floats),
)


def score_rcu(minima_us: dict[str, float]) -> float:
    """The geometric mean of what each kernel scores against its reference time."""
    logs = [math.log(REFERENCE_US[name] / minima_us[name]) for name in REFERENCE_US]
    return 1000.0 * math.exp(sum(logs) / len(logs))


def rounds(duration_s: float = DURATION_S) -> dict[str, list[float]]:
    """Time the kernels round-robin: interleaved, a disturbance hits all of them alike.

    Returns:
        Microseconds per round, by kernel.
    """
    clock = time.perf_counter
    times: dict[str, list[float]] = {name: [] for name, _ in KERNELS}
    for _, kernel in KERNELS:
        kernel()  # The first time specialises bytecode and faults pages in.
    end = clock() + duration_s
    done = 0
    while done < MIN_ROUNDS or clock() < end:
        for name, kernel in KERNELS:
            began = clock()
            kernel()
            times[name].append((clock() - began) * 1e6)
        done += 1
    return times


def result(times: dict[str, list[float]]) -> dict[str, object]:
    """The score with its spread: how far the odd and the even rounds disagree."""
    minima = {name: min(series) for name, series in times.items()}
    odd = score_rcu({name: min(series[1::2]) for name, series in times.items()})
    even = score_rcu({name: min(series[::2]) for name, series in times.items()})
    score = score_rcu(minima)
    return {
        "suite": SUITE,
        "rcu": score,
        "spread": abs(odd - even) / score,
        "rounds": min(len(series) for series in times.values()),
        "kernels_us": {name: round(value, 1) for name, value in minima.items()},
        "python": ".".join(map(str, sys.version_info[:3])),
    }


def main() -> None:
    """Print the result as one JSON document."""
    gc.disable()
    json.dump(result(rounds()), sys.stdout)


if __name__ == "__main__":
    main()
