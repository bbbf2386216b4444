"""Environments: what the lock says and nothing else, complete or not there."""

from __future__ import annotations

import csv
import errno
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.hostile_wheels import HOSTILE
from tests.store.faulty import FaultyFileSystem, FlushedFileSystem
from tests.store.provision import FolderSource, lock_of, own_interpreter, tree_of
from tests.wheels import make_wheel

from rldlib.adapters.environments import Environments, flushing
from rldlib.adapters.environments.skeletons import Skeletons
from rldlib.adapters.files import FileSystem, HostLock
from rldlib.adapters.store import Store
from rldlib.errors import InterpreterNotFoundError, StorageError, WheelRefusedError
from rldlib.values.places import ENVIRONMENT_MARKER, Places

PY = f"python{sys.version_info[0]}.{sys.version_info[1]}"
SITE = f"lib/{PY}/site-packages"
DATA = "good-1.0.data"
FILES = {
    "good/__init__.py": "import dep\nx = dep.y\ndef main(): print('ran', x)\n",
    "good/__pycache__/__init__.cpython-311.pyc": b"not ours",
    f"{DATA}/scripts/tool": b"#!python\nimport sys; print(sys.prefix)\n",
    f"{DATA}/scripts/plain": b"#!/bin/sh\necho plain\n",
    f"{DATA}/data/share/good/a.txt": "shared",
    f"{DATA}/headers/good.h": "int x;",
    f"{DATA}/purelib/good/pure.py": "p = 1\n",
    "common/__init__.py": "",
}


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """One host directory for the module: making a skeleton takes a while the first time."""
    return tmp_path_factory.mktemp("host")


@pytest.fixture
def lock(tmp_path):
    good = make_wheel(
        tmp_path / "wheels",
        "good",
        "1.0",
        FILES,
        requires=["dep"],
        entry_points={"console_scripts": {"good": "good:main"}},
    )
    dep = make_wheel(
        tmp_path / "wheels", "dep", "2.0", {"dep/__init__.py": "y = 2\n", "common/__init__.py": ""}
    )
    return lock_of(good, dep)


@pytest.fixture
def store(tmp_path, lock):
    return _filled(Store(tmp_path / "root"), lock)


@pytest.fixture
def environments(tmp_path, host):
    return Environments(tmp_path / "root", host)


def _filled(store, lock):
    for wheel in lock.wheels:
        store.add(wheel, FolderSource())
    return store


