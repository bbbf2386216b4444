from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from rldlib.adapters.journal import Journal
from rldlib.errors import StorageError


def test_decisions_come_back_in_order_and_only_of_their_service(tmp_path):
    journal = Journal(tmp_path / "root")
    journal.record("tax", "refused", {"needed": 2})
    journal.record("list", "acquired", {})
    journal.record("tax", "acquired", {"version": "1.0"})

    told = Journal(tmp_path / "root").decisions("tax")

    assert [(one["kind"], one.get("needed"), one.get("version")) for one in told] == [
        ("refused", 2, None),
        ("acquired", None, "1.0"),
    ]


def test_half_a_character_from_a_worker_is_kept_and_harms_nothing(tmp_path):
    journal = Journal(tmp_path)
    journal.record("tax", "failed", {"reason": "half \ud800", "\udfff": 1})

    (kept,) = journal.decisions("tax")
    assert (kept["reason"], kept["\udfff"]) == ("half \ud800", 1)
    assert [path.name for path in tmp_path.glob("journal*")] == ["journal.sqlite"]


def test_a_service_that_was_never_decided_about_has_no_history_and_makes_no_file(tmp_path):
    assert Journal(tmp_path / "root").decisions("tax") == ()
    Journal(tmp_path / "root").forget("tax")
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_decisions_are_dropped_beyond_a_bound(tmp_path):
    journal = Journal(tmp_path)
    for number in range(230):
        journal.record("tax", "acquired", {"number": number})

    kept = [one["number"] for one in journal.decisions("tax")]

    assert kept == list(range(30, 230))


def test_a_forgotten_service_leaves_the_others(tmp_path):
    journal = Journal(tmp_path)
    journal.record("tax", "acquired", {})
    journal.record("list", "acquired", {})

    journal.forget("tax")

    assert journal.decisions("tax") == ()
    assert len(journal.decisions("list")) == 1


def test_many_threads_record_at_once(tmp_path):
    journal = Journal(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: journal.record("tax", "acquired", {"number": number}), range(40)))

    assert sorted(one["number"] for one in journal.decisions("tax")) == list(range(40))


def test_a_root_that_cannot_be_written_is_a_storage_error_with_its_path(tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StorageError, match=r"file/journal\.sqlite"):
        Journal(tmp_path / "file").record("tax", "acquired", {})
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda data: b"this is no database" * 100, id="other bytes"),
        pytest.param(lambda data: data[:100] + bytes(len(data) - 100), id="zeros behind its header"),
        pytest.param(lambda data: data[: len(data) // 2], id="truncated"),
        pytest.param(lambda data: data.replace(b'{"number"', b'{"number\xff'), id="a text that is none"),
        pytest.param(lambda data: data.replace(b'{"number"', b"??number??"[:9]), id="facts that are none"),
    ],
)
def test_a_damaged_journal_is_moved_aside_and_begun_anew_and_said(harm, tmp_path, caplog):
    journal = Journal(tmp_path)
    for number in range(40):
        journal.record("tax", "acquired", {"number": number})
    path = tmp_path / "journal.sqlite"
    damaged = harm(path.read_bytes())
    path.write_bytes(damaged)

    assert journal.decisions("tax") == ()
    journal.record("tax", "acquired", {"number": 41})

    assert [one["number"] for one in journal.decisions("tax")] == [41]
    assert (tmp_path / "journal.damaged").read_bytes() == damaged
    assert "was moved to journal.damaged and begun anew" in caplog.text


def test_an_empty_file_is_a_journal_without_entries(tmp_path):
    """What a power cut leaves of one that was just made."""
    (tmp_path / "journal.sqlite").write_bytes(b"")
    journal = Journal(tmp_path)
    journal.record("tax", "acquired", {})

    assert len(journal.decisions("tax")) == 1
    assert not (tmp_path / "journal.damaged").exists()


def test_what_others_began_anew_is_left_to_them(tmp_path):
    (tmp_path / "journal.sqlite").write_bytes(b"this is no database" * 100)
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda number: Journal(tmp_path).record("tax", "acquired", {"number": number}), range(16)
            )
        )

    assert len(Journal(tmp_path).decisions("tax")) == 16
