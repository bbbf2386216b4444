"""Ends every process that descends from this one, whatever it does about it.

A process that is a child subreaper adopts what its descendants leave behind, so
its tree in ``/proc`` is complete: a session of its own, a closed descriptor, an
ignored signal or a dead parent take nobody out of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
# How often the tree is read again while it is being frozen; a fork needs its
# parent running, so a second or third reading finds nothing new.
_FREEZE_ROUNDS = 20
# How long to wait for the next child to end before the tree is read again.
_RECHECK_S = 0.01

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    """Set one attribute of this process."""
    zero = ctypes.c_ulong(0)
    if _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Be killed when the thread that forked this process ends; kept across exec."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def call_process(name: str) -> None:
    """Have this process listed by a name; the kernel keeps 15 bytes of it."""
    with open("/proc/self/comm", "wb") as listed:
        listed.write(name.encode(errors="replace"))


class Wakeup:
    """Turns signals into bytes on a pipe, so that one `poll` waits for everything."""

    def __init__(self, *numbers: int) -> None:
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, _noted)

    def fileno(self) -> int:
        """The end to wait on."""
        return self._read

    def descriptors(self) -> tuple[int, int]:
        """Both ends, for whoever closes all others."""
        return self._read, self._write

    def take(self) -> bytes:
        """The numbers of the signals that came since the last time, a byte each."""
        try:
            return os.read(self._read, 4096)
        except BlockingIOError:
            return b""


def _noted(_number: int, _frame: object) -> None:
    """Python writes the number to the pipe before it calls this."""


def reap() -> list[tuple[int, int]] | None:
    """Collect the children that ended, with their wait status; None where no child is left at all."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended or None
        if pid == 0:
            return ended
        ended.append((pid, status))


def end_descendants(spare: frozenset[int] = frozenset()) -> list[tuple[int, int]]:
    """Kill and reap every descendant of this process, but for `spare` and what descends from those.

    Returns:
        The process ids and wait statuses of the children that ended meanwhile,
        spared ones included.
    """
    ended: list[tuple[int, int]] = []
    while True:
        reaped = reap()
        if reaped is None:
            return ended
        ended += reaped
        if not _kill_tree(spare):
            return ended
        _wait_for_a_child(_RECHECK_S)


def _kill_tree(spare: frozenset[int]) -> int:
    """Stop what is there until nothing new appears, then kill it; returns how many there were.

    Killing at once would lose a race against a process that keeps forking:
    what is stopped forks no more.
    """
    frozen: set[int] = set()
    for _ in range(_FREEZE_ROUNDS):
        fresh = [pid for pid in descendants(os.getpid(), spare) if pid not in frozen]
        if not fresh:
            break
        for pid in fresh:
            _send(pid, signal.SIGSTOP)
        frozen.update(fresh)
    for pid in frozen:
        _send(pid, signal.SIGKILL)
    return len(frozen)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended between the reading and now
        os.kill(pid, number)


def _wait_for_a_child(seconds: float) -> None:
    """Return when any child has ended, or after so many seconds."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    try:
        # A child that ended before the mask was set is found by the next reap.
        signal.sigtimedwait([signal.SIGCHLD], seconds)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def descendants(pid: int, spare: frozenset[int] = frozenset()) -> list[int]:
    """Every process that descends from `pid`, parents before children; `spare` prunes."""
    known = children if os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children") else _parents().get
    found: list[int] = []
    waiting = [pid]
    while waiting:
        young = [child for child in known(waiting.pop()) or () if child not in spare]
        found += young
        waiting += young
    return found


def children(pid: int) -> list[int]:
    """The children of a process, zombies included; none where it ended."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        # A thread that ends meanwhile gives its children to another.
        with (
            contextlib.suppress(OSError),
            open(f"/proc/{pid}/task/{thread}/children", "rb") as listing,
        ):
            found += map(int, listing.read().split())
    return found


def _parents() -> dict[int, list[int]]:
    """Parent to children, of all processes: for kernels without ``children`` files."""
    table: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                # The name in brackets may hold blanks and brackets itself.
                parent = int(stat.read().rpartition(b")")[2].split()[1])
        except OSError:
            continue
        table.setdefault(parent, []).append(int(name))
    return table
