"""The agent's loop: the model is told that it is in a loop, and its work ends if it goes on."""

from __future__ import annotations

import pickle
from typing import Any

import httpx
import pytest

from agent.scripted import Model, Office, call, says
from holdfast import LoopLimit, LoopRules, Poll, Spawn
from holdfast.agent import agent
from holdfast.errors import AgentStuck, LoopDetected, WorkflowFailed


def looks(times: int, *, then: str = "") -> list[Any]:
    """The same look so many times, then an answer."""
    return [*(says(call("look")) for _ in range(times)), *([says(text=then)] if then else [])]


def findings(messages: list[dict[str, Any]]) -> list[list[str]]:
    """What was found, by turn."""
    from agent.scripted import heard

    return [told.get("findings", []) for told in heard(messages)]


def looking(office: Office, answer: Any = 1, **options: Any) -> Any:
    """A read that always has the same answer."""
    return office.tool(lambda: answer, name="look", safety="read", **options)


async def test_a_model_that_goes_in_circles_is_told_first_and_then_ended(office: Office) -> None:
    """COS-06: told at the third turn, ended at the fifth; what was done stands."""
    model = Model(*looks(9))

    with pytest.raises(WorkflowFailed, match=r"LoopDetected.*'look' with the same arguments 5 times"):
        await office.run(office.agent(model, tools=[looking(office)]))

    assert model.count == 5
    assert [len(found) for found in findings(model.requests[-1])] == [0, 0, 1, 1]
    assert "the same answer each time, and nothing new happened" in findings(model.requests[-1])[2][0]
    assert [name for name in await office.steps() if name.startswith("act")] == [
        f"act {n}" for n in range(1, 6)
    ]


async def test_a_model_that_heeds_what_it_is_told_goes_on(office: Office) -> None:
    """COS-06: telling is no end."""
    model = Model(*looks(4, then="It is 1."))

    assert await office.run(office.agent(model, tools=[looking(office)])) == "It is 1."


async def test_who_goes_on_after_a_failure_has_the_same_answers(office: Office) -> None:
    """COS-06: the window is made anew from the record; the model hears the same as without the failure."""
    away = httpx.Request("POST", "http://model.test")
    refusal = httpx.HTTPStatusError("no", request=away, response=httpx.Response(400, request=away))
    first, second, whole = Model(*looks(3), refusal), Model(*looks(9)), Model(*looks(9))
    with pytest.raises(WorkflowFailed, match="StepFailed"):
        await office.run(office.agent(first, tools=[looking(office)]))

    office.restart()
    tool = looking(office)
    resumed = office.agent(second, tools=[tool])
    await office.book.restart("ticket-1")
    with pytest.raises(WorkflowFailed, match="LoopDetected"):
        await office.run(resumed)
    with pytest.raises(WorkflowFailed, match="LoopDetected"):
        await office.run(office.agent(whole, "whole", tools=[tool]), workflow_id="t-2")

    assert (first.count, second.count) == (4, 2)
    assert findings(second.requests[-1]) == findings(whole.requests[-1])


async def test_rules_that_change_do_not_change_what_is_on_record(office: Office) -> None:
    """COS-06: turns that went unnoticed stay so; the model is told before it is ended."""
    away = httpx.Request("POST", "http://model.test")
    refusal = httpx.HTTPStatusError("no", request=away, response=httpx.Response(400, request=away))
    with pytest.raises(WorkflowFailed, match="StepFailed"):
        await office.run(office.agent(Model(*looks(4), refusal), tools=[looking(office)], loops=False))

    office.restart()
    model = Model(*looks(9))
    rules = LoopRules(identical_result=LoopLimit(2, 3), context_growth=None)
    strict = office.agent(model, tools=[looking(office)], loops=rules)
    await office.book.restart("ticket-1")
    with pytest.raises(WorkflowFailed, match="LoopDetected"):
        await office.run(strict)

    assert model.count == 2
    assert [len(found) for found in findings(model.requests[-1])] == [0] * 4 + [1]


async def test_what_the_agent_has_can_be_made_use_of_when_it_is_ended(office: Office) -> None:
    """COS-06: the workflow's code catches the error; the conversation has all that was said."""
    model = Model(*looks(9))
    tool = looking(office)

    def partial(talk: list[Any], stuck: LoopDetected) -> str:
        return f"{stuck.why} after {sum(message['role'] == 'tool' for message in talk)} answers"

    if office.book.is_sync:

        def code(ctx: Any, task: Any) -> Any:
            try:
                return agent(ctx, model, task, tools=[tool])
            except LoopDetected as stuck:
                return partial(task, stuck)

    else:

        async def code(ctx: Any, task: Any) -> Any:
            try:
                return await agent(ctx, model, task, tools=[tool])
            except LoopDetected as stuck:
                return partial(task, stuck)

    workflow = office.ledger.workflow(code, name="careful")

    answer = await office.run(workflow, [{"role": "user", "content": "Look."}])

    assert answer == "identical_result after 5 answers"


