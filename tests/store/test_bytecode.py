"""Bytecode in the store: made of verified sources, checked like every other file, and never in the way."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import py_compile
import select
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.faulty import FaultyFileSystem
from tests.store.provision import FolderSource, lock_of, own_interpreter
from tests.wheels import make_wheel

from rldlib.adapters.collection import Remains, collect
from rldlib.adapters.compiling import Compiling
from rldlib.adapters.compiling.compiler import Compiler, CompilerEndedError
from rldlib.adapters.environments import Environments
from rldlib.adapters.files import REAL, HostLock
from rldlib.adapters.interpreters import Interpreters
from rldlib.adapters.store import Store
from rldlib.errors import StorageError
from rldlib.reporter import Reporter
from rldlib.rules.compiling import cache_tag
from rldlib.values.bytecode import Bytecode, DamagedBytecodeError, place_of
from rldlib.values.places import BYTECODE_KEPT, BYTECODE_LISTING, Places

TAG = sys.implementation.cache_tag
SITE = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
KIND = own_interpreter().label
FILES = {
    "good/__init__.py": "import dep\n\n\nclass Thing:\n    def fail(self):\n        return (lambda: 1 // 0)()\n",
    "good/seldom.py": "value = 1\n",
    "good/never.py": "value = 2\n",
    "plain.py": "value = 3\n",
}


class Root:
    """One root with the environment of two wheels."""

    def __init__(self, folder: Path, host: Path) -> None:
        good = make_wheel(folder / "wheels", "good", "1.0", FILES, requires=["dep"])
        dep = make_wheel(folder / "wheels", "dep", "2.0", {"dep/__init__.py": "y = 2\n"})
        self.lock = lock_of(good, dep)
        self.root, self.host = folder / "root", host
        self.interpreter = own_interpreter()
        self.places = Places(self.root)
        self.told: list[str] = []
        self.store = self.new_store()

    def new_store(self, files=REAL):
        reporter = Reporter()
        reporter.noted = lambda _, text: self.told.append(text)  # type: ignore[method-assign]
        store = Store(self.root, reporter, files=files)
        for wheel in self.lock.wheels:
            store.add(wheel, FolderSource())
        return store

    @property
    def environments(self):
        return Environments(self.root, self.host)

    def build(self):
        return self.environments.build(self.lock, self.interpreter, self.store)

    def build_again(self):
        shutil.rmtree(self.places.folder("environment"))
        return self.build()

    def compile(self, environment, store=None, wait_s=60.0):
        compiling = Compiling(store or self.store, wait_s=wait_s, after_s=0)
        compiling.later(environment, self.lock, self.interpreter)
        compiling.close()

    def kept(self, name="good"):
        (wheel,) = (wheel for wheel in self.lock.wheels if wheel.name == name)
        found = self.store.bytecode(wheel, self.interpreter.label)
        return {} if found is None else dict(found.files)

    @property
    def visible(self):
        """Everything of bytecode that lies in the root."""
        return [path for path in (self.root / "store" / "bytecode").rglob("*") if path.is_file()]


def run(environment, code, status=0):
    python = environment / "bin" / "python"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def bytecode_in(environment):
    return {
        path.relative_to(environment / SITE).as_posix(): path.read_bytes()
        for path in (environment / SITE).rglob("*.pyc")
    }


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    return tmp_path_factory.mktemp("host")


@pytest.fixture
def root(tmp_path, host):
    return Root(tmp_path, host)


@pytest.fixture
def used(root):
    """An environment in which a worker imported two of five modules."""
    environment = root.build()
    run(environment, "import good")
    return environment


# --- the way there and back ---------------------------------------------------------------


def test_what_was_imported_is_compiled_once_for_all_environments(root, used):
    root.compile(used)
    again = root.build_again()

    assert set(bytecode_in(again)) == {
        f"good/__pycache__/__init__.{TAG}.pyc",
        f"dep/__pycache__/__init__.{TAG}.pyc",
    }
    before = {path: path.stat().st_mtime_ns for path in again.rglob("*.pyc")}
    assert run(again, "import good; print(good.dep.y)") == "2\n"
    assert {path: path.stat().st_mtime_ns for path in again.rglob("*.pyc")} == before


def test_python_takes_it_and_does_not_look_at_the_source_again(root, used):
    root.compile(used)
    again = root.build_again()

    for content in bytecode_in(again).values():
        assert content[:4] == importlib.util.MAGIC_NUMBER
        assert content[4:8] == b"\1\0\0\0"  # PEP 552: hash-based, unchecked
    of_sources = {content[8:16] for content in bytecode_in(again).values()}
    assert importlib.util.source_hash(b"y = 2\n") in of_sources
    told = run(
        again, "import sys; sys.argv = []; import importlib.util as u; print(u.find_spec('dep').cached)"
    )
    assert told.strip() in {str(path) for path in again.rglob("*.pyc")}


def test_tracebacks_name_the_file_in_the_environment_and_show_its_source(root, used):
    root.compile(used)
    again = root.build_again()

    told = run(again, "import good; good.Thing().fail()", status=1)

    place = again / SITE / "good" / "__init__.py"
    assert told.count(f'File "{place}", line 6, in ') == 2  # the method, and the function in it
    assert "return (lambda: 1 // 0)()" in told


def test_more_is_added_when_more_is_imported(root, used):
    root.compile(used)
    environment = root.build_again()
    run(environment, "import good.seldom, plain")
    root.compile(environment)

    assert set(root.kept()) == {"good/__init__.py", "good/seldom.py", "plain.py"}
    assert set(root.kept("dep")) == {"dep/__init__.py"}


def test_where_all_is_kept_no_later_start_looks_again(root, used, monkeypatch):
    root.compile(used)
    assert not (used / BYTECODE_KEPT).exists()
    monkeypatch.setattr(Compiler, "__init__", lambda *_, **__: pytest.fail("a process was started"))
    root.compile(used)
    assert (used / BYTECODE_KEPT).exists()

    monkeypatch.setattr(threading, "Thread", lambda *_, **__: pytest.fail("a thread was started"))
    root.compile(used)


def test_the_same_source_gives_the_same_bytes(root, used, tmp_path):
    root.compile(used)
    first = root.kept()
    collect(root.root, [])
    root.store = root.new_store()
    environment = root.build()
    run(environment, "import good, good.seldom")
    root.compile(environment)

    assert first["good/__init__.py"] == root.kept()["good/__init__.py"]


@pytest.mark.slow
def test_every_interpreter_of_this_host_takes_its_own(tmp_path, host):
    for interpreter in Interpreters(host).all():
        root = Root(tmp_path / interpreter.label, host)
        root.interpreter = interpreter
        run(root.build(), "import good")
        root.compile(next(root.places.folder("environment").iterdir()))
        again = root.build_again()

        assert set(root.kept()) == {"good/__init__.py"}
        before = {path: path.stat().st_mtime_ns for path in again.rglob("*.pyc")}
        assert len(before) == 2
        assert all(f".{cache_tag(interpreter)}.pyc" in path.name for path in before)
        run(again, "import good")
        assert {path: path.stat().st_mtime_ns for path in again.rglob("*.pyc")} == before
        assert not root.environments.verify(again)


# --- what a worker may do ------------------------------------------------------------------


def test_what_a_worker_wrote_is_never_taken(root, used, tmp_path):
    other = tmp_path / "other.py"
    other.write_text("y = 'poison'\n")
    place = used / SITE / "dep" / "__pycache__" / f"__init__.{TAG}.pyc"
    py_compile.compile(
        str(other), str(place), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH, doraise=True
    )
    assert run(used, "import dep; print(dep.y)") == "poison\n"

    root.compile(used)

    assert run(root.build_again(), "import dep; print(dep.y)") == "2\n"


@pytest.mark.parametrize("how", ["changed", "a pipe", "a link", "gone", "longer"])
def test_a_source_that_is_not_the_wheels_is_not_compiled(how, root, used, tmp_path):
    source = used / SITE / "good" / "__init__.py"
    content = source.read_bytes()
    source.unlink()
    if how == "changed":
        source.write_bytes(content.replace(b"dep", b"pip"))
    elif how == "a pipe":
        os.mkfifo(source)
    elif how == "a link":
        (tmp_path / "elsewhere.py").write_bytes(content)
        source.symlink_to(tmp_path / "elsewhere.py")
    elif how == "longer":
        source.write_bytes(content + b"#")

    root.compile(used)

    assert root.kept() == {}
    assert set(root.kept("dep")) == {"dep/__init__.py"}


def test_names_that_are_not_the_wheels_are_ignored(root, used):
    strange = used / SITE / "good" / "__pycache__"
    (strange / f"evil.{TAG}.pyc").write_bytes(b"evil")
    (strange.parent / "evil.py").write_text("evil = 1\n")
    (strange / f"..{TAG}.pyc").write_bytes(b"")

    root.compile(used)

    assert set(root.kept()) == {"good/__init__.py"}


# --- damage ----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"short", None], ids=["empty", "cut", "gone"])
def test_damaged_bytecode_of_an_environment_is_found_and_healed(content, root, used):
    root.compile(used)
    environment = root.build_again()
    path = f"{SITE}/dep/__pycache__/__init__.{TAG}.pyc"
    whole = (environment / path).read_bytes()
    assert not root.environments.verify(environment)
    (environment / path).unlink()
    if content is not None:
        (environment / path).write_bytes(content)

    assert root.environments.verify(environment) == [path]
    assert root.environments.renew(root.lock, root.interpreter, root.store) == [path]
    assert not root.environments.verify(environment)
    assert (environment / path).read_bytes() == whole


def test_a_damaged_listing_is_found(root, used):
    root.compile(used)
    environment = root.build_again()
    (environment / BYTECODE_LISTING).write_bytes(b"{}")

    assert root.environments.verify(environment) == [BYTECODE_LISTING]


@pytest.mark.parametrize("how", ["empty", "cut", "changed", "not ours", "unreadable"])
def test_damaged_bytecode_in_the_store_is_not_used_and_made_again(how, root, used):
    root.compile(used)
    (wheel,) = (wheel for wheel in root.lock.wheels if wheel.name == "good")
    place = root.places.place("bytecode", wheel.sha256) / KIND
    whole = place.read_bytes()
    place.unlink()
    if how == "unreadable":
        place.mkdir()
    else:
        place.write_bytes(
            {
                "empty": b"",
                "cut": whole[:-1],
                "changed": whole[:-1] + bytes([whole[-1] ^ 1]),
                "not ours": b"\n" * 3,
            }[how]
        )

    environment = root.build_again()
    assert set(bytecode_in(environment)) == {f"dep/__pycache__/__init__.{TAG}.pyc"}
    assert any(str(place) in text for text in root.told)
    if how == "unreadable":
        return
    assert not place.exists()
    run(environment, "import good")
    root.compile(environment)
    assert place.read_bytes() == whole


def test_a_bundle_tells_every_change_of_its_bytes():
    whole = Bytecode(tag=TAG, files={"a.py": b"one", "b/c.py": b""}).dump()
    assert dict(Bytecode.parse(whole).files) == {"a.py": b"one", "b/c.py": b""}
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1
        with pytest.raises(DamagedBytecodeError):
            Bytecode.parse(bytes(changed))
        with pytest.raises(DamagedBytecodeError):
            Bytecode.parse(whole[:position])


def test_a_file_where_a_folder_should_be_costs_its_bytecode_alone(tmp_path, host):
    root = Root(tmp_path, host)
    strange = make_wheel(
        tmp_path / "wheels", "strange", "1.0", {"odd/__init__.py": "", "odd/__pycache__": "file"}
    )
    root.lock = lock_of(strange)
    root.store = root.new_store()
    environment = root.build()
    made = Bytecode(tag=TAG, files={"odd/__init__.py": b"x" * 20})
    assert root.store.keep_bytecode(root.lock.wheels[0], KIND, made)

    environment = root.build_again()

    assert (environment / SITE / "odd" / "__pycache__").read_text() == "file"
    assert bytecode_in(environment) == {}
    assert not root.environments.verify(environment)


# --- collection --------------------------------------------------------------------------------


def test_bytecode_goes_with_its_image(root, used):
    root.compile(used)
    assert len(root.visible) == 2

    collect(root.root, [])

    assert root.visible == []
    assert not list((root.root / "store" / "bytecode").iterdir())


def test_released_bytecode_goes_and_that_of_others_stays(root, used):
    root.compile(used)
    other = replace(root.lock, wheels=tuple(wheel for wheel in root.lock.wheels if wheel.name == "dep"))

    Remains(root.root).remove([root.lock], [other], [])

    assert root.kept() == {}
    assert set(root.kept("dep")) == {"dep/__init__.py"}


class _CollectedMeanwhile(FaultyFileSystem):
    """Collects the root right before bytecode gets its name, as another process may."""

    def __init__(self, root):
        super().__init__("none")
        self._root = root

    def rename(self, source, target):
        if "/store/bytecode/" in target:
            collect(self._root, [])
            Path(target).parent.mkdir(parents=True)
        super().rename(source, target)


def test_bytecode_of_an_image_that_is_collected_meanwhile_is_not_left(root, used):
    root.compile(used, root.new_store(_CollectedMeanwhile(root.root)))

    assert root.visible == []
    assert list(root.places.aside.iterdir()) == []


def test_an_environment_that_is_removed_meanwhile_is_no_fault(root, used):
    compiling = Compiling(root.store, wait_s=60, after_s=60)
    compiling.later(used, root.lock, root.interpreter)
    shutil.rmtree(used)
    compiling.close()

    assert root.visible == []


# --- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("call", ["create", "write", "rename", "lock"])
def test_what_the_disk_refuses_leaves_nothing_and_is_made_the_next_time(call, number, root, used):
    faulty = FaultyFileSystem(call, 10**9, number)
    store = root.new_store(faulty)
    for nth in (1, 2):
        faulty.left, faulty.failed = nth, 0
        root.compile(used, store)
        assert faulty.failed == 1
        for path in root.visible:
            Bytecode.parse(path.read_bytes())
        assert not (root.places.aside.exists() and list(root.places.aside.iterdir()))

    root.compile(used)

    assert set(root.kept()) == {"good/__init__.py"}
    assert set(root.kept("dep")) == {"dep/__init__.py"}


def test_two_daemons_at_once_keep_what_either_made(root, used):
    run(used, "import good.seldom, plain")
    begin = threading.Barrier(4)

    def compile_one():
        store = root.new_store()
        begin.wait()
        root.compile(used, store)

    threads = [threading.Thread(target=compile_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(root.kept()) == {"good/__init__.py", "good/seldom.py", "plain.py"}
    assert list(root.places.aside.iterdir()) == []
    assert not root.environments.verify(root.build_again())


def test_who_finds_it_being_written_leaves_it(root, used):
    wheel = root.lock.wheels[0]
    with HostLock(root.places.lock("bytecode", wheel.sha256)):
        assert not root.store.keep_bytecode(wheel, KIND, Bytecode(tag=TAG, files={"a.py": b"x"}))
    assert root.visible == []


def test_a_lock_that_does_not_work_is_a_storage_error(root, used):
    store = root.new_store(FaultyFileSystem("lock", 10**9))
    store._bytecode._files.left = 1
    with pytest.raises(StorageError):
        store.keep_bytecode(root.lock.wheels[0], KIND, Bytecode(tag=TAG, files={"a.py": b"x"}))


# --- the process ----------------------------------------------------------------------------------


def _stuck(folder):
    """An interpreter that never answers."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\necho $$ > {folder}/pid\nexec sleep 600\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def test_closing_ends_a_process_that_takes_too_long(root, used, tmp_path):
    root.interpreter = replace(root.interpreter, executable=_stuck(tmp_path))

    began = time.monotonic()
    root.compile(used, wait_s=0.3)

    assert time.monotonic() - began < 2
    assert root.visible == []
    assert not (used / BYTECODE_KEPT).exists()


