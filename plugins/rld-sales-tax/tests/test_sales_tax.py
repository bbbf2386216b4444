"""What the sales-tax service answers, called without a worker."""

from __future__ import annotations

import json
from decimal import Decimal, localcontext
from pathlib import Path

import pytest

from rld_sales_tax import SalesTax, TaxRow
from rldlib.plugin import Resources

RATES = Path(__file__).parents[1] / "src" / "rld_sales_tax" / "rates.json"
WITHOUT_TAX = {"AK", "DE", "MT", "NH", "OR"}


@pytest.fixture
def tax():
    service = SalesTax()
    service.start(Resources([{"name": "rates", "kind": "data", "path": str(RATES), "use": ""}]))
    return service


@pytest.fixture(scope="module")
def document():
    return json.loads(RATES.read_bytes())


def test_the_rates_name_their_source_and_date(document):
    assert document["source"].startswith("Tax Foundation")
    assert document["as_of"] == "2025-01-01"
    assert document["unit"] == "percent of the price"


def test_the_rates_cover_fifty_states_and_the_district(document):
    assert len(document["states"]) == 51
    assert "DC" in document["states"]
    assert {code for code, state in document["states"].items() if state["percent"] == "0"} == WITHOUT_TAX
    assert all(Decimal(state["percent"]) <= Decimal("7.25") for state in document["states"].values())


@pytest.mark.parametrize(
    ("state", "rate"),
    [
        ("CA", "0.0725"),
        ("LA", "0.05"),
        ("MN", "0.06875"),
        ("MO", "0.04225"),
        ("NJ", "0.06625"),
        ("OR", "0"),
        ("UT", "0.061"),
        ("WA", "0.065"),
    ],
)
def test_a_rate_is_a_fraction_of_the_price(tax, state, rate):
    assert tax.rate(state) == Decimal(rate)


def test_a_state_may_be_written_in_lower_case(tax):
    assert tax.rate("wa") == tax.rate("WA")
    assert tax.table("wa", [Decimal(1)])[0].state == "WA"


def test_a_row_adds_the_tax_to_the_amount(tax):
    assert tax.table("WA", [Decimal("19.99")]) == [
        TaxRow(
            state="WA",
            amount=Decimal("19.99"),
            rate=Decimal("0.065"),
            tax=Decimal("1.30"),
            total=Decimal("21.29"),
        )
    ]


@pytest.mark.parametrize(
    ("amount", "tax_due"),
    [
        pytest.param("0.10", "0.01", id="0.0065 is more than half a cent"),
        pytest.param("1.00", "0.07", id="0.065 is half a cent over six"),
        pytest.param("3.00", "0.20", id="0.195, where rounding to even agrees"),
        pytest.param("5.00", "0.33", id="0.325, where rounding to even would say 0.32"),
        pytest.param("0.07", "0.00", id="0.00455 is less than half a cent"),
    ],
)
def test_half_a_cent_is_rounded_up(tax, amount, tax_due):
    assert str(tax.table("WA", [Decimal(amount)])[0].tax) == tax_due


def test_a_refund_takes_back_exactly_what_the_sale_was_taxed(tax):
    sale, refund = tax.table("WA", [Decimal("5.00"), Decimal("-5.00")])
    assert refund.tax == -sale.tax
    assert refund.total == -sale.total


def test_a_state_without_sales_tax_adds_nothing(tax):
    (row,) = tax.table("OR", [Decimal("19.99")])
    assert (row.tax, row.total) == (0, Decimal("19.99"))


def test_no_amounts_make_no_rows(tax):
    assert tax.table("OR", []) == []


def test_rows_keep_the_order_of_the_amounts(tax):
    amounts = [Decimal(3), Decimal(1), Decimal(2), Decimal(1)]
    assert [row.amount for row in tax.table("TX", amounts)] == amounts


def test_large_amounts_stay_exact(tax):
    """
    Thirty digits: more than the 28 that Python's default context keeps.
    """
    amount = Decimal("12345678901234567890.1234567890")
    (row,) = tax.table("MN", [amount])
    assert row.tax == Decimal("848765424459876542.45")
    assert row.total == Decimal("13194444325694444432.5734567890")


def test_the_caller_s_decimal_context_does_not_matter(tax):
    with localcontext() as context:
        context.prec = 3
        (row,) = tax.table("WA", [Decimal("1234567.89")])
    assert row.total == Decimal("1314814.80")


def test_an_unknown_state_is_told_with_all_that_are_known(tax):
    with pytest.raises(ValueError, match=r"no state has the code 'XX'; known are AK, AL, .*, WY"):
        tax.rate("XX")
    with pytest.raises(ValueError, match="no state has the code ''"):
        tax.table("", [Decimal(1)])


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_what_is_no_amount_of_money_is_refused_by_its_place(tax, amount):
    with pytest.raises(ValueError, match=rf"amounts\[1\] is {amount}, which is no amount"):
        tax.table("WA", [Decimal(1), Decimal(amount)])


@pytest.mark.parametrize("amount", ["1E+20", "-1E+20", "1E+999999", "1E-21", "1E-999999"])
def test_what_cannot_be_reckoned_exactly_is_refused(tax, amount):
    with pytest.raises(ValueError, match=r"amounts\[0\] .* exact to the cent are amounts below"):
        tax.table("WA", [Decimal(amount)])
