"""A dated row of prices, and what one of anything costs by it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final

from holdfast._core.money import MICROS, Money, exact
from holdfast.errors import CurrencyMismatch, InvalidPrice, UnpricedModel

MILLION: Final = 1_000_000
_DEAREST: Final = 10**9
_EVERY_TIER: Final = 10**18
_MOST_TIERS: Final = 16


class Meter(StrEnum):
    """What is counted and has a price of its own."""

    INPUT = "input"
    CACHE_READ = "cache_read"
    CACHE_WRITE = "cache_write"
    CACHE_WRITE_LONG = "cache_write_1h"
    OUTPUT = "output"
    REASONING = "reasoning"
    INPUT_AUDIO = "input_audio"
    CACHE_READ_AUDIO = "cache_read_audio"
    OUTPUT_AUDIO = "output_audio"
    REQUEST = "request"
    WEB_SEARCH = "web_search"
    FILE_SEARCH = "file_search"
    CODE_EXECUTION = "code_execution"


TOKENS: Final = frozenset(Meter) - {Meter.REQUEST, Meter.WEB_SEARCH, Meter.FILE_SEARCH, Meter.CODE_EXECUTION}
"""The meters that count tokens; their prices are for a million."""

_TIMES_INPUT: Final = {
    # What has no price of its own costs what the input does. Both providers ask 1.25 times that for keeping
    # it for minutes, and twice for hours, so a row that is silent about it is read like that: never too low.
    Meter.CACHE_READ: Fraction(1),
    Meter.CACHE_WRITE: Fraction(5, 4),
    Meter.CACHE_WRITE_LONG: Fraction(2),
}
LIST_TIERS: Final = frozenset({"standard", "scale"})
"""Service tiers at list prices; a scale tier is paid for beforehand."""
CHEAPER_TIERS: Final = frozenset({"flex"})
"""Service tiers that never cost more than list prices, so that those may stand in."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What so many of one thing cost.

    Attributes:
        price: In units of the row's currency.
        per: For how many: a million tokens, one search.
        tiers: Prices that apply instead to *all* of it, where a request's whole input is above so many
            tokens; ascending. What the last one that is passed says, holds.
    """

    price: Fraction
    per: int
    tiers: tuple[tuple[int, Fraction], ...] = ()
    _each: tuple[tuple[int, Fraction], ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        prices = (self.price, *(price for _, price in self.tiers))
        if any(not 0 <= price <= _DEAREST for price in prices) or self.per < 1:
            raise InvalidPrice("a rate", "it is below zero or beyond reason", "look at its unit")
        above = [start for start, _ in self.tiers]
        if above != sorted(set(above)) or any(start < 0 for start in above) or len(above) > _MOST_TIERS:
            raise InvalidPrice("a rate", "its tiers do not ascend", "give each threshold once, in order")
        # Fractions are slow, and a row is asked many times: what one costs is worked out once.
        each = tuple((start, price * MICROS / self.per) for start, price in ((-1, self.price), *self.tiers))
        object.__setattr__(self, "_each", each)

    def micros(self, input_tokens: int) -> Fraction:
        """What one costs in micro-units, in a request that read so much."""
        return [each for above, each in self._each if input_tokens > above][-1]

    def dearest(self, input_tokens: int) -> Fraction:
        """The most that one costs in micro-units, in a request that reads so much or less."""
        return max(each for above, each in self._each if input_tokens > above)

    def text(self) -> str:
        """The whole rate, the same for equal rates."""
        tiers = "".join(f",>{above}:{price}" for above, price in self.tiers)
        return f"{self.price}/{self.per}{tiers}"


Rates = Mapping[Meter, Rate]
"""What has a price of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRow:
    """The prices of one model at one time, from one source.

    Attributes:
        provider: Whose, as the source calls it.
        model: Which, as the source calls it.
        source: Where it is from, e.g. ``genai-prices`` or ``prices.toml``.
        version: Of the source.
        since: The day from which it holds, where that is known.
        currency: Of all prices in it.
        rates: What things cost.
        variants: What differs where it is served otherwise: in a ``batch``, or by service tier.
        surcharges: By how much tokens cost more, by the region that serves it.
        context_window: So many tokens the model takes at most, where that is known.
        assumed: Empty; or why these prices are an assumption, and not this model's own.
        digest: SHA-256 of its content, in part.
    """

    provider: str
    model: str
    source: str
    version: str
    rates: Rates
    since: date | None = None
    currency: str = "USD"
    variants: Mapping[str, Rates] = field(default_factory=dict[str, Rates])
    surcharges: Mapping[str, Fraction] = field(default_factory=dict[str, Fraction])
    context_window: int | None = None
    assumed: str = ""
    digest: str = field(init=False, default="")

    def __post_init__(self) -> None:
        Money(0, self.currency)
        if any(times < 1 for times in self.surcharges.values()):
            raise InvalidPrice(f"{self.provider}/{self.model}", "a surcharge below 1", "give e.g. '1.1'")
        if not self.rates.keys() & {Meter.INPUT, Meter.OUTPUT}:
            fix = "give 'input' and 'output', 0 where it is free"
            raise InvalidPrice(f"{self.provider}/{self.model}", "its tokens have no price", fix)
        content = json.dumps(self._content(), sort_keys=True, separators=(",", ":"))
        object.__setattr__(self, "digest", hashlib.sha256(content.encode()).hexdigest()[:16])

    @property
    def id(self) -> str:
        """What a record of a cost names: source, version, model, day, content."""
        since = f"@{self.since.isoformat()}" if self.since else ""
        mark = "?" if self.assumed else ""
        return f"{self.source}:{self.version}:{self.provider}/{self.model}{mark}{since}#{self.digest}"

    def __hash__(self) -> int:
        return hash(self.id)

    def served(self, tier: str, *, batch: bool = False) -> Rates:
        """Return the rates of a call that was served so.

        Raises:
            UnpricedModel: It has no price for that tier, and list prices may be too low.
        """
        wanted = "batch" if batch else tier
        if wanted in self.variants:
            return {**self.rates, **self.variants[wanted]}
        if batch or wanted in LIST_TIERS | CHEAPER_TIERS:
            return self.rates
        raise UnpricedModel(self.provider, self.model, f"no price is known for service tier {wanted[:40]!r}")

    def _content(self) -> dict[str, Any]:
        def texts(rates: Rates) -> dict[str, str]:
            return {meter.value: rate.text() for meter, rate in rates.items()}

        return {
            "model": [self.provider, self.model, self.currency, self.assumed],
            "rates": texts(self.rates),
            "variants": {name: texts(rates) for name, rates in self.variants.items()},
            "surcharges": {name: str(times) for name, times in self.surcharges.items()},
        }


