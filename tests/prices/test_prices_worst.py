"""What a request may cost at most, for every usage within it; the parts of any cost are its total."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from holdfast._core.price import TOKENS, price_of
from holdfast.errors import CurrencyMismatch, UnpricedModel
from holdfast.prices import (
    Cost,
    Meter,
    Money,
    PriceRow,
    RequestBound,
    Usage,
    affordable_max_tokens,
    cost_of,
    price_row,
    worst_cost,
)

SONNET = price_row(
    {
        "input": "3",
        "output": "15",
        "cache_read": "0.30",
        "cache_write": "3.75",
        "cache_write_1h": "6",
        "web_search": "0.01",
        "tiers": {200_000: {"input": "6", "output": "22.50", "cache_read": "0.60"}},
        "batch": {"input": "1.50", "output": "7.50"},
        "fast": {"input": "30", "output": "150"},
        "surcharges": {"us": "1.1"},
    },
    name="anthropic/claude-sonnet-4-5",
)


prices = st.decimals(min_value=0, max_value=1_000, places=4).map(str)
counts = st.integers(0, 400_000)


@st.composite
def rows(draw: st.DrawFn) -> PriceRow:
    meters = st.sampled_from([meter.value for meter in Meter])
    extra = draw(st.dictionaries(meters, prices, max_size=5))
    base = {"input_audio": draw(prices), "output_audio": draw(prices)} | extra
    base |= {"input": draw(prices), "output": draw(prices)}
    named = st.sampled_from(sorted(base))
    tiers = draw(
        st.dictionaries(st.integers(0, 500_000), st.dictionaries(named, prices, max_size=3), max_size=2)
    )
    variants = draw(
        st.dictionaries(
            st.sampled_from(["batch", "flex", "priority", "fast"]), st.dictionaries(meters, prices)
        )
    )
    surcharges = draw(st.dictionaries(st.sampled_from(["us", "eu"]), st.sampled_from(["1", "1.1", "2"])))
    return price_row({**base, "tiers": tiers, "surcharges": surcharges, **variants}, name="p/m")


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    kinds = [draw(counts) for _ in range(4)]
    output = draw(counts)
    reasoning = draw(st.integers(0, output))
    return Usage(
        uncached_input=kinds[0],
        cache_read=kinds[1],
        cache_write_short=kinds[2],
        cache_write_long=kinds[3],
        output=output,
        reasoning=reasoning,
        output_audio=draw(st.sampled_from([0, output - reasoning])),
        input_audio=draw(st.integers(0, sum(kinds))) if draw(st.booleans()) else 0,
        requests=draw(st.integers(0, 3)),
        web_searches=draw(st.integers(0, 3)),
        file_searches=draw(st.integers(0, 3)),
        code_executions=draw(st.integers(0, 3)),
        batch=draw(st.booleans()),
        service_tier=draw(st.sampled_from(["standard", "flex", "priority", "fast"])),
        region=draw(st.sampled_from(["", "us", "eu", "mars"])),
    )


@st.composite
def bounds(draw: st.DrawFn) -> RequestBound:
    return RequestBound(
        input_tokens=draw(st.integers(0, 2_000_000)),
        max_output=draw(st.integers(0, 500_000)),
        answers=draw(st.integers(1, 3)),
        keeping=draw(st.sampled_from(["none", "short", "long"])),
        audio_in=draw(st.booleans()),
        audio_out=draw(st.booleans()),
        tier=draw(st.sampled_from([None, "standard", "flex", "priority", "fast"])),
        batch=draw(st.booleans()),
        region=draw(st.sampled_from([None, "", "us", "eu"])),
        requests=draw(st.integers(1, 3)),
        web_searches=draw(st.integers(0, 4)),
        file_searches=draw(st.integers(0, 4)),
        code_executions=draw(st.integers(0, 4)),
    )


def priced(usage: Usage, row: PriceRow) -> Cost:
    """The cost, where there is one."""
    try:
        return cost_of(usage, row)
    except UnpricedModel:
        assume(False)
        raise


@given(usages(), rows())
def test_the_parts_of_a_cost_are_the_total_exactly(usage: Usage, row: PriceRow):
    """COS-12: whatever was used, no micro-unit is lost or counted twice, and nothing is below its exact price."""
    cost = priced(usage, row)
    rates = row.served(usage.service_tier, batch=usage.batch)
    exact = Fraction(0)
    for part in cost.parts:
        if part.name in set(Meter):
            each = price_of(row, rates, Meter(part.name), usage.input)
            assert each is not None
            exact += each * part.quantity
    tokens = [part.quantity for part in cost.parts if part.name in {meter.value for meter in TOKENS}]

    assert Money.total(part.money for part in cost.parts) == cost.total
    assert all(part.money.micros >= 0 for part in cost.parts)
    assert cost.total.micros >= exact
    assert sum(tokens) == usage.input + usage.output


def within(usage: Usage, bound: RequestBound) -> Usage:
    """Make *usage* smaller until the bound covers it."""
    read, scale = usage.input, bound.input_tokens
    kinds = [usage.uncached_input, usage.cache_read, usage.cache_write_short, usage.cache_write_long]
    if bound.keeping != "long":
        kinds[3] = 0
    if bound.keeping == "none":
        kinds[2] = 0
    kinds = [kind if read <= scale else kind * scale // read for kind in kinds]
    output = min(usage.output, bound.max_output or 0)
    reasoning = min(usage.reasoning, output)
    tier = {None: usage.service_tier, "standard": "standard"}.get(bound.tier, bound.tier)
    return replace(
        usage,
        uncached_input=kinds[0],
        cache_read=kinds[1],
        cache_write_short=kinds[2],
        cache_write_long=kinds[3],
        output=output,
        reasoning=reasoning,
        output_audio=min(usage.output_audio, output - reasoning) if bound.audio_out else 0,
        input_audio=min(usage.input_audio, sum(kinds)) if bound.audio_in else 0,
        requests=min(usage.requests, bound.requests),
        web_searches=min(usage.web_searches, bound.web_searches),
        file_searches=min(usage.file_searches, bound.file_searches),
        code_executions=min(usage.code_executions, bound.code_executions),
        batch=bound.batch,
        service_tier=tier or "standard",
        region=usage.region if bound.region is None else bound.region,
    )


@given(usages(), rows(), bounds())
def test_nothing_within_a_bound_costs_more_than_its_worst_case(
    usage: Usage, row: PriceRow, bound: RequestBound
):
    """COS-17: for every row, every bound and every usage within it."""
    usage = within(usage, bound)
    cost = priced(usage, row)
    assume(bound.covers(usage, row))
    try:
        worst = worst_cost(bound, row)
    except UnpricedModel:  # refused before it is sent: that is safe, too
        return

    assert cost.total <= worst


def extremes(bound: RequestBound) -> Iterator[Usage]:
    """All of the input of one kind and all of the output of one kind, in every tier and region."""
    kinds = ("uncached_input", "cache_read", "cache_write_short", "cache_write_long")
    read = [{kind: bound.input_tokens} for kind in kinds]
    read.append({"uncached_input": bound.input_tokens, "input_audio": bound.input_tokens})
    written = [{"output": bound.max_output}]
    written += [
        {"output": bound.max_output, kind: bound.max_output} for kind in ("reasoning", "output_audio")
    ]
    rest = {name: getattr(bound, name) for name in ("requests", "web_searches", "file_searches", "batch")}
    for which, (one, other) in enumerate(itertools.product(read, written)):
        for tier in ("standard", "flex", "priority", "fast"):
            region = ("us", "eu", "")[which % 3] if bound.region is None else bound.region
            yield Usage(**one, **other, **rest, service_tier=tier, region=region)


@settings(max_examples=60)
@given(rows(), bounds())
def test_the_extremes_of_a_bound_cost_no_more_than_its_worst_case(row: PriceRow, bound: RequestBound):
    """COS-17: that is where a price that the worst case forgets would show."""
    for usage in extremes(bound):
        if bound.covers(usage, row):
            try:
                cost, worst = cost_of(usage, row), worst_cost(bound, row)
            except UnpricedModel:
                continue
            assert cost.total <= worst


@given(rows(), bounds(), st.integers(0, 10**10))
def test_what_is_affordable_is_the_most_that_the_money_allows(
    row: PriceRow, bound: RequestBound, micros: int
):
    """COS-20: with so many tokens the worst case fits, with one more it does not."""
    left = Money(micros)
    try:
        most = affordable_max_tokens(left, row, bound, most=10**9)
    except UnpricedModel:
        return

    fits = worst_cost(replace(bound, max_output=most * bound.answers), row) <= left
    assert fits or most == 0
    if most < 10**9:
        assert worst_cost(replace(bound, max_output=(most + 1) * bound.answers), row) > left


def test_a_worst_case_takes_the_dearest_of_everything_that_is_left_open():
    """1,000 read at the long write's 6, 100 written at the fast 150... and a tenth more: in the fast tier
    1,000 x max(30, 0.30, 3.75, 6) + 100 x 150 = 45,000, x 1.1 = 49,500."""
    bound = RequestBound(input_tokens=1_000, max_output=100, keeping="long")

    assert worst_cost(bound, SONNET) == Money(49_500)
    assert worst_cost(replace(bound, tier="standard", region=""), SONNET) == Money(7_500)
    assert worst_cost(replace(bound, tier="standard", region="", keeping="none"), SONNET) == Money(4_500)


def test_without_a_limit_for_the_output_there_is_no_worst_case():
    with pytest.raises(ValueError, match="max_tokens"):
        worst_cost(RequestBound(input_tokens=1), SONNET)


def test_money_in_another_currency_affords_nothing():
    with pytest.raises(CurrencyMismatch):
        affordable_max_tokens(Money(1, "EUR"), SONNET, RequestBound(input_tokens=1))


@pytest.mark.parametrize(
    ("cents", "tokens"), [("0.003", 0), ("0.00299", 0), ("0.0045", 100), ("0.004514", 100)]
)
def test_the_money_that_is_left_after_reading_buys_output(cents: str, tokens: int):
    """1,000 tokens read cost 0.003; at 15 for a million, 0.0015 buy 100 more, and 0.000014 none."""
    bound = RequestBound(input_tokens=1_000, keeping="none", tier="standard", region="")

    assert affordable_max_tokens(Money.parse(cents), SONNET, bound) == tokens


@pytest.mark.parametrize(
    ("meter", "used"),
    [
        ("input", {"uncached_input": 1_000}),
        ("cache_read", {"cache_read": 1_000}),
        ("cache_write", {"cache_write_short": 1_000}),
        ("cache_write_1h", {"cache_write_long": 1_000}),
        ("input_audio", {"uncached_input": 1_000, "input_audio": 1_000}),
        ("cache_read_audio", {"cache_read": 1_000, "input_audio": 1_000}),
        ("output", {"output": 1_000}),
        ("reasoning", {"output": 1_000, "reasoning": 1_000}),
        ("output_audio", {"output": 1_000, "output_audio": 1_000}),
    ],
)
def test_whichever_is_the_dearest_kind_is_the_worst_case(meter: str, used: dict[str, int]):
    """COS-17: 1,000 of it at 50 for a million, and nothing else: the worst case is that, to the micro-unit."""
    given_prices = {"input": "1", "output": "1", "input_audio": "1", "output_audio": "1", meter: "50"}
    row = price_row(given_prices | {"surcharges": {"us": "1.1"}}, name="p/m")
    usage = Usage(**used, region="us")
    read = {"cache_write": "2", "cache_write_1h": "2"}  # what stands in for them must not be dearer
    row = (
        price_row(read | given_prices | {"surcharges": {"us": "1.1"}}, name="p/m")
        if meter != "input"
        else row
    )
    bound = RequestBound(
        input_tokens=usage.input, max_output=usage.output, keeping="long", audio_in=True, audio_out=True
    )

    assert cost_of(usage, row).total == Money(55_000)
    assert worst_cost(bound, row) >= Money(55_000)
    assert worst_cost(bound, row) <= Money(55_000) * (2 if meter == "input" else 1)