def _run(environment, *arguments):
    python = environment / "bin" / "python"
    done = subprocess.run([python, "-I", *arguments], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def test_an_environment_runs_what_its_lock_says(environments, store, lock):
    environment = environments.build(lock, own_interpreter(), store)

    assert _run(environment, "-c", "import good; print(good.x)") == "2"
    assert _run(environment, "-c", "import sys; print(sys.prefix)") == str(environment)
    assert _run(environment, "-c", "import good.pure; print(good.pure.p)") == "1"


def test_nothing_but_the_lock_is_installed(environments, store, lock):
    environment = environments.build(lock, own_interpreter(), store)

    found = {path.name for path in (environment / SITE).iterdir()}
    assert found == {"good", "dep", "common", "good-1.0.dist-info", "dep-2.0.dist-info"}
    assert {path.name for path in environment.iterdir()} == {
        "bin",
        "include",
        "lib",
        "share",
        "pyvenv.cfg",
        ENVIRONMENT_MARKER,
    }
    assert {path.name for path in (environment / "bin").iterdir()} == {
        "python",
        "python3",
        PY,
        "good",
        "tool",
        "plain",
    }
    assert not list(environment.rglob("__pycache__"))


def test_the_schemes_land_where_installers_put_them(environments, store, lock):
    environment = environments.build(lock, own_interpreter(), store)

    assert (environment / "share" / "good" / "a.txt").read_text() == "shared"
    assert (environment / "include" / "site" / PY / "good" / "good.h").read_text() == "int x;"
    assert (
        subprocess.run([environment / "bin" / "good"], capture_output=True, text=True, check=True).stdout
        == "ran 2\n"
    )
    told = subprocess.run([environment / "bin" / "tool"], capture_output=True, text=True, check=True).stdout
    assert told.strip() == str(environment)
    assert (
        subprocess.run([environment / "bin" / "plain"], capture_output=True, check=True).stdout == b"plain\n"
    )


def test_the_installed_record_lists_every_file_of_a_wheel(environments, store, lock):
    environment = environments.build(lock, own_interpreter(), store)
    site = environment / SITE
    distribution = next(iter(importlib.metadata.distributions(name="good", path=[str(site)])))

    for file in distribution.files:
        assert file.locate().exists()
        if file.name != "RECORD":
            assert file.hash.value == _record_hash(file.locate().read_bytes())
    with (site / "good-1.0.dist-info" / "RECORD").open(newline="") as lines:
        listed = {row[0] for row in csv.reader(lines)}
    assert {
        "good/__init__.py",
        "../../../bin/good",
        "../../../share/good/a.txt",
        "common/__init__.py",
    } <= listed
    assert not any("__pycache__" in path for path in listed)


def test_it_is_found_only_once_it_is_complete(environments, store, lock):
    digest = environments.digest(lock, own_interpreter())
    assert environments.find(digest) is None

    environment = environments.build(lock, own_interpreter(), store)
    assert environments.find(digest) == environment

    (environment / ENVIRONMENT_MARKER).unlink()
    assert environments.find(digest) is None
    (environment / SITE / "good" / "__init__.py").write_text("broken")
    assert _run(environments.build(lock, own_interpreter(), store), "-c", "import good; print(good.x)") == "2"


def test_a_second_build_returns_what_is_there(environments, store, lock):
    first = environments.build(lock, own_interpreter(), store)
    made = first.stat().st_ino

    assert environments.build(lock, own_interpreter(), store) == first
    assert first.stat().st_ino == made


def test_the_digest_tells_locks_and_interpreters_apart(environments, lock):
    own = own_interpreter()
    other_lock = replace(lock, version="1.1")
    other = replace(own, executable="/elsewhere/python3")

    digests = {environments.digest(*pair) for pair in ((lock, own), (other_lock, own), (lock, other))}
    assert len(digests) == 3
    assert environments.digest(lock, own) in digests


def test_a_write_in_an_environment_does_not_change_the_store(environments, store, lock):
    environment = environments.build(lock, own_interpreter(), store)
    kept = tree_of(environment.parent.parent / "store")

    for path in (environment / SITE).rglob("*"):
        if path.is_file():
            with path.open("r+b") as file:
                file.write(b"poison")
                file.truncate()

    assert tree_of(environment.parent.parent / "store") == kept
    assert not any(path.is_symlink() for path in (environment / SITE).rglob("*"))
    inodes = {
        path.stat().st_ino for path in (environment.parent.parent / "store").rglob("*") if path.is_file()
    }
    assert not inodes & {path.stat().st_ino for path in environment.rglob("*")}


@pytest.mark.parametrize("harm", ["changed", "missing"])
def test_a_damaged_image_never_reaches_an_environment(harm, environments, store, lock):
    image = store.image(next(wheel for wheel in lock.wheels if wheel.name == "dep"))
    content = image.read_bytes()
    image.chmod(0o644)
    image.unlink() if harm == "missing" else image.write_bytes(content.replace(b"y = 2\n", b"y = 3\n"))

    environment = environments.build(lock, own_interpreter(), store)

    assert _run(environment, "-c", "import good; print(good.x)") == "2"
    assert image.read_bytes() == content


def test_an_image_that_is_cut_off_while_it_is_read_never_reaches_an_environment(lock, store, tmp_path, host):
    """It is unpacked again, as one that differs is; no signal ends the process."""
    image = store.image(next(wheel for wheel in lock.wheels if wheel.name == "dep"))
    whole = image.read_bytes()

    class CutsOff(FileSystem):
        def make_folder(self, path):
            super().make_folder(path)
            # Its end is read by now, and none of its contents.
            if path.endswith("/site-packages/dep"):
                image.chmod(0o644)
                os.truncate(image, 1)

    environments = Environments(tmp_path / "root", host, files=CutsOff())
    environment = environments.build(lock, own_interpreter(), store)

    assert _run(environment, "-c", "import good; print(good.x)") == "2"
    assert image.read_bytes() == whole


def test_a_file_system_that_shares_blocks_is_given_whole_ones_and_the_rest_is_written(tmp_path, host):
    content = os.urandom(70_000)
    wheel = make_wheel(
        tmp_path / "wheels", "big", "1.0", files={"big/__init__.py": "", "big/data.bin": content}
    )
    lock, asked = lock_of(wheel), []

    class Shares(FileSystem):
        def clone(self, source, at, size, target):
            asked.append((at, size))
            os.pwrite(target, os.pread(source, size, at), 0)

        def write_at(self, fd, data, at):
            asked.append((at, len(data)))
            super().write_at(fd, data, at)

    environments = Environments(tmp_path / "root", host, files=Shares())
    built = environments.build(lock, own_interpreter(), _filled(Store(tmp_path / "root"), lock))

    assert (built / SITE / "big" / "data.bin").read_bytes() == content
    assert asked == [(4096, 69_632), (69_632, 368)]


def test_an_image_that_stays_damaged_is_told(environments, store, lock, monkeypatch):
    def harmful(wheel, renew=store.renew):
        image = renew(wheel)
        image.chmod(0o644)
        image.write_bytes(b"?")
        return image

    harmful(lock.wheels[0])
    monkeypatch.setattr(store, "renew", harmful)

    with pytest.raises(StorageError, match="damaged again"):
        environments.build(lock, own_interpreter(), store)
    assert environments.find(environments.digest(lock, own_interpreter())) is None


def test_a_hostile_wheel_leaves_no_environment(environments, tmp_path):
    _, build = HOSTILE["a path out of the folder"]
    lock = lock_of(build(tmp_path / "wheels"))
    store = _filled(Store(tmp_path / "root"), lock)

    with pytest.raises(WheelRefusedError, match="path-traversal"):
        environments.build(lock, own_interpreter(), store)
    assert not (tmp_path / "root" / "environments").exists()
    assert list((tmp_path / "root" / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("path", "content"),
    [
        pytest.param("dep/__init__.py", "stolen", id="another's module"),
        pytest.param("dep", "a file", id="a file for a folder"),
        pytest.param("dep/__init__.py/x.py", "", id="a folder for a file"),
        pytest.param("dep-2.0.data/scripts/good", "", id="another's script"),
    ],
)
def test_a_wheel_never_replaces_a_file_of_another(path, content, environments, tmp_path):
    good = make_wheel(
        tmp_path, "good", "1.0", {"good.py": ""}, entry_points={"console_scripts": {"good": "good:main"}}
    )
    dep = make_wheel(tmp_path, "dep", "2.0", {"dep/__init__.py": ""})
    if "data/" in path:
        dep = make_wheel(tmp_path, "dep", "2.0", {path: content})
        wheels = [good, dep]
    else:
        wheels = [good, dep, make_wheel(tmp_path, "thief", "1.0", {path: content})]
    lock = lock_of(*wheels)

    with pytest.raises(WheelRefusedError, match="conflict"):
        environments.build(lock, own_interpreter(), _filled(Store(tmp_path / "root"), lock))
    assert environments.find(environments.digest(lock, own_interpreter())) is None


# --- crashes and crowds ------------------------------------------------------------------

BUILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from rldlib.adapters.environments import Environments
from rldlib.adapters.store import Store
from tests.store.provision import FolderSource, lock_of, own_interpreter
root, host, *wheels = map(Path, sys.argv[2:])
lock, store = lock_of(*wheels), Store(root)
print("ready", flush=True)
sys.stdin.readline()
for wheel in lock.wheels:
    store.add(wheel, FolderSource())
print(Environments(root, host).build(lock, own_interpreter(), store).stat().st_ino, flush=True)
"""


def _builder(root, host, *wheels):
    here = Path(__file__).parent.parent.parent
    process = subprocess.Popen(
        [sys.executable, "-c", BUILD, here, root, host, *wheels],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
def test_eight_processes_at_once_build_once(tmp_path, host):
    wheels = [make_wheel(tmp_path, "many", "1.0", {f"many/m{number}.py": "x = 1\n" for number in range(100)})]
    builders = [_builder(tmp_path / "root", host, *wheels) for _ in range(8)]
    for builder in builders:
        builder.stdin.write("go\n")
        builder.stdin.flush()
    told = [builder.communicate(timeout=60)[0].strip() for builder in builders]

    assert all(builder.returncode == 0 for builder in builders)
    assert len(set(told)) == 1
    assert len(list((tmp_path / "root" / "environments").iterdir())) == 1
    assert list((tmp_path / "root" / "tmp").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_build_killed_at_any_instant_leaves_nothing_to_see_and_the_next_one_works(share, tmp_path, host):
    wheel = make_wheel(
        tmp_path, "many", "1.0", {f"many/m{number}.py": f"x = {number}\n" * 50 for number in range(300)}
    )
    lock = lock_of(wheel)
    Skeletons(host).of(own_interpreter())
    # How long it takes here and now says when to kill.
    builder = _builder(tmp_path / "timed", host, wheel)
    began = time.monotonic()
    builder.communicate("go\n", timeout=60)
    took = time.monotonic() - began

    root = tmp_path / "root"
    builder = _builder(root, host, wheel)
    builder.stdin.write("go\n")
    builder.stdin.flush()
    threading.Event().wait(share * took)
    builder.send_signal(signal.SIGKILL)
    builder.communicate()

    environments = Environments(root, host)
    found = environments.find(environments.digest(lock, own_interpreter()))
    environment = environments.build(lock, own_interpreter(), _filled(Store(root), lock))
    assert found in (None, environment)
    assert _run(environment, "-c", "import many.m299; print(many.m299.x)") == "299"
    assert list((root / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("call", ["create", "write", "make_folder", "link", "rename", "lock"])
def test_a_build_that_cannot_be_stored_leaves_nothing(call, number, lock, store, tmp_path, host):
    Skeletons(host).of(own_interpreter())
    faulty = Environments(tmp_path / "root", host, files=FaultyFileSystem(call, number=number))
    digest = faulty.digest(lock, own_interpreter())

    with pytest.raises(StorageError) as told:
        faulty.build(lock, own_interpreter(), store)

    assert told.value.reason == os.strerror(number)
    assert faulty.find(digest) is None
    assert not list((tmp_path / "root" / "tmp").glob("*")) or call == "lock"
    assert (
        _run(Environments(tmp_path / "root", host).build(lock, own_interpreter(), store), "-c", "import good")
        == ""
    )


def test_a_full_disk_is_told_and_the_next_build_works(lock, store, tmp_path, host):
    """For real: no file of this process may grow beyond a few bytes."""
    for wheel in lock.wheels:
        store.image(wheel)
    Skeletons(host).of(own_interpreter())
    code = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent.parent.parent)!r})
from pathlib import Path
from rldlib.adapters.environments import Environments
from rldlib.adapters.store import Store
from rldlib.errors import StorageError
from tests.store.provision import lock_of, own_interpreter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
lock = lock_of(*map(Path, sys.argv[1:]))
try:
    Environments(Path({str(tmp_path / "root")!r}), Path({str(host)!r})).build(
        lock, own_interpreter(), Store(Path({str(tmp_path / "root")!r})))
except StorageError as exc:
    print(exc)
"""
    paths = [wheel.locator for wheel in lock.wheels if wheel.name == "good"]
    paths += [wheel.locator for wheel in lock.wheels if wheel.name == "dep"]
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True, timeout=60
    )

    assert "File too large" in done.stdout
    assert str(tmp_path / "root") in done.stdout
    assert not (tmp_path / "root" / "environments").exists()
    assert list((tmp_path / "root" / "tmp").iterdir()) == []
    assert (
        _run(Environments(tmp_path / "root", host).build(lock, own_interpreter(), store), "-c", "import good")
        == ""
    )


def test_a_build_waits_for_another_no_longer_than_its_deadline(
    environments, store, lock, tmp_path, monkeypatch
):
    monkeypatch.setattr("rldlib.adapters.environments._BUILD_DEADLINE_S", 0.05)
    digest = environments.digest(lock, own_interpreter())
    held = HostLock(Places(tmp_path / "root").lock("environment", digest))
    with held, pytest.raises(StorageError, match="another process held this lock"):
        environments.build(lock, own_interpreter(), store)


# --- skeletons ------------------------------------------------------------------------------


def test_a_skeleton_is_made_once_per_interpreter(host, monkeypatch):
    Skeletons(host).of(own_interpreter())
    monkeypatch.setattr("rldlib.adapters.environments.skeletons._create", None)

    skeleton = Skeletons(host).of(own_interpreter())
    assert skeleton.site == SITE
    assert set(skeleton.files) == {"pyvenv.cfg"}


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"{}", b"0\n{}", b"\xff\xfe"])
def test_a_damaged_skeleton_is_made_again(content, tmp_path):
    Skeletons(tmp_path).of(own_interpreter())
    (path,) = (tmp_path / "skeletons").glob("*.json")
    path.write_bytes(content)

    assert Skeletons(tmp_path).of(own_interpreter()).site == SITE
    assert path.stat().st_size > 100


