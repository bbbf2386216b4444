"""What broke in other systems that keep environments, each as a test of that name."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.faults.harness import DEPENDENCY, Counting, Scene, refused
from tests.services import ECHO, service_wheel
from tests.store.provision import tree_of
from tests.wheels import make_wheel

import rldlib
from rldlib.adapters.environments import Environments
from rldlib.adapters.files import FileSystem, HostLock
from rldlib.adapters.host_directory import host_directory
from rldlib.adapters.promises import Promises
from rldlib.errors import MismatchError, StorageError
from rldlib.values.places import ENVIRONMENT_MARKER, Places

pytestmark = [pytest.mark.faults, pytest.mark.slow]


def _built(scene):
    """The service's environment, made as any is."""
    with scene.daemon() as host:
        return Path(host.prepare("echo")["environment"])


def _module(environment):
    return next(environment.glob("lib/*/*/rld_echo.py"))


def test_environment_built_by_several_at_once(scene):
    """Sixteen daemons, as many threads: one builds, all use it, and it is the same folder throughout."""
    counting = Counting()

    def build(number):
        with scene.daemon(counting) as host:
            path = Path(host.prepare("echo")["environment"])
            return path, path.stat().st_ino

    with ThreadPoolExecutor(16) as pool:
        built = set(pool.map(build, range(16)))

    assert len(built) == 1
    published = [path for call, path in counting.made if call == "rename" and "/environments/" in path]
    assert len(published) == 1
    scene.expect_all_is_well()


@pytest.mark.parametrize("lacks", ["its marker", "all but its marker", "its content of the marker"])
def test_half_built_taken_as_ready(lacks, scene):
    environment = _built(scene)
    if lacks == "its marker":
        (environment / ENVIRONMENT_MARKER).unlink()
        _module(environment).write_text("raise ImportError('half-built')\n")
    elif lacks == "its content of the marker":
        (environment / ENVIRONMENT_MARKER).write_bytes(b"")
        _module(environment).unlink()
    else:
        shutil.rmtree(environment / "lib")

    scene.expect_heals()


def test_interrupted_download_reused(scene):
    """What a killed download left, under every name it could have, is not what is installed."""
    _built(scene)
    places = Places(scene.root)
    wheels = {path.name: path.read_bytes() for path in places.folder("wheel").iterdir()}
    shutil.rmtree(scene.root)
    for name, content in wheels.items():
        places.aside.mkdir(parents=True, exist_ok=True)
        places.folder("wheel").mkdir(parents=True, exist_ok=True)
        places.beside("wheel", name).write_bytes(content[: len(content) // 2])
        places.place("wheel", name).write_bytes(content[: len(content) // 2])

    _built(scene)

    assert {path.name: path.read_bytes() for path in places.folder("wheel").iterdir()} == wheels
    scene.expect_all_is_well()


def test_reader_sees_a_partial_entry(scene):
    """Somebody looks at every instant of a build: what is there by its name is whole."""
    looked = []

    class Looking(Counting):
        def meet(self, call, path):
            if not path.endswith(".lock"):
                scene.expect_nothing_half_done()
                looked.append(call)

    with scene.daemon(Looking()) as host:
        host.prepare("echo")

    assert len(looked) > 50
    scene.expect_all_is_well()


def test_temp_on_another_filesystem(scene):
    """Temporary files lie in the root, whatever TMPDIR says; where a rename crosses, that is told."""

    class Told(Counting):
        def rename(self, source, target):
            assert Path(source).parent.stat().st_dev == scene.root.stat().st_dev
            assert source.startswith(str(scene.root)) == target.startswith(str(scene.root))
            super().rename(source, target)

    with scene.daemon(Told()) as host:
        host.prepare("echo")
    shutil.rmtree(scene.root)

    class Crossing(FileSystem):
        def rename(self, source, target):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), source)

    with scene.daemon(Crossing()) as host, refused():
        host.prepare("echo")
    scene.expect_all_is_well()


def test_zero_length_after_power_loss(scene, monkeypatch):
    """Every file of a root, one after the other, and then all of them at once."""
    environment = _built(scene)
    monkeypatch.setattr("rldlib.adapters.environments.flushing.boot", lambda: "another boot")
    for path in [path for path in (scene.root / "store").rglob("*") if path.is_file()]:
        path.chmod(0o644)
        path.write_bytes(b"")
    for path in environment.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.write_bytes(b"")

    scene.expect_next_acquire()
    scene.expect_nothing_half_done()


def test_zero_length_marker_of_a_flushed_environment(scene):
    environment = _built(scene)
    Environments(scene.root, host_directory())._flushing.flush(environment.name)
    (environment / ENVIRONMENT_MARKER).write_bytes(b"")

    scene.expect_heals()


_HOLDS = """
import sys
from pathlib import Path
from rldlib.adapters.files import HostLock
locks = [HostLock(Path(name)) for name in sys.argv[1:]]
assert all(lock.attempt() for lock in locks)
print("held", flush=True)
sys.stdin.read()
"""


def test_stale_lock_hangs_for_ever(scene):
    """A lock file lies there from each use; only a living holder counts, and a killed one is none."""
    environment = _built(scene)
    places = Places(scene.root)
    names = [str(places.lock("environment", environment.name)), str(places.building)]
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDS, *names], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StorageError, match=r"another process held this lock for 0\.05 s"):
            HostLock(places.building, deadline_s=0.05).__enter__()
        holder.kill()
        holder.wait()
    shutil.rmtree(environment)

    began = time.monotonic()
    scene.expect_all_is_well()
    assert time.monotonic() - began < 20


