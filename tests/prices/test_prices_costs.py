"""What usage costs by a row, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from holdfast.errors import InvalidPrice, UnpricedModel
from holdfast.prices import (
    Cost,
    Money,
    Usage,
    cost_of,
    price_row,
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


def shares(cost: Cost) -> dict[str, int]:
    return {part.name: part.money.micros for part in cost.parts}


def test_each_kind_of_input_has_its_own_price():
    """COS-12. Row: 3 / 15 / read 0.30 / write 3.75 / long write 6, each for a million; a search 0.01.

    50 x 3 = 150; 10,000 x 0.3 = 3,000; 456 x 3.75 = 1,710; 100 x 6 = 600; 148 x 15 = 2,220 (58 and 90);
    2 x 10,000 = 20,000. Together 27,680 micro-dollars.
    """
    usage = Usage(
        uncached_input=50,
        cache_read=10_000,
        cache_write_short=456,
        cache_write_long=100,
        output=148,
        reasoning=90,
        web_searches=2,
    )

    cost = cost_of(usage, SONNET)

    assert shares(cost) == {
        "input": 150,
        "cache_read": 3_000,
        "cache_write": 1_710,
        "cache_write_1h": 600,
        "output": 870,
        "reasoning": 1_350,
        "web_search": 20_000,
    }
    assert (cost.total, cost.priced_by, cost.unpriced) == (Money(27_680), SONNET.id, ())


@pytest.mark.parametrize(("read", "micros"), [(200_000, 600_000 + 1_500), (200_001, 1_200_006 + 2_250)])
def test_above_a_threshold_everything_has_the_higher_price(read: int, micros: int):
    """200,000 x 3 + 100 x 15; one more token, and all of it is 200,001 x 6 + 100 x 22.50."""
    assert cost_of(Usage(uncached_input=read, output=100), SONNET).total == Money(micros)


def test_the_threshold_counts_what_came_from_a_cache_as_well():
    """1 x 6 + 200,000 x 0.60 = 120,006."""
    assert cost_of(Usage(uncached_input=1, cache_read=200_000), SONNET).total == Money(120_006)


def test_a_batch_and_a_faster_service_have_their_own_prices():
    """1,000 x 1.50 + 1,000 x 7.50 = 9,000; what the batch does not name stays: 1,000 x 0.30 = 300."""
    usage = Usage(uncached_input=1_000, cache_read=1_000, output=1_000)

    assert cost_of(replace(usage, batch=True), SONNET).total == Money(9_300)
    assert cost_of(replace(usage, service_tier="fast"), SONNET).total == Money(180_300)
    assert cost_of(replace(usage, service_tier="flex"), SONNET) == cost_of(usage, SONNET)


def test_a_faster_service_without_a_price_is_refused_and_not_priced_low():
    row = price_row({"input": "1", "output": "1"}, name="openai/x")

    for tier in ("priority", "fast", "ultra"):
        with pytest.raises(UnpricedModel, match=tier):
            cost_of(Usage(uncached_input=1, output=1, service_tier=tier), row)


def test_a_region_costs_a_tenth_more_for_tokens_and_not_for_searches():
    """(1,000 x 3 + 100 x 15) x 1.1 = 4,950, and 10,000 for the search."""
    usage = Usage(uncached_input=1_000, output=100, web_searches=1, region="us")

    cost = cost_of(usage, SONNET)

    assert (cost.total, shares(cost)["region us"]) == (Money(14_950), 450)
    assert cost_of(replace(usage, region="eu"), SONNET).unpriced == ("region eu",)


def test_what_is_less_than_a_micro_unit_is_rounded_up_once_for_the_whole():
    """Three kinds at a tenth of a micro-dollar each are one micro-dollar together, not three and not none."""
    row = price_row({"input": "0.1", "output": "0.1", "cache_read": "0.1"}, name="p/m")

    cost = cost_of(Usage(uncached_input=1, cache_read=1, output=1), row)

    assert cost.total == Money(1)
    assert sum(shares(cost).values()) == 1


def test_tools_of_the_provider_without_a_price_are_told_and_not_silently_free():
    """COS-16."""
    row = price_row({"input": "1", "output": "1"}, name="p/m")
    usage = Usage(
        uncached_input=1, web_searches=2, file_searches=3, code_executions=4, other_tools=(("image_call", 5),)
    )

    unpriced = cost_of(usage, row).unpriced

    assert unpriced == ("image_call x 5", "web_search x 2", "file_search x 3", "code_execution x 4")


@pytest.mark.parametrize(
    ("given_prices", "usage", "why"),
    [
        ({"input": "1"}, {"uncached_input": 1, "output": 1}, "output"),
        ({"output": "1"}, {"uncached_input": 1, "output": 1}, "input"),
        ({"output": "1"}, {"cache_read": 1}, "cache_read"),
        ({"input": "1", "output": "1"}, {"uncached_input": 1, "input_audio": 1}, "input_audio"),
        ({"input": "1", "output": "1"}, {"output": 1, "output_audio": 1}, "output_audio"),
    ],
)
def test_a_token_without_a_price_is_refused(given_prices: Any, usage: Any, why: str):
    """COS-11: never zero. Audio costs ten times what text does, so that text's price may not stand in."""
    with pytest.raises(UnpricedModel, match=why):
        cost_of(Usage(**usage), price_row(given_prices, name="p/m"))


