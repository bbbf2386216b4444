"""Looks at a domain as a process of its own: ``python -m tests.trust.looking FOLDER URL JOIN HOW``.

With a number for HOW, so many processes look at once, each in a fork of its own, and the statuses are
printed. With ``kill``, one look on a copy of the folder for each call of the file system, killed
before it: ``FOLDER.1``, ``FOLDER.2`` ...; how many died is printed.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import traceback
from pathlib import Path

from tests.faults.harness import CALLS
from tests.trust.responders import LOCK, PROFILE

from rldlib.adapters.files import FileSystem
from rldlib.adapters.http import Http
from rldlib.adapters.trust.trusted import Trusted
from rldlib.values.join import parse_join
from rldlib.values.trust import Pathway


def look(folder, url, join):
    """One whole look: what is true now of two targets."""
    with Http() as http:
        trusted = Trusted(folder, Pathway.of(join, url), http)
        trusted.refresh()
        if trusted.target(PROFILE) is None or trusted.target(LOCK) is None:
            raise RuntimeError("a target is missing")


def _fork(work):
    pid = os.fork()
    if pid == 0:
        status = 3
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - told, and the status says it
            traceback.print_exc()
        finally:
            os._exit(status)
    return pid


def _status(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _together(count, arguments):
    """So many looks, all of which begin when the last is there."""
    waits, starts = os.pipe()

    def work():
        os.close(starts)
        os.read(waits, 1)
        look(*arguments)

    pids = [_fork(work) for _ in range(count)]
    os.close(starts)
    return [_status(pid) for pid in pids]


def _mortal(nth):
    """From now on, the nth call of the file system is this process's last."""
    left = [nth]

    def watched(method):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(*args, **kwargs)

        return call

    for name in CALLS:
        setattr(FileSystem, name, watched(getattr(FileSystem, name)))


def _dying(folder, url, join, nth):
    _mortal(nth)
    look(folder, url, join)


def _kill(folder, url, join):
    nth = 1
    while True:
        copy = folder.with_name(f"{folder.name}.{nth}")
        if folder.exists():
            shutil.copytree(folder, copy, symlinks=True)
        status = _status(_fork(lambda copy=copy, nth=nth: _dying(copy, url, join, nth)))
        if status == 0:
            return nth - 1
        if status != -signal.SIGKILL:
            raise RuntimeError(f"a look ended with {status}")
        nth += 1


if __name__ == "__main__":
    at, address, text, how = sys.argv[1:]
    arguments = (Path(at), address, parse_join(text))
    if how == "kill":
        print(_kill(*arguments))
    else:
        print(*_together(int(how), arguments))
