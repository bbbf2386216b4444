"""What an example declares of its operations is what its worker will say when it is ready."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest

from rldlib.rules.project import Distribution, profile_of
from rldlib.values.operations import differences, read_operations
from rldlib.worker.operations import bound

PLUGINS = Path(__file__).parents[2] / "plugins"


@pytest.fixture
def ready(monkeypatch):
    """``ready(service)``: the operations as READY tells them."""

    def told(service):
        document = project_of(service)
        module, _, name = document["project"]["entry-points"]["rldlib.services"][service].partition(":")
        monkeypatch.syspath_prepend(PLUGINS / f"rld-{service}" / "src")
        functions = getattr(importlib.import_module(module), name)().operations()
        return read_operations({name: operation.facts for name, operation in bound(functions).items()})

    return told


def project_of(service):
    return tomllib.loads((PLUGINS / f"rld-{service}" / "pyproject.toml").read_text(encoding="utf-8"))


def profile(service):
    told = Distribution(name=f"rld-{service}", version="1", summary="")
    read, faults = profile_of(project_of(service)["tool"]["rldlib"], told, lambda _: ("0" * 64, 0))
    assert read is not None, faults
    return read


def test_sales_tax_declares_all_of_its_operations_as_they_are(ready):
    declared, operations = profile("sales-tax").operations, ready("sales-tax")
    assert differences(declared, operations) == ()
    assert set(declared) == set(operations)
    # An empty schema would be compared with nothing.
    assert all(operation.arguments and operation.result for operation in declared.values())


@pytest.mark.parametrize(
    "service", ["lens-finder", "price-list", "sales-tax", "stats-classic", "stats-modern"]
)
def test_every_operation_of_an_example_can_be_repeated_and_has_a_typed_result(ready, service):
    pytest.importorskip("numpy" if service.startswith("stats") else "jinja2")
    operations = ready(service)
    assert all(operation["idempotent"] and operation["result"] for operation in operations.values())


def test_both_statistics_services_have_the_same_operations(ready):
    pytest.importorskip("numpy")
    assert ready("stats-classic") == ready("stats-modern")


def test_the_twins_code_differs_in_nothing_but_names():
    def code(service):
        source = PLUGINS / f"rld-{service}" / "src" / f"rld_{service.replace('-', '_')}" / "__init__.py"
        _, _, body = source.read_text(encoding="utf-8").partition("from __future__")
        return body

    assert code("stats-classic") == code("stats-modern")