def test_a_model_that_only_reads_needs_no_price_for_output():
    assert cost_of(Usage(uncached_input=1_000), price_row({"input": "0.02"}, name="p/embed")).total == Money(
        20
    )


def test_a_row_that_is_silent_about_caching_is_read_as_both_providers_ask():
    """100 x 1; 100 x 1.25 for minutes, 100 x 2 for hours; but never less than what minutes cost."""
    plain = price_row({"input": "1", "output": "1"}, name="p/m")
    dear = price_row({"input": "1", "output": "1", "cache_write": "3"}, name="p/m")
    usage = Usage(cache_read=100, cache_write_short=100, cache_write_long=100)

    assert shares(cost_of(usage, plain)) == {"cache_read": 100, "cache_write": 125, "cache_write_1h": 200}
    assert shares(cost_of(usage, dear)) == {"cache_read": 100, "cache_write": 300, "cache_write_1h": 300}


def test_audio_has_its_own_prices_and_as_little_of_it_as_can_be_came_from_a_cache():
    """30 fresh and 10 cached, 35 of them audio: 30 x 32 + 5 x 0.4 + 5 x 0.1 = 962.5, so 963."""
    row = price_row(
        {"input": "1", "output": "1", "cache_read": "0.1", "input_audio": "32", "cache_read_audio": "0.4"},
        name="p/m",
    )

    cost = cost_of(Usage(uncached_input=30, cache_read=10, input_audio=35), row)

    assert cost.total == Money(963)


def test_the_cost_of_a_tool_is_a_cost_like_any_other():
    """COS-16: a paid call at 0.02, and tokens, add up."""
    tool = Cost.flat("tool search", Money.parse("0.02"), "tool search")
    tokens = cost_of(Usage(uncached_input=1_000), SONNET)

    assert Money.total([tool.total, tokens.total]) == Money(23_000)


def test_every_attempt_has_a_cost_of_its_own_because_thresholds_are_for_each_request():
    """COS-16: three attempts of 150,000 tokens cost 450,000 x 3, and not the long-context price."""
    once = cost_of(Usage(uncached_input=150_000), SONNET).total

    assert once * 3 == Money(1_350_000)
    assert cost_of(Usage(uncached_input=450_000, requests=3), SONNET).total > once * 3


def test_a_fee_for_each_request_is_added():
    row = price_row({"input": "1", "output": "1", "request": "0.005"}, name="p/m")

    assert shares(cost_of(Usage(uncached_input=1, requests=2), row)) == {"input": 1, "request": 10_000}


# Rows


def test_equal_content_has_an_equal_digest_and_any_change_another():
    """COS-11: a record names source, version, model, day and content."""
    base = {"input": "3", "output": "15"}
    row = price_row(base, name="anthropic/x", source="prices.toml", version="7")
    same = price_row(
        {"output": "15.00", "input": "3.0"}, name="anthropic/x", source="prices.toml", version="7"
    )
    others = [
        price_row(base | change, name="anthropic/x", source="prices.toml", version="7")
        for change in (
            {"input": "3.000001"},
            {"batch": {"input": "1"}},
            {"tiers": {1000: {"input": "4"}}},
            {"surcharges": {"us": "1.1"}},
            {"currency": "EUR"},
            {"since": "2026-01-01"},
        )
    ]

    assert row.id == same.id == f"prices.toml:7:anthropic/x#{row.digest}"
    assert len({row.id, *(other.id for other in others)}) == 7


@pytest.mark.parametrize(
    "odd",
    [
        {"input": 3.0, "output": "1"},
        {"input": "-1", "output": "1"},
        {"input": "1e3", "output": "1"},
        {"input": "3", "output": "9999999999"},
        {"input": "3", "output": True},
        {"input": "3", "output": "1", "inptu": "1"},
        {"input": "3", "output": "1", "tiers": {"1000": {"cache_read": "1"}}},
        {"input": "3", "output": "1", "tiers": {"-5": {"input": "1"}}},
        {"input": "3", "output": "1", "tiers": {"1.5": {"input": "1"}}},
        {"input": "3", "output": "1", "batch": "0.5"},
        {"input": "3", "output": "1", "since": "yesterday"},
        {"input": "3", "output": "1", "currency": "dollars"},
        {"input": "3", "output": "1", "surcharges": {"us": "0.9"}},
        {"web_search": "0.01"},
        {},
        "3/15",
    ],
)
def test_a_price_that_cannot_be_meant_is_refused(odd: Any):
    with pytest.raises(InvalidPrice):
        price_row(odd, name="p/m")
