"""What a service author can do without any worker."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest

from rldlib import plugin
from rldlib.plugin import Resources, Service, cancelled, operation, progress


class Tax(Service):
    """As an author writes one."""

    def start(self, resources):
        self.rates = resources.json("rates")

    @property
    def ruins(self):
        raise AssertionError("asked of the instance")

    @operation
    def plain(self):
        return 1

    @operation(idempotent=True, cache_for=timedelta(hours=1), media_type="text/csv")
    def full(self, state: str):
        return self.rates[state]

    @staticmethod
    @operation
    def static(value):
        return value

    def helper(self):
        return None


class Better(Tax):
    @operation(cache_for=5)
    def plain(self):
        return 2


class Narrower(Tax):
    plain = None


@pytest.fixture
def rates(tmp_path):
    path = tmp_path / "rates.json"
    path.write_text('{"WA": "6.5", "é": 1}', encoding="utf-8")
    return Resources([{"name": "rates", "path": str(path)}, {"name": "other", "path": str(path)}])


def test_a_service_is_an_ordinary_class(rates):
    service = Tax()
    service.start(rates)

    assert service.full("WA") == "6.5"
    assert (service.check(), service.stop()) == (None, None)


def test_its_operations_are_its_marked_methods():
    assert list(Tax().operations()) == ["plain", "full", "static"]
    assert Better().operations()["plain"]() == 2
    assert "plain" not in Narrower().operations()


def test_what_the_mark_said_can_be_read():
    assert plugin.facts_of(Tax().full) == {"idempotent": True, "cache_for_s": 3600, "media_type": "text/csv"}
    assert plugin.facts_of(Better().plain) == {"idempotent": False, "cache_for_s": 5, "media_type": None}
    assert plugin.facts_of(len) == {"idempotent": False, "cache_for_s": None, "media_type": None}


def test_an_answer_cannot_be_true_for_less_than_no_time():
    with pytest.raises(ValueError, match="-1 seconds"):
        operation(cache_for=timedelta(seconds=-1))


def test_resources_are_read_by_name(rates):
    assert rates.names == ("rates", "other")
    assert rates.path("rates").endswith("rates.json")
    assert rates.bytes("rates").startswith(b"{")
    assert rates.text("rates") == '{"WA": "6.5", "é": 1}'
    assert rates.json("rates")["WA"] == "6.5"


@pytest.mark.parametrize("read", ["path", "bytes", "text", "json"])
def test_an_unknown_resource_is_told_with_those_there_are(read, rates):
    with pytest.raises(KeyError, match="rates, other"):
        getattr(rates, read)("rate")
    with pytest.raises(KeyError, match="none"):
        getattr(Resources(), read)("rate")


def test_without_a_call_nothing_is_cancelled_and_progress_goes_nowhere():
    assert cancelled() is False
    assert progress(1, 2, "x") is None


def test_hookimpl_marks_for_the_installed_pluggy():
    import pluggy

    @plugin.hookimpl
    def start(resources): ...

    manager = pluggy.PluginManager("rldlib")
    assert manager.parse_hookimpl_opts(type("M", (), {"start": staticmethod(start)}), "start")


def test_unknown_names_are_told():
    with pytest.raises(AttributeError, match="no_such"):
        plugin.no_such  # noqa: B018 - the look-up is what is tested


def test_importing_it_costs_no_pluggy():
    code = (
        "import sys, rldlib.plugin; print({'pluggy', 'dataclasses', 'typing', 'inspect'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-SIc", f"import sys; sys.path.append({_source()!r}); {code}"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert told.stdout.strip() == "set()"


def _source():
    from pathlib import Path

    return str(Path(plugin.__file__).parent.parent)
