"""The loop: it thinks and acts until there is an answer, and every guard is on without being asked for."""

from __future__ import annotations

import functools

import httpx
import pytest

from agent.scripted import Model, Office, call, into, says
from holdfast.agent import agent
from holdfast.agent_parts import taken
from holdfast.errors import AgentStuck, InvalidCall, InvalidTool, WorkflowFailed


def unavailable(status: int = 503) -> httpx.HTTPStatusError:
    """What a client of a model raises when that is away."""
    request = httpx.Request("POST", "http://model.test")
    return httpx.HTTPStatusError("away", request=request, response=httpx.Response(status, request=request))


async def test_an_agent_calls_its_tools_until_it_has_an_answer(office: Office) -> None:
    """PLN-01: observe, think, act; each model call and each turn is on record."""
    paid: list[int] = []
    model = Model(says(call("refund", cents=500)), says(text="Refunded."))
    refund = office.tool(lambda cents: paid.append(cents) or {"id": "re_1"}, name="refund")

    answer = await office.run(office.agent(model, tools=[refund]))

    assert answer == "Refunded."
    assert paid == [500]
    assert model.told == [{"status": "succeeded", "replayed": False, "result": {"id": "re_1"}}]
    assert await office.steps() == ["think 1", "act 1", "think 2"]


async def test_a_finished_agent_is_answered_from_the_record(office: Office) -> None:
    """DUR-16, PLN-01: the same again, in another process: no model is asked, nothing is done."""
    first, second = (Model(says(call("refund", cents=500)), says(text="Refunded.")) for _ in range(2))
    paid: list[int] = []
    for model in (first, second):
        refund = office.tool(into(paid, "cents"), name="refund")
        assert await office.run(office.agent(model, tools=[refund])) == "Refunded."
        office.restart()

    assert (first.count, second.count, paid) == (2, 0, [500])


async def test_what_the_model_asks_for_again_is_done_once(office: Office) -> None:
    """PLN-01, IDE-04, IDE-22: in one turn, and in a later one; it is told that nothing new ran."""
    paid: list[int] = []
    again = says(call("refund", cents=500), call("refund", cents=500))
    model = Model(again, says(call("refund", cents=500)), says(text="Refunded."))
    refund = office.tool(into(paid, "cents"), name="refund")

    await office.run(office.agent(model, tools=[refund]))

    assert paid == [500]
    assert [one["replayed"] for one in model.told] == [False, False, True]
    assert "made more than once" in model.told[1]["findings"][0]


async def test_a_read_is_made_each_time_it_is_asked_for(office: Office) -> None:
    """PLN-01: what was so a turn ago says nothing of now."""
    stock = iter(range(10))
    model = Model(says(call("stock")), says(call("stock")), says(text="ok"))
    look = office.tool(lambda: next(stock), name="stock", safety="read")

    await office.run(office.agent(model, tools=[look]))

    assert [one["result"] for one in model.told] == [0, 1]


async def test_a_model_that_is_away_for_a_moment_is_asked_again(office: Office) -> None:
    """PLN-01, RET-06: the model call is a step with retries."""
    model = Model(unavailable(), says(text="Here."))

    assert await office.run(office.agent(model, retries=1)) == "Here."
    assert model.count == 2
    assert [event.attempts for event in await office.events() if event.kind != "end"] == [2]


async def test_a_model_that_refuses_ends_the_workflow(office: Office) -> None:
    """PLN-01, RET-08: a client error gets one attempt."""
    model = Model(unavailable(400))

    with pytest.raises(WorkflowFailed, match=r"StepFailed.*think 1.*HTTPStatusError"):
        await office.run(office.agent(model))
    assert model.count == 1