def price_of(
    row: PriceRow, rates: Rates, meter: Meter, input_tokens: int, *, dearest: bool = False
) -> Fraction | None:
    """Return what one of *meter* costs in micro-units; ``None`` for what is not priced and no token.

    Raises:
        UnpricedModel: It is a token, and neither it nor what may stand in has a price.
    """

    def own(meter: Meter) -> Fraction | None:
        rate = rates.get(meter)
        if rate is None:
            return None
        return rate.dearest(input_tokens) if dearest else rate.micros(input_tokens)

    if meter not in TOKENS:
        return own(meter)
    found = own(meter)
    if found is None and meter in _TIMES_INPUT:
        base = own(Meter.INPUT)
        shorter = own(Meter.CACHE_WRITE) if meter is Meter.CACHE_WRITE_LONG else None
        found = None if base is None else max(base * _TIMES_INPUT[meter], shorter or Fraction(0))
    if found is None and meter is Meter.REASONING:
        found = own(Meter.OUTPUT)
    if found is None and meter is Meter.CACHE_READ_AUDIO:
        found = own(Meter.INPUT_AUDIO)
    if found is None:
        raise UnpricedModel(row.provider, row.model, f"no price is known for its {meter.value} tokens")
    return found


def dearest_rates(rows: Iterable[PriceRow]) -> Rates:
    """Return for each meter the most that any of *rows* asks for it, in any service tier."""
    most: dict[Meter, Fraction] = {}
    for row in rows:
        for rates in (row.rates, *({**row.rates, **others} for others in row.variants.values())):
            for meter in Meter:
                try:
                    each = price_of(row, rates, meter, _EVERY_TIER, dearest=True)
                except UnpricedModel:  # this one does without it
                    continue
                if each is not None and each > most.get(meter, -1):
                    most[meter] = each
    return {meter: Rate(each, MICROS) for meter, each in most.items()}


def rate(price: Any, per: int, where: str, tiers: Mapping[int, Any] | None = None) -> Rate:
    """Return the rate that somebody wrote down.

    Raises:
        InvalidPrice: A price is a float, no number, or below zero.
    """
    above = tuple(sorted((start, exact(dearer, where)) for start, dearer in (tiers or {}).items()))
    try:
        return Rate(exact(price, where), per, above)
    except InvalidPrice as error:
        raise InvalidPrice(where, error.what, error.fix) from error


def same_currency(row: PriceRow, amount: Money) -> None:
    """Refuse to weigh prices in one currency against money in another."""
    if row.currency != amount.currency:
        raise CurrencyMismatch(row.currency, amount.currency)
