"""The store: nothing unverified is kept, and nothing damaged leaves it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.hostile_wheels import HOSTILE
from tests.store.faulty import FaultyFileSystem
from tests.store.provision import FolderSource, content_of, locked, tree_of
from tests.wheels import make_wheel

from rldlib.adapters.files import FileSystem, HostLock
from rldlib.adapters.store import Store
from rldlib.errors import MismatchError, SourceUnavailableError, StorageError, WheelRefusedError
from rldlib.reporter import Reporter
from rldlib.values.places import Places

FILES = {"good/__init__.py": "x = 1\n", "good/sub/data.bin": bytes(range(256)) * 40}


@pytest.fixture
def wheel(tmp_path):
    return locked(make_wheel(tmp_path / "wheels", "good", "1.0", FILES))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "root")


def _kept(root):
    """What the store holds, and what is left of building; locks aside."""
    return {
        path: content
        for path, content in tree_of(root).items()
        if content != "folder" and "locks/" not in path
    }


def test_a_wheel_is_fetched_once_and_kept_by_its_hash(store, wheel, tmp_path):
    source = FolderSource()
    path = store.add(wheel, source)

    assert path == tmp_path / "root" / "store" / "wheels" / "sha256" / wheel.sha256
    assert hashlib.sha256(path.read_bytes()).hexdigest() == wheel.sha256
    assert store.add(wheel, source) == store.wheel(wheel.sha256) == path
    assert Store(tmp_path / "root").add(wheel, source) == path
    assert len(source.fetched) == 1


def test_an_unknown_wheel_is_none(store):
    assert store.wheel("0" * 64) is None


def test_a_wheel_that_is_collected_while_it_is_looked_at_is_none(store, wheel, tmp_path, monkeypatch):
    path = store.add(wheel, FolderSource())
    opened = os.open

    def collected_first(name, *arguments):
        if name == path:
            path.unlink()
        return opened(name, *arguments)

    monkeypatch.setattr(os, "open", collected_first)

    assert Store(tmp_path / "root").wheel(wheel.sha256) is None
    assert not path.exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(lambda data: data[:-1], "size", id="truncated"),
        pytest.param(lambda data: data + b"x", "size", id="longer"),
        pytest.param(lambda data: data[:-1] + b"\xff", "content", id="other bytes"),
        pytest.param(lambda data: b"", "size", id="empty"),
    ],
)
def test_a_wheel_that_differs_from_its_lock_is_not_kept(change, told, store, wheel, tmp_path):
    path = tmp_path / "wheels" / wheel.filename
    path.write_bytes(change(path.read_bytes()))

    with pytest.raises(MismatchError, match=told):
        store.add(wheel, FolderSource())

    assert _kept(tmp_path / "root") == {}


def test_an_endless_file_is_cut_off_at_its_locked_size(store, wheel, tmp_path):
    class Endless(FolderSource):
        written = 0

        def fetch(self, locator, into, *, max_bytes):
            while True:
                into.write(bytes(1000))
                self.written += 1000

    source = Endless()
    with pytest.raises(MismatchError, match="the size of"):
        store.add(wheel, source)

    assert source.written <= wheel.size
    assert _kept(tmp_path / "root") == {}


def test_an_outage_leaves_nothing_and_the_next_try_works(store, wheel, tmp_path):
    class Failing(FolderSource):
        def fetch(self, locator, into, *, max_bytes):
            into.write(b"PK")
            raise SourceUnavailableError(locator, "gone")

    with pytest.raises(SourceUnavailableError):
        store.add(wheel, Failing())
    assert _kept(tmp_path / "root") == {}

    assert store.add(wheel, FolderSource()).exists()


def test_an_interrupted_download_is_not_reused(store, wheel, tmp_path):
    """What a killed process left under the same name is thrown away."""
    places = Places(tmp_path / "root")
    left = places.beside("wheel", wheel.sha256)
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half of another download")

    assert hashlib.sha256(store.add(wheel, FolderSource()).read_bytes()).hexdigest() == wheel.sha256
    assert list(places.aside.iterdir()) == []


def test_a_source_may_begin_again(store, wheel):
    """As a broken connection does that cannot be resumed."""

    class Restarting(FolderSource):
        def fetch(self, locator, into, *, max_bytes):
            into.write(b"x" * 100)
            into.seek(-100, os.SEEK_CUR)
            into.truncate()
            super().fetch(locator, into, max_bytes=max_bytes)

    assert store.add(wheel, Restarting()).stat().st_size == wheel.size


def test_what_begins_again_is_hashed_as_it_lies(store, wheel, tmp_path):
    class Patching(FolderSource):
        def fetch(self, locator, into, *, max_bytes):
            super().fetch(locator, into, max_bytes=max_bytes)
            into.seek(0)
            into.write(b"XX")
            into.seek(0, os.SEEK_END)

    with pytest.raises(MismatchError, match="content"):
        store.add(wheel, Patching())
    assert _kept(tmp_path / "root") == {}


def test_a_damaged_wheel_is_removed_and_fetched_again_once(wheel, tmp_path):
    noted = []

    class Notes(Reporter):
        def noted(self, service, text):
            noted.append(text)

    source = FolderSource()
    path = Store(tmp_path / "root").add(wheel, source)
    _damage(path)
    store = Store(tmp_path / "root", Notes())

    assert store.wheel(wheel.sha256) is None
    assert not path.exists()
    assert store.add(wheel, source) == path
    assert hashlib.sha256(path.read_bytes()).hexdigest() == wheel.sha256
    assert len(source.fetched) == 2
    assert "damaged" in noted[0]


def test_a_wheel_damaged_between_fetch_and_unpacking_is_fetched_again(store, wheel):
    source = FolderSource()
    _damage(store.add(wheel, source))

    assert content_of(store.image(wheel))["good/__init__.py"] == b"x = 1\n"
    assert len(source.fetched) == 2


def test_a_damaged_wheel_of_an_unknown_source_is_told(store, wheel, tmp_path):
    _damage(Store(tmp_path / "root").add(wheel, FolderSource()))

    with pytest.raises(StorageError, match="must be fetched again"):
        store.image(wheel)


def test_a_wheel_is_unpacked_while_it_still_goes_to_the_disk(wheel, tmp_path):
    unpacked, images = threading.Event(), []

    class WaitsForTheImage(FileSystem):
        def flush(self, fd):
            assert unpacked.wait(20)
            super().flush(fd)

    store = Store(tmp_path / "root", files=WaitsForTheImage())

    def unpack():
        images.append(store.image(wheel))
        unpacked.set()

    thread = threading.Thread(target=unpack)
    store.add(wheel, FolderSource(), arrived=thread.start)
    thread.join()

    assert content_of(images[0])["good/__init__.py"] == b"x = 1\n"
    assert store.image(wheel) == images[0]


def test_a_wheel_that_is_no_more_than_verified_is_not_kept(wheel, tmp_path):
    """Its arrival was told, and then the disk refused it: nothing of it is there, and no descriptor open."""
    root, told = tmp_path / "root", []
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    with pytest.raises(StorageError):
        Store(root, files=FaultyFileSystem("flush")).add(
            wheel, FolderSource(), arrived=lambda: told.append(wheel)
        )

    assert told == [wheel]
    assert _kept(root) == {}
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) <= before


def test_a_wheel_that_differs_never_arrives(store, wheel):
    other, told = replace(wheel, sha256="0" * 64), []
    with pytest.raises(MismatchError):
        store.add(other, FolderSource(), arrived=lambda: told.append(other))
    assert not told


def test_a_hash_that_is_none_never_becomes_a_path(store, tmp_path):
    with pytest.raises(MismatchError, match="64 hexadecimal digits"):
        store.blob("../../../etc/passwd", 1, FolderSource())
    assert not (tmp_path / "root").exists()


# --- images -------------------------------------------------------------------------


def test_an_image_is_the_wheel_unpacked_once(store, wheel, tmp_path):
    store.add(wheel, FolderSource())
    image = store.image(wheel)
    made = image.stat().st_ino

    assert {path: content for path, content in content_of(image).items() if path.startswith("good/")} == {
        path: content.encode() if isinstance(content, str) else content for path, content in FILES.items()
    }
    assert store.image(wheel) == Store(tmp_path / "root").image(wheel) == image
    assert image.stat().st_ino == made


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "a bomb"])
def test_a_hostile_wheel_never_becomes_an_image(name, tmp_path):
    kind, build = HOSTILE[name]
    wheel = _any_locked(build(tmp_path / "wheels"))
    store = Store(tmp_path / "root")
    store.add(wheel, FolderSource())
    before = _kept(tmp_path / "root")

    with pytest.raises(WheelRefusedError, match=kind):
        store.image(wheel)

    assert _kept(tmp_path / "root") == before
    assert [path.name for path in tmp_path.iterdir()] in (["wheels", "root"], ["root", "wheels"])


def test_what_the_host_allows_becomes_an_image(tmp_path):
    _, build = HOSTILE["a .pth"]
    wheel = _any_locked(build(tmp_path / "wheels"))
    store = Store(tmp_path / "root", allow=frozenset({f"{wheel.sha256}:pth-file"}))
    store.add(wheel, FolderSource())

    assert "evil.pth" in content_of(store.image(wheel))


@pytest.mark.parametrize("harm", ["content", "end", "no end", "empty", "a folder"])
def test_a_damaged_image_is_renewed(harm, store, wheel):
    store.add(wheel, FolderSource())
    image = store.image(wheel)
    _harm(image, harm)

    renewed = store.renew(wheel)

    assert content_of(renewed)["good/sub/data.bin"] == FILES["good/sub/data.bin"]


def test_an_image_that_is_not_damaged_stays(store, wheel):
    store.add(wheel, FolderSource())
    made = store.image(wheel).stat().st_ino

    assert store.renew(wheel).stat().st_ino == made


def test_many_threads_unpack_once(store, wheel, tmp_path):
    store.add(wheel, FolderSource())
    inodes, failures = set(), []

    def work():
        try:
            inodes.add(Store(tmp_path / "root").image(wheel).stat().st_ino)
        except Exception as exc:  # noqa: BLE001 - a thread tells the test
            failures.append(exc)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failures
    assert len(inodes) == 1


# --- data -----------------------------------------------------------------------------


def test_data_is_fetched_once_by_its_hash(store, tmp_path):
    content = b"rates" * 1000
    sha256 = hashlib.sha256(content).hexdigest()
    (tmp_path / sha256).write_bytes(content)
    source = FolderSource(blobs=tmp_path)

    path = store.blob(sha256, len(content), source)

    assert path.read_bytes() == content
    assert store.blob(sha256, len(content), FolderSource()) == path
    assert len(source.fetched) == 1


def test_data_that_nobody_has_is_none(store, tmp_path):
    assert store.blob("0" * 64, 5, FolderSource()) is None
    assert _kept(tmp_path / "root") == {}


def test_data_that_differs_is_not_kept(store, tmp_path):
    (tmp_path / ("0" * 64)).write_bytes(b"other")
    with pytest.raises(MismatchError):
        store.blob("0" * 64, 5, FolderSource(blobs=tmp_path))
    assert _kept(tmp_path / "root") == {}


# --- a disk that fails ----------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("call", ["create", "write", "flush", "rename", "lock"])
def test_a_fetch_that_cannot_be_stored_leaves_nothing(call, number, wheel, tmp_path):
    root = tmp_path / "root"
    with pytest.raises(StorageError) as told:
        Store(root, files=FaultyFileSystem(call, number=number)).add(wheel, FolderSource())

    assert told.value.reason == os.strerror(number)
    assert str(root) in told.value.path
    assert _kept(root) == {}
    assert Store(root).add(wheel, FolderSource()).exists()


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("call", ["create", "write", "rename"])
def test_an_image_that_cannot_be_stored_leaves_nothing(call, nth, wheel, tmp_path):
    root = tmp_path / "root"
    Store(root).add(wheel, FolderSource())
    before = _kept(root)
    files = FaultyFileSystem(call, nth, errno.ENOSPC)

    with contextlib.suppress(StorageError):
        Store(root, files=files).image(wheel)

    if files.failed:
        assert _kept(root) == before
    assert "good/__init__.py" in content_of(Store(root).image(wheel))


def test_a_wheel_that_is_cut_off_while_it_is_unpacked_is_an_error_and_fetched_again(
    wheel, tmp_path, monkeypatch
):
    """And not a signal that ends the process: by then the wheel was verified, and is open."""
    monkeypatch.setattr("rldlib.adapters.store._WHOLE_BYTES", 0)
    root, source = tmp_path / "root", FolderSource()
    path = Store(root).add(wheel, source)

    class CutsOff(FileSystem):
        def create(self, name, mode=0o666):
            path.chmod(0o644)
            os.truncate(path, 10)
            return super().create(name, mode)

    store = Store(root, files=CutsOff())
    with pytest.raises(StorageError, match="cut off") as told:
        store.image(wheel)

    assert told.value.path == str(path)
    assert not [*(root / "tmp").iterdir(), *root.glob("store/images/*")]
    again = Store(root)
    again.add(wheel, source)
    assert content_of(again.image(wheel))["good/__init__.py"] == b"x = 1\n"


def test_a_lock_that_is_held_is_not_waited_for_for_ever(store, wheel, tmp_path, monkeypatch):
    monkeypatch.setattr("rldlib.adapters.store._FETCH_DEADLINE_S", 0.05)
    held = HostLock(Places(tmp_path / "root").lock("wheel", wheel.sha256))
    with held, pytest.raises(StorageError, match="another process held this lock"):
        store.add(wheel, FolderSource())


def _damage(path):
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[:-3] + b"???")


def _harm(image, harm):
    content = bytearray(image.read_bytes())
    image.chmod(0o644)
    match harm:
        case "content":
            content[0] ^= 1
        case "end":
            content[-20] ^= 1
        case "no end":
            content = content[: len(content) // 2]
        case "empty" | "a folder":
            content = bytearray()
    image.write_bytes(content)
    if harm == "a folder":  # what earlier versions made
        image.unlink()
        image.mkdir()


def _any_locked(path):
    from rldlib.values.lock import LockedWheel

    content = path.read_bytes()
    return LockedWheel(
        name="evil",
        version="1.0",
        filename=path.name,
        locator=str(path),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
    )
