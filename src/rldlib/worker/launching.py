"""Fork, and exec where that is needed, by hand: what a new worker inherits is exactly what is named here."""

from __future__ import annotations

import fcntl
import os
import signal
from typing import TYPE_CHECKING

from rldlib.worker.containment import call_process, die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from rldlib.worker.identity import Identity

# What the worker finds: its channel, beside the standard three.
CHANNEL_FD = 3
# Sources are lifted above every target first, so that no dup2 overwrites one.
_ABOVE = 16


class LaunchError(Exception):
    """The program could not be executed."""


class Forked(BaseException):
    """Raised in a forked child, to leave all that its parent was about; no error.

    Attributes:
        task: What the child does instead.
    """

    def __init__(self, task: Callable[[], object]) -> None:
        super().__init__(task)
        self.task = task


def perform(task: Callable[[], object]) -> None:
    """Do something, and in each process that it forks what that one is for.

    A child finds nothing of its parent's frames, of what they would do at their
    end, or of the objects they hold.
    """
    left: Callable[[], object] | None = task
    del task
    while left is not None:
        now, left = left, None
        try:
            now()
        except Forked as forked:
            left = forked.task


def launch(order: dict[str, Any], identity: Identity | None, channel: int, output: int) -> int:
    """Start a worker in a session of its own, and return its process id.

    It has ``/dev/null`` as input, `output` as output and error, `channel` as
    descriptor 3, and nothing else. It is killed when this process ends.

    Args:
        order: ``argv``, ``env``, ``cwd``, and the ``name`` of a process that executes nothing.
        identity: What this process is, where it fits the order: then nothing is executed.
        channel: The worker's channel.
        output: Where its output goes.

    Raises:
        LaunchError: It could not be started; no process is left.
        Forked: In the child, where nothing is executed.
    """
    told, tells = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(order, identity, (channel, output, tells), parent)
    os.close(tells)
    try:
        # Empty once the child has closed the other end, which exec does too; else why it could not.
        reason = os.read(told, 4096)
    finally:
        os.close(told)
    if reason:
        os.waitpid(pid, 0)
        raise LaunchError(reason.decode(errors="replace"))
    return pid


def _become(
    order: dict[str, Any], identity: Identity | None, fds: tuple[int, int, int], parent: int
) -> NoReturn:
    """In the child: turn into the worker, or tell why not and end."""
    argv, env = order["argv"], order["env"]
    tells = fds[2]
    try:
        tells = _settle(order["cwd"], fds, parent)
        if identity is None:
            os.execve(argv[0], argv, env)
        call_process(order["name"])
        os.close(tells)
    except BaseException as exc:  # noqa: BLE001 - this process must never return into its parent's code
        os.write(tells, f"{argv[0]}: {exc}".encode()[:4096])
        os._exit(127)
    # Outside, where what the program raises is its own affair.
    raise Forked(lambda: identity.become(argv, env))


def _settle(cwd: str, fds: tuple[int, int, int], parent: int) -> int:
    """Take the place of a worker; where to tell if more fails."""
    os.setsid()
    die_with_parent()
    # The parent may have ended before the line above: then nobody will kill us.
    if os.getppid() != parent:
        os._exit(1)
    _forget_signals()
    channel, output, tells = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for fd in fds)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(channel, CHANNEL_FD)
    close_all_but({0, 1, 2, CHANNEL_FD, tells})
    os.chdir(cwd)
    return tells


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
