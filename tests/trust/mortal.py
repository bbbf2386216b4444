"""Kills an authority before each call it makes of the file system: ``python -m tests.trust.mortal``.

One order a line, ``{"folder", "deed"}``: the deed is done on a copy of the folder for each
number of calls, ``FOLDER.1``, ``FOLDER.2`` ..., until one outlives it. The reply is how many died.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.harness import Watched
from tests.trust.responders import LOCK, PROFILE

from rldlib.adapters.trust.authority import Authority

DEEDS = {
    "found": lambda authority: authority.join("https://here:1"),
    "publish": lambda authority: authority.publish_many({PROFILE: b"second", LOCK: b"second"}),
    "rotate": lambda authority: authority.rotate(),
}


class Mortal(Watched):
    """Ends this process, as a power switch would, before its nth call."""

    def __init__(self, nth):
        self._left = nth

    def meet(self, call, path):
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _kill_at(folder, deed, nth):
    pid = os.fork()
    if pid == 0:
        try:
            DEEDS[deed](Authority(folder / "own", lambda: datetime.now(UTC), files=Mortal(nth)))
            os._exit(0)
        finally:
            os._exit(3)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status not in {0, -signal.SIGKILL}:
        raise RuntimeError(f"the deed ended with {status}")
    return status != 0


def _do(folder, deed):
    nth = 1
    while True:
        copy = folder.with_name(f"{folder.name}.{nth}")
        shutil.copytree(folder, copy)
        if not _kill_at(copy, deed, nth):
            return nth - 1
        nth += 1


if __name__ == "__main__":
    for line in sys.stdin:
        order = json.loads(line)
        print(_do(Path(order["folder"]), order["deed"]), flush=True)