def test_settings_of_the_user_have_no_say(tmp_path, lock, store, monkeypatch):
    monkeypatch.setenv("VIRTUALENV_SYSTEM_SITE_PACKAGES", "1")
    monkeypatch.setenv("VIRTUALENV_SEEDER", "pip")
    environment = Environments(tmp_path / "root", tmp_path / "host").build(lock, own_interpreter(), store)

    assert "include-system-site-packages = false" in (environment / "pyvenv.cfg").read_text()
    assert not list((environment / SITE).glob("pip*"))


def test_an_interpreter_that_is_gone_is_told(environments, store, lock, tmp_path):
    gone = replace(own_interpreter(), executable=str(tmp_path / "python3"))
    with pytest.raises(InterpreterNotFoundError, match="No such file"):
        environments.build(lock, gone, store)
    assert list((tmp_path / "root" / "tmp").iterdir()) == []


@pytest.mark.slow
def test_an_interpreter_that_does_not_work_is_told(environments, store, lock, tmp_path):
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(InterpreterNotFoundError, match="virtualenv made no environment"):
        environments.build(lock, replace(own_interpreter(), executable=str(broken)), store)
    assert list((tmp_path / "root" / "tmp").iterdir()) == []


def _record_hash(content):
    import base64
    import hashlib

    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