@pytest.mark.kinds("memory")
async def test_a_model_that_hangs_is_given_up_after_its_timeout(office: Office) -> None:
    """PLN-01, RET-18."""
    ledger = office.ledger

    async def chat(messages, tools):
        import asyncio

        await asyncio.Event().wait()

    @ledger.workflow
    async def support(ctx, task):
        return await agent(ctx, chat, task, timeout=0.05, retries=0)

    with pytest.raises(WorkflowFailed, match=r"TimeoutError.*longer than 0\.05 s"):
        await office.run(support)


async def test_an_agent_that_finds_no_end_is_stopped(office: Office) -> None:
    """PLN-01: a limit of steps; what it did stands."""
    numbers = iter(range(1000))
    model = Model(lambda messages: says(call("look", n=next(numbers))))
    look = office.tool(lambda n: n, name="look", safety="read")

    with pytest.raises(WorkflowFailed, match=r"AgentStuck.*had not finished after 4 model calls"):
        await office.run(office.agent(model, tools=[look], steps=4))
    assert model.count == 4


async def test_an_agent_that_walks_in_circles_is_stopped(office: Office) -> None:
    """PLN-01, COS-06: two turns in alternation, each with the answers it had before."""
    turns = [says(call("look", n=n % 2)) for n in range(10)]
    model = Model(*turns)
    look = office.tool(lambda n: n, name="look", safety="read")

    with pytest.raises(WorkflowFailed, match=r"LoopDetected.*with the same answers, 4 times in a row"):
        await office.run(office.agent(model, tools=[look]))
    assert model.count == 8


async def test_equal_calls_that_learn_something_new_are_no_circle(office: Office) -> None:
    """PLN-01: polling goes on as long as there is news."""
    progress = iter(range(0, 101, 20))
    looks = [says(call("progress")) for _ in range(6)]
    model = Model(*looks, says(text="done"))
    look = office.tool(lambda: next(progress), name="progress", safety="read")

    assert await office.run(office.agent(model, tools=[look])) == "done"


def test_the_error_says_why_and_where_and_survives_pickling() -> None:
    """PLN-01."""
    import pickle

    stuck = pickle.loads(pickle.dumps(AgentStuck("ticket-1", "steps", 25)))

    assert (stuck.workflow_id, stuck.why, stuck.limit, stuck.code) == (
        "ticket-1",
        "steps",
        25,
        "agent-stuck",
    )
    assert "holdfast show ticket-1" in str(stuck)


async def test_several_agents_work_in_one_workflow_under_names_of_their_own(office: Office) -> None:
    """PLN-01, DUR-04."""
    first, second = Model(says(text="A summary.")), Model(says(text="A reply."))
    if office.book.is_sync:

        def code(ctx, task):
            return agent(ctx, second, agent(ctx, first, task, name="reader"), name="writer")

    else:

        async def code(ctx, task):
            return await agent(ctx, second, await agent(ctx, first, task, name="reader"), name="writer")

    assert await office.run(office.ledger.workflow(code, name="both")) == "A reply."
    assert second.requests == [[{"role": "user", "content": "A summary."}]]
    assert await office.steps() == ["reader: think 1", "writer: think 1"]


async def test_a_conversation_is_gone_on_with(office: Office) -> None:
    """PLN-01: the list of messages has all of it afterwards."""
    model = Model(says(text="Which order?"), says(call("find", order=7)), says(text="It is on its way."))
    find = office.tool(lambda order: {"order": order}, name="find", safety="read")
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is my order?"}]
    kept = []

    def go_on(messages):
        messages.append({"role": "user", "content": "Number 7."})
        kept.append(messages)
        return messages

    if office.book.is_sync:

        def code(ctx, task):
            agent(ctx, model, task, tools=[find])
            return agent(ctx, model, go_on(task), tools=[find], name="again")

    else:

        async def code(ctx, task):
            await agent(ctx, model, task, tools=[find])
            return await agent(ctx, model, go_on(task), tools=[find], name="again")

    assert await office.run(office.ledger.workflow(code, name="talk"), talk) == "It is on its way."
    assert [message["role"] for message in kept[-1]] == [
        "system", "user", "assistant", "user", "assistant", "tool", "assistant",
    ]  # fmt: skip


