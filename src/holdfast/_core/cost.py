"""What a call cost: the sum that follows from what was used and from a row of prices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from holdfast._core.money import Money, rounded_up
from holdfast._core.price import TOKENS, Meter, PriceRow, price_of
from holdfast._core.usage import Usage


@dataclass(frozen=True, slots=True)
class Part:
    """One line of a cost.

    Attributes:
        name: What for, e.g. ``cache_read``.
        quantity: How many of it.
        money: Its share. All shares together are the total, exactly.
    """

    name: str
    quantity: int
    money: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What something cost, and by which prices.

    Attributes:
        total: Rounded up once, as a whole.
        parts: What it is made of; they add up to *total*.
        priced_by: The id of the row, or who set the price.
        unpriced: What was used as well, and has no price in that row: it is not in *total*.
    """

    total: Money
    parts: tuple[Part, ...]
    priced_by: str
    unpriced: tuple[str, ...] = ()

    @classmethod
    def flat(cls, name: str, amount: Money, priced_by: str) -> Cost:
        """Return the cost of a thing with a price of its own, e.g. a tool's paid call."""
        return cls(total=amount, parts=(Part(name, 1, amount),), priced_by=priced_by)


def cost_of(usage: Usage, row: PriceRow) -> Cost:
    """Return what *usage* costs by *row*.

    Raises:
        UnpricedModel: Some of its tokens have no price, or it was served in a tier that has none.
    """
    rates = row.served(usage.service_tier, batch=usage.batch)
    lines: list[tuple[str, int, Fraction]] = []
    unpriced = [f"{name} x {count}" for name, count in usage.other_tools if count]
    for meter, count in _counted(usage):
        each = price_of(row, rates, meter, usage.input)
        if each is not None:
            lines.append((meter.value, count, count * each))
        elif meter is not Meter.REQUEST:  # few ask for a fee per request
            unpriced.append(f"{meter.value} x {count}")
    more = row.surcharges.get(usage.region)
    if more is not None:
        tokens = sum((micros for name, _, micros in lines if Meter(name) in TOKENS), Fraction(0))
        lines.append((f"region {usage.region}", 1, tokens * (more - 1)))
    elif usage.region and usage.region not in row.surcharges:
        unpriced.append(f"region {usage.region[:40]}")
    parts = tuple(_shares(lines, row.currency))
    return Cost(
        total=Money.total((part.money for part in parts), row.currency),
        parts=parts,
        priced_by=row.id,
        unpriced=tuple(unpriced),
    )


def _counted(usage: Usage) -> Iterator[tuple[Meter, int]]:
    """Each token under one meter. Which audio came from a cache is not told: as little as can be."""
    fresh_audio = min(usage.input_audio, usage.uncached_input)
    read_audio = min(usage.input_audio - fresh_audio, usage.cache_read)
    rest = usage.input_audio - fresh_audio - read_audio
    short = max(usage.cache_write_short - rest, 0)
    counts = {
        Meter.INPUT: usage.uncached_input - fresh_audio,
        Meter.CACHE_READ: usage.cache_read - read_audio,
        Meter.CACHE_WRITE: short,
        Meter.CACHE_WRITE_LONG: usage.cache_write_long - (rest - (usage.cache_write_short - short)),
        Meter.INPUT_AUDIO: fresh_audio + rest,
        Meter.CACHE_READ_AUDIO: read_audio,
        Meter.OUTPUT: usage.output - usage.reasoning - usage.output_audio,
        Meter.REASONING: usage.reasoning,
        Meter.OUTPUT_AUDIO: usage.output_audio,
        Meter.REQUEST: usage.requests,
        Meter.WEB_SEARCH: usage.web_searches,
        Meter.FILE_SEARCH: usage.file_searches,
        Meter.CODE_EXECUTION: usage.code_executions,
    }
    return ((meter, count) for meter, count in counts.items() if count)


def _shares(lines: list[tuple[str, int, Fraction]], currency: str) -> Iterator[Part]:
    """The lines, rounded so that their sum is the exact sum rounded up: each is off by less than one."""
    so_far, given = Fraction(0), Money(0, currency)
    for name, quantity, micros in lines:
        so_far += micros
        upto = rounded_up(so_far, currency)
        yield Part(name, quantity, upto - given)
        given = upto