# --- on the disk ------------------------------------------------------------------------


def _told(environment):
    return json.loads((environment / ENVIRONMENT_MARKER).read_bytes())


def test_an_environment_that_was_not_flushed_is_built_again_after_a_power_cut(
    environments, store, lock, tmp_path, host, monkeypatch
):
    """Another boot than the one that wrote it: what is there may be anything."""
    environment = environments.build(lock, own_interpreter(), store)
    digest = environments.digest(lock, own_interpreter())
    (environment / SITE / "good" / "__init__.py").write_text("")

    monkeypatch.setattr(flushing, "boot", lambda: "another")
    after = Environments(tmp_path / "root", host)

    assert after.find(digest) is None
    assert _run(after.build(lock, own_interpreter(), store), "-c", "import good; print(good.x)") == "2"
    assert after.find(digest) == environment


@pytest.mark.parametrize("left", [b"", b"\0\0\0\0", b"[]"])
def test_a_marker_that_a_power_cut_left_is_none(left, environments, store, lock):
    environment = environments.build(lock, own_interpreter(), store)
    (environment / ENVIRONMENT_MARKER).write_bytes(left)

    assert environments.find(environments.digest(lock, own_interpreter())) is None


def test_what_was_flushed_outlives_every_boot(store, lock, tmp_path, host, monkeypatch):
    flushed = threading.Event()
    files = FlushedFileSystem(flushed, until=ENVIRONMENT_MARKER)
    environments = Environments(tmp_path / "root", host, files=files, flush_after_s=0)
    environment = environments.build(lock, own_interpreter(), store)
    assert flushed.wait(30)
    environments.close()

    assert "boot" not in _told(environment)
    assert {
        str(path.relative_to(environment)) for path in (environment / SITE).rglob("*.py")
    } <= files.flushed
    monkeypatch.setattr(flushing, "boot", lambda: "another")
    digest = environments.digest(lock, own_interpreter())
    assert Environments(tmp_path / "root", host).find(digest) == environment


