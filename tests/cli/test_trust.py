"""`rld join` and `rld trust`, as a user runs them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from tests.trust.responders import PROFILE, Responder

from rldlib.adapters.http import Http
from rldlib.adapters.trust.authority import Authority
from rldlib.adapters.trust.trusted import Trusted
from rldlib.cli.main import main

JOIN = f"rldlib://pricing.internal:8443#root-sha256={'ab' * 32}&min=3"


@pytest.fixture
def rld(tmp_path, capsys):
    """``rld(*arguments)``: status, and what ``--json`` printed; or text with ``plain``."""

    def run(*arguments, plain=False):
        status = main(["--root", str(tmp_path / "root"), *([] if plain else ["--json"]), *arguments])
        told = capsys.readouterr()
        return status, told.out if plain else json.loads(told.out)

    return run


def test_a_responder_is_remembered_once(rld, tmp_path):
    assert rld("join", JOIN) == (
        0,
        {
            "address": "pricing.internal:8443",
            "root_sha256": "ab" * 32,
            "minimum": 3,
            "join": JOIN,
            "new": True,
        },
    )
    assert rld("join", JOIN)[1]["new"] is False
    assert [entry["join"] for entry in rld("join", "--list")[1]] == [JOIN]
    assert rld("join", "--remove", JOIN)[1]["removed"] is True
    assert rld("join", "--remove", JOIN)[1]["removed"] is False
    assert rld("join", "--list")[1] == []


def test_people_are_told_in_words(rld):
    assert "nobody was joined" in rld("join", "--list", plain=True)[1]
    assert "is asked from now on" in rld("join", JOIN, plain=True)[1]
    assert "was joined already" in rld("join", JOIN, plain=True)[1]
    assert "pricing.internal:8443" in rld("join", "--list", plain=True)[1]
    told = rld("trust", "status", plain=True)[1]
    assert "this root signs nothing" in told
    assert "was not asked yet" in told
    assert "is asked no longer" in rld("join", JOIN, "--remove", plain=True)[1]


@pytest.mark.parametrize(
    "arguments", [("join",), ("join", JOIN, "--list"), ("join", "https://x"), ("trust",), ("trust", "rotate")]
)
def test_what_cannot_be_asked_is_a_usage_error_and_nothing_is_written(rld, tmp_path, arguments):
    status, told = rld(*arguments)

    assert (status, told["error"]["type"]) == (2, "UsageError")
    assert not (tmp_path / "root").exists()


def test_status_makes_nothing(rld, tmp_path):
    assert rld("trust", "status") == (0, {"own": None, "joined": []})
    assert not (tmp_path / "root").exists()


@pytest.mark.slow
def test_a_domain_is_seen_from_both_sides_and_its_keys_are_replaced(rld, tmp_path):
    authority = Authority(tmp_path / "root" / "trust" / "own", lambda: datetime.now(UTC))
    authority.publish(PROFILE, b"{}")
    with Responder(authority) as responder, Http() as http:
        join = authority.join(responder.url)
        rld("join", str(join))
        status, told = rld("trust", "status")
        assert (status, told["own"]["root_sha256"], told["own"]["targets"]) == (0, join.root_sha256, 1)
        assert told["joined"][0]["verified_at"] is None

        Trusted.of(tmp_path / "root", join, http).refresh()
        (domain,) = rld("trust", "status")[1]["joined"]
        assert domain["verified_at"].startswith("20")
        assert {role["role"]: role["version"] for role in domain["roles"]}["targets"] == 2

        status, told = rld("trust", "rotate")
        assert (status, set(told.values())) == (0, {"new key"})
        Trusted.of(tmp_path / "root", join, http).refresh()
        (domain,) = rld("trust", "status")[1]["joined"]
        assert {role["role"]: role["version"] for role in domain["roles"]}["root"] == 2
    told = rld("trust", "status", plain=True)[1]
    assert "this root signs 1 targets, 0 locks as domain" in told
    assert "verified last at" in told
    assert "new key" in rld("trust", "rotate", plain=True)[1]
