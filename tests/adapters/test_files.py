"""Atomic files and folders, and locks that die with their holder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from tests.store.faulty import FaultyFileSystem

from rldlib.adapters.files import (
    FileSystem,
    HostLock,
    erase,
    make_apart,
    opened,
    publish,
    remove_tree,
    replace_atomically,
    share,
    sweep,
    write_file,
)
from rldlib.errors import StorageError

HOLD = """
import sys, time
from pathlib import Path
from rldlib.adapters.files import HostLock
with HostLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock ``tmp_path / "lock"``."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "deep" / "file"
    replace_atomically(path, b"old")
    replace_atomically(path, b"new")

    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_writer_left_is_removed_by_a_later_one_and_what_is_being_written_is_not(tmp_path):
    path = tmp_path / "file"
    left, written = (tmp_path / f"file.{letter * 16}.tmp" for letter in "0f")
    others = {tmp_path / "file.tmp", tmp_path / "file.notes.tmp", tmp_path / f"other.{'0' * 16}.tmp"}
    for one in (left, written, *others):
        one.write_bytes(b"half")

    with HostLock(written):
        replace_atomically(path, b"new")

    assert set(tmp_path.iterdir()) == {path, written, *others}
    assert set(sweep(tmp_path)) == {str(written), f"{tmp_path}/other.{'0' * 16}.tmp"}
    assert sweep(tmp_path / "nothing") == []


def test_a_writer_whose_file_is_swept_up_as_it_begins_writes_it_again(tmp_path):
    """Between its creation and its lock it looks like what a killed process left."""

    class Swept(FileSystem):
        times = 0

        def lock(self, fd, *, shared=False):
            if self.times == 0:
                self.times += 1
                assert len(sweep(tmp_path)) == 1
            return super().lock(fd, shared=shared)

    replace_atomically(tmp_path / "file", b"new", files=Swept())

    assert (tmp_path / "file").read_bytes() == b"new"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("call", ["create", "write", "flush", "rename"])
