from __future__ import annotations

import pytest

from rldlib.worker.output import OLDER, CappedLog, read_output


@pytest.fixture
def path(tmp_path):
    return tmp_path / "logs" / "worker.log"


@pytest.fixture
def log(path):
    log = CappedLog(str(path), 100)
    yield log
    log.close()


def test_what_was_written_is_read_in_order(log, path):
    log.write(b"one ")
    log.write(b"two")

    assert read_output(str(path)) == b"one two"


def test_the_oldest_gives_way_and_the_newest_stays(log, path):
    for number in range(1000):
        log.write(b"%04d\n" % number)

    kept = read_output(str(path))
    assert len(kept) <= 100
    assert kept.endswith(b"0998\n0999\n")
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, path.name + OLDER]


def test_more_than_fits_leaves_its_end(log, path):
    log.write(b"x" * 1000 + b"end")

    assert read_output(str(path)) == b"x" * 47 + b"end"


def test_the_next_worker_s_output_follows(log, path):
    log.write(b"the first. ")
    log.close()
    log.write(b"the second.")

    assert read_output(str(path)) == b"the first. the second."


def test_a_path_that_cannot_be_written_loses_output_and_nothing_else(tmp_path):
    (tmp_path / "file").touch()
    log = CappedLog(str(tmp_path / "file" / "worker.log"), 100)
    log.write(b"lost")
    log.close()

    assert (tmp_path / "file").read_bytes() == b""


def test_where_nothing_was_written_there_is_nothing(path):
    assert read_output(str(path)) == b""
