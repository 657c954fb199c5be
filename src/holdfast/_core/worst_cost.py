"""The most that a request can cost, before it is sent; and how much output the money that is left allows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Literal, TypeAlias

from holdfast._core.money import Money, rounded_up
from holdfast._core.price import Meter, PriceRow, Rates, price_of, same_currency
from holdfast._core.usage import MOST_TOKENS, Usage

Keeping: TypeAlias = Literal["none", "short", "long"]
"""Whether what is read may go to a cache: not at all, for minutes, or for hours."""

_KEPT: Final[dict[Keeping, tuple[Meter, ...]]] = {
    "none": (),
    "short": (Meter.CACHE_WRITE,),
    "long": (Meter.CACHE_WRITE, Meter.CACHE_WRITE_LONG),
}
_TOOLS: Final = ("web_searches", "file_searches", "code_executions")
_TOOL_METERS: Final = (Meter.WEB_SEARCH, Meter.FILE_SEARCH, Meter.CODE_EXECUTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestBound:
    """What a request can use at most. What is left open here is taken at its dearest.

    Attributes:
        input_tokens: It reads no more than so many, over all its requests.
        max_output: It writes no more than so many, over all its answers; ``None`` if it sets no limit.
        answers: So many answers are asked for; each may be as long as the request allows.
        keeping: What may go to a cache.
        audio_in: Whether some of the input may be audio.
        audio_out: Whether some of the output may be audio.
        tier: The service tier asked for; list prices stay possible. ``None``: whichever there is.
        batch: Whether it goes into a batch.
        region: Where it has to be served, empty for anywhere; ``None`` if a setting elsewhere decides.
        requests: So many billed requests at most.
        web_searches: So many at most; the same for the other tools of the provider.
        other_tools: What the provider may do besides, at a price that nobody knows.
    """

    input_tokens: int
    max_output: int | None = None
    answers: int = 1
    keeping: Keeping = "short"
    audio_in: bool = False
    audio_out: bool = False
    tier: str | None = None
    batch: bool = False
    region: str | None = None
    requests: int = 1
    web_searches: int = 0
    file_searches: int = 0
    code_executions: int = 0
    other_tools: tuple[str, ...] = ()

    def covers(self, usage: Usage, row: PriceRow) -> bool:
        """Whether *usage* stays within it. If so, it costs no more than `worst_cost` says."""
        kept = (usage.cache_write_short == 0 or self.keeping != "none") and (
            usage.cache_write_long == 0 or self.keeping == "long"
        )
        audio = (usage.input_audio == 0 or self.audio_in) and (usage.output_audio == 0 or self.audio_out)
        served = _batch_or(usage.service_tier, batch=usage.batch) in _tiers(self, row)
        placed = self.region is None or usage.region in {"", self.region}
        tools = all(getattr(usage, name) <= getattr(self, name) for name in (*_TOOLS, "requests"))
        fits = usage.input <= self.input_tokens and self.max_output is not None
        return (
            fits and usage.output <= (self.max_output or 0) and kept and audio and served and placed and tools
        )


@dataclass(frozen=True, slots=True)
class Unbounded:
    """Nothing can be said about what a request uses at most.

    Attributes:
        why: What of it has no bound, e.g. ``messages[0]: a document``.
    """

    why: tuple[str, ...]


def worst_cost(bound: RequestBound, row: PriceRow) -> Money:
    """Return the most that a request within *bound* can cost by *row*, rounded up.

    No usage that the bound covers costs more: every token that is read is taken at the dearest price that
    anything read can have, every token written at the dearest for output, in the dearest service tier and
    region that are possible.

    Raises:
        ValueError: The bound says nothing about the output.
        UnpricedModel: Something that it allows has no price.
    """
    if bound.max_output is None:
        raise ValueError("the request sets no limit for its output: give max_output, or set max_tokens")
    totals = [fixed + bound.max_output * each for fixed, each in _worst(bound, row)]
    return rounded_up(max(totals), row.currency)


def affordable_max_tokens(left: Money, row: PriceRow, bound: RequestBound, *, most: int = MOST_TOKENS) -> int:
    """Return how much each answer may be long at most, so that the worst case costs no more than *left*.

    Args:
        left: What may be spent.
        bound: What the request uses at most; its own limit for the output does not count here.
        most: Never more than this, e.g. what the model can write.

    Returns:
        Output tokens for each answer; 0 when *left* is not enough for one.

    Raises:
        CurrencyMismatch: *left* is in another currency than the prices.
        UnpricedModel: Something that the bound allows has no price.
    """
    same_currency(row, left)
    room = most
    for fixed, each in list(
        _worst(replace(bound, max_output=None), row)
    ):  # all of them have a price, or none
        if fixed > left.micros:
            return 0
        if each:
            room = min(room, int((left.micros - fixed) // (each * bound.answers)))
    return room


def _worst(bound: RequestBound, row: PriceRow) -> Iterable[tuple[Fraction, Fraction]]:
    """For each way it may be served: what it costs without any output, and each token of output."""
    more = _surcharge(bound, row)
    for tier in _tiers(bound, row):
        rates = row.served("standard" if tier == "batch" else tier, batch=tier == "batch")
        read = [Meter.INPUT, Meter.CACHE_READ, *_KEPT[bound.keeping]]
        read += [Meter.INPUT_AUDIO, Meter.CACHE_READ_AUDIO] * bound.audio_in
        written = [Meter.OUTPUT, Meter.REASONING, *[Meter.OUTPUT_AUDIO] * bound.audio_out]
        tools = zip(_TOOL_METERS, _TOOLS, strict=True)
        fixed = sum(
            (_dearest(row, rates, meter, bound) * getattr(bound, name) for meter, name in tools), Fraction(0)
        )
        fixed += _dearest(row, rates, Meter.REQUEST, bound) * bound.requests
        tokens = max(_dearest(row, rates, meter, bound) for meter in read) * bound.input_tokens
        each = Fraction(0)
        if bound.max_output != 0:  # what only reads, e.g. an embedding, has no price for output
            each = max(_dearest(row, rates, meter, bound) for meter in written)
        yield fixed + tokens * more, each * more


def _dearest(row: PriceRow, rates: Rates, meter: Meter, bound: RequestBound) -> Fraction:
    return price_of(row, rates, meter, bound.input_tokens, dearest=True) or Fraction(0)


def _tiers(bound: RequestBound, row: PriceRow) -> tuple[str, ...]:
    """How it may be served: what was asked for is not always what is done, and then at list prices."""
    if bound.batch:
        return ("batch",)
    if bound.tier is None:
        return ("standard", *(name for name in row.variants if name != "batch"))
    return tuple(dict.fromkeys(("standard", bound.tier)))


def _batch_or(tier: str, *, batch: bool) -> str:
    return "batch" if batch else tier


def _surcharge(bound: RequestBound, row: PriceRow) -> Fraction:
    if bound.region is None:
        return max([Fraction(1), *row.surcharges.values()])
    return row.surcharges.get(bound.region, Fraction(1))
