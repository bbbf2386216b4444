"""Fork and exec, by hand: what a new worker inherits is exactly what is named here."""

from __future__ import annotations

import fcntl
import os
import signal
from typing import TYPE_CHECKING

from rldlib.worker.containment import die_with_parent

if TYPE_CHECKING:
    from typing import NoReturn

# What the worker finds: its channel, beside the standard three.
CHANNEL_FD = 3
# Sources are lifted above every target first, so that no dup2 overwrites one.
_ABOVE = 16


class LaunchError(Exception):
    """The program could not be executed."""


def launch(argv: list[str], env: dict[str, str], cwd: str, channel: int, output: int) -> int:
    """Start a program in a session of its own, and return its process id.

    It has ``/dev/null`` as input, `output` as output and error, `channel` as
    descriptor 3, and nothing else. It is killed when this process ends.

    Raises:
        LaunchError: It could not be executed; no process is left.
    """
    told, tells = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(argv, env, cwd, (channel, output, tells), parent)
    os.close(tells)
    try:
        # Empty once exec has closed the other end; else why it did not.
        reason = os.read(told, 4096)
    finally:
        os.close(told)
    if reason:
        os.waitpid(pid, 0)
        raise LaunchError(reason.decode(errors="replace"))
    return pid


def _become(
    argv: list[str], env: dict[str, str], cwd: str, fds: tuple[int, int, int], parent: int
) -> NoReturn:
    """In the child: turn into the program, or tell why not and end."""
    channel, output, tells = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for fd in fds)
    try:
        os.setsid()
        die_with_parent()
        # The parent may have ended before the line above: then nobody will kill us.
        if os.getppid() != parent:
            os._exit(1)
        _forget_signals()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(channel, CHANNEL_FD)
        os.dup2(tells, CHANNEL_FD + 1, inheritable=False)
        tells = CHANNEL_FD + 1
        close_all_but({0, 1, 2, CHANNEL_FD, tells})
        os.chdir(cwd)
        os.execve(argv[0], argv, env)
    except BaseException as exc:  # noqa: BLE001 - this process must never return into its parent's code
        os.write(tells, f"{argv[0]}: {exc}".encode()[:4096])
    finally:
        os._exit(127)


def close_all_but(kept: set[int]) -> None:
    """Close every descriptor of this process that is not named."""
    # A range up to the limit would be a billion calls where the limit is none.
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                continue  # the one the listing itself was read through


def _forget_signals() -> None:
    """Every signal back to its default, none blocked: handlers end with exec, what is ignored does not."""
    signal.set_wakeup_fd(-1)
    for number in (
        signal.SIGCHLD,
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGPIPE,
        signal.SIGXFSZ,
    ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