async def test_the_model_is_told_what_its_tools_take(office: Office) -> None:
    """PLN-01: from the signature and the docstring; what holdfast injects is left out."""
    from typing import Literal

    from holdfast import Effect

    def refund(
        order: str, cents: int, why: Literal["late", "broken"] | None, lines: list[str], effect: Effect
    ):
        """Pay money back."""

    model = Model(says(text="ok"))
    await office.run(office.agent(model, tools=[office.tool(refund)], waits={"reply": None}))

    told, waiting = model.tools
    assert (told["name"], told["description"]) == ("refund", "Pay money back.")
    assert list(told["parameters"]["properties"]) == ["order", "cents", "why", "lines"]
    assert told["parameters"]["required"] == ["order", "cents", "why", "lines"]
    assert waiting["name"] == "wait_for_reply"


async def test_what_cannot_be_an_agent_is_refused_at_once(office: Office) -> None:
    """PLN-01: an option that is none, and tools of two ledgers."""
    from holdfast import SyncLedger

    mine = office.tool(lambda: None, name="mine")
    with SyncLedger("memory://") as other:
        theirs = other.tool("theirs")(lambda: None)
        for options, error in (({"tool": [mine]}, InvalidCall), ({"tools": [mine, theirs]}, InvalidTool)):
            office.restart()
            with pytest.raises(WorkflowFailed, match=error.__name__):
                await office.run(office.agent(Model(says(text="ok")), **options), workflow_id=str(error))


def plainly(function, *args):
    """Call it without `await`, as clients do that wrap their async methods in plain ones."""
    return function(*args)


@pytest.mark.kinds("memory")
async def test_a_plain_function_that_returns_an_awaitable_is_told_how_to_be_declared(office: Office) -> None:
    """PLN-01: it would be called in a thread, where nothing can be awaited."""

    async def chat(messages, tools):
        return says(text="ok")

    with pytest.raises(WorkflowFailed, match="declare it with `async def`"):
        await office.run(office.agent(functools.partial(plainly, chat)))
    office.restart()
    assert await office.run(office.agent(chat), workflow_id="ticket-2") == "ok"


async def test_an_agent_without_a_task_is_refused(office: Office) -> None:
    """PLN-01."""
    with pytest.raises(WorkflowFailed, match=r"InvalidCall.*without a task"):
        await office.run(office.agent(Model(says(text="ok"))), [])


async def test_an_answer_that_is_none_is_not_put_on_record(office: Office) -> None:
    """PLN-01: its words are not shown either."""
    model = Model({"nonsense": "secret"})

    with pytest.raises(WorkflowFailed, match="a dict that a chat function returned is no answer") as failed:
        await office.run(office.agent(model))
    assert "secret" not in str(failed.value)


async def test_an_agent_that_was_stopped_goes_on_with_a_higher_limit(office: Office) -> None:
    """PLN-01, DUR-14: what it has on record is neither asked nor done again."""
    sent: list[int] = []
    model = Model(*(says(call("send", n=n)) for n in range(3)), says(text="Sent."))

    def declared(steps: int) -> object:
        return office.agent(model, tools=[office.tool(into(sent, "n"), name="send")], steps=steps)

    with pytest.raises(WorkflowFailed, match="AgentStuck"):
        await office.run(declared(2))
    office.restart()
    generous = declared(9)
    await office.book.restart("ticket-1")

    assert await office.run(generous) == "Sent."
    assert (sent, model.count) == ([0, 1, 2], 4)


async def test_a_closed_ledger_says_nothing_of_a_call(office: Office) -> None:
    """PLN-01: a turn that a closing worker cannot make is made by the next one; the model is not told of it."""
    refund = office.tool(lambda cents: cents, name="refund")
    await office.book.close()

    with pytest.raises(ConnectionError, match="closed"):
        await taken({"refund": refund}, "ticket-1", [call("refund", cents=5)])
