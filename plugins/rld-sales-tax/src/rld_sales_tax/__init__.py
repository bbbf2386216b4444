"""The service `sales-tax`: base sales tax of the US states, exact to the cent.

A rate is a fraction of the price: 6.5 percent is ``Decimal("0.065")``.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import TYPE_CHECKING

from rldlib.plugin import Service, operation

if TYPE_CHECKING:
    from rldlib.plugin import Resources

__all__ = ["SalesTax", "TaxRow"]

_CENT = Decimal("0.01")
_PLACES = 20
_FINEST = Decimal(1).scaleb(-_PLACES)
_LIMIT = Decimal("1E+20")
# 40 digits of an amount times a rate of six fit: nothing but the cent is ever rounded.
_EXACT = Context(prec=60, rounding=ROUND_HALF_UP)


@dataclass(frozen=True)
class TaxRow:
    """What one amount costs in one state.

    Attributes:
        state: The state's postal code, in capitals.
        amount: The price before tax, as it was asked.
        rate: The state's base rate, as a fraction of the price.
        tax: The tax in whole cents, half a cent rounded away from zero.
        total: The amount and its tax, together.
    """

    state: str
    amount: Decimal
    rate: Decimal
    tax: Decimal
    total: Decimal


class SalesTax(Service):
    """Base sales tax of the US states and the District of Columbia.

    It knows the states' general rates alone: no county's, no city's, and no
    exemption of groceries or clothing.
    """

    _rates: dict[str, Decimal]

    def start(self, resources: Resources) -> None:
        """Read the rates once."""
        states = resources.json("rates")["states"]
        # The file says percent, as its source does; scaling by ten is exact.
        self._rates = {code: Decimal(state["percent"]).scaleb(-2) for code, state in states.items()}

    @operation(idempotent=True, cache_for=3600)
    def rate(self, state: str) -> Decimal:
        """The state's base rate, as a fraction of the price.

        Args:
            state: A postal code such as ``WA``, in capitals or not.

        Raises:
            ValueError: No state has this code; the message lists all that do.
        """
        return self._rates[self._code(state)]

    @operation(idempotent=True, cache_for=3600)
    def table(self, state: str, amounts: list[Decimal]) -> list[TaxRow]:
        """The tax on each amount, in the order of the amounts.

        A negative amount is a refund: it takes back what the sale was taxed,
        to the cent.

        Args:
            state: A postal code such as ``WA``, in capitals or not.
            amounts: Prices before tax, in dollars.

        Raises:
            ValueError: No state has this code, or an amount is no number, or
                one that cannot be reckoned exactly. No row is returned then.
        """
        code = self._code(state)
        rate = self._rates[code]
        return [_row(code, rate, amount, position) for position, amount in enumerate(amounts)]

    def _code(self, state: str) -> str:
        code = state.upper()
        if code not in self._rates:
            raise ValueError(f"no state has the code {state!r}; known are {', '.join(sorted(self._rates))}")
        return code


def _row(state: str, rate: Decimal, amount: Decimal, position: int) -> TaxRow:
    if not amount.is_finite():
        raise ValueError(f"amounts[{position}] is {amount}, which is no amount of money")
    # `copy_abs`, since `abs` rounds to the digits of whatever context the thread has.
    if amount.copy_abs() >= _LIMIT or amount.quantize(_FINEST, context=_EXACT) != amount:
        raise ValueError(
            f"amounts[{position}] is {amount}; exact to the cent are amounts below {_LIMIT} "
            f"with at most {_PLACES} decimal places"
        )
    tax = _EXACT.multiply(amount, rate).quantize(_CENT, context=_EXACT)
    return TaxRow(state=state, amount=amount, rate=rate, tax=tax, total=_EXACT.add(amount, tax))
