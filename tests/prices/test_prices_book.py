"""Prices as data: dated, versioned, overridable, by any usual name; and what is unknown is never free."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import genai_prices
import pytest
from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot
from hypothesis import given
from hypothesis import strategies as st

from holdfast._core.price import price_of
from holdfast.errors import InvalidPrice, MissingExtra, UnpricedModel
from holdfast.prices import Meter, Money, PriceBook, PriceRow, Usage, cost_of, load_prices
from holdfast.prices.bundled import BundledPrices

AT = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
MILLION = Usage(uncached_input=1_000_000, output=1_000_000)


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook()


def micros(row: PriceRow, meter: Meter, read: int = 0) -> float:
    found = price_of(row, row.rates, meter, read)
    assert found is not None
    return float(found)


# The bundled prices


def test_a_bundled_row_says_where_it_is_from(book: PriceBook):
    """COS-11: source, version, model and content."""
    row = book.row("anthropic/claude-sonnet-4-5", at=AT)

    assert row.id == f"genai-prices:{genai_prices.__version__}:anthropic/claude-sonnet-4-5#{row.digest}"
    assert (row.currency, row.context_window, row.assumed) == ("USD", 200_000, "")
    assert cost_of(Usage(uncached_input=1), row).priced_by == row.id


def test_the_bundled_price_of_a_model_with_tiers_caches_and_searches(book: PriceBook):
    """claude-sonnet-4-5: 3 / 15, above 200,000 tokens 6 / 22.50; 0.30 from a cache, 3.75 and 6 to one; a search 0.01.

    The day the data changes, the hand-made figures here say so.
    """
    row = book.row("anthropic/claude-sonnet-4-5", at=AT)
    meters = [Meter.INPUT, Meter.OUTPUT, Meter.CACHE_READ, Meter.CACHE_WRITE, Meter.CACHE_WRITE_LONG]

    assert [micros(row, meter) for meter in meters] == [3, 15, 0.3, 3.75, 6]
    assert [micros(row, meter, 200_001) for meter in meters[:2]] == [6, 22.5]
    assert micros(row, Meter.WEB_SEARCH) == 10_000
    usage = Usage(uncached_input=2_095, cache_read=1_000, cache_write_short=100, output=503)
    # 2,095 x 3 + 1,000 x 0.3 + 100 x 3.75 + 503 x 15 = 6,285 + 300 + 375 + 7,545
    assert cost_of(usage, row).total == Money(14_505)


def test_service_tiers_and_batches_have_their_own_prices(book: PriceBook):
    """gpt-4o: 2.50 / 10; priority 4.25 / 17; in a batch 1.25 / 5, its cached input stays at 1.25."""
    row = book.row("openai/gpt-4o", at=AT)
    usage = Usage(uncached_input=1_000_000, cache_read=1_000_000, output=1_000_000)

    def dollars(**served: Any) -> str:
        return str(cost_of(Usage(**{**usage_fields(usage), **served}), row).total)

    assert dollars() == "13.750000 USD"
    assert dollars(service_tier="priority") == "23.375000 USD"
    assert dollars(batch=True) == "7.500000 USD"


def usage_fields(usage: Usage) -> dict[str, Any]:
    return {"uncached_input": usage.uncached_input, "cache_read": usage.cache_read, "output": usage.output}


def test_prices_hold_from_their_day_at_midnight_utc(book: PriceBook):
    """gpt-5.6-sol cost 5 / 30 until 2026-08-21, and 4 / 20 from then on."""
    day = datetime(2026, 8, 21, tzinfo=UTC)
    before = book.row("openai/gpt-5.6-sol", at=day - timedelta(seconds=1))
    after = book.row("openai/gpt-5.6-sol", at=day)
    tokyo = book.row("openai/gpt-5.6-sol", at=datetime(2026, 8, 21, 8, tzinfo=timezone(timedelta(hours=9))))

    assert [micros(row, Meter.INPUT) for row in (before, after, tokyo)] == [5, 4, 5]
    assert (before.since, after.since) == (None, date(2026, 8, 21))
    assert before.id != after.id
    assert tokyo is before


def test_prices_by_the_time_of_day_hold_at_that_time(book: PriceBook):
    """deepseek-chat: 0.27 from 00:30 to 16:30 UTC, 0.135 else."""
    noon, night = (book.row("deepseek/deepseek-chat", at=AT.replace(hour=hour)) for hour in (12, 20))

    assert (micros(noon, Meter.INPUT), micros(night, Meter.INPUT)) == (0.27, 0.135)


@pytest.mark.parametrize(
    ("names", "model"),
    [
        (
            [
                "anthropic/claude-sonnet-4-5",
                "anthropic/claude-sonnet-4-5-20250929",
                "ANTHROPIC/Claude-Sonnet-4-5",
                "claude-sonnet-4-5",
            ],
            "anthropic/claude-sonnet-4-5",
        ),
        (["openai/gpt-4o", "openai/gpt-4o-2024-08-06", "gpt-4o"], "openai/gpt-4o"),
        (["azure/gpt-4o", "azure.ai.openai/gpt-4o", "azure_openai/gpt-4o"], "azure/gpt-4o"),
        (
            [
                "google/claude-sonnet-4-5@20250929",
                "vertex_ai/claude-sonnet-4-5",
                "gcp.vertex_ai/claude-sonnet-4-5",
            ],
            "google/claude-sonnet-4-5",
        ),
        (
            [
                "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "aws.bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0",
            ],
            "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        (["x_ai/grok-4", "xai/grok-4", "x-ai/grok-4"], "x-ai/grok-4-0709"),
        (["anthropic/claude-3-5-haiku-latest"], "anthropic/claude-3-5-haiku-latest"),
    ],
)
def test_all_names_of_a_model_lead_to_one_row(book: PriceBook, names: list[str], model: str):
    """COS-22."""
    rows = [book.row(name, at=AT) for name in names]

    assert len({row.id for row in rows}) == 1
    assert f"{rows[0].provider}/{rows[0].model}" == model


def test_a_row_is_made_once(book: PriceBook):
    assert book.row("openai/gpt-5", at=AT) is book.resolve("openai", "gpt-5-2025-08-07", at=AT)


def test_anthropics_surcharge_for_a_region_is_its_own_and_not_its_resellers(book: PriceBook):
    usage = Usage(uncached_input=1_000, region="us")

    assert cost_of(usage, book.row("anthropic/claude-opus-4-8", at=AT)).total == Money(5_500)
    assert cost_of(usage, book.row("vertex/claude-opus-4-8", at=AT)).unpriced == ("region us",)


def test_the_time_of_a_price_has_a_timezone(book: PriceBook):
    with pytest.raises(ValueError, match="timezone"):
        book.row("openai/gpt-4o", at=datetime(2026, 11, 28))  # noqa: DTZ001 - that is the mistake


@pytest.fixture
def updated() -> Iterator[None]:
    set_custom_snapshot(DataSnapshot(providers=[], from_auto_update=True))
    yield
    set_custom_snapshot(None)


def test_what_an_update_fetched_in_this_process_changes_no_prices(updated: None):
    """A row says which version of the package it is from, so that it is from there."""
    assert PriceBook().row("openai/gpt-4o", at=AT).version == genai_prices.__version__


def test_every_bundled_row_prices_something_and_its_variants_do_too():
    """Whatever the data holds, each model has a price for its tokens, or none at all."""
    rows = BundledPrices().rows(AT)

    assert len(rows) > 2_000
    for row in rows:
        assert row.rates.keys() & {Meter.INPUT, Meter.OUTPUT}
        for tier in ("standard", *row.variants):
            assert row.served("standard" if tier == "batch" else tier, batch=tier == "batch")


@given(st.text(max_size=20), st.text(max_size=30))
def test_any_name_has_a_price_or_is_refused(provider: str, model: str):
    book = PriceBook(unknown={"input": "1", "output": "1"})

    row = book.resolve(provider, model, at=AT)

    assert row.rates.keys() & {Meter.INPUT, Meter.OUTPUT}


# Unknown models


@pytest.mark.parametrize(
    "name", ["openai/gpt-99", "nobody/gpt-4o", "no-such-model", "", "openai/", "/gpt-4o-x"]
)
def test_an_unknown_model_is_refused(book: PriceBook, name: str):
    """COS-11, COS-22: an error before the call."""
    with pytest.raises(UnpricedModel):
        book.row(name, at=AT)


@pytest.mark.parametrize("name", ["openai/moderation", "cerebras/qwen-3-coder-480b", "google/gemma-3"])
def test_a_model_that_the_data_knows_without_a_price_is_unknown_and_not_free(book: PriceBook, name: str):
    with pytest.raises(UnpricedModel):
        book.row(name, at=AT)


def test_an_unknown_model_may_cost_what_you_say():
    book = PriceBook(unknown={"input": "20", "output": "100"})

    row = book.row("openai/gpt-99", at=AT)

    assert cost_of(MILLION, row).total == Money.parse("120")
    assert row.assumed
    assert row.id == f"ceiling:1:openai/gpt-99?#{row.digest}"
    assert book.row("openai/gpt-4o", at=AT).source == "genai-prices"
    for tier in ("priority", "fast", "flex"):
        assert cost_of(Usage(uncached_input=1, service_tier=tier), row).total == Money(20)


def test_an_unknown_model_may_cost_what_the_dearest_known_one_does(caplog: pytest.LogCaptureFixture):
    """No known row, in any way of being served, asks more for anything; and it is said once."""
    book = PriceBook(unknown="warn")
    with caplog.at_level(logging.WARNING, logger="holdfast"):
        row = book.row("openai/gpt-99", at=AT)
        again = book.row("openai/gpt-99", at=AT)

    assert row is again
    assert [record.getMessage() for record in caplog.records if record.name == "holdfast"] == [
        "model 'openai/gpt-99' has no price: it is taken to cost what the dearest known one does"
    ]
    assert (micros(row, Meter.INPUT), micros(row, Meter.OUTPUT)) == (150, 600)
    for known in BundledPrices().rows(AT)[::25]:
        for meter, rate in known.rates.items():
            assert rate.dearest(10**9) <= (price_of(row, row.rates, meter, 0) or 0)


def test_no_policy_but_these():
    with pytest.raises(InvalidPrice):
        PriceBook(unknown="zero", bundled=False)  # type: ignore[arg-type]


def test_without_bundled_prices_the_dearest_of_ones_own_stands_in():
    book = PriceBook(
        {"a/x": {"input": "1", "output": "9"}, "a/y": {"input": "2", "output": "3"}},
        unknown="warn",
        bundled=False,
    )

    assert cost_of(MILLION, book.row("a/z", at=AT)).total == Money.parse("11")
    with pytest.raises(UnpricedModel):
        PriceBook(unknown="warn", bundled=False).row("a/z", at=AT)


# One's own prices


def test_ones_own_price_wins_as_a_whole(book: PriceBook):
    """COS-11: a custom price wins, and past costs keep the row that they name."""
    own = PriceBook({"openai/gpt-4o": {"input": "2", "output": "8"}})

    row = own.row("openai/gpt-4o-2024-08-06", at=AT)

    assert cost_of(MILLION, row).total == Money.parse("10")
    assert row.id == f"code:1:openai/gpt-4o#{row.digest}"
    assert Meter.CACHE_READ not in row.rates
    assert own.row("openai/gpt-4o-mini", at=AT) == book.row("openai/gpt-4o-mini", at=AT)


def test_ones_own_prices_are_dated():
    prices = [
        {"input": "3", "output": "3", "since": "2026-12-01"},
        {"input": "2", "output": "2", "since": date(2026, 11, 1)},
    ]
    book = PriceBook({"openai/gpt-4o": prices})

    def total(day: datetime) -> Money:
        return cost_of(Usage(uncached_input=1_000_000), book.row("openai/gpt-4o", at=day)).total

    assert total(AT) == Money.parse("2")
    assert total(datetime(2026, 12, 1, tzinfo=UTC)) == Money.parse("3")
    assert total(datetime(2026, 10, 31, 23, 59, tzinfo=UTC)) == Money.parse("2.50")


def test_an_alias_is_changed_in_one_place():
    """COS-22."""
    old = PriceBook(aliases={"support": "team/big", "team/big": "anthropic/claude-sonnet-4-5"})
    new = PriceBook(aliases={"support": "team/big", "team/big": "openai/gpt-4o"})

    assert old.row("support", at=AT).model == "claude-sonnet-4-5"
    assert new.row("support", at=AT).model == "gpt-4o"
    assert new.resolve("team", "big", at=AT).model == "gpt-4o"


def test_a_deployments_name_gets_a_price_by_an_alias():
    book = PriceBook(aliases={"azure/my-deployment": "azure/gpt-4o"})

    assert book.resolve("azure.ai.openai", "my-deployment", at=AT).model == "gpt-4o"


def test_aliases_that_go_round_in_circles_are_refused():
    with pytest.raises(InvalidPrice, match="circles"):
        PriceBook(aliases={"a": "b/c", "b/c": "a"}, bundled=False)


@pytest.mark.parametrize(
    "prices",
    [
        {"openai/x": {"input": "1", "output": "1"}, "OpenAI/X": {"input": "2", "output": "2"}},
        {"bedrock/x": {"input": "1", "output": "1"}, "aws/x": {"input": "2", "output": "2"}},
        {"openai/x": [{"input": "1"}, {"input": "2"}]},
        {"openai/x": []},
        {"openai/x": None},
    ],
)
def test_two_prices_for_one_model_and_day_are_refused(prices: Any):
    with pytest.raises(InvalidPrice):
        PriceBook(prices, bundled=False)


# Files

CONTENT = {
    "version": "2026-11",
    "aliases": {"support": "acme/llama"},
    "prices": {
        "acme/llama": [
            {"input": "0.10", "output": "0.40", "currency": "EUR"},
            {"input": "0.20", "output": "0.40", "currency": "EUR", "since": "2026-11-01"},
        ]
    },
}
TOML = """
version = "2026-11"
[aliases]
support = "acme/llama"
[[prices."acme/llama"]]
input = 0.10
output = 0.40
currency = "EUR"
[[prices."acme/llama"]]
input = 0.20
output = 0.40
currency = "EUR"
since = 2026-11-01
"""
YAML = """
version: 2026-11
aliases: {support: acme/llama}
prices:
  acme/llama:
    - {input: 0.10, output: 0.40, currency: EUR}
    - input: 0.20
      output: 0.40
      currency: EUR
      since: 2026-11-01
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.json", json.dumps(CONTENT)),
        ("p.json", json.dumps(CONTENT).replace('"0.10"', "0.10").replace('"0.20"', "0.20")),
        ("p.toml", TOML),
        ("p.yaml", YAML),
        ("p.yml", YAML),
    ],
)
def test_a_file_says_the_same_in_each_format_and_its_numbers_are_what_is_written(
    tmp_path: Path, name: str, text: str
):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")

    row = PriceBook(path, bundled=False).row("support", at=AT)

    assert row.id == f"{name}:2026-11:acme/llama@2026-11-01#{row.digest}"
    assert cost_of(MILLION, row).total == Money.parse("0.60", "EUR")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.json", '{"prices": {"a/b": {"input": "1", "input": "2", "output": "1"}}}'),
        ("p.json", '{"price": {}}'),
        ("p.json", "[]"),
        ("p.json", "{"),
        ("p.json", '{"prices": []}'),
        ("p.json", '{"prices": {"a/b": {"input": NaN, "output": 1}}}'),
        ("p.toml", "prices = 1\nprices = 2"),
        ("p.yaml", "prices: &a {a/b: {input: 1, output: 1}}\naliases: *a"),
        ("p.yaml", "prices: {a/b: {input: 1, input: 2, output: 1}}"),
        ("p.yaml", "prices: {a/b: {input: !!python/object/apply:os.getcwd [], output: 1}}"),
        ("p.yaml", "prices: {a/b: {? [1] : 2}}"),
        ("p.yaml", "prices: [unclosed"),
        ("p.yaml", ""),
        ("p.txt", "{}"),
        ("p.json", " " * 2_000_000),
    ],
)
def test_a_file_that_may_mean_something_else_is_refused(tmp_path: Path, name: str, text: str):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")

    with pytest.raises(InvalidPrice):
        load_prices(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(InvalidPrice, match="FileNotFoundError"):
        PriceBook(tmp_path / "none.json", bundled=False)


# The extra


def test_prices_of_ones_own_need_no_package():
    """Nothing outside the standard library is loaded, and none is missed."""
    code = (
        "import sys\n"
        "sys.modules['genai_prices'] = sys.modules['tiktoken'] = sys.modules['yaml'] = None\n"
        "from datetime import UTC, datetime\n"
        "from holdfast.prices import PriceBook, local_tokenizer\n"
        "book = PriceBook({'a/b': {'input': '1', 'output': '1'}}, bundled=False)\n"
        "print(book.row('a/b', at=datetime.now(UTC)).model, local_tokenizer('gpt-4o'))\n"
        "from holdfast.errors import MissingExtra\n"
        "try:\n    PriceBook()\nexcept MissingExtra as error:\n    print(error.extra)\n"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.splitlines() == ["b None", "prices"]


def test_yaml_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "p.yaml").write_text(YAML, encoding="utf-8")

    with pytest.raises(MissingExtra, match="prices"):
        load_prices(tmp_path / "p.yaml")