@pytest.mark.parametrize("program", ["/bin/true", "/bin/cat", "/nonexistent/python"])
def test_a_process_that_does_not_compile_is_no_fault(program, root, used):
    root.interpreter = replace(root.interpreter, executable=program)

    root.compile(used)

    assert root.visible == []


def test_what_cannot_be_compiled_is_left_out(tmp_path):
    rows = []
    for name, content in {"bad": "x = = 1\n", "null": "\0", "deep": "(" * 5000, "good": "x = 1\n"}.items():
        path = tmp_path / f"{name}.py"
        path.write_text(content)
        data = path.read_bytes()
        rows.append((str(path), path.name, hashlib.sha256(data).hexdigest(), len(data)))
    compiler = Compiler(own_interpreter().executable, TAG, in_haste=True)
    try:
        made = list(compiler.compiled(rows))
    finally:
        compiler.close()
    assert [bool(content) for content in made] == [False, False, False, True]


def test_another_interpreter_than_was_asked_for_is_told():
    compiler = Compiler(own_interpreter().executable, "cpython-10", in_haste=False)
    try:
        with pytest.raises(CompilerEndedError, match="cpython-10"):
            list(compiler.compiled([]))
    finally:
        compiler.close()


def _niceness(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16])


@pytest.mark.parametrize(("in_haste", "niceness"), [(False, 19), (True, 0)])
def test_it_gives_way_unless_somebody_waits(in_haste, niceness, tmp_path):
    compiler = Compiler(own_interpreter().executable, TAG, in_haste=in_haste)
    try:
        # By its first answer it has said so; ended since, it is not reaped.
        assert next(compiler.compiled([(str(tmp_path / "none.py"), "none.py", "", 0)])) == b""
        assert _niceness(compiler._process.pid) == niceness
    finally:
        compiler.close()


