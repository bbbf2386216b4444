"""Whatever is said, however often and in whatever order: one row tells the newest."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from rldlib.adapters.ledger import Ledger
from rldlib.errors import StorageError
from rldlib.values.support import Acknowledgement

ONE, TWO = "1" * 64, "2" * 64


def said(at, state="acknowledged", version="1.2.0", resources=(ONE,)):
    return Acknowledgement(
        service="sales-tax",
        version=version,
        profile_digest=TWO,
        resources=resources,
        state=state,
        at=f"2026-01-01T00:00:{at}Z",
        key="AAAA",
    )


def test_an_acknowledgement_makes_a_row(tmp_path):
    Ledger(tmp_path).record(ONE, said("01", resources=(TWO, ONE)))
    assert Ledger(tmp_path).rows() == (
        {
            "domain": ONE,
            "service": "sales-tax",
            "version": "1.2.0",
            "profile_digest": TWO,
            "resources": [ONE, TWO],
            "acknowledged_at": "2026-01-01T00:00:01.000000Z",
            "released_at": None,
        },
    )


def test_a_root_without_a_ledger_has_no_rows_and_stays_without(tmp_path):
    assert Ledger(tmp_path).rows() == ()
    assert list(tmp_path.iterdir()) == []


def test_a_repeated_acknowledgement_makes_one_row(tmp_path):
    ledger = Ledger(tmp_path)
    for _ in range(3):
        ledger.record(ONE, said("01"))
    ledger.record(ONE, said("02"))
    (row,) = ledger.rows()
    assert row["acknowledged_at"] == "2026-01-01T00:00:01.000000Z"


def test_each_domain_and_each_version_has_its_row(tmp_path):
    ledger = Ledger(tmp_path)
    for domain, version in itertools.product((TWO, ONE), ("1.3.0", "1.2.0")):
        ledger.record(domain, said("01", version=version))
    assert [(row["version"], row["domain"]) for row in ledger.rows()] == [
        ("1.2.0", ONE),
        ("1.2.0", TWO),
        ("1.3.0", ONE),
        ("1.3.0", TWO),
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_messages_in_any_order_tell_the_newest(tmp_path, order):
    heard = [said("01"), said("02.5", "released"), said("02")]
    ledger = Ledger(tmp_path)
    for at in order:
        ledger.record(ONE, heard[at])
    (row,) = ledger.rows()
    assert row["released_at"] == "2026-01-01T00:00:02.500000Z"


def test_what_was_released_and_taken_again_is_held_again(tmp_path):
    ledger = Ledger(tmp_path)
    for message in (said("01"), said("02", "released"), said("03")):
        ledger.record(ONE, message)
    (row,) = ledger.rows()
    assert (row["acknowledged_at"], row["released_at"]) == ("2026-01-01T00:00:03.000000Z", None)


def test_many_at_once_make_one_row_each(tmp_path):
    ledger = Ledger(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: ledger.record(f"{n % 5:064}", said(f"{n:02}")), range(40)))
    assert len(ledger.rows()) == 5


def test_a_ledger_that_is_none_is_an_error_with_its_path(tmp_path):
    (tmp_path / "ledger.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(StorageError, match=r"ledger\.sqlite"):
        Ledger(tmp_path).record(ONE, said("01"))
    with pytest.raises(StorageError, match=r"ledger\.sqlite"):
        Ledger(tmp_path).rows()
    assert (tmp_path / "ledger.sqlite").read_bytes() == b"no database" * 100
