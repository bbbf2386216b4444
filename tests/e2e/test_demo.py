"""`rld demo`: the first flow, step by step, on the service that ships with rldlib."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.services import rld, rld_json

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# A network that nobody answers on: whoever used it would fail.
_NO_NETWORK = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "PIP_NO_INDEX": "1"}


def test_a_table_of_sales_tax_comes_step_by_step_without_a_network(tmp_path):
    told = rld_json("demo", "--root", tmp_path / "root", **_NO_NETWORK)

    assert [step["name"] for step in told["steps"]] == [
        *("ask", "decide", "lock", "promise", "fetch", "environment", "start", "call"),
    ]
    assert (told["service"], told["operation"], told["placement"]) == ("sales-tax", "table", "local")
    for row in told["result"]:
        assert Decimal(row["total"]) == Decimal(row["amount"]) + Decimal(row["tax"])
    assert told["result"][0] == {
        "state": "WA",
        "amount": "19.99",
        "rate": "0.065",
        "tax": "1.30",
        "total": "21.29",
    }


def test_the_demo_says_how_long_each_step_took_and_what_to_run_next(tmp_path):
    done = rld("demo", "--root", tmp_path / "root", **_NO_NETWORK)

    assert done.returncode == 0
    assert "how long each step took" in done.stdout
    assert "next: rld why sales-tax" in done.stdout


def test_the_demo_runs_from_any_folder_and_changes_none_but_its_root(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    assert rld("demo", "--root", tmp_path / "root", **_NO_NETWORK).returncode == 0
    assert list(elsewhere.iterdir()) == []
