from __future__ import annotations

import pytest
from tests.worker.hosting import PLUGGY

from rldlib.worker.loading import LoadError, entry_point, mount_pluggy

PLAIN = """
from rldlib.plugin import hookimpl, operation

calls = []


@operation(idempotent=True)
def double(value: int) -> int:
    return value * 2


@hookimpl
def start(resources):
    calls.append(resources.names)


@hookimpl
def operations():
    return {"double": double, "names": lambda: list(resources_of_start())}


def resources_of_start():
    return calls[0]


@hookimpl
def stop():
    calls.append("stopped")
"""


def test_a_plain_module_of_hooks_is_a_service(serve):
    service = "plain-module"
    worker = serve(
        PLAIN, service=service, entry_points=f"[rldlib.services]\n{service}=plain_module_service\n"
    )
    resources = [{"name": "rates", "kind": "data", "path": "/r", "use": ""}]
    ready = worker.host.start(service=service, resources=resources)

    assert ready["operations"]["double"]["idempotent"] is True
    assert worker.host.ask("double", value=4) == 8
    assert worker.host.ask("names") == ["rates"]
    worker.host.send("check", 9)
    assert worker.host.receive() == ["reply", 9, None]


_IMPORTS = "from rldlib.plugin import Service, operation, hookimpl\n"
_ONE = "    @operation\n    def one(self): ...\n"


@pytest.mark.parametrize(
    ("code", "stage", "told"),
    [
        ("import no_such_module", "load", "no_such_module"),
        ("raise SystemExit(0)", "load", ""),
        ("other = 1", "load", "there is no service"),
        (f"{_IMPORTS}service = 5", "load", "has no operations"),
        (f"{_IMPORTS}class service(Service):\n    def __init__(self): 1/0", "load", "division"),
        (f"{_IMPORTS}class service(Service):\n    def start(self, weather): ...\n{_ONE}", "load", "weather"),
        (
            f"{_IMPORTS}class service(Service):\n    def start(self): raise ValueError('cold')\n{_ONE}",
            "start",
            "cold",
        ),
        (f"{_IMPORTS}class service(Service): pass", "operations", "no operations"),
        (
            f"{_IMPORTS}class service(Service):\n    @operation\n    def one(self, *a): ...",
            "operations",
            "by name",
        ),
        (
            f"{_IMPORTS}class service(Service):\n    @operation\n    def one(self, a, /): ...",
            "operations",
            "by name",
        ),
        (
            f"{_IMPORTS}class service(Service):\n    def operations(self): return ['a']",
            "operations",
            "a dict",
        ),
        (
            f"{_IMPORTS}class service(Service):\n    def operations(self): return {{'a b': print}}",
            "operations",
            "name",
        ),
        (
            f"{_IMPORTS}class service(Service):\n    def operations(self): return {{'a': 5}}",
            "operations",
            "function",
        ),
    ],
)
def test_a_service_that_does_not_load_says_at_which_stage_and_why(code, stage, told, serve):
    worker = serve(code)
    failed = worker.host.start(service=worker.service, ready=False)

    assert failed["stage"] == stage
    assert told in failed["message"]
    assert failed["traceback"]
    assert worker.ended() == 1


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ({"protocol": 999}, "protocol 999"),
        ({"pluggy": "/nowhere"}, "no pluggy in /nowhere"),
        ({"distribution": "rld-other"}, "no distribution rld-other"),
    ],
)
def test_a_start_that_cannot_be_met_fails_before_anything_of_the_service_runs(order, told, serve):
    worker = serve("raise ValueError('it ran')")
    failed = worker.host.start(service=worker.service, ready=False, **order)

    assert (failed["stage"], failed["type"]) == ("mount", "rldlib.worker.loading.LoadError")
    assert told in failed["message"]


def test_only_the_named_distribution_is_looked_at(tmp_path):
    for name in ("evil-1.0", "rld_tax-1.0"):
        info = tmp_path / f"{name}.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_text(f"[rldlib.services]\nsales.tax = {name[:4]}:X  # \n")

    assert entry_point("sales-tax", "RLD.Tax", ["/nowhere", str(tmp_path)]).startswith("rld_:X")


@pytest.mark.parametrize("text", [None, "", "[other]\ntax = a:b\n", "[rldlib.services]\nelse = a:b\n;x=y\n"])
def test_a_distribution_without_the_entry_point_is_told(text, tmp_path):
    info = tmp_path / "rld_tax-1.0.dist-info"
    info.mkdir()
    if text is not None:
        (info / "entry_points.txt").write_text(text)

    with pytest.raises(LoadError, match="no entry point tax"):
        entry_point("tax", "rld-tax", [str(tmp_path)])


@pytest.mark.parametrize("target", ["", "a b:c", "a:b:c", "a:b-c"])
def test_an_entry_point_that_is_none_is_refused(target, serve):
    service = f"odd-{target.encode().hex()}"
    worker = serve("", service=service, entry_points=f"[rldlib.services]\n{service} = {target}\n")
    failed = worker.host.start(service=service, ready=False)

    assert failed["stage"] == "load"
    assert "module:object" in failed["message"]


def test_extras_of_an_entry_point_are_passed_over(serve):
    service = "extras"
    code = f"{_IMPORTS}class Outer:\n  class Inner(Service):\n    @operation\n    def one(self): return 1\n"
    points = f"[rldlib.services]\n{service} = extras_service : Outer.Inner [fast]\n"
    worker = serve(code, service=service, entry_points=points)
    worker.host.start(service=service)

    assert worker.host.ask("one") == 1


def test_a_pluggy_that_breaks_is_not_left_half_mounted(tmp_path):
    import sys

    (tmp_path / "__init__.py").write_text("raise ValueError('broken pluggy')\n")
    with pytest.raises(ValueError, match="broken pluggy"):
        mount_pluggy(str(tmp_path))

    assert "rldlib._pluggy" not in sys.modules
    assert PLUGGY
