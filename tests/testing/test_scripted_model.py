"""The scripted model as a function, under agents, clocks and threads; and scripts of agents that go wrong."""

from __future__ import annotations

import asyncio
import json
import threading
from itertools import pairwise
from typing import Any

import pytest

from holdfast import Ledger, SyncLedger
from holdfast.agent import agent
from holdfast.errors import InvalidCall, WorkflowFailed
from holdfast.testing import FakeClock, ScriptedModel
from holdfast.testing.model import (
    Api,
    ModelFailed,
    by_position,
    call,
    fails,
    growing_context,
    ping_pong,
    poll,
    rate_limited,
    same_call,
    says,
    times_out,
)
from holdfast.testing.virtual import virtual_time

USER = [{"role": "user", "content": "Go on."}]


def talk(model: ScriptedModel, turns: int, results: Any = lambda n: f"result {n}") -> list[dict[str, Any]]:
    """Let *model* speak so many times, and answer each of its calls."""
    messages: list[dict[str, Any]] = list(USER)
    for n in range(turns):
        said = model(messages)
        messages.append(said)
        ids = [one["id"] for one in said.get("tool_calls", [])]
        messages.extend({"role": "tool", "tool_call_id": one, "content": results(n)} for one in ids)
    return messages


def made(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The calls in a conversation: tools and arguments, to the letter."""
    calls = [one for message in messages for one in message.get("tool_calls", [])]
    return [(one["function"]["name"], one["function"]["arguments"]) for one in calls]


def test_each_request_takes_the_next_line_and_the_last_resort_lasts_for_ever() -> None:
    """TST-03."""
    model = ScriptedModel("One.", call("look"), then="Enough.")
    said = [model(USER) for _ in range(4)]

    assert [one["content"] for one in said] == ["One.", None, "Enough.", "Enough."]
    assert made(said) == [("look", "{}")]
    assert (model.count, model.left, model.problems) == (4, 0, ())


def test_a_script_that_has_ended_says_so() -> None:
    """TST-03: no answer is made up."""
    model = ScriptedModel("One.")
    model(USER)
    with pytest.raises(InvalidCall, match="1 lines"):
        model(USER)

    assert len(model.problems) == 1


def test_an_error_of_the_script_looks_like_an_http_clients() -> None:
    """TST-03: with a response that has a status and headers, so that faults are read from it."""
    model = ScriptedModel(rate_limited(2), fails(500, "Lost it."), times_out())
    with pytest.raises(ModelFailed) as limited:
        model(USER)
    with pytest.raises(ModelFailed, match="Lost it"):
        model(USER)
    with pytest.raises(TimeoutError):
        model(USER)

    assert limited.value.response.status_code == 429
    assert limited.value.response.headers == {"retry-after": "2"}


def test_requests_are_kept_as_they_were() -> None:
    """TST-03: the caller's list goes on to grow."""
    model = ScriptedModel(then="Yes.")
    messages: list[dict[str, Any]] = [{"role": "user", "content": "日本"}]
    model(messages, [{"name": "charge", "parameters": {}}])
    messages.append({"role": "user", "content": "And?"})
    [asked] = model.requests

    assert json.loads(asked.text) == {
        "messages": [{"role": "user", "content": "日本"}],
        "tools": asked.body["tools"],
    }
    assert (asked.api, asked.number, asked.tools, asked.question) == (Api.DIRECT, 1, ("charge",), "日本")


def test_a_line_may_be_a_function_of_the_request() -> None:
    model = ScriptedModel(then=lambda request: f"{request.number}: {request.question}")

    assert [model(USER)["content"] for _ in range(2)] == ["1: Go on.", "2: Go on."]


def test_by_position_each_conversation_hears_the_whole_script() -> None:
    """TST-03: and who asks again, after a death, gets the same intent under a new id."""
    model = ScriptedModel(then=by_position(call("charge", amount=100), "Done."))
    first, again = model(USER), model(USER)
    talks = [talk(model, 2) for _ in range(3)]

    assert made([first]) == made([again]) == [("charge", '{"amount": 100}')]
    assert first["tool_calls"][0]["id"] != again["tool_calls"][0]["id"]
    assert [one[-1]["content"] for one in talks] == ["Done."] * 3
    with pytest.raises(InvalidCall, match="turn 3"):
        model(talks[0])


def test_threads_share_a_script_and_no_line_is_heard_twice() -> None:
    model = ScriptedModel(*map(str, range(200)))
    heard: list[str] = []

    def ask() -> None:
        heard.extend(model(USER)["content"] for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(heard, key=int) == [str(n) for n in range(200)]
    assert [one.number for one in model.requests] == list(range(1, 201))


def test_delays_are_told_to_the_clock() -> None:
    """TST-03."""
    clock = FakeClock()
    model = ScriptedModel(says("Slow.", delay_s=60), "Quick.", delay=clock.advance)
    model(USER)
    model(USER)

    assert clock.monotonic() == model.delayed_s == 60


def test_delays_pass_in_virtual_time() -> None:
    """TST-03: an hour of thinking takes none."""
    model = ScriptedModel(then=says("Slow.", delay_s=3600), delay=asyncio.sleep)
    with virtual_time() as time:

        async def ask() -> str:
            return str((await model.ask(USER))["content"])

        assert time.run(ask()) == "Slow."
        assert time.passed_s == 3600


def test_a_delay_that_would_have_to_be_awaited_is_refused_where_nobody_can() -> None:
    model = ScriptedModel(says("Slow.", delay_s=1), delay=asyncio.sleep)

    with pytest.raises(InvalidCall, match="async"):
        model(USER)


def test_an_agent_works_by_a_script(holdfast_sync_ledger: SyncLedger) -> None:
    """TST-03, PLN-01: without a provider, a key, or a network."""
    charged: list[int] = []
    model = ScriptedModel(
        call("charge", amount=100), lambda request: f"Told: {json.loads(request.results[0])['status']}"
    )

    @holdfast_sync_ledger.tool()
    def charge(amount: int) -> str:
        """Charge a card."""
        charged.append(amount)
        return "ch_1"

    @holdfast_sync_ledger.workflow()
    def support(ctx: Any, task: str) -> str:
        return agent(ctx, model, task, tools=[charge])

    assert support.run("ticket-1", task="Charge 100.") == "Told: succeeded"
    assert charged == [100]
    assert model.requests[0].tools == ("charge",)


async def test_an_agent_that_loops_is_stopped(holdfast_ledger: Ledger) -> None:
    """PLN-01: the same call and the same answer, again and again."""
    model = ScriptedModel(then=same_call("search", query="x", reworded=True))

    @holdfast_ledger.tool(safety="read")
    async def search(query: str) -> str:
        """Search."""
        return "nothing"

    @holdfast_ledger.workflow()
    async def support(ctx: Any, task: str) -> str:
        return await agent(ctx, model.ask, task, tools=[search])

    with pytest.raises(WorkflowFailed, match="LoopDetected"):
        await support.run("ticket-1", task="Find x.")
    assert model.count == 5  # told after the third, ended after the fifth


def test_the_same_call_comes_for_ever() -> None:
    """TST-03."""
    messages = talk(ScriptedModel(then=same_call("search", query="x", limit=5)), 20)

    assert made(messages) == [("search", '{"query": "x", "limit": 5}')] * 20


def test_the_same_call_in_other_words_is_the_same_intent() -> None:
    messages = talk(ScriptedModel(then=same_call("search", reworded=True, query="x", limit=5)), 8)
    calls, texts = made(messages), [one["content"] for one in messages if one["role"] == "assistant"]

    assert [json.loads(arguments) for _, arguments in calls] == [{"query": "x", "limit": 5}] * 8
    assert all(one != other for one, other in pairwise(calls))
    assert len(set(texts)) == 8


def test_two_calls_take_turns_for_ever() -> None:
    messages = talk(ScriptedModel(then=ping_pong(call("read", path="a"), call("write", path="a"))), 6)

    assert [tool for tool, _ in made(messages)] == ["read", "write"] * 3


def test_a_poll_ends_when_there_is_something() -> None:
    """TST-03: equal calls, and no loop: their results get on."""
    model = ScriptedModel(
        then=poll("status", until=lambda result: result == "100 %", answer="Built.", id="b1")
    )
    messages = talk(model, 6, results=lambda n: f"{20 * (n + 1)} %")

    assert made(messages) == [("status", '{"id": "b1"}')] * 5
    assert messages[-1]["content"] == "Built."


def test_a_context_grows_with_every_turn() -> None:
    model = ScriptedModel(then=growing_context("note", tokens=500))
    messages = talk(model, 8)
    sizes = [one.input_tokens for one in model.requests]

    assert len(set(made(messages))) == 8
    assert all(500 <= later - earlier < 700 for earlier, later in pairwise(sizes))
