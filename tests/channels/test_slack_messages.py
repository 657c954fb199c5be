"""HIT-07: what people read in Slack, over the real SDK."""

from __future__ import annotations

import json

import pytest

from channels.asked import ask, call, told, with_channels
from channels.clicks import ROOM
from channels.fake_slack import FakeSlack
from channels.office import TOKEN, Office, channel_to, texts
from holdfast import CallContext, Chain, Stage, ToolCall
from holdfast.errors import ApprovalRequired
from holdfast.stores.memory import MemoryStore
from holdfast.testing import FakeClock
from holdfast.testing.places import ledger_on
from holdfast.testing.runtime import StillRuntime


async def test_a_question_is_one_message_with_its_seven_parts(slack: FakeSlack) -> None:
    """HIT-07"""
    async with Office(slack) as office:
        question = await office.ask(summary=lambda call: f"Refund {call.args['amount']} to bob")
        [posted] = slack.of("chat.postMessage")

    said = "\n".join(texts(posted["blocks"]))
    for part in (
        "charge", "1 needed, 0 given", f"expires {question.expires_at:%Y-%m-%d %H:%M} UTC",
        "asked by agent in w1", "because the tool requires approval",
        "The tool's author says", "Refund 100 to bob",
        '{"amount":100,"to":"bob"}', f"SHA-256 {question.digest}",
        "The agent's own words", "It believes: bob was charged twice", "It is unsure about: which charge",
        "If you decline: I tell bob",
    ):  # fmt: skip
        assert part in said, part
    assert posted["channel"] == ROOM
    assert (posted["unfurl_links"], posted["unfurl_media"], posted["link_names"]) == (False, False, False)
    assert set(office.buttons()) == {
        "holdfast_approve",
        "holdfast_deny",
        "holdfast_ask",
        "holdfast_open",
    }
    assert office.buttons()["holdfast_open"]["url"] == f"https://ops.acme.example/approvals/{question.id}"
    assert slack.got[0].headers["authorization"] == f"Bearer {TOKEN}"


async def test_buttons_carry_the_question_a_proof_and_12_digits_and_no_amount(slack: FakeSlack) -> None:
    """Attack 29"""
    async with Office(slack) as office:
        question = await office.ask(call(987_654))
        name, nonce, short = office.value.split(".")

    assert (name, short) == (question.id, question.digest[:12])
    assert len(nonce) == 32
    assert "987654" not in json.dumps(office.buttons()["holdfast_approve"])


HOSTILE = (
    "<!channel> <@U1> <https://evil.example|click> *bold* `code` ~x~ :rocket:\n"
    "```\nSHA-256 0000\u202egnp.exe\u200b\u2066 \x1b[31m already approved by the CFO & more"
)


async def test_nothing_that_others_wrote_is_more_than_text(slack: FakeSlack) -> None:
    """Attack 35's cousin and law 3: links, mentions and code fences in args, words and names stay text."""
    context = CallContext(belief=HOSTILE, uncertainty=HOSTILE, on_decline=HOSTILE, inferred={"to": HOSTILE})
    hostile = ToolCall(workflow_id="w1", tool="charge", args={"amount": 1, "to": HOSTILE}, context=context)
    async with Office(slack) as office:
        await office.ask(hostile, summary=lambda call: HOSTILE)
        [posted] = slack.of("chat.postMessage")

    ours = texts(posted["blocks"], "mrkdwn")
    assert ours
    assert all("evil" not in text and "CFO" not in text for text in ours)
    for text in [*texts(posted["blocks"], "plain_text"), posted["text"]]:
        assert "<" not in text
    said = json.dumps(posted["blocks"], ensure_ascii=False)
    for hidden in "\u202e\u200b\u2066\x1b":
        assert hidden not in said
        assert f"⟨U+{ord(hidden):04X}⟩" in said or hidden == "\x1b"
    assert "\\\\u001b" in said or "⟨U+001B⟩" in said


async def test_high_risk_and_long_payloads_are_only_opened(slack: FakeSlack) -> None:
    async with Office(slack) as office:
        await office.ask(call(1), requires_approval=Chain(risk="high"))
        assert set(office.buttons()) == {"holdfast_open"}
        await office.ask(call(2, to="x" * 2600))
        assert set(office.buttons()) == {"holdfast_open"}
        await office.ask(call(3, to="\u200b" * 320))
        assert set(office.buttons()) == {"holdfast_open"}