def test_a_replacement_that_fails_leaves_the_old_file(call, number, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    with pytest.raises(StorageError) as told:
        replace_atomically(path, b"new", files=FaultyFileSystem(call, number=number))

    assert str(tmp_path) in told.value.path
    assert told.value.reason == os.strerror(number)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_readers_see_the_old_or_the_new_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    contents = {bytes([letter]) * 50_000 for letter in b"ab"}
    replace_atomically(path, b"a" * 50_000)
    stop = threading.Event()
    seen = set()

    def read():
        while not stop.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for round_ in range(20):
        replace_atomically(path, (b"a" if round_ % 2 else b"b") * 50_000)
    stop.set()
    reader.join()

    assert seen <= contents


def test_a_folder_is_published_whole(tmp_path):
    beside = tmp_path / "tmp" / "thing"
    (beside / "inner").mkdir(parents=True)
    for number in range(40):
        write_file(str(beside / "inner" / str(number)), b"content")

    publish(beside, tmp_path / "things" / "key")

    assert not beside.exists()
    assert len(list((tmp_path / "things" / "key" / "inner").iterdir())) == 40


def test_a_folder_that_cannot_be_renamed_is_not_published(tmp_path):
    beside = tmp_path / "thing"
    beside.mkdir()
    write_file(str(beside / "file"), b"content")

    with pytest.raises(StorageError, match="No space left"):
        publish(beside, tmp_path / "things" / "key", files=FaultyFileSystem("rename"))

    assert not (tmp_path / "things" / "key").exists()


def test_a_temporary_folder_on_another_file_system_is_told(tmp_path):
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    with tempfile.TemporaryDirectory(dir=memory) as elsewhere:
        beside = Path(elsewhere) / "thing"
        beside.mkdir()
        with pytest.raises(StorageError, match="cross-device"):
            publish(beside, tmp_path / "thing")
    assert not (tmp_path / "thing").exists()


def test_what_is_removed_is_gone_at_once_and_aside_when_that_fails(tmp_path, monkeypatch):
    place, aside = tmp_path / "thing", tmp_path / "tmp"
    place.mkdir()
    (place / "file").write_bytes(b"")

    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("rldlib.adapters.files.folders.erase", interrupted)
    with pytest.raises(KeyboardInterrupt):
        remove_tree(place, aside)

    assert not place.exists()
    assert [path.name[:5] for path in aside.iterdir()] == ["gone-"]


def test_a_name_is_gone_from_the_disk_before_what_lay_under_it(tmp_path, monkeypatch):
    """Else a power cut could give the name back, with a part of its content."""
    place, did = tmp_path / "things" / "thing", []
    place.mkdir(parents=True)

    class Told(FileSystem):
        def flush(self, fd):
            did.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
            super().flush(fd)

    monkeypatch.setattr("rldlib.adapters.files.folders.erase", lambda path: did.append("erased"))
    remove_tree(place, tmp_path / "tmp", files=Told())

    assert did == [str(place.parent), "erased"]


def test_removing_what_is_not_there_is_fine(tmp_path):
    remove_tree(tmp_path / "nothing", tmp_path / "tmp")
    erase(tmp_path / "nothing")


def test_removing_a_link_leaves_what_it_points_at(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")
    erase(tmp_path / "link")

    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


class Spreads(FileSystem):
    """One that knows how to keep folders apart, or does not."""

    def __init__(self, *, known=True, full=False):
        self.known, self.full = known, full

    def spread(self, folder):
        if not self.known:
            raise OSError(errno.ENOTTY, "no such thing here")

    def rename(self, source, target):
        if self.full:
            raise OSError(errno.ENOSPC, "full")
        super().rename(source, target)


@pytest.mark.parametrize("known", [True, False])
def test_a_folder_is_made_apart_from_others_and_what_a_kill_left_of_it_goes(known, tmp_path):
    (tmp_path / "new.0123").mkdir()
    (tmp_path / "newer").mkdir()
    make_apart(tmp_path / "new", files=Spreads(known=known))
    assert {path.name for path in tmp_path.iterdir()} == {"new", "newer"}


def test_a_folder_that_cannot_have_its_name_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="full"):
        make_apart(tmp_path / "new", files=Spreads(full=True))
    assert not [*tmp_path.iterdir()]


def test_a_folder_may_be_told_to_keep_its_folders_apart_again_and_again(tmp_path):
    for _ in range(2):
        with contextlib.suppress(OSError):  # not every file system knows
            FileSystem().spread(str(tmp_path))
    (tmp_path / "inner").mkdir()


def test_an_open_file_reads_as_its_bytes_do(tmp_path):
    content = bytes(range(256)) * 3000
    (tmp_path / "file").write_bytes(content)
    with opened(tmp_path / "file") as data:
        assert len(data) == len(content)
        for part in (
            slice(0, 10),
            slice(-5, len(content)),
            slice(700_000, 2**63),
            slice(9, 3),
            slice(2**62, 2**63),
        ):
            assert data[part] == content[part]
        assert b"".join(map(bytes, data.chunks(7, 600_000))) == content[7:600_007]
        assert data.sha256() == hashlib.sha256(content).hexdigest()


def test_an_empty_file_can_be_read(tmp_path):
    (tmp_path / "empty").touch()
    with opened(tmp_path / "empty") as data:
        assert len(data) == 0
        assert data[:5] == b""


def test_a_file_that_is_cut_off_while_it_is_read_is_an_error(tmp_path):
    """And not a signal that ends the process, as it would be in a mapping."""
    (tmp_path / "file").write_bytes(bytes(1_000_000))
    with opened(tmp_path / "file") as data:
        os.truncate(tmp_path / "file", 4096)
        for read in (lambda: data[500_000:500_001], lambda: data.read(0, 5000), data.sha256):
            with pytest.raises(StorageError, match="cut off"):
                read()


# --- sharing ---------------------------------------------------------------------------


def test_the_large_ones_are_done_once_by_any_thread_and_the_small_ones_by_this_one():
    done, small = [], []
    share(lambda: small.append(threading.get_ident()), range(50), done.append, lambda _: 10**6)

    assert sorted(done) == list(range(50))
    assert small == [threading.get_ident()]


@pytest.mark.parametrize("size", [1, 10**9], ids=["alone", "shared"])
@pytest.mark.parametrize("where", ["small", "large"])
def test_what_fails_in_any_thread_is_told_and_nothing_is_begun_after(where, size):
    done = []

    def small():
        if where == "small":
            raise OSError(errno.EIO, "no more")

    def large(number):
        done.append(number)
        raise OSError(errno.EIO, "no more")

    with pytest.raises(OSError, match="no more"):
        share(small, range(10_000), large, lambda _: size)

    assert len(done) < 20


def test_two_threads_of_a_process_exclude_each_other(tmp_path):
    inside = most = 0
    guard = threading.Lock()

    def work():
        nonlocal inside, most
        for _ in range(20):
            with HostLock(tmp_path / "locks" / "one"):
                with guard:
                    inside += 1
                    most = max(most, inside)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == 1


def test_a_lock_of_another_process_is_waited_for_until_the_deadline(holder, tmp_path):
    began = time.monotonic()
    with (
        pytest.raises(StorageError, match=r"held this lock for 0\.05 s"),
        HostLock(tmp_path / "lock", deadline_s=0.05),
    ):
        pass
    assert 0.05 <= time.monotonic() - began < 5
    assert not HostLock(tmp_path / "lock").attempt()


def test_a_lock_is_free_once_its_holder_is_killed(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    with HostLock(tmp_path / "lock", deadline_s=10):
        pass
    assert (tmp_path / "lock").exists()


def test_a_lock_is_free_though_a_fork_inherited_it(tmp_path):
    """The child closes its copy; it does not take the parent's lock away either."""
    reading, writing = os.pipe()
    with HostLock(tmp_path / "lock"):
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
        os.close(reading)
        assert not HostLock(tmp_path / "lock").attempt()
    try:
        with HostLock(tmp_path / "lock", deadline_s=0):
            pass
    finally:
        os.close(writing)
        os.waitpid(child, 0)


def test_a_program_that_is_started_does_not_inherit_a_lock(tmp_path):
    lock = HostLock(tmp_path / "lock")
    with lock:
        process = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with HostLock(tmp_path / "lock", deadline_s=0):
            pass
    finally:
        process.kill()
        process.wait()


def test_locks_that_do_not_work_are_told(tmp_path):
    with pytest.raises(StorageError, match="No locks available"):
        HostLock(tmp_path / "lock", files=FaultyFileSystem("lock", number=errno.ENOLCK)).attempt()


def test_a_lock_that_cannot_be_unlocked_is_let_go_by_closing_it(tmp_path, monkeypatch):
    def refuse(fd, how):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    lock = HostLock(tmp_path / "lock")
    assert lock.attempt()
    with monkeypatch.context() as patch:
        patch.setattr("rldlib.adapters.files.locks.fcntl.flock", refuse)
        lock.release()

    again = HostLock(tmp_path / "lock")
    assert again.attempt()
    again.release()