async def test_nobody_watches_when_that_is_turned_off(office: Office) -> None:
    """COS-06: the limit of model calls is there all the same."""
    model = Model(*looks(30))

    with pytest.raises(WorkflowFailed, match="AgentStuck"):
        await office.run(office.agent(model, tools=[looking(office)], loops=False, steps=12))
    assert model.count == 12
    assert not any(findings(model.requests[-1]))


async def test_a_declared_poll_has_patience(office: Office) -> None:
    """COS-06: ten looks without change pass where three of any other tool do not."""
    model = Model(*looks(9, then="Still running."))

    answer = await office.run(office.agent(model, tools=[looking(office, pattern=Poll())]))

    assert answer == "Still running."
    assert not any(findings(model.requests[-1]))


async def test_a_poll_with_a_pace_is_told_when_it_looked_and_not_to_hurry(office: Office) -> None:
    """COS-06: the time is on record with the answer, so it is the same for whoever goes on."""
    model = Model(*looks(5, then="Still running."))
    tool = looking(office, {"status": "running"}, pattern=Poll(every="1h", progress="status"))

    await office.run(office.agent(model, tools=[tool]))

    assert all("observed_at" in told for told in model.told)
    assert [len(found) for found in findings(model.requests[-1])] == [0, 0, 0, 1, 1]


async def test_equal_changes_in_one_turn_are_told_of_once(office: Office) -> None:
    """COS-06, IDE-22: by the receipt of the second one, as ever."""
    model = Model(says(call("charge", cents=5), call("charge", cents=5)), says(text="ok"))
    charge = office.tool(lambda cents: cents, name="charge")

    await office.run(office.agent(model, tools=[charge]))

    assert [len(found) for found in findings(model.requests[-1])] == [0, 1]


async def test_errors_that_differ_in_particulars_alone_are_one(office: Office) -> None:
    """COS-06: variations of a query that cannot work are told of at the fourth turn."""

    def query(sql: str) -> None:
        raise httpx.HTTPStatusError(
            f"column {sql!r} does not exist at {len(sql)}",
            request=httpx.Request("GET", "http://db.test"),
            response=httpx.Response(422, request=httpx.Request("GET", "http://db.test")),
        )

    numbers = iter(range(100))
    model = Model(lambda _: says(call("query", sql="x" * next(numbers))))
    tool = office.tool(query, safety="read", retry=False)

    with pytest.raises(WorkflowFailed, match=r"LoopDetected.*'query' failed in the same way in 8 turns"):
        await office.run(office.agent(model, tools=[tool]))
    assert model.count == 8


async def test_agents_that_are_begun_are_counted(office: Office) -> None:
    """COS-06: told at eight, ended at sixteen."""
    numbers = iter(range(100))
    model = Model(lambda _: says(*(call("delegate", task=next(numbers)) for _ in range(4))))
    delegate = office.tool(lambda task: task, name="delegate", pattern=Spawn())

    with pytest.raises(WorkflowFailed, match=r"LoopDetected.*begun 16 agents"):
        await office.run(office.agent(model, tools=[delegate]))
    assert model.count == 4


async def test_what_the_model_had_to_read_is_taken_from_its_answer(office: Office) -> None:
    """COS-06: more and more of it, and nothing new."""
    sizes = iter(range(1000, 20_000, 1000))

    def grown(_: Any) -> dict[str, Any]:
        said = {"message": says(call("look"))}
        return {"choices": [said], "usage": {"prompt_tokens": next(sizes)}}

    rules = LoopRules(identical_result=None, no_progress=None)
    model = Model(grown)

    with pytest.raises(WorkflowFailed, match=r"LoopDetected.*In 8 turns on end there was more to read"):
        await office.run(office.agent(model, tools=[looking(office)], loops=rules))
    assert model.count == 9


async def test_waiting_for_somebody_is_no_loop(office: Office) -> None:
    """COS-06: a signal between two looks is news."""
    turns = [part for _ in range(6) for part in (says(call("look")), says(call("wait_for_reply")))]
    model = Model(*turns, says(text="ok"))
    workflow = office.agent(model, tools=[looking(office)], waits={"reply": None})
    await office.book.do(workflow.enqueue, "ticket-1", task="help")
    for n in range(6):
        await office.book.do(office.ledger.signal, "ticket-1", "reply", n)

    assert await office.run(workflow) == "ok"
    assert not any(findings(model.requests[-1]))


async def test_rules_that_are_none_are_refused(office: Office) -> None:
    """COS-06."""
    with pytest.raises(WorkflowFailed, match=r"InvalidCall.*rules of loops are int"):
        await office.run(office.agent(Model(says(text="ok")), loops=3))


def test_the_error_says_what_was_seen_and_survives_pickling() -> None:
    """COS-06: whoever expects that an agent is stuck gets this as well."""
    stuck = pickle.loads(pickle.dumps(LoopDetected("ticket-1", "ping_pong", 4, "You go back and forth.")))

    assert isinstance(stuck, AgentStuck)
    assert (stuck.workflow_id, stuck.why, stuck.limit, stuck.code) == (
        "ticket-1",
        "ping_pong",
        4,
        "loop-detected",
    )
    assert "You go back and forth." in str(stuck)
    assert "LoopRules(ping_pong=...)" in str(stuck)
