"""What the ledger tells of model calls is what their provider counted: calls, prompts and tokens."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from holdfast.testing import ModelServer
from holdfast.testing.model import Streaming, fails, says
from models.office import QUICK, Office
from testing.model_clients import STREAMS, WAYS, Way

each_way = pytest.mark.parametrize("way", WAYS, ids=str)
USED = [(1_000, 50), (37, 1), (20_000, 900), (5, 5)]
WHY = "what the model was asked"


def lines() -> list[Any]:
    """Answers that use so much, with a refusal before each."""
    answers = [
        says(f"answer {n}", usage={"input_tokens": read, "output_tokens": written})
        for n, (read, written) in enumerate(USED)
    ]
    return [line for answer in answers for line in (fails(503), answer)]


def prompts(effects: list[Any]) -> list[Any]:
    """What was asked, as it is on record."""
    return sorted(str(said(effect.args["request"])) for effect in effects)


def said(body: Any) -> Any:
    """The words of a request, in any format."""
    return body.get("messages") or body["input"]


@each_way
async def test_every_call_prompt_and_token_is_counted_as_the_server_counted_it(
    way: Way, tmp_path: Any
) -> None:
    """OBS-01, COS-12: four calls at once, each refused at first; the parts add up to the total."""
    office = Office(tmp_path, way)
    asked = [[{"role": "user", "content": f"{WHY} {n}"}] for n in range(len(USED))]
    with ModelServer(*lines()) as server:
        for messages in asked:
            await office.ask(server, messages=messages, workflow_id="run-1", retry=QUICK)
        effects = await office.told("effects", workflow_id="run-1")
        report = await office.told("costs", by="model")
        by_fate = await office.told("costs", by="waste")
        holds = await office.holds()

    assert len(server.asked) == sum(effect.attempt for effect in effects) == len(holds) == 8
    assert prompts(effects) == sorted(str(messages) for messages in asked)
    assert {str(said(request.body)) for request in server.asked} == {str(messages) for messages in asked}
    [part] = report.parts
    assert (part.attempts, part.tokens) == (8, sum(read + written for read, written in USED))
    assert part.money == sum(read + 10 * written for read, written in USED)
    assert {(one.name, one.attempts, one.tokens) for one in by_fate.parts} == {
        ("retried", 4, 0),
        ("", 4, part.tokens),
    }
    assert sum(hold.spent_tokens for hold in holds) == part.tokens
    assert sum(hold.spent_money for hold in holds) == part.money
    await office.close()


@each_way
async def test_calls_that_ended_badly_are_counted_by_what_they_may_have_used(way: Way, tmp_path: Any) -> None:
    """OBS-01, COS-14: a refusal used nothing; a lost answer counts by its bound, and nobody calls it known."""
    office = Office(tmp_path, way)
    with ModelServer(fails(400), says("never comes")) as server:
        await office.end(server, workflow_id="run-1", retry=False)
        server.plan("drop_after")
        await office.end(
            server, workflow_id="run-1", retry=False, messages=[{"role": "user", "content": "2"}]
        )
        holds = await office.holds()
        report = await office.told("costs", by="workflow")

    assert len(server.asked) == len(holds) == 2
    lost, refused = holds
    assert (refused.state, refused.spent_tokens, refused.spent_money) == ("settled", 0, 0)
    assert lost.state == "assumed"
    assert lost.spent_tokens == lost.tokens > 0
    [part] = report.parts
    assert (part.attempts, part.money) == (2, part.assumed_money)
    assert part.tokens == lost.tokens
    await office.close()


@pytest.mark.parametrize("way", STREAMS, ids=str)
async def test_a_stream_that_its_reader_leaves_or_that_breaks_is_counted_by_its_bound(
    way: Way, tmp_path: Any
) -> None:
    """OBS-01, COS-12: one in full, one that broke, one that was left; each is one call on record."""
    office = Office(tmp_path, way)
    words = "one two three four five six seven eight nine"
    broken = says(words, stream=Streaming(size=4, ends_after=4))
    usage: Any = {"input_tokens": 100, "output_tokens": 9}
    with ModelServer(says(words, usage=usage), broken, says(words)) as server:
        numbers = itertools.count()

        def other() -> list[dict[str, str]]:
            return [{"role": "user", "content": f"{next(numbers)}"}]

        await office.ask(server, workflow_id="run-1", messages=other())
        await office.end(server, workflow_id="run-1", messages=other(), retry=False)
        server.plan("drip:4")
        await office.leave(server, workflow_id="run-1", messages=other())
        effects = await office.told("effects", workflow_id="run-1")
        holds = await office.holds()

    left, broke, whole = holds
    assert len(server.asked) == len(effects) == 3
    assert (whole.state, whole.spent_tokens) == ("settled", 109)
    for hold in (left, broke):
        assert (hold.state, hold.spent_tokens) == ("assumed", hold.tokens)
    await office.close()


async def test_calls_at_once_are_counted_each_once(tmp_path: Any) -> None:
    """OBS-01."""
    way = next(way for way in WAYS if way.is_async and not way.streams)
    office = Office(tmp_path, way)
    answer = says("yes", usage={"input_tokens": 100, "output_tokens": 10})
    with ModelServer(then=answer) as server:
        await asyncio.gather(*(office.ask(server, workflow_id=f"run-{n}") for n in range(12)))
        [part] = (await office.told("costs", by="model")).parts
        by_workflow = (await office.told("costs", by="workflow")).parts

    assert part.attempts == len(server.asked) == 12
    assert (part.tokens, part.money) == (12 * 110, 12 * 200)
    assert sum(each.money for each in by_workflow) == part.money
    await office.close()
