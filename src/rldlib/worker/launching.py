"""Fork, and exec where that is needed, by hand: what a new worker inherits is exactly what is named here.

A worker's process is there before it is known whose it will be. What does not
hang on the order is done by then.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
from typing import TYPE_CHECKING

from rldlib.worker.containment import call_process, die_with_parent
from rldlib.worker.handing import close_all_but, hand, pair, take

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from rldlib.worker.identity import Identity

# What the worker finds: its channel, beside the standard three.
CHANNEL_FD = 3
# As a process is listed that is nobody's worker yet.
NAME = "rldlib-blank"
# How an order is to be obeyed, in front of it: fork alone, or execute the program.
FORK = b"F"
EXECUTE = b"E"
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


class Blank:
    """A process in the place of a worker that is nobody's yet; it is told once whose it is.

    It is in a session of its own, has ``/dev/null`` as input and a pipe as output
    and error, and nothing else. It is killed when the process that made it ends.

    Attributes:
        pid: Its process id.
        output: The end to read of what it writes; reading does not wait.
    """

    def __init__(self, identity: Identity) -> None:
        """Fork it.

        Args:
            identity: What this process is: what a worker may become that executes nothing.

        Raises:
            Forked: In the child.
        """
        self.output, output = os.pipe2(os.O_CLOEXEC)
        self._line, theirs = pair()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _wait_as_nobody(identity, theirs, output, parent)
        os.close(theirs)
        os.close(output)
        os.set_blocking(self.output, False)

    def become(self, order: bytes, channel: int) -> bool:
        """Have it be the worker of this order; False where it has ended without knowing of one.

        Args:
            order: `FORK` or `EXECUTE`, and the order as JSON: ``argv``, ``env``, ``cwd``, and ``name``.
            channel: The worker's, which it finds as descriptor 3.

        Raises:
            LaunchError: It could not be; no process is left.
        """
        handed = True
        try:
            try:
                hand(self._line, order, channel)
            except BrokenPipeError:
                handed = False
            # Empty once the child has closed the other end, which exec does too; else why it could not.
            reason = os.read(self._line, 4096)
        except ConnectionResetError:  # it was lost with the order unread
            return False
        finally:
            os.close(self._line)
        if reason:
            raise LaunchError(reason.decode(errors="replace"))
        return handed


def _wait_as_nobody(identity: Identity, line: int, output: int, parent: int) -> NoReturn:
    """In the child: take the place of a worker."""
    try:
        line = _settle(line, output, parent)
        call_process(NAME)
        if not _is_told(line):
            identity.prepare()
    except BaseException as exc:  # noqa: BLE001 - this process must never return into its parent's code
        _give_up(line, f"a process for it could not be prepared: {exc!r}")
    raise Forked(lambda: _become(identity, line))


def _become(identity: Identity, line: int) -> NoReturn:
    """Wait for an order, and turn into its worker; or tell why not and end."""
    argv = [NAME]
    try:
        data, fds = take(line)
        if not data:
            os._exit(0)
        order = json.loads(data[1:])
        argv, env = order["argv"], order["env"]
        _take_channel(*fds)
        os.chdir(order["cwd"])
        if data.startswith(EXECUTE):
            os.execve(argv[0], argv, env)
        call_process(order["name"])
        os.close(line)
    except BaseException as exc:  # noqa: BLE001 - as above
        _give_up(line, f"{argv[0]}: {exc}")
    # Outside, where what the program raises is its own affair.
    raise Forked(lambda: identity.become(argv, env))


def _is_told(line: int) -> bool:
    """Whether the order is there already: then nothing is done ahead that does not hang on it."""
    waiting = select.poll()
    waiting.register(line, select.POLLIN)
    return bool(waiting.poll(0))


def _give_up(line: int, reason: str) -> NoReturn:
    try:
        os.write(line, reason.encode(errors="replace")[:4096])
    finally:
        os._exit(127)


def _settle(line: int, output: int, parent: int) -> int:
    """Take the place of a worker; the line, where it is out of the way."""
    os.setsid()
    die_with_parent()
    # The parent may have ended before the line above: then nobody will kill us.
    if os.getppid() != parent:
        os._exit(1)
    _forget_signals()
    line, output = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for fd in (line, output))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    close_all_but({0, 1, 2, line})
    return line


def _take_channel(channel: int) -> None:
    if channel == CHANNEL_FD:
        os.set_inheritable(channel, True)  # noqa: FBT003 - the language's
        return
    os.dup2(channel, CHANNEL_FD)
    os.close(channel)


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
