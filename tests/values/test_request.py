from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldlib.errors import UsageError
from rldlib.values.request import ServiceRequest, parse_request


@pytest.mark.parametrize(
    ("text", "service", "distribution", "specifier"),
    [
        ("sales-tax", "sales-tax", None, ""),
        ("Sales_Tax", "sales-tax", None, ""),
        ("sales-tax>=1.2,<2", "sales-tax", None, "<2,>=1.2"),
        (" sales-tax == 1.0 ", "sales-tax", None, "==1.0"),
        ("sales-tax@Acme.Tax~=1.0", "sales-tax", "acme-tax", "~=1.0"),
    ],
)
def test_a_request_names_a_service_its_versions_and_its_distribution(text, service, distribution, specifier):
    request = parse_request(text)

    assert (request.service, request.distribution, str(request.specifier)) == (
        service,
        distribution,
        specifier,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-tax",
        "tax-",
        "../etc",
        "tax/",
        "tax>=",
        "tax>=one",
        "tax@",
        "tax@>=1",
        "täx",
        "a" * 65,
        "t" * 600,
    ],
)
def test_what_is_no_request_is_refused_by_name(text):
    with pytest.raises(UsageError):
        parse_request(text)


def test_a_request_reads_back_as_it_is_told():
    request = parse_request("sales-tax@acme>=1.2")

    assert parse_request(str(request)) == request


@given(st.text(max_size=80))
def test_any_text_is_a_request_or_a_usage_error(text):
    try:
        request = parse_request(text)
    except UsageError:
        return
    assert isinstance(request, ServiceRequest)
