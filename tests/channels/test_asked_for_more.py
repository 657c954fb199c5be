"""People ask an agent for more where they hear of its question, and read its answer there; HIT-09, HIT-07."""

from __future__ import annotations

import json
from typing import Any

import pytest

from channels.asked import PEOPLE, Remembering, acharge, ask, call, told
from channels.clicks import clicked, form, headers, submitted
from channels.fake_slack import FakeSlack
from channels.office import Office, texts
from channels.receivers import post
from channels.test_slack_messages import HOSTILE
from channels.test_webhooks import answer_to, inbox
from channels.test_webhooks import headers as signed_headers
from holdfast import Ledger, Settings
from holdfast.channels.card import text_of
from holdfast.channels.webhook import message_of
from holdfast.errors import ApprovalRequired, InformationRequested

ASK = "holdfast_ask"


async def asked_in_slack(office: Office, question: str = "Which invoice?", **who: Any) -> dict[str, Any]:
    """Click, and send the dialogue off; return what was sent."""
    assert await office.send(clicked(office.buttons()[ASK]["value"], action=ASK, **who)) == 200
    told_back = office.slack.of("views.open")[-1]["view"]["private_metadata"]
    sent = submitted(told_back, question, callback=ASK, view=f"V{len(question)}", **who)
    assert await office.send(sent) == 200
    return sent


async def test_a_dialogue_asks_what_the_agent_should_tell_and_the_agent_hears_it(
    place: Any, slack: FakeSlack
) -> None:
    """HIT-09: nothing is decided; the message says who asked, then what was answered, then who decided."""
    async with Office(slack, place) as office:
        question = await office.ask()
        await asked_in_slack(office)
        [view] = [given["view"] for given in slack.of("views.open")]
        with pytest.raises(InformationRequested) as heard:
            await office.ledger.run(call(), acharge, requires_approval=True)
        assert (heard.value.question, heard.value.by) == ("Which invoice?", "ana")
        assert view["callback_id"] == ASK
        assert office.whispers == ["The agent is asked. The question is pending."]
        assert ASK not in office.buttons()

        answered = await office.ledger.answer_info(question.id, answer="The seventh.")
        await told(office.ledger)
        said = "\n".join(texts(next(iter(slack.messages.values()))["blocks"]))
        assert "ana asked: Which invoice?" in said
        assert "It answers: The seventh." in said
        assert f"SHA-256 {answered.digest}" in said

        await office.send(clicked(office.value))
        assert (await office.ledger.approval(question.id)).state == "approved"
        assert (await office.ledger.verify()).problems == ()


async def test_the_button_of_before_the_answer_is_stale_and_no_strangers(slack: FakeSlack) -> None:
    """HIT-05, attack 27: it was made for this question, as it was."""
    async with Office(slack) as office:
        question = await office.ask()
        old = office.value
        await office.ledger.request_info(question.id, by="ana", question="Which invoice?")
        await office.ledger.answer_info(question.id, answer="The seventh.")
        await office.send(clicked(old, user="UBEN"))

        assert [one["kind"] for one in await office.refusals(question)] == ["stale"]
        assert (await office.ledger.approval(question.id)).state == "pending"


async def test_a_dialogue_that_is_sent_off_twice_asks_once(place: Any, slack: FakeSlack) -> None:
    """SEC-16, attack 27: here and before another process."""
    async with Office(slack, place) as office:
        question = await office.ask()
        sent = form(await asked_in_slack(office))
        await post(office.app, sent, headers(sent))
        async with Ledger(place, people=PEOPLE) as other:
            await post(office.channel.inbox(other), sent, headers(sent))

        assert len((await office.ledger.approval(question.id)).requests) == 1
        assert await office.refusals(question) == []


@pytest.mark.parametrize("user", ["UBOT", "UEVE"])
async def test_nobody_asks_in_slack_who_may_not_decide(slack: FakeSlack, user: str) -> None:
    """SEC-16: a program, and an account that is nobody's."""
    async with Office(slack) as office:
        question = await office.ask()
        await asked_in_slack(office, user=user)

        assert (await office.ledger.approval(question.id)).requests == ()
        assert [one["kind"] for one in await office.refusals(question)] == ["not_allowed"]


