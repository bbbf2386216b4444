"""Eight processes and sixteen threads in each, on one root, at once; and a collector among them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults.harness import Scene

pytestmark = [pytest.mark.faults, pytest.mark.slow]
_PROCESSES = 8
_HERE = Path(__file__).parents[2]
_CROWD = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tests.faults.harness import Scene
scene = Scene(Path(sys.argv[1]), root=Path(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()

def use(number):
    with scene.daemon() as host:
        if number:
            return host.prepare("echo")["environment"]
        echo = host.acquire("echo")
        assert echo.echo(value=number) == number
        return echo.worker["environment"]

with ThreadPoolExecutor(16) as pool:
    print(*set(pool.map(use, range(16))))
"""
_COLLECTOR = """
import argparse, sys
from pathlib import Path
from rldlib.cli.host import run_gc
print("ready", flush=True)
sys.stdin.readline()
removed = 0
for _ in range(40):
    removed += len(run_gc(argparse.Namespace(root=Path(sys.argv[2]))).document["removed"])
print(removed)
"""


def _process(code, scene, folder):
    process = subprocess.Popen(
        [sys.executable, "-c", code, folder, scene.root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=_HERE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("collected", [False, True], ids=["alone", "with a collector"])
def test_eight_processes_with_sixteen_threads_each_share_one_root(collected, tmp_path):
    scene = Scene(tmp_path)
    crowd = [_process(_CROWD, scene, tmp_path) for _ in range(_PROCESSES)]
    if collected:
        crowd.append(_process(_COLLECTOR, scene, tmp_path))
    for one in crowd:
        one.stdin.write("go\n")
        one.stdin.flush()
    told = [one.communicate(timeout=120) for one in crowd]

    assert [one.returncode for one in crowd] == [0] * len(crowd), [errors for _, errors in told]
    assert len({out for out, _ in told[:_PROCESSES]}) == 1
    assert len(list((scene.root / "environments").iterdir())) <= 1
    scene.expect_all_is_well()