def test_nfs_locks(scene, monkeypatch):
    """Where a mount keeps locks to one host, a root is refused; where there are none at all, that is told."""
    device = scene.wheels.stat().st_dev
    line = f"1 1 {os.major(device)}:{os.minor(device)} / / rw - nfs server:/export rw,nolock,local_lock=all\n"
    mounts = scene.wheels.parent / "mountinfo"
    mounts.write_text(line)
    from rldlib.adapters.files import locks

    locks._local_locks.cache_clear()
    monkeypatch.setattr("rldlib.adapters.files.locks._MOUNTS", str(mounts))
    with scene.daemon() as host, pytest.raises(StorageError, match="do not keep other hosts out"):
        host.prepare("echo")
    assert not (scene.root / "store").exists()
    locks._local_locks.cache_clear()
    monkeypatch.undo()

    class NoLocks(FileSystem):
        def lock(self, fd, *, shared=False):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with scene.daemon(NoLocks()) as host, pytest.raises(StorageError, match="No locks available"):
        host.prepare("echo")
    scene.expect_all_is_well()


def test_locks_per_process_not_per_thread(scene):
    """Of sixteen threads of one process, one at a time holds a lock; and closing another file keeps it."""
    path, inside, most = scene.wheels.parent / "lock", [], []

    def hold(_):
        with HostLock(path):
            inside.append(1)
            most.append(len(inside))
            os.close(os.open(path, os.O_RDONLY))
            time.sleep(0)
            most.append(len(inside))
            inside.pop()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(hold, range(64)))

    assert set(most) == {1}
    with HostLock(path):
        # A lock of fcntl(2) would be gone now.
        path.read_bytes()
        assert not HostLock(path).attempt()


def test_collection_while_in_use(scene):
    """A collector goes round and round while a service is built, started, called and given back."""
    done = threading.Event()
    removed = []

    def collect():
        import argparse

        from rldlib.cli.host import run_gc

        while not done.is_set():
            removed.extend(run_gc(argparse.Namespace(root=scene.root)).document["removed"])

    with ThreadPoolExecutor(1) as pool:
        collecting = pool.submit(collect)
        try:
            for number in range(8):
                with scene.daemon() as host:
                    assert host.acquire("echo").echo(value=number) == number
        finally:
            done.set()
        collecting.result(timeout=20)
    assert any("environments" in path for path in removed)
    scene.expect_all_is_well()


def test_disk_full(scene):
    """Half of a wheel fits; the rest of the faults are in `test_full_disk` and `test_failing_file_system`."""

    class Full(FileSystem):
        left = 3000

        def write(self, fd, data):
            fits = bytes(data[: self.left])
            self.left -= len(fits)
            super().write(fd, fits)
            if len(fits) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with scene.daemon(Full()) as host, refused():
        host.prepare("echo")
    scene.expect_all_is_well()


def test_cache_keyed_by_file_name_not_content(tmp_path):
    """Two roots, and one root with two sources: the same file name, other bytes, other results."""
    results = []
    for word in ("first", "second"):
        folder = tmp_path / word
        code = ECHO.replace("        return value\n", f"        return [value, {word!r}]\n", 1)
        service_wheel(folder, code=code)
        scene = Scene(folder, root=tmp_path / "root")
        scene.wheels = folder
        with scene.daemon() as host:
            results.append(host.acquire("echo").echo(value=1))

    assert results == [[1, "first"], [1, "second"]]
    stored = list((tmp_path / "root" / "store" / "wheels" / "sha256").iterdir())
    assert len(stored) == 2
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in stored)


def test_shared_store_changed_through_a_link(scene):
    """A worker that writes over all of its own environment changes no other, nor the store."""
    environment = _built(scene)
    other = Scene(scene.wheels.parent, root=scene.wheels.parent / "other")
    kept = tree_of(scene.root / "store"), tree_of(_built(other))
    stored = {path.stat().st_ino for path in (scene.root / "store").rglob("*") if path.is_file()}

    for path in (environment / "lib").rglob("*"):
        if path.is_file():
            assert path.stat().st_nlink == 1
            assert path.stat().st_ino not in stored
            assert not path.is_symlink()
            with path.open("r+b") as file:
                file.write(b"poison")

    assert (tree_of(scene.root / "store"), tree_of(_built(other))) == kept
    scene.expect_heals()


