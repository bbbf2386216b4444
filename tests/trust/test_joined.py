from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from rldlib.adapters.trust.joined import Joined
from rldlib.errors import StorageError
from rldlib.values.join import JoinString

ONE = JoinString(host="one.internal", port=8443, root_sha256="a" * 64, minimum=5)
TWO = JoinString(host="two.internal", port=8443, root_sha256="b" * 64)


def test_who_was_joined_is_kept_in_order(tmp_path):
    assert Joined(tmp_path).all() == ()

    assert Joined(tmp_path).add(ONE) is True
    assert Joined(tmp_path).add(TWO) is True

    assert Joined(tmp_path).all() == (ONE, TWO)


def test_joining_twice_changes_nothing_but_a_higher_minimum(tmp_path):
    joined = Joined(tmp_path)
    joined.add(ONE)
    written = (tmp_path / "trust" / "joined.json").stat().st_mtime_ns

    assert joined.add(ONE) is False
    assert joined.add(replace(ONE, minimum=2)) is False
    assert (tmp_path / "trust" / "joined.json").stat().st_mtime_ns == written
    assert joined.add(replace(ONE, minimum=9)) is True
    assert joined.all() == (replace(ONE, minimum=9),)


def test_another_domain_at_the_same_address_is_another_domain(tmp_path):
    joined, other = Joined(tmp_path), replace(ONE, root_sha256="c" * 64)
    joined.add(ONE)

    assert joined.add(other) is True
    assert joined.add(replace(ONE, host="other.internal")) is True
    assert len(joined.all()) == 3
    assert joined.remove(other) is True
    assert joined.remove(other) is False
    assert joined.all() == (ONE, replace(ONE, host="other.internal"))


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"[1]", b'["https://one.internal"]', b"\xff"])
def test_a_damaged_list_is_told_and_not_written_over(tmp_path, content):
    joined = Joined(tmp_path)
    joined.add(ONE)
    (tmp_path / "trust" / "joined.json").write_bytes(content)
    if content == b"{}":
        assert joined.all() == ()
        return

    for use in (joined.all, lambda: joined.add(TWO)):
        with pytest.raises(StorageError, match="join again"):
            use()
    assert (tmp_path / "trust" / "joined.json").read_bytes() == content


def test_many_may_join_at_once(tmp_path):
    joins = [replace(ONE, port=port) for port in range(1, 25)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: Joined(tmp_path).add(one), joins))

    assert set(Joined(tmp_path).all()) == set(joins)
