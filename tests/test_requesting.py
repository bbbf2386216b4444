"""The first flow, from the asking side: support, profile, resources, receipt, and the service is here."""

from __future__ import annotations

import hashlib
import json

import pytest

from rldlib.errors import (
    CapacityError,
    MismatchError,
    NoSupportError,
    ServiceNotFoundError,
    SourceUnavailableError,
    UsageError,
)
from tests.peers import Next, Responding, daemon
from tests.services import service_wheel


@pytest.fixture
def there(tmp_path):
    there = Responding(tmp_path / "offered", tmp_path / "responder")
    yield there
    there.close()


@pytest.fixture
def peer(there):
    return Next(there)


def files(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_the_first_flow_step_by_step(tmp_path, there, peer):
    wheel = service_wheel(there.wheels)
    with daemon(tmp_path / "requestor", peer) as local:
        echo = local.acquire("echo>=1.0")
        assert echo.call("echo", value=[1, "two"]) == [1, "two"]
        assert echo.placement == "local"
        steps = [step["name"] for step in local.steps("echo")]
        (decision,) = local.why("echo")

    assert steps == ["ask", "decide", "lock", "promise", "fetch", "environment", "acknowledge", "start"]
    (asked,) = peer.asked
    assert (asked.service, asked.specifier, asked.wish) == ("echo", ">=1.0", "local")
    assert decision["source"] == peer.identity
    assert decision["trust"] == "root"
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert peer.fetched == [sha256]
    (row,) = there.ledger.rows()
    assert (row["domain"], row["service"], row["version"]) == (asked.domain, "echo", "1.0")
    assert row["resources"] == [sha256]
    assert row["profile_digest"] == hashlib.sha256(there.signed.targets["profiles/echo/1.0.json"]).hexdigest()
    assert row["released_at"] is None


def test_what_is_here_already_is_started_without_asking_anybody(tmp_path, there, peer):
    service_wheel(there.wheels)
    with daemon(tmp_path / "requestor", peer) as local:
        local.prepare("echo")
    peer.silent = True
    asked, heard = list(peer.asked), list(peer.heard)
    with daemon(tmp_path / "requestor", peer) as local:
        assert local.acquire("echo").call("echo", value=1) == 1
        assert local.acquire("echo").call("echo", value=2) == 2
    assert (peer.asked, peer.heard) == (asked, heard)


def test_a_refusal_costs_the_profile_alone(tmp_path, there, peer):
    service_wheel(there.wheels, demand={"memory_peak_bytes": 2**59}, files={"large.bin": b"x" * 1_000_000})
    with daemon(tmp_path / "requestor", peer) as local, pytest.raises(CapacityError):
        local.acquire("echo")
    assert peer.fetched == []
    assert peer.received_bytes < 2_000
    assert there.ledger.rows() == ()
    assert [name for name in files(tmp_path / "requestor") if name.startswith(("store", "services"))] == []


def test_a_lost_receipt_is_said_again_and_makes_one_row(tmp_path, there, peer):
    service_wheel(there.wheels)
    service_wheel(there.wheels, "second")
    peer.deaf = True
    with daemon(tmp_path / "requestor", peer) as local:
        local.prepare("echo")
        (decision,) = local.why("echo")
    assert there.ledger.rows() == ()
    assert "will be said again" in decision["notes"][0]

    peer.deaf = False
    with daemon(tmp_path / "requestor", peer) as local:
        local.prepare("second")
    assert [row["service"] for row in there.ledger.rows()] == ["echo", "second"]
    assert [name for name in files(tmp_path / "requestor") if name.startswith("receipts")] == []


def test_a_release_is_told_to_who_gave_it(tmp_path, there, peer):
    service_wheel(there.wheels)
    with daemon(tmp_path / "requestor", peer) as local:
        local.prepare("echo")
        local.release("echo")
    (row,) = there.ledger.rows()
    assert row["acknowledged_at"] < row["released_at"]


def test_responders_are_asked_in_their_order_and_then_the_index(tmp_path, there, peer):
    other = Responding(tmp_path / "others", tmp_path / "other", name="e")
    second = Next(other)
    wheels = tmp_path / "wheels"
    service_wheel(there.wheels, "one")
    service_wheel(other.wheels, "two")
    service_wheel(wheels, "three")
    with daemon(tmp_path / "requestor", peer, second, wheels=wheels) as local:
        for service in ("one", "two", "three"):
            local.prepare(service)
        came = {service: local.why(service)[0] for service in ("one", "two", "three")}
    other.close()
    assert came["one"]["source"] == peer.identity
    assert came["two"]["source"] == second.identity
    assert [refusal["who"] for refusal in came["two"]["refusals"]] == [peer.identity]
    assert came["three"]["source"] == str(wheels)
    assert [refusal["who"] for refusal in came["three"]["refusals"]] == [peer.identity, second.identity]


def test_where_nobody_gives_it_all_are_told(tmp_path, there, peer):
    service_wheel(there.wheels)
    silent = Next(there)
    silent.silent = True
    with daemon(tmp_path / "requestor", silent, peer, wheels=there.wheels) as local:
        with pytest.raises(NoSupportError) as caught:
            local.prepare("unknown")
        assert caught.value.exit_status == 4
        assert [who for who, _ in caught.value.refusals] == [
            peer.identity,
            peer.identity,
            str(there.wheels),
        ]
        assert json.dumps(local.why("unknown"))
    with daemon(tmp_path / "requestor", peer) as local, pytest.raises(ServiceNotFoundError):
        local.prepare("unknown")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        pytest.param({"service": "other"}, "the service of the lock", id="service"),
        pytest.param({"version": "2.0"}, "the version of the lock", id="version"),
        pytest.param({"interpreter": "cpython-3.1-linux-x"}, "the interpreter of the lock", id="host"),
        pytest.param({"source": "rldlib:other"}, "the source of the lock", id="domain"),
    ],
)
def test_a_signed_lock_that_is_not_the_one_asked_for_is_refused(tmp_path, there, peer, changed, told):
    from dataclasses import replace

    service_wheel(there.wheels)
    honest = peer.support

    def support(asked):
        given = honest(asked)
        return replace(given, lock=replace(given.lock, **changed))

    peer.support = support
    with daemon(tmp_path / "requestor", peer) as local, pytest.raises(MismatchError, match=told):
        local.prepare("echo")
    assert peer.fetched == []
    assert there.ledger.rows() == ()
    assert [name for name in files(tmp_path / "requestor") if name.startswith(("store", "services"))] == []


