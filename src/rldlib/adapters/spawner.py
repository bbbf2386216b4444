"""Starts workers through one spawner, and owns them."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import itertools
import logging
import os
import socket
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rldlib.adapters.io_loop import IoLoop
from rldlib.adapters.spawner_process import MARK, SpawnerProcess, home
from rldlib.adapters.worker import Worker
from rldlib.errors import WorkerStartError
from rldlib.reporter import Reporter
from rldlib.wire import messages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rldlib.ports import HeldPromise
    from rldlib.values.start import StartOrder

_LOG = logging.getLogger(__name__)
# Where the spawner puts a worker's socket.
_CHANNEL_FD = "3"
# All that a worker gets of its host's environment.
_KEPT = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")
_KEPT_PREFIX = "LC_"
_FORKED = "it belongs to the process that this one was forked from"
_hosts: weakref.WeakSet[WorkerHost] = weakref.WeakSet()


class WorkerHost:
    """See `rldlib.ports.Workers`. Safe for many threads.

    The spawner and the I/O thread start with the first worker.

    Args:
        reporter: Told of the progress of calls.
        host_dir: Where this host keeps an empty environment of this process's interpreter. Workers of that
            interpreter are forked, where it is there; without this all are executed.
        main: The program of a worker; tests give their own.
    """

    def __init__(
        self,
        reporter: Reporter | None = None,
        *,
        host_dir: Path | None = None,
        main: Path | None = None,
    ) -> None:
        self._reporter = reporter or Reporter()
        self._host_dir = host_dir
        self._main = main or Path(__file__).parents[1] / "worker" / "main.py"
        self._lock = threading.Lock()
        self._loop: IoLoop | None = None
        self._spawner: SpawnerProcess | None = None
        self._workers: dict[int, Worker] = {}
        self._numbers = itertools.count(1)
        self._closed = False
        _hosts.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, order: StartOrder, held: HeldPromise) -> Worker:
        """See `Workers.start`."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                worker = self._spawn(order, held, ours, theirs)
            except OSError as exc:
                ours.close()
                raise WorkerStartError(order.service, f"no process could be had for it: {exc}") from exc
        try:
            worker.greet(_told(order))
            held.note(worker_pid=worker.pid)
        except BaseException:
            worker.kill("killed, since it did not get ready")
            worker.wait_gone()
            raise
        return worker

    def warm_up(self) -> None:
        """See `Workers.warm_up`: the spawner is started."""
        with self._lock, contextlib.suppress(OSError):
            self._living()

    def close(self) -> None:
        """See `Workers.close`."""
        with self._lock:
            self._closed = True
            spawner, self._spawner = self._spawner, None
            loop, self._loop = self._loop, None
        if spawner is not None:
            spawner.close()
        for worker in tuple(self._workers.values()):
            worker.ended("killed, since the daemon that owned it was closed")
        self._workers.clear()
        if loop is not None:
            loop.close()

    # --- one worker --------------------------------------------------------------

    def _spawn(
        self, order: StartOrder, held: HeldPromise, ours: socket.socket, theirs: socket.socket
    ) -> Worker:
        with self._lock:
            spawner, loop = self._living()
            number = next(self._numbers)
            worker = self._workers[number] = Worker(
                order,
                ours,
                loop,
                self._reporter,
                kill=lambda: self._kill(spawner, number),
                give_up=spawner.kill,
            )
        message = {
            "do": "spawn",
            "id": number,
            "name": f"rld:{order.service}",
            "argv": [str(order.python), "-I", str(self._main), _CHANNEL_FD],
            "env": _environment(order) | {MARK: f"{spawner.token}/{number}"},
            "cwd": str(order.scratch or "/"),
            "log": str(order.log),
            "log_bytes": order.profile.host.log_bytes,
        }
        try:
            spawner.say(message, (theirs.fileno(), held.fileno()))
        except OSError as exc:
            self._gone(number, f"not started: its spawner did not listen ({exc})")
        return worker

    def _living(self) -> tuple[SpawnerProcess, IoLoop]:
        if self._closed:
            raise OSError("this daemon is closed")
        if self._loop is None:
            self._loop = IoLoop("rldlib-io")
        place = home(self._host_dir) if self._host_dir is not None else None
        if self._spawner is not None and self._spawner.home != place and not self._workers:
            # It was started before there was anything to fork workers from: once in a host's life.
            self._spawner.close()
            self._spawner = None
        if self._spawner is None:
            self._spawner = SpawnerProcess(
                self._loop,
                self._heard,
                self._lost,
                home=place,
                environment=_inherited(),
                pluggy=_pluggy(),
            )
        return self._spawner, self._loop

    @staticmethod
    def _kill(spawner: SpawnerProcess, number: int) -> None:
        try:
            spawner.say({"do": "kill", "id": number})
        except BlockingIOError:
            # It takes nothing any more. Without it, its workers end.
            spawner.kill()
        except OSError:
            return  # it is gone, and so is the worker

    # --- what the spawner tells, in the loop's thread ------------------------------

    def _heard(self, message: dict[str, Any]) -> None:
        match message:
            case {"is": "spawned", "id": number, "pid": pid}:
                worker = self._workers.get(number)
                if worker is not None:
                    worker.spawned(pid)
            case {"is": "failed", "id": number, "reason": reason}:
                self._gone(number, f"not executed: {reason}")
            case {"is": "ended", "id": number, "code": code}:
                worker = self._workers.pop(number, None)
                if worker is not None:
                    worker.exited(code)
            case {"is": "broken", "reason": reason}:
                _LOG.error("the spawner failed with %s; please report this", reason)
            case _:
                _LOG.warning("a message of the spawner of an unknown kind: %r", message)

    def _gone(self, number: int, how: str) -> None:
        worker = self._workers.pop(number, None)
        if worker is not None:
            worker.ended(how)

    def _lost(self, how: str) -> None:
        with self._lock:
            self._spawner = None
            lost, self._workers = self._workers, {}
        for worker in lost.values():
            worker.ended(how)

    # --- a fork of the host --------------------------------------------------------

    def _abandon(self) -> None:
        """In a forked child: close what is the parent's, its threads and its lock are not here."""
        self._lock = threading.Lock()
        self._closed = True
        for worker in tuple(self._workers.values()):
            worker.abandon(_FORKED)
        if self._spawner is not None:
            self._spawner.abandon()
        if self._loop is not None:
            self._loop.abandon()


def _abandon_all() -> None:
    for host in tuple(_hosts):
        host._abandon()  # noqa: SLF001 - this module's own


os.register_at_fork(after_in_child=_abandon_all)


def _told(order: StartOrder) -> Mapping[str, Any]:
    return {
        "service": order.service,
        "version": order.version,
        "distribution": order.distribution,
        "resources": [dict(resource) for resource in order.resources],
        "threads": order.profile.demand.threads,
        "heartbeat_s": order.profile.host.heartbeat_s,
        "protocol": messages.PROTOCOL,
        "pluggy": _pluggy(),
    }


@functools.cache
def _pluggy() -> str:
    """The folder of this host's pluggy."""
    spec = importlib.util.find_spec("pluggy")
    assert spec is not None
    assert spec.origin is not None
    return os.path.dirname(spec.origin)  # noqa: PTH120 - it goes into a message


def _inherited() -> dict[str, str]:
    """What workers get of this process's environment."""
    return {
        name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIX)
    }


def _environment(order: StartOrder) -> dict[str, str]:
    scratch = {} if order.scratch is None else {"TMPDIR": str(order.scratch)}
    return _inherited() | scratch
