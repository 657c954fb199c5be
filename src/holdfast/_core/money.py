"""Money in whole micro-units, rounded in one place, upwards: what is held or spent is never understated."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Final, Self

from holdfast.errors import CurrencyMismatch, InvalidPrice

MICROS: Final = 1_000_000
"""So many micro-units make one unit of a currency."""
MOST_MICROS: Final = 2**63 - 1
"""What a column for whole numbers holds in every store: some nine million million units."""

_PLAIN: Final = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d{1,18})?", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in one currency. Adding or comparing another currency is an error.

    Attributes:
        micros: Whole millionths of a unit; never a float. Below zero for an overdraft.
        currency: ISO 4217, e.g. ``USD``.
    """

    micros: int
    currency: str = "USD"

    def __post_init__(self) -> None:
        micros: Any = self.micros
        if not isinstance(micros, int) or isinstance(micros, bool):
            raise InvalidPrice(
                "an amount", f"it is of type {type(micros).__name__}", "give whole micro-units"
            )
        if abs(micros) > MOST_MICROS:
            raise InvalidPrice(
                "an amount", "it is larger than any store can hold", "look where it comes from"
            )
        currency: Any = self.currency
        if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
            raise InvalidPrice("an amount", "its currency is no ISO 4217 code", "name it, e.g. 'USD'")

    @classmethod
    def parse(cls, amount: str | Decimal | int, currency: str = "USD") -> Self:
        """Read *amount* units, e.g. ``"2.00"``; what is finer than a micro-unit is rounded up.

        Raises:
            InvalidPrice: It is a float, or no plain finite number.
        """
        return cls(math.ceil(exact(amount, "an amount") * MICROS), currency)

    @classmethod
    def total(cls, amounts: Iterable[Self], currency: str = "USD") -> Self:
        """Add *amounts* up; nothing at all is zero in *currency*."""
        result = cls(0, currency)
        for amount in amounts:
            result += amount
        return result

    @property
    def amount(self) -> Decimal:
        """The same in units, exactly."""
        return Decimal(self.micros).scaleb(-6)

    def __str__(self) -> str:
        sign, whole = "-" * (self.micros < 0), abs(self.micros)
        return f"{sign}{whole // MICROS}.{whole % MICROS:06d} {self.currency}"

    def __add__(self, other: Self) -> Self:
        return type(self)(self.micros + self._same(other), self.currency)

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.micros - self._same(other), self.currency)

    def __mul__(self, times: int) -> Self:
        return type(self)(self.micros * times, self.currency)

    __rmul__ = __mul__

    def __lt__(self, other: Self) -> bool:
        return self.micros < self._same(other)

    def __le__(self, other: Self) -> bool:
        return self.micros <= self._same(other)

    def __gt__(self, other: Self) -> bool:
        return self.micros > self._same(other)

    def __ge__(self, other: Self) -> bool:
        return self.micros >= self._same(other)

    def _same(self, other: Self) -> int:
        if other.currency != self.currency:
            raise CurrencyMismatch(self.currency, other.currency)
        return other.micros


def amount_of(given: Any) -> Money:
    """Read an amount of money with its currency: ``"0.02 USD"``, or money itself.

    Raises:
        InvalidPrice: It is none.
    """
    if isinstance(given, Money):
        return given
    if not isinstance(given, str):
        fix = 'give an amount and a currency: "0.02 USD"'
        raise InvalidPrice("a cost", f"it is of type {type(given).__name__}", fix)
    amount, _, currency = given.strip().partition(" ")
    return Money.parse(amount, currency.strip() or "USD")


def rounded_up(micros: Fraction, currency: str) -> Money:
    """Return an exact number of micro-units as money: the only place where a cost is rounded."""
    return Money(math.ceil(micros), currency)


def exact(value: Any, where: str) -> Fraction:
    """Return a number that somebody wrote down, exactly as written.

    Args:
        value: Text, a ``Decimal`` or a whole number.
        where: What it is, for the error.

    Raises:
        InvalidPrice: It is a float, a boolean, not finite, or in a notation that hides its size.
    """
    match value:
        case bool():
            number = None
        case int():
            number = Fraction(value) if abs(value) <= MOST_MICROS else None
        case Decimal():
            number = _of_decimal(value)
        case str():
            number = Fraction(value) if _PLAIN.fullmatch(value) else None
        case _:
            number = None
    if number is None:
        fix = "write it as text or Decimal, e.g. '2.50': a float is not what it seems"
        raise InvalidPrice(where, f"it is no plain number ({type(value).__name__})", fix)
    return number


def _of_decimal(value: Decimal) -> Fraction | None:
    try:
        usable = value.is_finite() and value.adjusted() < 19 and int(value.as_tuple().exponent) >= -18  # noqa: PLR2004 - as many digits as text may have
    except (InvalidOperation, ValueError):
        return None
    return Fraction(value) if usable else None