_HOST = """
import sys
from pathlib import Path
from tests.faults.harness import Scene
with Scene(Path(sys.argv[1]), root=Path(sys.argv[2])).daemon() as host:
    echo = host.acquire("echo")
    print(*echo.listen(), flush=True)
    sys.stdin.read()
"""
_LISTENS = (
    ECHO
    + """
    @operation
    def listen(self) -> list[int]:
        import socket
        self.server = socket.create_server(("127.0.0.1", 0))
        os.set_inheritable(self.server.fileno(), True)
        subprocess.Popen(["sleep", "600"], close_fds=False, start_new_session=True)
        return [os.getpid(), self.server.getsockname()[1]]
"""
)


def _is_free(port):
    """Without SO_REUSEADDR nobody else may be listening there."""
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def test_orphan_workers_keep_locks_and_ports(tmp_path):
    """The host is killed: its worker's port, with the child that inherited it, and its promise are free."""
    scene = Scene(tmp_path)
    service_wheel(scene.wheels, code=_LISTENS)
    with subprocess.Popen(
        [sys.executable, "-c", _HOST, tmp_path, scene.root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as host:
        _, port = map(int, host.stdout.readline().split())
        assert len(Promises(host_directory()).living()) == 1
        host.kill()
    until = time.monotonic() + 3
    while not _is_free(port) or Promises(host_directory()).living():
        assert time.monotonic() < until
        time.sleep(0.01)

    scene.expect_all_is_well()


@pytest.mark.parametrize("where", ["source", "wheel", "image", "the image's end", "environment"])
def test_corrupt_bytes_installed_silently(where, scene):
    """One bit, at each place where bytes lie on their way into a worker."""
    environment = _built(scene)
    if where != "environment":
        shutil.rmtree(environment)
    store = scene.root / "store"
    file = {
        "source": next(scene.wheels.glob("shared-*.whl")),
        "wheel": next((store / "wheels" / "sha256").iterdir()),
        "image": next((store / "images").iterdir()),
        "the image's end": next((store / "images").iterdir()),
        "environment": _module(environment) if where == "environment" else None,
    }[where]
    if where == "source":
        shutil.rmtree(store)
    if where == "wheel":
        shutil.rmtree(store / "images")
    content = bytearray(file.read_bytes())
    content[-9 if where == "the image's end" else len(content) // 2] ^= 0x40
    file.chmod(0o644)
    file.write_bytes(content)

    if where == "source":
        with scene.daemon() as host, pytest.raises((MismatchError, rldlib.IntegrityError)):
            host.acquire("echo")
        scene.expect_nothing_half_done()
        make_wheel(scene.wheels, "shared", "1.0", DEPENDENCY)
    elif where == "environment":
        assert scene.environments.verify(environment)
        file.write_bytes(b"\0" + content)
    scene.expect_heals()


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"lock-version = '1.0'\n"], ids=["empty", "no text", "other"]
)
def test_a_damaged_pin_is_told_by_its_path_and_can_be_released(content, scene):
    """No crash leaves one; whoever damaged it may not get rid of a pin unseen."""
    service_wheel(scene.wheels, "other")
    _built(scene)
    with scene.daemon() as host:
        host.prepare("other")
    (pin,) = (scene.root / "services" / "echo").rglob("*.toml")
    pin.write_bytes(content)

    with scene.daemon() as host, pytest.raises(MismatchError, match="'rld release echo' drops it") as told:
        host.acquire("echo")
    assert told.value.what == str(pin)
    with scene.daemon() as host:
        assert host.release("other")["freed_bytes"] > 0
        host.release("echo")
    scene.expect_all_is_well()


def test_a_running_service_whose_environment_is_damaged_heals_when_its_worker_is_lost(scene):
    with scene.daemon() as host:
        echo = host.acquire("echo")
        _module(Path(echo.worker["environment"])).write_text("raise ImportError('damaged')\n")
        with pytest.raises(rldlib.WorkerLostError):
            echo.kill()

        assert echo.call("echo", value=1, deadline=20) == 1
    scene.expect_all_is_well()


def test_data_that_a_damaged_environment_lost_is_there_again(tmp_path):
    """It is found by RECORD, before any start could fail."""
    data = b'{"WA": "6.5"}'
    code = (
        "from rldlib.plugin import Service, operation\n\n"
        "class Echo(Service):\n"
        "    def start(self, resources):\n"
        "        self.rates = resources.json('rates')\n"
        "    @operation\n"
        "    def echo(self, value):\n"
        "        return value if self.rates == {'WA': '6.5'} else None\n"
    )
    rates = {"name": "rates", "kind": "data", "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    service_wheel(tmp_path / "wheels", code=code, files={"rates.json": data}, resources=[rates])
    scene = Scene(tmp_path)
    environment = _built(scene)
    for damage in ("rates.json", "rld_echo-1.0.dist-info/RECORD"):
        for content in (None, b"", b"\xff\x00,\n"):
            path = next(environment.glob("lib/*/site-packages")) / damage
            path.unlink()
            if content is not None:
                path.write_bytes(content)

            scene.expect_next_acquire()
    scene.expect_all_is_well()
