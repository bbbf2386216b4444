"""Measures all rows in one run: ``nox -s bench``, or ``python benchmarks --only 'small-*'``."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import calls
import footprint
import network
import services
import starts
from measuring import machine, pin
from page import page, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from measuring import Row

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
PAGE = services.ROOT / "docs" / "reference" / "benchmarks.md"
_ROUNDS, _CALLS = 7, 2_000
_QUICK_ROUNDS, _QUICK_CALLS = 3, 500
_PEERS = ("uv", "isolate", "virtualenv", "pip", "uvicorn", "requests", "numpy")


def main() -> None:
    """Measure what is wanted, print it, and, where that is all of it, write it down."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", metavar="ROW", help="rows by name, with * and ?; several times"
    )
    parser.add_argument("--quick", action="store_true", help="few rounds, to see whether it runs")
    parser.add_argument("--rounds", type=int, help=f"how many; {_ROUNDS} unless it is said")
    parser.add_argument("--folder", type=Path, help="where it works; a temporary folder unless it is said")
    parser.add_argument(
        "--page", action="store_true", help="measure nothing: make the page of the last results"
    )
    options = parser.parse_args()
    if options.page:
        PAGE.write_text(page(json.loads(RESULTS.read_text("utf-8"))), encoding="utf-8")
        return
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    call_count = _QUICK_CALLS if options.quick else _CALLS
    pin()
    with _workplace(options.folder) as folder:
        results = _measure(folder, rounds, call_count, options.only)
    print(table(results["rows"]))
    if options.only is None and not options.quick:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(results), encoding="utf-8")
        print(f"written: {RESULTS.relative_to(services.ROOT)}, {PAGE.relative_to(services.ROOT)}")


def _measure(folder: Path, rounds: int, call_count: int, only: list[str] | None) -> dict[str, Any]:
    described = machine(folder)
    downloaded = services.ROOT / ".nox" / "bench-wheels"
    downloaded.parent.mkdir(exist_ok=True)
    services.download(downloaded)
    wheels = folder / "wheels"
    shutil.copytree(downloaded, wheels)
    for kind in services.REQUIRED:
        services.make_service(wheels, kind)
    rows = []
    for row in _rows(folder, wheels, rounds, call_count, only):
        rows.append(row.told())
        print(table(rows[-1:]), file=sys.stderr, flush=True)
    return {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": described,
        "rounds": rounds,
        "peers": {name: importlib.metadata.version(name) for name in _PEERS},
        "rows": rows,
    }


def _rows(folder: Path, wheels: Path, rounds: int, call_count: int, only: list[str] | None) -> Iterator[Row]:
    def wanted(name: str) -> bool:
        return only is None or any(fnmatch(name, pattern) for pattern in only)

    with services.index(wheels) as url:
        for kind in services.REQUIRED:
            yield from starts.measure(folder / "starts", url, kind, rounds, wanted)
        yield from calls.measure(folder, url, rounds, call_count, wanted)
        yield from footprint.measure(folder, url, wheels, rounds, wanted)
    yield from network.measure(folder, wheels, rounds, call_count, wanted)


@contextlib.contextmanager
def _workplace(named: Path | None) -> Iterator[Path]:
    """An empty folder, with facts of the host of its own."""
    folder = Path(tempfile.mkdtemp(prefix="rldlib-bench-", dir=named)).resolve()
    os.environ["RLDLIB_HOST_DIR"] = str(folder / "host")
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
