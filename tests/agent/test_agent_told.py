"""What the model is told: the ledger's word, of doubt as well, and of a world that has changed meanwhile."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from agent.scripted import Model, Office, call, heard, into, says
from holdfast import Done
from holdfast.agent import agent
from holdfast.errors import WorkflowFailed, WorkflowWaiting
from holdfast.testing.virtual import virtual_time

REQUEST = httpx.Request("POST", "http://airline.test/bookings")


def answered(status: int, text: str) -> httpx.HTTPStatusError:
    """What ``raise_for_status`` raises."""
    return httpx.HTTPStatusError(text, request=REQUEST, response=httpx.Response(status, request=REQUEST))


async def test_doubt_is_told_as_doubt(office: Office) -> None:
    """PLN-07: not as an empty answer, nor as one that looks like success; and it waits for a person."""
    sent: list[int] = []

    def refund(cents: int) -> None:
        sent.append(cents)
        raise httpx.ReadTimeout("no answer", request=REQUEST)

    model = Model(
        says(call("refund", cents=500)),
        says(call("refund", cents=500)),
        lambda messages: says(text=f"I cannot tell: {heard(messages)[-1]['status']}."),
    )

    answer = await office.run(office.agent(model, tools=[office.tool(refund)]))

    first, second = model.told
    assert answer == "I cannot tell: unknown."
    assert sent == [500]
    assert (first["status"], second["status"]) == ("unknown", "unknown")
    assert "It may or may not have happened. Do not repeat it" in first["meaning"]
    assert "result" not in first
    [effect] = await office.book.effects(workflow_id="ticket-1")
    assert effect.state == "unknown"
    assert (await office.book.workflow_state("ticket-1")).status == "needs_review"


async def test_part_of_a_turn_may_be_in_doubt(office: Office) -> None:
    """PLN-07: each call has an outcome of its own, under its own id."""

    def refund(cents: int) -> dict[str, int]:
        if cents == 2:
            raise httpx.ReadTimeout("no answer", request=REQUEST)
        if cents == 3:
            raise answered(422, "too late")
        return {"refunded": cents}

    turn = says(*(call("refund", cents=cents) for cents in (1, 2, 3)))
    model = Model(turn, says(text="ok"))

    await office.run(office.agent(model, tools=[office.tool(refund)]))

    assert [one["status"] for one in model.told] == ["succeeded", "unknown", "failed"]
    ids = [message["tool_call_id"] for message in model.requests[-1] if message["role"] == "tool"]
    assert ids == [one["id"] for one in turn["tool_calls"]]


async def test_a_sold_out_flight_leads_to_another_one_that_the_customer_confirms(office: Office) -> None:
    """PLN-03: the seat is gone (409) -> the model is told -> an alternative -> her word -> one booking."""
    seats = {"LH1": 0, "LH2": 1}
    booked: list[str] = []

    def book(flight: str) -> dict[str, str]:
        if not seats[flight]:
            raise answered(409, f"{flight} is sold out")
        seats[flight] -= 1
        booked.append(flight)
        return {"booking": flight}

    def after_refusal(messages: list) -> dict:
        told = heard(messages)[-1]
        assert told["status"] != "succeeded"
        assert "sold out" in told["error"]
        return says(call("flights"))

    model = Model(
        says(call("book", flight="LH1")),
        after_refusal,
        lambda messages: says(call("ask", about=heard(messages)[-1]["result"][0]), call("wait_for_answer")),
        lambda messages: says(call("book", flight=heard(messages)[-1]["result"]["take"])),
        lambda messages: says(text=f"You fly {heard(messages)[-1]['result']['booking']}."),
    )
    asked: list[str] = []

    def declared() -> object:
        tools = [
            office.tool(book),
            office.tool(
                lambda: [name for name, left in seats.items() if left], name="flights", safety="read"
            ),
            office.tool(into(asked, "about"), name="ask"),
        ]
        return office.agent(model, tools=tools, waits={"answer": "7d"})

    waits_for = await office.wake(declared())
    office.restart()
    again = declared()
    await office.book.signal("ticket-1", "answer", {"take": "LH2"})
    answer = await office.run(again)

    assert waits_for == "signal 'answer'"
    assert (answer, booked, asked) == ("You fly LH2.", ["LH2"], ["LH2"])
    assert model.count == 5


async def test_arguments_that_do_not_fit_are_corrected_once(office: Office) -> None:
    """PLN-01, RET-07: the first misfit goes back to the model, and the second ends it."""
    sent: list[int] = []

    def refund(cents: int) -> None:
        sent.append(cents)

    tool = office.tool(refund)
    corrected = Model(says(call("refund", dollars=5)), says(call("refund", cents=500)), says(text="ok"))
    stubborn = Model(says(call("refund", dollars=5)), says(call("refund", euros=5)))

    assert await office.run(office.agent(corrected, tools=[tool])) == "ok"
    with pytest.raises(WorkflowFailed, match="SchemaMismatch"):
        await office.run(office.agent(stubborn, "stubborn", tools=[tool]), workflow_id="ticket-2")

    assert [one["status"] for one in corrected.told] == ["invalid", "succeeded"]
    assert sent == [500]


async def test_calls_that_cannot_be_made_stop_neither_the_agent_nor_the_others(office: Office) -> None:
    """PLN-01: an unknown tool, and arguments that are no JSON; the call beside them is made."""
    broken = call("refund")
    broken["function"]["arguments"] = '{"cents": 5'
    model = Model(says(call("teleport"), broken, call("refund", cents=500)), says(text="ok"))
    sent: list[int] = []

    await office.run(office.agent(model, tools=[office.tool(into(sent, "cents"), name="refund")]))

    assert [one["status"] for one in model.told] == ["invalid", "invalid", "succeeded"]
    assert "there is no tool 'teleport'; use one of refund" in model.told[0]["error"]
    assert "not JSON" in model.told[1]["error"]
    assert sent == [500]


def test_a_stopped_workflow_waits_for_a_person_and_goes_on() -> None:
    """PLN-01, RET-09: refused credentials stop it; the model is not told that its next call was refused."""
    keys, sent = ["old"], []

    async def look_up(order: str) -> None:
        raise answered(401, "bad key")

    async def refund(cents: int) -> str:
        sent.append(keys[0])
        return "re_1"

    model = Model(says(call("look_up", order="7")), says(call("refund", cents=500)), says(text="ok"))

    async def chat(messages: list, tools: list) -> object:
        return model(messages, tools)

    with virtual_time() as time:
        ledger = time.ledger()
        tools = [ledger.tool()(look_up), ledger.tool()(refund)]

        @ledger.workflow
        async def support(ctx, task):
            return await agent(ctx, chat, task, tools=tools)

        async def scenario() -> str:
            with pytest.raises(WorkflowWaiting, match="the next try of step 'act 2'"):
                await support.options(wait=300).run("ticket-1", task="help")
            assert sent == []
            keys[0] = "new"
            await ledger.resume("ticket-1", by="ada", reason="the key was renewed")
            return await support.options(wait=600).run("ticket-1", task="help")

        assert time.run(scenario()) == "ok"

    assert sent == ["new"]
    assert [one["status"] for one in model.told] == ["retryable", "succeeded"]


async def test_evidence_is_heard_before_the_model_is(office: Office) -> None:
    """PLN-07: where doubt can be settled at once, there is none to tell."""

    def refund(cents: int) -> None:
        raise httpx.ReadTimeout("no answer", request=REQUEST)

    model = Model(says(call("refund", cents=500)), says(text="ok"))
    tool = office.tool(refund, reconcile=lambda effect: Done({"id": "re_1"}))

    await office.run(office.agent(model, tools=[tool]))

    assert model.told[0]["status"] == "succeeded"
    assert json.dumps(model.told[0]["result"]) == '{"id": "re_1"}'
    await asyncio.sleep(0)