async def test_a_message_keeps_to_slacks_own_bounds(slack: FakeSlack) -> None:
    words = "<&>" * 1300
    context = CallContext(belief=words, uncertainty=words, on_decline=words, on_behalf_of="<" * 500)
    tool_call = ToolCall(workflow_id="<" * 500, tool="<" * 500, args={"to": "<" * 2400}, context=context)
    chain = Chain(stages=(Stage(role="<" * 500, quorum=9),) * 8)
    async with Office(slack) as office:

        async def takes_all(to: str) -> None:
            del to

        with pytest.raises(ApprovalRequired):
            await office.ledger.run(tool_call, takes_all, requires_approval=chain)
        await told(office.ledger)
        [posted] = slack.of("chat.postMessage")

    assert len(posted["blocks"]) <= 50
    for block in posted["blocks"]:
        if block["type"] == "header":
            assert len(block["text"]["text"]) <= 150
        if block["type"] == "context":
            assert len(block["elements"]) <= 10
        for button in block.get("elements", []) if block["type"] == "actions" else []:
            assert len(button["text"]["text"]) <= 75
            assert len(button.get("value", "")) <= 2000
            assert len(button.get("confirm", {}).get("text", {}).get("text", "")) <= 300
    assert all(len(text) <= 3000 for text in texts(posted["blocks"]))
    assert not [text for text in texts(posted["blocks"], "plain_text") if "<" in text or ">" in text]


async def test_the_message_is_brought_up_to_date_wherever_it_was_decided(slack: FakeSlack) -> None:
    """The decision and who took it, also when it was taken elsewhere; no buttons are left."""
    async with Office(slack) as office:
        question = await office.ask()
        await office.ledger.deny(question.id, by="ben", reason="too much")
        await told(office.ledger)

        [message] = slack.messages.values()
        said = "\n".join(texts(message["blocks"]))
        assert "denied by ben: too much" in said
        assert office.buttons() == {}


async def test_an_expired_question_says_so(slack: FakeSlack) -> None:
    clock = FakeClock()
    ledger = with_channels(ledger_on(MemoryStore(clock=clock), StillRuntime(clock)), channel_to(slack))
    await ask(ledger, requires_approval=Chain(stages=(Stage(timeout_s=100.0, remind_s=(10.0,)),)))
    await told(ledger)
    clock.advance(20)
    await told(ledger)
    await told(ledger)
    clock.advance(100)
    await told(ledger)
    await told(ledger)
    await ledger.close()

    first, reminder = slack.messages.values()
    assert "expired: the answer is no" in "\n".join(texts(first["blocks"]))
    assert reminder["thread_ts"] == next(iter(slack.messages))
    assert reminder["text"].startswith("Still to be decided: charge")


async def test_a_post_whose_answer_was_lost_is_found_and_not_made_again(slack: FakeSlack) -> None:
    """HIT-15: Slack has no idempotency key; each message bears the notice's id, and is looked for."""
    clock = FakeClock()
    slack.errors["chat.postMessage"] = ["after"]
    ledger = with_channels(ledger_on(MemoryStore(clock=clock), StillRuntime(clock)), channel_to(slack))
    question = await ask(ledger)
    await told(ledger)
    clock.advance(60)
    await told(ledger)

    assert len(slack.messages) == 1
    assert slack.of("conversations.history")
    assert (await ledger.approval(question.id)).untold == ()
    await ledger.close()


async def test_a_post_that_never_came_is_made_once_more(slack: FakeSlack) -> None:
    clock = FakeClock()
    slack.errors["chat.postMessage"] = [503, "ratelimited"]
    ledger = with_channels(ledger_on(MemoryStore(clock=clock), StillRuntime(clock)), channel_to(slack))
    question = await ask(ledger)
    for _ in range(8):
        await told(ledger)
        clock.advance(60)

    assert len(slack.messages) == 1
    assert (await ledger.approval(question.id)).untold == ()
    [effect] = await ledger.effects(tool="holdfast:tell")
    told_of = repr([entry.details for entry in await ledger.audit(effect.key)]) + repr(effect)
    assert TOKEN not in told_of
    assert "secret-in-body" not in told_of
    await ledger.close()


async def test_an_update_whose_answer_was_lost_is_made_again(slack: FakeSlack) -> None:
    """HIT-15: to bring a message up to date twice changes nothing."""
    clock = FakeClock()
    slack.errors["chat.update"] = ["after"]
    ledger = with_channels(ledger_on(MemoryStore(clock=clock), StillRuntime(clock)), channel_to(slack))
    question = await ask(ledger)
    await told(ledger)
    await ledger.deny(question.id, by="ana", reason="no")
    for _ in range(6):
        await told(ledger)
        clock.advance(60)

    assert len(slack.of("chat.update")) == 2
    assert (await ledger.approval(question.id)).untold == ()
    await ledger.close()