def test_what_the_disk_refuses_to_keep_is_not_found_any_more(environments, store, lock, tmp_path, host):
    environments.build(lock, own_interpreter(), store)
    digest = environments.digest(lock, own_interpreter())

    faulty = FaultyFileSystem("flush", number=errno.EIO)
    flushing.Flushing(Places(tmp_path / "root"), files=faulty).flush(digest)

    assert environments.find(digest) is None
    assert _run(environments.build(lock, own_interpreter(), store), "-c", "import good; print(good.x)") == "2"


def test_where_boots_are_not_told_an_environment_is_flushed_before_it_is_there(
    store, lock, tmp_path, host, monkeypatch
):
    monkeypatch.setattr(flushing, "boot", lambda: None)
    monkeypatch.setattr("rldlib.adapters.environments.boot", lambda: None)
    files = FlushedFileSystem()
    environment = Environments(tmp_path / "root", host, files=files).build(lock, own_interpreter(), store)

    assert "boot" not in _told(environment)
    assert {path.name for path in (environment / SITE).rglob("*.py")} <= {
        Path(path).name for path in files.flushed
    }


# --- damaged after they were complete --------------------------------------------------------


def _overwrite(path, content=b"raise ImportError('damaged')\n"):
    path.unlink()
    path.write_bytes(content)


