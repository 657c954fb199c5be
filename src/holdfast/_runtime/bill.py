"""What the handler of one attempt says that it spent, until that is on record along with its end."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from holdfast._core.budget import MOST, TOKENS
from holdfast._core.money import Money, amount_of
from holdfast._core.settling import Spending
from holdfast.errors import InvalidCall, InvalidPrice


class Bill:
    """What one attempt spent, as told so far. What is not told of counts by its bound.

    Args:
        currency: That the attempt holds money in, a code in small letters; empty for none.
    """

    def __init__(self, currency: str = "") -> None:
        self._currency = currency
        self._amounts: dict[str, int] = {}
        self._usage: str | None = None
        self._is_unknown = False

    def told(self) -> Spending | None:
        """Return what is known; ``None`` when nothing was said."""
        if self._is_unknown:
            return Spending(is_known=False, usage=self._usage)
        if not self._amounts and self._usage is None:
            return None
        return Spending(amounts=tuple(sorted(self._amounts.items())), usage=self._usage)

    def put(self, amounts: Mapping[str, int], usage: str | None = None) -> None:
        """Note what was spent by unit, as a provider counts it."""
        self._amounts |= amounts
        self._usage = usage

    def lose(self, usage: str | None = None) -> None:
        """Note that something was spent, and nobody knows how much."""
        self._is_unknown, self._usage = True, usage

    def spend(self, cost: str | Money | None, tokens: int | None) -> None:
        """Note what a tool's handler says, in all.

        Raises:
            InvalidCall: It is no amount, or in another currency than the tool's declared cost.
        """
        if cost is not None:
            money = _amount(cost)
            currency = money.currency.lower()
            if currency != self._currency:
                declared = self._currency.upper() or "no money"
                what = f"a tool spent {money.currency}, and it is declared to cost {declared}"
                raise InvalidCall(what, 'declare the most that it costs: cost="0.02 USD"')
            self._amounts[currency] = _within(money.micros, "cost")
        if tokens is not None:
            self._amounts[TOKENS] = _within(tokens, "tokens")


def _amount(given: Any) -> Money:
    try:
        return amount_of(given)
    except InvalidPrice as error:
        fix = 'give an amount and a currency: "0.02 USD"'
        raise InvalidCall(f"what a tool spent is no amount of money ({error})", fix) from error


def _within(given: int | Decimal, name: str) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= MOST:
        raise InvalidCall(f"what a tool spent ({name}) is no count", "give a whole number, not below zero")
    return given