async def test_neither_question_nor_answer_is_more_than_text(slack: FakeSlack) -> None:
    """Attack 35: links, mentions, code fences and letters that hide, from people and from models."""
    async with Office(slack) as office:
        question = await office.ask()
        await office.ledger.request_info(question.id, by="ana", question=HOSTILE)
        await told(office.ledger)
        owing = next(iter(slack.messages.values()))["blocks"]
        await office.ledger.answer_info(question.id, answer=HOSTILE)
        await told(office.ledger)
        blocks = next(iter(slack.messages.values()))["blocks"]
        plain = text_of(await office.ledger.approval(question.id), "")

    for shown in (owing, blocks):
        assert all("evil" not in text and "CFO" not in text for text in texts(shown, "mrkdwn"))
        assert all("<" not in text for text in texts(shown, "plain_text"))
    said = json.dumps(blocks, ensure_ascii=False) + plain
    assert "already approved by the CFO" in said
    for hidden in "\u202e\u200b\u2066\x1b":
        assert hidden not in said


async def test_a_message_with_many_long_answers_keeps_to_slacks_own_bounds(slack: FakeSlack) -> None:
    """HIT-07: else it would be refused as a whole."""
    async with Office(slack) as office:
        ledger = office.ledger
        question = await office.ask()
        for n in range(3):
            await ledger.request_info(question.id, by="ana", question=f"{n} " + "<&>" * 600)
            await ledger.answer_info(question.id, answer=f"{n} " + "<&>" * 1300)
        await told(ledger)
        [message] = [one for one in slack.messages.values() if one.get("blocks")]

    assert len(message["blocks"]) <= 50
    assert all(len(text) <= 3000 for text in texts(message["blocks"]))
    assert sum(text.startswith("It answers: ") for text in texts(message["blocks"])) == 3


async def test_each_channel_is_told_once_that_somebody_asks(place: Any) -> None:
    """HIT-15: who looks elsewhere sees that it is the agent's turn."""
    page: Any = Remembering()
    async with Ledger(place, people=PEOPLE, channels=[page]) as ledger:
        question = await ask(ledger)
        await ledger.request_info(question.id, by="ana", question="Which invoice?")
        await told(ledger)
        await ledger.answer_info(question.id, answer="The seventh.")
        await told(ledger)
        await told(ledger)

    assert page.kinds == ["asked", "questioned", "asked"]
    [asked] = [telling for telling in page.tellings if telling.notice.kind == "questioned"]
    sent = message_of(asked)
    assert sent["type"] == "approval.questioned"
    assert message_of(page.tellings[-1])["agent"]["answers"] == [
        {"number": 1, "by": "ana", "question": "Which invoice?", "answer": "The seventh."}
    ]


async def test_a_signed_webhook_asks_with_its_words_and_once() -> None:
    """HIT-09: without words it cannot be understood."""
    async with Ledger("memory://", people=PEOPLE, settings=Settings(max_info_requests=1)) as ledger:
        question = await ask(ledger)
        silent = answer_to(question, decision="ask")
        body = answer_to(question, decision="ask", reason="Which invoice?")
        statuses = [
            (await post(inbox(ledger), silent, signed_headers(silent)))[0],
            (await post(inbox(ledger), body, signed_headers(body, name="msg_2")))[0],
            (await post(inbox(ledger), body, signed_headers(body, name="msg_2")))[0],
            (await post(inbox(ledger), body, signed_headers(body, name="msg_3")))[0],
        ]

        assert statuses == [400, 200, 200, 200]  # the last: their words are on record
        [request] = (await ledger.approval(question.id)).requests
        assert (request.by, request.method, request.question) == ("ana", "webhook", "Which invoice?")
        with pytest.raises(ApprovalRequired, match="asks first"):
            await ledger.run(call(), acharge, requires_approval=True)