DAMAGE = {
    "a module": (f"{SITE}/good/__init__.py", _overwrite),
    "one of the same size": (
        f"{SITE}/dep/__init__.py",
        lambda path: _overwrite(path, b"y = 3\n"),
    ),
    "a module that is gone": (f"{SITE}/good/pure.py", Path.unlink),
    "a script": ("bin/good", _overwrite),
    "data": ("share/good/a.txt", lambda path: _overwrite(path, b"")),
    "a RECORD that is gone": (f"{SITE}/good-1.0.dist-info/RECORD", Path.unlink),
    "an empty RECORD": (f"{SITE}/good-1.0.dist-info/RECORD", lambda path: _overwrite(path, b"")),
    "half a RECORD": (
        f"{SITE}/good-1.0.dist-info/RECORD",
        lambda path: _overwrite(path, path.read_bytes()[: path.stat().st_size // 2]),
    ),
    "a RECORD that is no text": (f"{SITE}/good-1.0.dist-info/RECORD", lambda p: _overwrite(p, b"\xff\0")),
    "the interpreter": ("bin/python", Path.unlink),
    "settings": ("pyvenv.cfg", lambda path: _overwrite(path, b"")),
}


@pytest.mark.parametrize("harm", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_environment_is_built_again_where_it_is_damaged(harm, environments, store, lock):
    path, damage = harm
    environment = environments.build(lock, own_interpreter(), store)
    _run(environment, "-c", "import good")
    assert environments.verify(environment) == []
    assert environments.renew(lock, own_interpreter(), store) == []
    whole = tree_of(environment)

    damage(environment / path)
    damaged = environments.verify(environment)

    if damaged != ["lib/python*/site-packages/*.dist-info/RECORD"]:
        assert path in damaged
    assert environments.renew(lock, own_interpreter(), store) == damaged
    assert environments.verify(environment) == []
    again = tree_of(environment)
    assert {name for name in whole if again.get(name) != whole[name] and "__pycache__" not in name} <= {
        ENVIRONMENT_MARKER
    }
    assert _run(environment, "-c", "import good; print(good.x)") == "2"


def test_an_environment_that_cannot_be_built_again_stays_as_it_is(store, lock, tmp_path, host):
    environment = Environments(tmp_path / "root", host).build(lock, own_interpreter(), store)
    _overwrite(environment / SITE / "good" / "__init__.py")
    damaged = tree_of(environment)

    for call in ("create", "write", "make_folder", "link", "rename"):
        with pytest.raises(StorageError):
            Environments(tmp_path / "root", host, files=FaultyFileSystem(call)).renew(
                lock, own_interpreter(), store
            )

    assert tree_of(environment) == damaged
    assert list((tmp_path / "root" / "tmp").iterdir()) == []


def test_one_that_is_gone_is_built_by_renewing_it(environments, store, lock):
    assert environments.renew(lock, own_interpreter(), store) == [ENVIRONMENT_MARKER]
    assert environments.find(environments.digest(lock, own_interpreter()))
