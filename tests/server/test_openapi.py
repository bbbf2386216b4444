"""The live application keeps to its own OpenAPI document, whatever is sent to it."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from tests.e2e.serving import serve
from tests.services import service_wheel

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    folder = tmp_path_factory.mktemp("responder")
    offered = folder / "offered"
    offered.mkdir()
    service_wheel(offered)
    with serve("--wheels", offered, "--root", folder / "root") as there:
        yield schemathesis.openapi.from_url(f"{there.url}/openapi.json")


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


def _operation(api, label):
    return next(found.ok() for found in api.get_all_operations() if found.ok().label == label)


@pytest.mark.parametrize(
    "label",
    [
        "POST /rld/v1/support",
        "POST /rld/v1/ack",
        "GET /rld/v1/services",
        "GET /blobs/sha256/{sha256}",
        "GET /metadata/{name}",
        "GET /metadata/targets/{path}",
        "GET /healthz",
    ],
)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_whatever_is_asked_is_answered_as_documented(api, label, mode):
    operation = _operation(api, label)
    try:
        strategy = operation.as_strategy(generation_mode=mode)
        strategy.validate()
    except Unsatisfiable:
        pytest.skip("there is nothing of the sort to send")

    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def ask(case):
        case.call_and_validate(timeout=30, checks=CHECKS)

    try:
        ask()
    except Unsatisfiable:
        pytest.skip("there is nothing of the sort to send")


def test_every_path_of_the_exchange_is_in_the_document(api):
    assert len(list(api.get_all_operations())) == 7
