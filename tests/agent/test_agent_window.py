"""A history that outgrows the model's window is summarised, on record, and nothing of it is lost."""

from __future__ import annotations

from typing import Any

import pytest

from agent.scripted import Model, Office, call, into, says
from holdfast._core.reply import tokens
from holdfast.agent import agent
from holdfast.errors import WorkflowFailed

WINDOW = 8_000
TURNS = 100


def page(n: int) -> str:
    """A result of some length."""
    return f"page {n}: " + "lorem ipsum " * 60


def is_for_summary(messages: list[dict[str, Any]]) -> bool:
    return messages[0]["content"].startswith("Summarise this conversation")


def reader(messages: list[dict[str, Any]], tools: list[dict[str, Any]], requests: list[Any]) -> Any:
    """Reads page after page; asked for a summary, gives one."""
    requests.append((list(messages), list(tools)))
    if is_for_summary(messages):
        return says(text="The pages so far were read.")
    n = sum(1 for said, _ in requests if not is_for_summary(said))
    return says(call("read", n=n)) if n <= TURNS else says(text="Read.")


@pytest.mark.kinds("memory", "sqlite", "sync-sqlite")
async def test_a_hundred_turns_fit_into_a_window_of_8000_tokens(office: Office) -> None:
    """STA-11: each request fits, all of the history is in the store, each compaction is a step of its own."""
    requests: list[Any] = []
    read = office.tool(page, name="read", safety="read")
    chat = lambda messages, tools: reader(messages, tools, requests)  # noqa: E731
    librarian = office.agent(chat, "librarian", tools=[read], steps=TURNS + 1, window=WINDOW)

    answer = await office.run(librarian, "Read the book.")

    assert answer == "Read."
    assert max(tokens(messages) + tokens(tools) for messages, tools in requests) <= WINDOW
    assert {messages[0]["content"] for messages, _ in requests if not is_for_summary(messages)} == {
        "Read the book."
    }
    for messages, _ in requests:  # a result never comes without its call
        calls = [one["id"] for each in messages for one in each.get("tool_calls", ())]
        assert [each["tool_call_id"] for each in messages if each["role"] == "tool"] == calls

    events = await office.events()
    results = {event.name: event.result for event in events}
    steps = [event.name for event in events]
    compactions = [name for name in steps if name.startswith("compact")]
    assert len(compactions) > 1
    assert [name for name in steps if name.startswith("act")] == [f"act {n}" for n in range(1, TURNS + 1)]
    assert all(page(n) in results[f"act {n}"][0] for n in range(1, TURNS + 1))
    assert all("summary" in results[name]["messages"][1]["content"].lower() for name in compactions)
    asked = len(requests)

    office.restart()
    read = office.tool(page, name="read", safety="read")
    again = office.agent(chat, "librarian", tools=[read], steps=TURNS + 1, window=WINDOW)
    assert await office.run(again, "Read the book.") == "Read."
    assert len(requests) == asked == TURNS + 1 + len(compactions)


async def test_notes_are_read_anew_when_the_history_was_summarised(office: Office) -> None:
    """STA-12: what the agent noted outside of its context is in its next request after a reset."""
    notes: list[str] = []
    model = Model(
        says(call("note", text="The code is 1234.")),
        says(call("read", n=1)),
        says(call("read", n=2)),
        says(text="1234"),
    )

    def summarise(older: list[dict[str, Any]]) -> str:
        return "Something was read."

    tools = [
        office.tool(into(notes, "text"), name="note"),
        office.tool(page, name="read", safety="read"),
    ]
    options = {"tools": tools, "window": 700, "summarise": summarise, "notes": lambda: "\n".join(notes)}

    assert await office.run(office.agent(model, **options), "Find the code.") == "1234"

    first, *_, last = [request[0]["content"] for request in model.requests]
    assert (first, last) == ("Find the code.", "Find the code.\n\nThe code is 1234.")
    assert any("Something was read." in str(message["content"]) for message in model.requests[-1])
    assert (await office.steps())[0] == "notes"


async def test_a_new_session_begins_with_what_the_last_one_handed_over(office: Office) -> None:
    """STA-08, STA-09: it is in the first request; and it is the same after a crash, whatever was noted since."""
    model = Model(says(call("read", n=1)), says(text="The api is next."))
    handoff = office.ledger.handoff("shop")
    await office.book.do(handoff.note, done=["schema"], next=["api"])

    def read(n: int) -> str:
        handoff = office.ledger.handoff("shop")
        if office.book.is_sync:
            handoff.note(done=["api"])
        return page(n)

    options = {"tools": [office.tool(read)], "notes": (await office.book.do(handoff.read)).text}
    if office.book.is_sync:
        options["notes"] = lambda: handoff.read().text

    assert await office.run(office.agent(model, **options), "Go on.") == "The api is next."
    first, second = (request[0]["content"] for request in model.requests)
    assert first == second
    assert first.startswith("Go on.")
    assert "schema" in first


async def test_notes_reach_a_system_message_and_one_made_of_parts(office: Office) -> None:
    """STA-12: whatever the first message looks like."""
    model = Model(says(text="ok"))
    parts = [{"role": "user", "content": [{"type": "text", "text": "Go on."}]}]

    await office.run(office.agent(model, notes="Done: 1."), parts)

    assert model.requests[0] == [
        {
            "role": "user",
            "content": [{"type": "text", "text": "Go on."}, {"type": "text", "text": "Done: 1."}],
        }
    ]


async def test_the_system_message_and_the_task_stay_whatever_is_summarised(office: Office) -> None:
    """STA-11."""
    model = Model(*(says(call("read", n=n)) for n in range(6)), says(text="ok"))
    read = office.tool(page, name="read", safety="read")
    task = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Read."}]
    options = {"tools": [read], "window": 900, "summarise": lambda older: "Read so far."}

    await office.run(office.agent(model, **options), task)

    assert model.requests[-1][:2] == task
    assert len(model.requests[-1]) < 8


async def test_a_result_that_no_window_holds_ends_the_agent(office: Office) -> None:
    """STA-11: with a typed error that says so."""
    model = Model(says(call("read", n=1)), says(text="ok"))
    read = office.tool(lambda n: "x" * 10_000, name="read", safety="read")

    with pytest.raises(WorkflowFailed, match="WindowExceeded"):
        await office.run(office.agent(model, tools=[read], window=500))


@pytest.mark.kinds("memory")
async def test_async_functions_summarise_and_note_as_well(office: Office) -> None:
    """STA-11, STA-12."""
    model = Model(*(says(call("read", n=n)) for n in range(6)), says(text="ok"))
    read = office.tool(page, name="read", safety="read")

    async def chat(messages: Any, tools: Any) -> Any:
        return model(messages, tools)

    async def summarise(older: Any) -> str:
        return "Read so far."

    async def notes() -> str:
        return "Noted."

    @office.ledger.workflow
    async def code(ctx, task):
        return await agent(ctx, chat, task, tools=[read], window=900, summarise=summarise, notes=notes)

    assert await office.run(code) == "ok"
    assert model.requests[-1][0]["content"] == "help\n\nNoted."


async def test_a_model_that_gives_no_summary_ends_the_agent_before_anything_is_forgotten(
    office: Office,
) -> None:
    """STA-11."""
    model = Model(*(says(call("read", n=n)) for n in range(6)))
    read = office.tool(page, name="read", safety="read")

    with pytest.raises(WorkflowFailed, match="asked for a summary and gave none"):
        await office.run(office.agent(model, tools=[read], window=900))
