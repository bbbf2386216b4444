"""Do RCU mean the same on different hosts? Interpreters stand in for hosts, held-out work for services.

``python benchmarks/normalisation.py`` runs every CPython of this host, the suite's kernels and six
pieces of work that are none of them, interleaved, and writes the shortest time of each to
``benchmarks/normalisation.json``. ``tests/rules/test_normalisation.py`` reads it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rldlib.adapters.host_directory import host_directory
from rldlib.adapters.interpreters import Interpreters

HERE = Path(__file__).parent
RESULTS = HERE / "normalisation.json"
KERNELS = HERE.parent / "src" / "rldlib" / "adapters" / "kernels.py"
_ROUNDS = 40

# Run by each interpreter: standard library only, Python 3.10.
_WORK = """
import sys, json, time, gc, csv, io, difflib, heapq, random, string, textwrap
from decimal import Decimal
from fractions import Fraction

namespace = {"__name__": "kernels"}
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), namespace)
random.seed(7)
ROWS = "\\n".join(f"{n},{random.random():.6f},{n * 7 % 13}" for n in range(300))
TEXT = " ".join("".join(random.choices(string.ascii_lowercase, k=5)) for _ in range(400))

def table():
    return sum((Decimal(row[1]) * 100).quantize(Decimal("0.01")) for row in csv.reader(io.StringIO(ROWS)))

def queens(n=6, row=0, columns=0, left=0, right=0):
    if row == n:
        return 1
    free, found = ~(columns | left | right) & ((1 << n) - 1), 0
    while free:
        bit = free & -free
        free ^= bit
        found += queens(n, row + 1, columns | bit, (left | bit) << 1, (right | bit) >> 1)
    return found

def paths():
    best, waiting = {0: 0}, [(0, 0)]
    while waiting:
        cost, node = heapq.heappop(waiting)
        for step in (1, 3, 7):
            there = (node + step) % 500
            if there not in best or cost + step * 3 % 11 + 1 < best[there]:
                best[there] = cost + step * 3 % 11 + 1
                heapq.heappush(waiting, (best[there], there))
    return len(best)

def fractions():
    return sum((Fraction(1, n) for n in range(1, 60)), Fraction(0)).numerator

def wrapping():
    return len(textwrap.wrap(TEXT, 60))

def matching():
    return difflib.SequenceMatcher(None, TEXT[:300], TEXT[150:450]).ratio()

WORK = {f.__name__: f for f in (table, queens, paths, fractions, wrapping, matching)}
gc.disable()
everything = dict(namespace["KERNELS"]) | WORK
shortest = dict.fromkeys(everything, float("inf"))
for _ in range(int(sys.argv[2])):
    for name, run in everything.items():
        began = time.perf_counter()
        run()
        shortest[name] = min(shortest[name], (time.perf_counter() - began) * 1e6)
kernels = {name: shortest[name] for name, _ in namespace["KERNELS"]}
print(json.dumps({"rcu": namespace["score_rcu"](kernels), "work_us": {name: shortest[name] for name in WORK}}))
"""


def main() -> None:
    """Measure every interpreter of this host and write the figures down."""
    hosts = {}
    for interpreter in Interpreters(host_directory()).all():
        told = subprocess.run(
            [interpreter.executable, "-I", "-c", _WORK, str(KERNELS), str(_ROUNDS)],
            capture_output=True,
            check=True,
        ).stdout
        hosts[str(interpreter.version)] = json.loads(told)
        print(interpreter.version, told.decode(), file=sys.stderr)
    RESULTS.write_text(json.dumps(hosts, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
