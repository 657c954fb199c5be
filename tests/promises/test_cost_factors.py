"""COS-21: why a workflow cost what it did is told by five factors, from what is on record."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from holdfast._core.factors import CostFactors, input_in
from holdfast._core.states import Event
from holdfast.errors import InvalidCall
from promises.ledgers import Place
from promises.spending import Spender

MODEL: dict[str, Any] = {"tool": "ask", "model": "a/small", "tokens": 9000}


async def asked(spender: Spender, n: int, read: int | None, *, falls: int = 0) -> None:
    """Ask a model, that fails so often first."""
    for _ in range(falls):
        await spender.begin(n, **MODEL)
        await spender.end(n, Event.RELEASE)
    await spender.begin(n, **MODEL)
    usage = None if read is None else json.dumps({"input_tokens": read, "output_tokens": 5})
    await spender.end(n, Event.SUCCEED, usage=usage)
    spender.at += timedelta(seconds=1)


async def called(spender: Spender, n: int, returns: str, *, args: str, falls: int = 0) -> None:
    """Call a tool, that fails so often first."""
    for _ in range(falls):
        await spender.begin(n, args=args)
        await spender.end(n, Event.RELEASE)
    await spender.begin(n, args=args)
    await spender.end(n, Event.SUCCEED, result=json.dumps(returns))
    spender.at += timedelta(seconds=1)


async def test_an_agents_five_factors(place: Place) -> None:
    """COS-21."""
    book = place.open()
    spender = Spender(book)
    await asked(spender, 1, 1000)
    await called(spender, 2, "x" * 98, args='{"q":"a"}')
    await called(spender, 3, "é", args='{"q":"b"}', falls=2)
    await asked(spender, 4, 2500, falls=1)
    await called(spender, 5, "", args='{"q":"a"}')
    await asked(spender, 6, 4000)
    await Spender(book, tenant="other").begin(7, **MODEL)

    found: CostFactors = await book.cost_factors("w")

    assert (found.model_calls, found.tool_calls) == (3, 3)
    assert found.input_tokens == (1000, None, 2500, 4000)
    assert (found.context_growth, found.growth_per_call) == (4.0, 1500.0)
    assert found.retries == 3
    assert (found.rounds, found.repeats) == (2, 1)
    written = [len(json.dumps(text)) for text in ("x" * 98, "é", "")]
    assert (found.output_bytes, found.largest_output) == (sum(written), 100)
    assert (found.largest_tool, found.unknown_outputs, found.is_whole) == ("search", 0, True)


async def test_what_is_not_known_is_said_to_be_unknown(place: Place) -> None:
    """COS-21."""
    book = place.open()
    spender = Spender(book)
    await asked(spender, 1, None)
    await asked(spender, 2, 700)

    found: CostFactors = await book.cost_factors("w")

    assert found.input_tokens == (None, 700)
    assert (found.context_growth, found.growth_per_call) == (None, None)
    assert (found.output_bytes, found.largest_tool, found.rounds) == (0, "", 0)
    with pytest.raises(InvalidCall, match="nothing is on record of a workflow 'w9'"):
        await book.cost_factors("w9")


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"prompt_tokens": 12, "prompt_tokens_details": {"cached_tokens": 4}}, 12),
        ({"input_tokens": 12, "input_tokens_details": {"cached_tokens": 4}}, 12),
        ({"input_tokens": 12, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2}, 18),
        ({"input_tokens": 12, "cache_read_input_tokens": None}, 12),
        ({"uncached_input": 3, "cache_read": 2, "output": 9}, 5),
        ({"input_tokens": -1}, None),
        ({"input_tokens": "many"}, None),
        ({}, None),
        ([1], None),
        (None, None),
    ],
)
def test_what_a_model_read_is_found_in_each_providers_words(usage: Any, read: int | None) -> None:
    assert input_in(json.dumps(usage)) == read


def test_what_is_no_json_tells_nothing() -> None:
    assert input_in("{") is None
    assert input_in(None) is None
