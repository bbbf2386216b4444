"""A host's own plugins: found by their entry points, checked whole, asked, and never believed blindly."""

from __future__ import annotations

import sys

import pytest

from rldlib.adapters.host_plugins import HostPlugins
from rldlib.errors import UsageError
from rldlib.rules.placement import heed, place
from rldlib.values.placement import Opinion, Situation

MARKED = "from rldlib.plugin import hookimpl\n\n"
HOME = f"""{MARKED}
@hookimpl
def place(service, proposed):
    return "local" if service == "sales-tax" else None
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """``install(name, code, object="")``: a distribution with a plugin, as pip would leave it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(name, code, attribute=""):
        module = f"rldlib_test_{name}"
        (tmp_path / f"{module}.py").write_text(code, encoding="utf-8")
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        target = f"{module}:{attribute}" if attribute else module
        (info / "entry_points.txt").write_text(f"[rldlib.plugins]\n{name} = {target}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)

    yield put
    for module in [name for name in sys.modules if name.startswith("rldlib_test_")]:
        del sys.modules[module]


def test_a_host_without_plugins_has_no_opinion():
    assert HostPlugins().opinions("sales-tax", {}, "remote") == ()


def test_a_policy_of_the_hosts_own_decides_where_calls_go(install):
    install("home", HOME)
    situation = Situation()
    proposed = place(situation)
    plugins = HostPlugins()

    asked = plugins.opinions("sales-tax", proposed.facts(), proposed.placement)

    assert asked == (Opinion(policy="home", answer="local"),)
    assert proposed.placement == "remote"
    assert heed(proposed, situation, asked).placement == "local"
    other = plugins.opinions("price-list", proposed.facts(), proposed.placement)
    assert heed(proposed, situation, other) == proposed


def test_an_object_of_a_class_is_a_plugin_too(install):
    code = f"{MARKED}class Policy:\n    @hookimpl\n    def place(self):\n        return 'remote'\n"
    install("classy", code, "Policy")
    assert HostPlugins().opinions("any", {}, "local") == (Opinion(policy="classy", answer="remote"),)


def test_policies_are_asked_in_the_order_of_their_names(install):
    for name in ("b", "a", "c"):
        install(name, f"{MARKED}@hookimpl\ndef place():\n    return {name!r}\n")
    assert [opinion.answer for opinion in HostPlugins().opinions("any", {}, "local")] == ["a", "b", "c"]


def test_a_policy_that_raises_costs_no_other_its_say(install, caplog):
    install("a", f"{MARKED}@hookimpl\ndef place():\n    raise KeyError('x')\n")
    install("b", HOME)
    assert HostPlugins().opinions("sales-tax", {}, "remote") == (
        Opinion(policy="a", error="KeyError: 'x'"),
        Opinion(policy="b", answer="local"),
    )
    assert "the policy a raised" in caplog.text


def test_a_policy_gets_a_copy_of_the_figures(install):
    spoil = f"{MARKED}@hookimpl\ndef place(figures):\n    figures['figures'].clear()\n"
    install("spoiler", spoil)
    facts = place(Situation()).facts()
    HostPlugins().opinions("any", facts, "remote")
    assert facts == place(Situation()).facts()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        pytest.param(f"{MARKED}@hookimpl\ndef placed(): ...\n", "placed", id="a hook that is none"),
        pytest.param(
            f"{MARKED}@hookimpl\ndef place(service, weather): ...\n",
            "weather",
            id="an argument that the hook does not give",
        ),
        pytest.param("1 / 0\n", "division by zero", id="it raises at its import"),
        pytest.param("import no_such_module\n", "no_such_module", id="it imports what is not there"),
    ],
)
def test_a_plugin_that_does_not_fit_is_refused_by_its_name(install, code, told):
    install("askew", code)
    with pytest.raises(UsageError, match=rf"(?s)the plugin askew \(rldlib_test_askew, .*{told}"):
        HostPlugins()
