"""Collection: what nobody uses goes, what anybody uses or builds stays."""

from __future__ import annotations

import hashlib
import subprocess
import threading

import pytest
from tests.store.faulty import FaultyFileSystem
from tests.store.provision import FolderSource, lock_of, own_interpreter, tree_of
from tests.wheels import make_wheel

from rldlib.adapters.collection import Remains, collect
from rldlib.adapters.environments import Environments
from rldlib.adapters.files import HostLock
from rldlib.adapters.store import Store
from rldlib.errors import StorageError
from rldlib.values.places import Places
from rldlib.values.promise import Promise


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    return tmp_path_factory.mktemp("host")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


@pytest.fixture
def build(root, host, tmp_path):
    """Builds the environment of a lock, and gives its digest and path."""

    def built(lock):
        store, environments = Store(root), Environments(root, host)
        for wheel in lock.wheels:
            store.add(wheel, FolderSource())
        return environments.digest(lock, own_interpreter()), environments.build(
            lock, own_interpreter(), store
        )

    return built


@pytest.fixture
def locks(tmp_path):
    """Two services that share one wheel."""
    shared = make_wheel(tmp_path / "wheels", "shared", "1.0", {"shared.py": "x = 1\n" * 1000})
    one = make_wheel(tmp_path / "wheels", "one", "1.0", {"one.py": "x = 1\n"})
    two = make_wheel(tmp_path / "wheels", "two", "1.0", {"two.py": "x = 2\n"})
    return lock_of(one, shared), lock_of(two, shared)


def _promise(root, digest, lock):
    return Promise(
        id="1",
        service=lock.service,
        version=lock.version,
        root=str(root),
        host_pid=1,
        memory_bytes=0,
        disk_bytes=0,
        cpu_idle_rcu=0,
        environment=digest,
        wheels=tuple(wheel.sha256 for wheel in lock.wheels),
    )


def _things(root):
    places = Places(root)
    return {
        kind: {path.name for path in places.folder(kind).iterdir()} if places.folder(kind).exists() else set()
        for kind in ("environment", "image", "wheel", "blob")
    }


def test_a_root_that_is_not_there_has_nothing_to_collect(root):
    collected = collect(root, [])
    assert (collected.removed, collected.freed_bytes) == ([], 0)
    assert not root.exists()


def test_everything_goes_that_nobody_promised(root, build, locks):
    for lock in locks:
        build(lock)
    taken = sum(
        path.stat().st_blocks * 512 for kind in ("store", "environments") for path in (root / kind).rglob("*")
    )

    collected = collect(root, [])

    assert not any(_things(root).values())
    assert list((root / "tmp").iterdir()) == []
    assert len(collected.removed) == 2 + 3 + 3
    assert 0 < collected.freed_bytes <= taken


def test_what_a_promise_names_stays(root, build, locks):
    digest, environment = build(locks[0])
    build(locks[1])
    wheels = {wheel.sha256 for wheel in locks[0].wheels}
    before = tree_of(environment)

    collect(root, [_promise(root, digest, locks[0])])

    assert _things(root) == {"environment": {digest}, "image": wheels, "wheel": wheels, "blob": set()}
    assert tree_of(environment) == before


def test_a_promise_of_another_root_spares_nothing(root, build, locks, tmp_path):
    digest, _ = build(locks[0])
    collect(root, [_promise(tmp_path / "elsewhere", digest, locks[0])])
    assert not any(_things(root).values())


def test_a_promise_through_a_link_to_the_root_counts(root, build, locks, tmp_path):
    digest, environment = build(locks[0])
    (tmp_path / "link").symlink_to(root)
    collect(root, [_promise(tmp_path / "link", digest, locks[0])])
    assert environment.exists()


def test_data_stays_while_any_service_of_the_root_runs(root, build, locks, tmp_path):
    """A promise does not name its data."""
    digest, _ = build(locks[0])
    sha256 = hashlib.sha256(b"rates").hexdigest()
    (tmp_path / sha256).write_bytes(b"rates")
    path = Store(root).blob(sha256, 5, FolderSource(blobs=tmp_path))

    collect(root, [_promise(root, digest, locks[0])])
    assert path.exists()
    collect(root, [])
    assert not path.exists()


def test_what_is_being_built_is_left_alone(root, build, locks):
    lock = locks[0]
    digest, environment = build(lock)
    places = Places(root)
    half = places.beside("environment", digest)
    half.mkdir()
    with HostLock(places.lock("environment", digest)):
        collect(root, [])
        assert environment.exists()
        assert half.exists()

    collect(root, [])
    assert not environment.exists()
    assert not half.exists()