def test_who_performs_it_for_others_only_gives_no_lock_and_the_next_one_is_asked(tmp_path, there, peer):
    from dataclasses import replace

    service_wheel(there.wheels)
    honest = peer.support
    peer.support = lambda asked: replace(honest(asked), lock=None)
    with daemon(tmp_path / "requestor", peer, wheels=there.wheels) as local:
        local.prepare("echo")
        (decision,) = local.why("echo")
    assert decision["source"] == str(there.wheels)


def test_a_responder_that_falls_silent_before_the_wheels_came_leaves_nothing_half_done(tmp_path, there, peer):
    service_wheel(there.wheels)

    def fetch(locator, into, *, max_bytes):
        into.write(b"PK")
        raise SourceUnavailableError(peer.identity, "it is gone")

    peer.fetch = fetch
    with daemon(tmp_path / "requestor", peer) as local:
        with pytest.raises(SourceUnavailableError):
            local.acquire("echo")
        assert there.ledger.rows() == ()
        del peer.fetch
        assert local.acquire("echo").call("echo", value=1) == 1
    assert len(there.ledger.rows()) == 1


def test_without_its_responder_a_service_whose_wheels_are_gone_names_who_has_them(tmp_path, there, peer):
    service_wheel(there.wheels)
    with daemon(tmp_path / "requestor", peer) as local:
        prepared = local.prepare("echo")
    import shutil

    shutil.rmtree(prepared["environment"])
    shutil.rmtree(tmp_path / "requestor" / "store")
    with daemon(tmp_path / "requestor") as local, pytest.raises(UsageError, match=peer.identity):
        local.acquire("echo")
