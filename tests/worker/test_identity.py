"""A forked worker is what an executed one is: the same service tells, of both, what it finds."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.worker.hosting import Host, environment, install, interpreters
from tests.worker.spawning import Control, eventually

from rldlib.wire import messages
from rldlib.worker.output import read_output

pytestmark = pytest.mark.slow

EXECUTED, FORKED = "executed", "forked"
TELLING = """
import atexit, gc, os, random, signal, sys, threading

from rldlib.plugin import Service, operation

FOREIGN = sorted(name for name in {name.partition(".")[0] for name in sys.modules}
                 if name not in sys.stdlib_module_names and name != __name__)


class Told(Service):
    @operation
    def interpreter(self) -> dict:
        return {
            "executables": [sys.executable, sys._base_executable],
            "prefixes": [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix],
            "path": sys.path,
            "flags": repr(sys.flags),
            "arguments": [sys.argv, sys.orig_argv],
            "options": [repr(sys._xoptions), sys.warnoptions],
            "importers": [repr(type(finder)) for finder in sys.meta_path],
            "encodings": [sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()],
            "recursion": sys.getrecursionlimit(),
            "collection": [gc.isenabled(), gc.get_threshold()],
            "foreign": FOREIGN,
        }

    @operation
    def main(self) -> dict:
        main = sys.modules["__main__"]
        return {"names": sorted(main.__dict__), "file": main.__file__, "spec": repr(main.__spec__),
                "loader": type(main.__loader__).__name__}

    @operation
    def process(self) -> dict:
        return {
            "environment": {name: value for name, value in os.environ.items() if name != "RLDLIB_WORKER"},
            "folder": os.getcwd(),
            "leads_its_session": os.getsid(0) == os.getpid(),
            "handlers": [repr(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
            "blocked": repr(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
            "umask": os.umask(0o22),
            "descriptors": [self._kind(fd) for fd in sorted(map(int, os.listdir("/proc/self/fd")))],
            "main_thread": threading.main_thread().native_id == os.getpid(),
            "handlers_at_exit": atexit._ncallbacks(),
        }

    @staticmethod
    def _kind(fd):
        try:
            return [fd, os.readlink(f"/proc/self/fd/{fd}").partition(":")[0]]
        except OSError:
            return [fd, "the folder itself"]

    @operation
    def streams(self) -> list:
        return [
            [repr(stream), stream.encoding, stream.errors, stream.line_buffering, stream.seekable(),
             repr(stream.newlines), stream is original, os.fstat(stream.fileno()).st_mode]
            for stream, original in (
                (sys.stdin, sys.__stdin__), (sys.stdout, sys.__stdout__), (sys.stderr, sys.__stderr__))
        ]

    @operation
    def chance(self) -> list:
        import tempfile, uuid
        return [random.random(), str(uuid.uuid4()), os.urandom(8).hex(), next(tempfile._get_candidate_names())]

    @operation
    def child(self) -> list:
        import multiprocessing
        ours, theirs = multiprocessing.Pipe()
        code = "import sys; pipe.send([sys.prefix, sys.flags.no_site])"
        process = multiprocessing.get_context("spawn").Process(target=exec, args=(code, {"pipe": theirs}))
        process.start()
        theirs.close()
        told = ours.recv()
        process.join()
        return [*told, process.exitcode]

    @operation
    def leave(self, how: str):
        exec(how, {"os": os, "sys": sys, "signal": signal, "threading": threading})

    @operation
    def prepare_to_end(self):
        atexit.register(print, "at exit")
        print("not yet flushed", end="")
        self.later = threading.Event()
        threading.Thread(target=lambda: (self.later.wait(), print("a thread's last words"))).start()
        sys.modules["kept"] = Last()

    def stop(self):
        if hasattr(self, "later"):
            self.later.set()


class Last:
    def __del__(self):
        os.write(1, b"collected at the end")


service = Told
"""


class Place:
    """An environment with the service, an empty one, and the spawners of both ways."""

    def __init__(self, folder, python):
        self.folder, self.python = folder, python
        environment(folder / "empty", python)
        install(environment(folder / "env", python), TELLING)

    @contextmanager
    def spawner(self, way):
        forked = way == FORKED
        python = self.folder / "empty" / "bin" / "python" if forked else self.python
        with Control(python, () if forked else ("-S",)) as control:
            yield control

    @contextmanager
    def worker(self, control, **order):
        log = self.folder / "log"
        channel = control.spawn_worker(self.folder / "env" / "bin" / "python", log, **order)
        host = Host(channel)
        try:
            host.pid = control.hear_spawned(order.get("number", 1))
            host.start()
            yield host
        finally:
            host.close()

    def in_both_ways(self, ask, **order):
        """What `ask` gives of a worker of either kind."""
        told = {}
        for way in (EXECUTED, FORKED):
            with self.spawner(way) as control, self.worker(control, **order) as host:
                assert _is_forked(host.pid, control) is (way == FORKED)
                told[way] = ask(host)
        return told[EXECUTED], told[FORKED]

    def end_in_both_ways(self, ask):
        """How a worker ends when it is asked like this, and its output."""
        told = {}
        for way in (EXECUTED, FORKED):
            (self.folder / "log").unlink(missing_ok=True)
            with self.spawner(way) as control, self.worker(control) as host:
                ask(host)
                told[way] = control.hear_ended(), read_output(str(self.folder / "log"))
        return told[EXECUTED], told[FORKED]


def _is_forked(pid, control):
    """Whether the process still executes what the spawner does."""
    mine, theirs = (Path(f"/proc/{each}/cmdline").read_bytes() for each in (pid, control.process.pid))
    return mine == theirs


@pytest.fixture(
    scope="module",
    params=interpreters(),
    ids=lambda path: path.rpartition("/bin/")[0].rpartition("/")[2],
)
def place(request, tmp_path_factory):
    return Place(tmp_path_factory.mktemp("place"), request.param)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Of the interpreter that runs the tests."""
    return Place(tmp_path_factory.mktemp("own"), os.path.realpath(sys.executable))


def test_a_forked_worker_finds_what_an_executed_one_finds(place):
    def ask(host):
        return {asked: host.ask(asked) for asked in ("interpreter", "main", "process", "streams", "child")}

    executed, forked = place.in_both_ways(ask, cwd=str(place.folder))

    assert forked == executed
    assert forked["child"] == [str(place.folder / "env"), 0, 0]


def test_nothing_of_others_is_imported_before_the_service(own):
    with own.spawner(FORKED) as control, own.worker(control) as host:
        assert host.ask("interpreter")["foreign"] == ["__main__", "rldlib"]


def test_environment_variables_are_those_of_the_order(own):
    env = {"HOME": "/nowhere", "NAMED": "\udcff and more"}
    executed, forked = own.in_both_ways(lambda host: host.ask("process")["environment"]["HOME"], env=env)

    assert executed == forked == "/nowhere"


def test_two_forked_workers_do_not_share_their_chances(own):
    with (
        own.spawner(FORKED) as control,
        own.worker(control) as one,
        own.worker(control, number=2) as two,
    ):
        pairs = list(zip(one.ask("chance"), two.ask("chance"), strict=True))

    assert all(mine != theirs for mine, theirs in pairs), pairs


def test_a_forked_worker_is_listed_by_its_name(own):
    with own.spawner(FORKED) as control, own.worker(control, name="rld:sales-tax") as host:
        assert Path(f"/proc/{host.pid}/comm").read_text() == "rld:sales-tax\n"


# --- the end -----------------------------------------------------------------------


def test_an_interpreter_that_ends_does_all_it_does_at_its_end(place):
    """Threads are waited for, handlers called, streams flushed, and modules torn dplace."""

    def end(host):
        host.ask("prepare_to_end")
        host.send(messages.STOP, 10)

    executed, forked = place.end_in_both_ways(end)

    assert forked == executed
    code, output = forked
    assert code == 0
    assert {b"a thread's last words", b"at exit", b"not yet flushed"} <= set(
        output.replace(b"flushed", b"flushed\n").splitlines()
    )
    assert b"collected at the end" in output


@pytest.mark.parametrize(
    ("how", "code"),
    [
        pytest.param("os._exit(5)", 5, id="leaves at once"),
        pytest.param("os.kill(os.getpid(), signal.SIGKILL)", -9, id="killed"),
        pytest.param("os.kill(os.getpid(), signal.SIGTERM)", -15, id="terminated"),
        pytest.param("os.abort()", -6, id="aborts"),
    ],
)
def test_every_end_of_a_service_has_the_same_status(own, how, code):
    executed, forked = own.end_in_both_ways(lambda host: host.call(1, "leave", None, how=how))

    assert (executed[0], forked[0]) == (code, code)


def test_an_interrupt_ends_both_alike(own):
    """It reaches the main thread, which reads; nobody there expects it."""
    executed, forked = own.end_in_both_ways(lambda host: os.kill(host.pid, signal.SIGINT))

    assert forked[0] == executed[0]
    assert b"KeyboardInterrupt" in forked[1]


# --- where a fork would not be the same --------------------------------------------


def _executed(own, control, python, **order):
    with control.spawn_worker(python, own.folder / "log", **order) as channel:
        pid = control.hear_spawned()
        # The name is that of the file that it executes, from a moment after it was told.
        told = eventually(lambda: not _is_forked(pid, control))
        channel.close()
        control.hear_ended()
    return told


@pytest.mark.parametrize("variable", ["LANG", "LC_ALL", "TZ"])
def test_another_locale_or_time_zone_is_executed(own, variable):
    """They are read when the interpreter starts."""
    with own.spawner(FORKED) as control:
        assert _executed(own, control, own.folder / "env" / "bin" / "python", env={variable: "C.UTF-8"})


def test_another_file_is_executed(own, tmp_path):
    """A copy is another file, whatever is in it."""
    environment(tmp_path / "copied", own.python)
    python = tmp_path / "copied" / "bin" / "python"
    base = python.resolve()
    python.unlink()
    python.write_text(f'#!/bin/sh\nexec {base} "$@"\n')
    python.chmod(0o755)
    with own.spawner(FORKED) as control:
        assert _executed(own, control, python)


def test_a_virtualenv_that_says_another_home_is_executed(own, tmp_path):
    """Where it comes from is what its prefixes and its standard library are found by."""
    environment(tmp_path / "other", own.python)
    settings = tmp_path / "other" / "pyvenv.cfg"
    settings.write_text(settings.read_text().replace("home = ", "home = /."))
    with own.spawner(FORKED) as control:
        assert _executed(own, control, tmp_path / "other" / "bin" / "python")
