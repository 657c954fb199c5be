"""People ask an agent for more before they decide on its call, and its model answers; HIT-09."""

from __future__ import annotations

from typing import Any

from agent.scripted import Model, Office, call, heard, into, says

WHY, BECAUSE = "Which invoice is this for?", "Invoice 7, of May."
PEOPLE: Any = {"people": None}


async def ask(office: Office) -> None:
    [question] = await office.book.approvals()
    await office.book.request_info(question.id, by="ana", question=WHY)


async def approve(office: Office) -> None:
    [question] = await office.book.approvals()
    await office.book.approve(question.id, by="ana", digest=question.digest)


def answers(to: str = "") -> Any:
    """Say the same call again, with the answer to what was asked in the turn before."""

    def say(messages: list[dict[str, Any]]) -> dict[str, Any]:
        name = to or heard(messages)[-1]["asked"]["to"]
        return says(call("charge", amount=100, holdfast_answer={"to": name, "text": BECAUSE}))

    return say


async def test_the_model_hears_the_question_and_answers_within_the_same_approval(office: Office) -> None:
    """HIT-09: it waits, holds nothing, is asked, answers by the same call, and the call is made once."""
    charged: list[int] = []
    model = Model(
        says(call("charge", amount=100)),
        says(call("wait_for_people")),
        says(call("charge", amount=100)),
        answers(),
        says(call("wait_for_people")),
        says(call("charge", amount=100)),
        says(text="Charged."),
    )

    def declared() -> Any:
        tool = office.tool(into(charged, "amount"), name="charge", requires_approval=True, version="1")
        return office.agent(model, tools=[tool], waits=PEOPLE)

    assert await office.wake(declared()) == "signal 'people'"
    await ask(office)
    await office.book.signal("ticket-1", "people", "asked")
    office.restart()
    assert await office.wake(declared()) == "signal 'people'"
    [question] = await office.book.approvals()
    assert question.shown["answers"] == [{"number": 1, "by": "ana", "question": WHY, "answer": BECAUSE}]
    assert charged == []

    await approve(office)
    await office.book.signal("ticket-1", "people", "approved")
    office.restart()
    assert await office.run(declared()) == "Charged."
    assert charged == [100]
    told = model.told
    assert [one["status"] for one in told if "replayed" in one] == ["waiting"] * 3 + ["succeeded"]
    [asked] = [one["asked"] for one in told if "asked" in one]
    assert (asked["by"], asked["question"]) == ("ana", WHY)
    [meaning] = [one["meaning"] for one in told if "asked" in one]
    assert f'"holdfast_answer": {{"to": "{asked["to"]}"' in meaning
    assert [effect.args for effect in await office.book.effects()] == [{"amount": 100}]


async def test_the_argument_to_answer_under_is_offered_while_an_answer_is_owed(office: Office) -> None:
    """HIT-09: to models whose providers hold them to the schema; and not to others, nor afterwards."""
    offered: list[Any] = []

    def seen(then: Any) -> Any:
        def say(messages: list[dict[str, Any]]) -> Any:
            offered.append("holdfast_answer" in model.tools[0]["parameters"]["properties"])
            return then(messages) if callable(then) else then

        return say

    model = Model(
        seen(says(call("charge", amount=100))),
        seen(says(call("wait_for_people"))),
        seen(says(call("charge", amount=100))),
        seen(answers()),
        seen(says(text="Asked.")),
    )
    tool = office.tool(into([], "amount"), name="charge", requires_approval=True)
    support = office.agent(model, tools=[tool], waits=PEOPLE)

    await office.wake(support)
    await ask(office)
    await office.book.signal("ticket-1", "people", "asked")
    await office.run(support)

    assert offered == [False, False, False, True, False]


async def test_an_answer_without_its_parts_is_told_to_be_none(office: Office) -> None:
    """HIT-09: nothing ran, nothing was recorded, and the model may correct it."""
    model = Model(
        says(call("charge", amount=100, holdfast_answer="Invoice 7")),
        says(text="ok"),
    )
    tool = office.tool(into([], "amount"), name="charge", requires_approval=True)

    await office.run(office.agent(model, tools=[tool]))

    [told] = model.told
    assert told["status"] == "invalid"
    assert '{"to": "...", "text": "..."}' in told["error"]
    assert await office.book.effects() == []