def test_images_stay_while_an_environment_is_made(root, build, locks):
    build(locks[0])
    before = _things(root)
    with HostLock(Places(root).building, shared=True), HostLock(Places(root).building, shared=True):
        collect(root, [])
    assert _things(root) == before | {"environment": set()}


def test_what_killed_processes_left_is_removed(root, build, locks):
    build(locks[0])
    aside = Places(root).aside
    (aside / "gone-0123").mkdir()
    (aside / "gone-0123" / "file").write_bytes(b"x")
    (aside / f"wheel-{'0' * 64}").write_bytes(b"half")
    (aside / "strange").touch()

    collected = collect(root, [])

    assert list(aside.iterdir()) == []
    assert aside / f"wheel-{'0' * 64}" in collected.removed


def test_a_removal_that_fails_is_told_and_shows_nothing_half_removed(root, build, locks):
    _, environment = build(locks[0])
    before = tree_of(environment)
    with pytest.raises(StorageError, match="Input/output error"):
        collect(root, [], files=FaultyFileSystem("rename", number=5))
    assert tree_of(environment) == before


def test_what_was_collected_can_be_built_again(root, build, locks):
    build(locks[0])
    collect(root, [])
    _, environment = build(locks[0])
    assert (
        subprocess.run([environment / "bin" / "python", "-Ic", "import one, shared"], check=True).returncode
        == 0
    )


@pytest.mark.slow
def test_collecting_while_others_build_breaks_no_build(root, host, locks):
    """Without a promise a build may lose what it fetched; it then fetches again and still ends well."""
    stop, failures = threading.Event(), []

    def build_on():
        store, environments = Store(root), Environments(root, host)
        lock = locks[0]
        for _ in range(15):
            try:
                for wheel in lock.wheels:
                    store.add(wheel, FolderSource())
                environments.build(lock, own_interpreter(), store)
            except Exception as exc:  # noqa: BLE001 - a thread tells the test
                failures.append(exc)

    def collect_on():
        while not stop.is_set():
            collect(root, [])

    collector = threading.Thread(target=collect_on)
    builders = [threading.Thread(target=build_on) for _ in range(2)]
    for thread in (collector, *builders):
        thread.start()
    for thread in builders:
        thread.join()
    stop.set()
    collector.join()

    assert failures == []


# --- one service alone ----------------------------------------------------------------------


def test_removing_a_service_leaves_what_others_need(root, build, locks):
    one, two = locks
    build(one)
    digest, _ = build(two)
    needed = {wheel.sha256 for wheel in two.wheels}

    told = Remains(root).remove([one], [two], [])

    assert _things(root) == {"environment": {digest}, "image": needed, "wheel": needed, "blob": set()}
    assert len(told["removed"]) == 3
    assert all(isinstance(path, str) for path in told["removed"])
    assert told["freed_bytes"] > 0


def test_removing_a_service_leaves_what_another_process_runs(root, build, locks):
    digest, environment = build(locks[0])
    told = Remains(root).remove([locks[0]], [], [_promise(root, digest, locks[0])])
    assert told == {"removed": [], "freed_bytes": 0}
    assert environment.exists()


def test_an_environment_with_a_damaged_marker_belongs_to_nobody(root, build, locks):
    _, environment = build(locks[0])
    (environment / "rldlib-environment.json").write_text("[]")
    Remains(root).remove([locks[0]], [], [])
    assert environment.exists()


def test_while_a_promise_cannot_be_read_everything_is_spared(root, build, locks):
    _, environment = build(locks[0])
    damaged = Promise(
        id="1", service="", version="", root="", host_pid=0, memory_bytes=1, disk_bytes=1, cpu_idle_rcu=1
    )

    assert collect(root, [damaged]).removed == []
    assert environment.exists()
    assert environment in collect(root, []).removed


def test_what_a_killed_process_was_pinning_is_removed_and_what_is_being_pinned_is_not(root):
    version = root / "services" / "echo" / "1.0"
    version.mkdir(parents=True)
    left, written = (version / f"rldlib.json.{letter * 16}.tmp" for letter in "0f")
    for path in (left, written, version / "rldlib.json"):
        path.write_bytes(b"{}")

    with HostLock(written):
        collected = collect(root, [])

    assert collected.removed == [left]
    assert {path.name for path in version.iterdir()} == {"rldlib.json", written.name}