def test_it_gives_way_no_longer_once_somebody_waits(tmp_path):
    compiler = Compiler(_stuck(tmp_path), TAG, in_haste=False)
    try:
        os.setpriority(os.PRIO_PROCESS, compiler._process.pid, 19)
        compiler.hurry()
        assert _niceness(compiler._process.pid) == (0 if os.geteuid() == 0 else 19)
    finally:
        compiler.close()


_HOST = """
import os, sys, time
from rldlib.adapters.compiling.compiler import Compiler
compiler = Compiler(sys.argv[1], sys.argv[2], in_haste=False)
if os.fork() == 0:  # keeps the ends of all pipes
    time.sleep(600)
while open(f"/proc/{compiler._process.pid}/stat").read().rpartition(")")[2].split()[16] != "19":
    time.sleep(0.001)
print(compiler._process.pid, flush=True)
time.sleep(600)
"""


def test_it_ends_with_a_killed_host_though_a_fork_of_that_lives():
    host = subprocess.Popen(
        [sys.executable, "-c", _HOST, own_interpreter().executable, TAG], stdout=subprocess.PIPE, text=True
    )
    with host:
        forked = None
        try:
            pid = int(host.stdout.readline())
            watched = os.pidfd_open(pid)
            (forked,) = (
                int(child)
                for child in Path(f"/proc/{host.pid}/task/{host.pid}/children").read_text().split()
                if int(child) != pid
            )
        finally:
            host.kill()
            if forked is not None:
                try:
                    assert select.select([watched], [], [], 10)[0], "the compiler outlived its host"
                finally:
                    os.close(watched)
                    os.kill(forked, signal.SIGKILL)


def test_places_of_bytecode():
    assert place_of("a/b.py", "cpython-312") == "a/__pycache__/b.cpython-312.pyc"
    assert place_of("b.py", "cpython-312") == "__pycache__/b.cpython-312.pyc"
