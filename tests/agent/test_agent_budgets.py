"""An agent that a budget has no more room for: what it did stands, and its answer is made of what was kept."""

from __future__ import annotations

from typing import Any

import pytest

from agent.scripted import Model, Office, call, heard, into, says
from holdfast import Budget, ToolCall
from holdfast.errors import BudgetExceeded, WorkflowFailed

KEPT = Budget(tool_calls=7, reserve=Budget(tool_calls=1))


def asked(office: Office, name: str) -> Any:
    """A model's client, in as much as a budget knows it: each request is an effect."""
    ledger, count = office.ledger, iter(range(1000))

    def call_of() -> ToolCall:
        return ToolCall(
            workflow_id="ticket-1", tool="model", args={"n": next(count)}, key=f"{name}-{next(count)}"
        )

    if office.book.is_sync:
        return lambda: ledger.run(call_of(), lambda n: "asked", safety="idempotent", retry=False)

    async def ask() -> Any:
        return await ledger.run(call_of(), lambda n: "asked", safety="idempotent", retry=False)

    return ask


def end_of(office: Office, kept: list[Any], *, asks: bool = False) -> Any:
    """What makes the last answer: of what the conversation says was done."""
    ask = asked(office, "last")

    def words(messages: list[Any], refused: BudgetExceeded) -> str:
        kept.append(heard(messages))
        done = [one["result"] for one in heard(messages) if one["status"] == "succeeded"]
        return f"budget_exhausted: {refused.account}/{refused.unit}; done: {done}"

    def plain(messages: list[Any], refused: BudgetExceeded) -> str:
        if asks:
            ask()
        return words(messages, refused)

    async def coroutine(messages: list[Any], refused: BudgetExceeded) -> str:
        if asks:
            await ask()
        return words(messages, refused)

    return plain if office.book.is_sync else coroutine


async def test_a_cap_that_fires_in_the_middle_leaves_a_partial_answer(office: Office) -> None:
    """COS-10: the seventh call is refused; the answer tells of six, and its making fits into the reserve."""
    office.book = office.place.open(budgets={"workflow": KEPT})
    paid, kept = list[int](), list[Any]()
    pay = office.tool(lambda n: paid.append(n) or n, name="pay")
    model = Model(*(says(call("pay", n=n)) for n in range(1, 20)))
    flow = office.agent(model, tools=[pay], on_budget=end_of(office, kept, asks=True))

    answer = await office.run(flow)

    assert answer == "budget_exhausted: workflow:ticket-1/tool_calls; done: [1, 2, 3, 4, 5, 6]"
    assert (paid, model.count) == ([1, 2, 3, 4, 5, 6], 7)
    assert [one["status"] for one in kept[0]] == ["succeeded"] * 6 + ["retryable"]
    assert (await office.steps())[-1] == "conclude"
    [level] = await office.book.budgets(prefix="workflow:")
    assert (level.spent, level.held, level.cap) == (7, 0, 7)


async def test_the_partial_answer_is_on_record(office: Office) -> None:
    """COS-10, DUR-16: another process is told the same; nobody is asked again."""
    budgets, kept = {"workflow": Budget(tool_calls=1)}, list[Any]()
    answers = []
    for _ in range(2):
        office.book = office.place.open(budgets=budgets)
        pay = office.tool(lambda n: n, name="pay")
        model = Model(*(says(call("pay", n=n)) for n in range(1, 20)))
        answers.append(await office.run(office.agent(model, tools=[pay], on_budget=end_of(office, kept))))

    assert answers == ["budget_exhausted: workflow:ticket-1/tool_calls; done: [1]"] * 2
    assert len(kept) == 1
    assert model.count == 0


async def test_a_model_call_that_no_budget_has_room_for_is_not_tried_again(office: Office) -> None:
    """COS-10, RET-05: however patient its retries are; the refusal fails the workflow and says what is full."""
    full = BudgetExceeded("workflow:ticket-1", "usd", "", used=2, held=0, cap=2, needed=1)
    model = Model(full)

    with pytest.raises(WorkflowFailed, match="workflow:ticket-1/usd has no room") as failed:
        await office.run(office.agent(model, retries=9999))

    assert model.count == 1
    assert isinstance(failed.value.__cause__, BudgetExceeded)


async def test_a_model_call_that_does_not_fit_leaves_the_conversation_to_who_asked_for_it(
    office: Office,
) -> None:
    """COS-10: it catches the refusal, and has what was said; or the agent itself makes an answer."""
    full, kept = BudgetExceeded("tenant", "tokens", "day", used=9, held=0, cap=9, needed=1), list[Any]()
    pay = office.tool(lambda n: n, name="pay")
    for name, options in (("left", {}), ("made", {"on_budget": end_of(office, kept)})):
        model, task = Model(says(call("pay", n=1)), full), [{"role": "user", "content": "help"}]
        flow = office.agent(model, name=name, tools=[pay], **options)
        if options:
            assert await office.run(flow, task, name) == "budget_exhausted: tenant/tokens; done: [1]"
        else:
            with pytest.raises(WorkflowFailed, match="tenant/tokens per day has no room"):
                await office.run(flow, task, name)


async def test_a_turn_does_not_go_on_and_on_when_its_calls_do_not_fit(office: Office) -> None:
    """COS-10, RET-05: turns are patient with workers that close, and not with budgets; the model is told."""
    office.book = office.place.open(budgets={"workflow": Budget(tool_calls=1)})
    paid: list[int] = []
    pay = office.tool(into(paid, "n"), name="pay")
    model = Model(says(call("pay", n=1)), says(call("pay", n=2), call("pay", n=3)), says(text="I stop."))

    assert await office.run(office.agent(model, tools=[pay])) == "I stop."

    assert paid == [1]
    assert [one["status"] for one in model.told] == ["succeeded", "retryable", "retryable"]
    assert "workflow:ticket-1/tool_calls has no room" in model.told[1]["error"]
    assert [event.attempts for event in await office.events() if event.name.startswith("act")] == [1, 1]


async def test_want_of_a_seat_is_no_end(office: Office) -> None:
    """COS-10: it comes free by itself, so the model may go on."""
    office.book = office.place.open(budgets={"tenant": Budget(concurrency=1)})
    kept, inner = list[Any](), asked(office, "inner")

    def plain() -> Any:
        return inner()

    async def coroutine() -> Any:
        return await inner()

    nested = office.tool(
        plain if office.book.is_sync else coroutine, name="nested", safety="idempotent", retry=False
    )
    model = Model(says(call("nested")), says(text="done"))

    answer = await office.run(office.agent(model, tools=[nested], on_budget=end_of(office, kept)))

    assert (answer, kept) == ("done", [])
    assert model.told[0]["status"] != "succeeded"
