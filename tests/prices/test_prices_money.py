"""Money: whole micro-units, rounded up, in one currency."""

from __future__ import annotations

import math
import pickle
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._core.money import MOST_MICROS, rounded_up
from holdfast.errors import CurrencyMismatch, InvalidPrice
from holdfast.prices import Money


@pytest.mark.parametrize(
    ("written", "micros"),
    [
        ("2.00", 2_000_000),
        ("0", 0),
        (3, 3_000_000),
        (Decimal("0.0000001"), 1),
        ("0.0000011", 2),
        ("-1.5", -1_500_000),
        (Decimal("1E+2"), 100_000_000),
    ],
)
def test_what_is_written_is_what_it_is_and_less_than_a_micro_unit_rounds_up(written: Any, micros: int):
    assert Money.parse(written).micros == micros


@pytest.mark.parametrize(
    "written",
    [
        0.1,
        1000.0,
        True,
        None,
        "0.1e3",
        "1_000",
        " 1",
        "",
        "NaN",
        "inf",
        "1,5",
        "٣",
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("1E+30"),
        Decimal("1E-30"),
        "9" * 30,
        10**30,
        b"1",
    ],
)
def test_floats_and_odd_notations_are_refused(written: Any):
    with pytest.raises(InvalidPrice):
        Money.parse(written)


@pytest.mark.parametrize("currency", ["usd", "US", "USDT", "", "€€€", None])
def test_a_currency_is_an_iso_code(currency: Any):
    with pytest.raises(InvalidPrice):
        Money(1, currency)


@pytest.mark.parametrize("micros", [1.0, True, None, "1", MOST_MICROS + 1, -MOST_MICROS - 1])
def test_only_whole_numbers_that_a_store_can_hold_are_micro_units(micros: Any):
    with pytest.raises(InvalidPrice):
        Money(micros)


def test_currencies_do_not_mix():
    euros, dollars = Money(1, "EUR"), Money(1, "USD")

    for mix in (
        lambda: euros + dollars,
        lambda: euros - dollars,
        lambda: euros < dollars,
        lambda: euros <= dollars,
        lambda: euros > dollars,
        lambda: euros >= dollars,
        lambda: Money.total([dollars, euros]),
    ):
        with pytest.raises(CurrencyMismatch):
            mix()
    assert euros != dollars


@given(st.lists(st.integers(-(10**12), 10**12), max_size=8))
def test_adding_up_is_exact(amounts: list[int]):
    moneys = [Money(amount) for amount in amounts]

    assert Money.total(moneys).micros == sum(amounts)
    assert (Money(7) * 3, 3 * Money(7), Money(7) - Money(9)) == (Money(21), Money(21), Money(-2))


@given(st.fractions(min_value=0, max_value=10**9))
def test_a_cost_is_never_rounded_down(exact: Fraction):
    assert exact <= rounded_up(exact, "USD").micros < exact + 1
    assert rounded_up(exact, "USD").micros == math.ceil(exact)


@given(st.integers(-MOST_MICROS, MOST_MICROS))
def test_text_and_decimal_say_the_same_exactly(micros: int):
    money = Money(micros, "EUR")
    text, currency = str(money).split()

    assert (Decimal(text), currency) == (money.amount, "EUR")
    assert Money.parse(text, "EUR") == pickle.loads(pickle.dumps(money)) == money
