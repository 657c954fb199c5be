"""HIT-07: people decide in Slack, over the real SDK; SEC-16: nobody else does."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from typing import Any, Self

import pytest

from channels.clicks import APP, ROOM, SECRET, TEAM, clicked, form, headers, submitted
from channels.desk import PEOPLE, acharge, ask, call, charge, told, with_channels
from channels.receivers import FakeSlack, begun, post
from holdfast import CallContext, Chain, Ledger, Settings, Stage, SyncLedger, ToolCall
from holdfast.channels.slack import SlackChannel
from holdfast.channels.slack_blocks import value_of
from holdfast.errors import ApprovalDenied, ApprovalRequired, InvalidTool
from holdfast.stores.memory import MemoryStore
from holdfast.testing import FakeClock
from holdfast.testing.places import ledger_on
from holdfast.testing.runtime import StillRuntime

TOKEN = "xoxb-t0p-secret"
SETTINGS = Settings(console_url="https://ops.acme.example")


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack().serving() as slack:
        yield slack


def channel_to(slack: FakeSlack, **options: Any) -> SlackChannel:
    given = {
        "token": TOKEN,
        "signing_secret": SECRET,
        "app_id": APP,
        "team": TEAM,
        "rooms": {"default": ROOM},
    }
    return SlackChannel(**{**given, "base_url": f"{slack.url}/api/", **options})


class Office:
    """A ledger with people, a Slack and its endpoint."""

    def __init__(self, slack: FakeSlack, where: Any = "memory://", **options: Any) -> None:
        self.slack = slack
        self.channel = channel_to(slack)
        migrate = isinstance(where, str) and where.startswith("postgres")
        self.ledger = Ledger(
            where, people=PEOPLE, channels=[self.channel], settings=SETTINGS, migrate=migrate, **options
        )
        self.app = self.channel.inbox(self.ledger)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.ledger.close()

    async def ask(self, *args: Any, **options: Any) -> Any:
        question = await ask(self.ledger, *args, **options)
        await told(self.ledger)
        return question

    def buttons(self) -> dict[str, Any]:
        """What the newest message offers, by action."""
        blocks = next(one for one in reversed(self.slack.messages.values()) if one.get("blocks"))["blocks"]
        found = [button for block in blocks if block["type"] == "actions" for button in block["elements"]]
        return {button["action_id"]: button for button in found}

    @property
    def value(self) -> str:
        return str(self.buttons()["holdfast_approve"]["value"])

    async def send(self, payload: Any, **signing: Any) -> int:
        body = form(payload)
        status, _ = await post(self.app, body, headers(body, **signing))
        await told(self.ledger)
        return status

    @property
    def whispers(self) -> list[str]:
        return [str(given["text"]) for given in self.slack.of("chat.postEphemeral")]

    async def refusals(self, question: Any) -> list[Any]:
        trail = await self.ledger.audit(question.key)
        return [entry.details["refused"] for entry in trail if "refused" in (entry.details or {})]


def texts(blocks: Any, kind: str | None = None) -> list[str]:
    """Every text in a message; of one kind of object, if it is named."""
    if isinstance(blocks, list):
        return [text for block in blocks for text in texts(block, kind)]
    if not isinstance(blocks, dict):
        return []
    own = (
        [blocks["text"]] if isinstance(blocks.get("text"), str) and kind in {None, blocks.get("type")} else []
    )
    return own + [text for inner in blocks.values() for text in texts(inner, kind)]


# The message.


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
    assert set(office.buttons()) == {"holdfast_approve", "holdfast_deny", "holdfast_open"}
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


# What comes back.


async def test_a_click_approves_and_the_call_goes_on(place: Any, slack: FakeSlack) -> None:
    """HIT-07: and the message says who."""
    async with Office(slack, place) as office:
        question = await office.ask()
        assert await office.send(clicked(office.value)) == 200

        assert await office.ledger.run(call(), acharge, requires_approval=True) == {
            "charged": 100,
            "to": "bob",
        }
        [vote] = (await office.ledger.approval(question.id)).votes
        assert (vote.person, vote.method, vote.digest) == ("ana", "slack", question.digest)
        assert "approved by ana" in "\n".join(texts(next(iter(slack.messages.values()))["blocks"]))
        assert office.whispers == ["Your approval counts. The question is approved."]
        assert (await office.ledger.verify()).problems == ()


async def test_slack_is_answered_before_anything_else_is_done(slack: FakeSlack) -> None:
    """It gives up after three seconds."""
    gate = threading.Event()
    ordinary = slack._users_info
    slack._users_info = lambda given: (gate.wait(60), ordinary(given))[1]  # type: ignore[method-assign]
    async with Office(slack) as office:
        question = await office.ask()
        body = form(clicked(office.value))
        answer = await begun(office.app, body, headers(body))
        await asyncio.wait_for(answer.answered.wait(), 60)

        assert (answer.status, answer.body) == (200, b"")
        assert (await office.ledger.approval(question.id)).state == "pending"
        gate.set()
        await answer.done
        assert (await office.ledger.approval(question.id)).state == "approved"


async def test_deny_asks_for_the_reason_and_the_agent_is_told(slack: FakeSlack) -> None:
    async with Office(slack) as office:
        question = await office.ask()
        assert await office.send(clicked(office.value, action="holdfast_deny")) == 200
        [opened] = slack.of("views.open")
        assert (await office.ledger.approval(question.id)).state == "pending"
        assert opened["trigger_id"].startswith("12321423423")

        view = opened["view"]
        assert await office.send(submitted(view["private_metadata"])) == 200
        with pytest.raises(ApprovalDenied, match="not ours to pay"):
            await office.ledger.run(call(), acharge, requires_approval=True)
        assert office.whispers == ["Denied. The question is denied."]


async def test_a_click_reaches_a_sync_ledger_as_well(slack: FakeSlack, tmp_path: Any) -> None:
    channel = channel_to(slack)
    with SyncLedger(f"sqlite:///{tmp_path}/s.db", people=PEOPLE, channels=[channel]) as ledger:
        with pytest.raises(ApprovalRequired):
            ledger.run(call(), charge, requires_approval=True)
        ledger.sweep()
        while not slack.messages:
            ledger.sweep()
        [message] = slack.messages.values()
        buttons = next(block for block in message["blocks"] if block["type"] == "actions")["elements"]
        body = form(clicked(buttons[0]["value"]))
        assert (await post(channel.inbox(ledger), body, headers(body)))[0] == 200
        assert ledger.run(call(), charge, requires_approval=True) == {"charged": 100, "to": "bob"}


def spoilt() -> list[tuple[str, dict[str, str]]]:
    now = int(time.time())
    good = form(clicked("x"))
    made = headers(good)
    return [
        ("no signature", {**made, "x-slack-signature": ""}),
        ("no timestamp", {**made, "x-slack-request-timestamp": ""}),
        ("a word for a timestamp", headers(good, at="soon")),
        ("an empty timestamp that is signed", headers(good, at="")),
        ("not a number", headers(good, at="nan")),
        ("a fraction", headers(good, at=f"{now}.5")),
        ("a sign", headers(good, at=f"+{now}")),
        ("too old", headers(good, at=now - 301)),
        ("of the future", headers(good, at=now + 120)),
        ("of a far future", headers(good, at="9" * 12)),
        ("another secret", headers(good, secret="other")),
        ("another version", {**made, "x-slack-signature": made["x-slack-signature"].replace("v0", "v1")}),
        ("no ASCII", {**made, "x-slack-signature": "v0=\xff"}),
        ("a body that was encoded anew", headers(good.replace(b"%22", b"%2522"))),
    ]


@pytest.mark.parametrize("number", range(14), ids=[name for name, _ in spoilt()])
async def test_a_request_that_is_not_slacks_is_401(slack: FakeSlack, number: int) -> None:
    """SEC-16, attack 26"""
    _, made = spoilt()[number]
    async with Office(slack) as office:
        question = await office.ask()
        assert (await post(office.app, form(clicked("x")), made))[0] == 401
        assert (await office.ledger.approval(question.id)).state == "pending"
        assert office.whispers == []


async def test_the_signature_is_over_the_body_as_it_came(slack: FakeSlack) -> None:
    """Attack 26: what means the same and is other bytes is not signed."""
    async with Office(slack) as office:
        await office.ask()
        body = form(clicked(office.value))
        assert (await post(office.app, body.replace(b"+", b"%20"), headers(body)))[0] in {200, 401}
        assert (await post(office.app, body + b"&x=1", headers(body)))[0] == 401


async def test_the_same_click_again_comes_to_nothing(place: Any, slack: FakeSlack) -> None:
    """SEC-16, attack 27: within the five minutes, before another process."""
    chain = Chain(stages=(Stage(quorum=2),))
    async with Office(slack, place) as office:
        question = await office.ask(requires_approval=chain)
        body = form(clicked(office.value))
        sent = headers(body)
        await post(office.app, body, sent)
        async with Ledger(place, people=PEOPLE) as other:
            await post(office.channel.inbox(other), body, sent)
            await post(office.app, body, sent)

        after = await office.ledger.approval(question.id)
        assert (after.state, len(after.votes)) == ("pending", 1)
        assert office.whispers == ["Your approval counts. The question is pending."]


async def test_a_click_after_the_end_is_told_so(slack: FakeSlack) -> None:
    """Attack 27: a new click on an old message."""
    async with Office(slack) as office:
        question = await office.ask()
        value = office.value
        await office.ledger.deny(question.id, by="ben", reason="no")
        await office.send(clicked(value))

        assert (await office.ledger.approval(question.id)).state == "denied"
        assert office.whispers == ["Nothing was decided: already denied by ben."]


@pytest.mark.parametrize(
    ("profile", "user"),
    [({"is_restricted": True}, "UANA"), ({"is_ultra_restricted": True}, "UANA"), ({"is_bot": True}, "UANA"),
     ({"deleted": True}, "UANA"), ({"is_stranger": True}, "UANA"), ({"team_id": "T2"}, "UANA"),
     ({"id": "UEVE"}, "UANA"), ({}, "UEVE")],
)  # fmt: skip
async def test_a_guest_or_somebody_unknown_decides_nothing(
    slack: FakeSlack, profile: dict[str, Any], user: str
) -> None:
    """SEC-16, attack 28: refused, and on record."""
    async with Office(slack) as office:
        question = await office.ask()
        slack.users[user] = profile
        assert await office.send(clicked(office.value, user=user)) == 200

        assert (await office.ledger.approval(question.id)).votes == ()
        [refused] = await office.refusals(question)
        assert refused["kind"] == "not_allowed"
        assert office.whispers[0].startswith("Nothing was decided: ")


@pytest.mark.parametrize(
    "other",
    [{"api_app_id": "A0OTHER"}, {"team": {"id": "T2"}}, {"api_app_id": None}, {"team": None}],
)  # fmt: skip
async def test_a_click_of_another_app_or_workspace_is_refused(
    slack: FakeSlack, other: dict[str, Any]
) -> None:
    """SEC-16, attack 28"""
    async with Office(slack) as office:
        question = await office.ask()
        assert await office.send(clicked(office.value, **other)) in {400, 401}
        assert (await office.ledger.approval(question.id)).state == "pending"


async def test_somebody_of_another_workspace_in_a_shared_room_decides_nothing(slack: FakeSlack) -> None:
    """Attack 28: Slack Connect: the click is in our workspace, the person is not."""
    async with Office(slack) as office:
        question = await office.ask()
        stranger = {"id": "UANA", "team_id": "T2", "name": "ana"}
        await office.send(clicked(office.value, user="UANA") | {"user": stranger})

        assert (await office.ledger.approval(question.id)).votes == ()
        assert len(await office.refusals(question)) == 1


async def test_who_may_not_decide_in_slack_may_not_either(slack: FakeSlack) -> None:
    """Attack 28: known, and not asked."""
    async with Office(slack) as office:
        question = await office.ask(requires_approval=Chain(stages=(Stage(role="finance"),)))
        await office.send(clicked(office.value, user="UBEN"))

        assert (await office.ledger.approval(question.id)).state == "pending"
        assert "takes the role" in office.whispers[0]


async def test_a_program_is_no_person_in_slack(slack: FakeSlack) -> None:
    """Attack 47"""
    async with Office(slack) as office:
        question = await office.ask()
        await office.send(clicked(office.value, user="UBOT"))

        assert (await office.ledger.approval(question.id)).votes == ()
        assert len(await office.refusals(question)) == 1


async def test_a_value_that_was_tampered_with_decides_nothing(slack: FakeSlack) -> None:
    """SEC-16, attack 29: the id of another question, other digits, another proof, an amount."""
    async with Office(slack) as office:
        mine = await office.ask(call(1))
        value = office.value
        other = await office.ask(call(10_000))
        name, nonce, short = value.split(".")
        values = [
            f"{other.id}.{nonce}.{short}", f"{other.id}.{nonce}.{other.digest[:12]}",
            f"{name}.{nonce}.{'0' * 12}", f"{name}.{'0' * 32}.{short}",
            f"{name}.{nonce}.{short}.100", f'{{"approval":"{name}","amount":1}}', "", None, 7, {"a": 1},
            f"{name[:8]}.{nonce}.{short}",
        ]  # fmt: skip
        for number, tampered in enumerate(values):
            payload = clicked(tampered)
            payload["actions"][0]["action_ts"] = f"17.{number}"
            assert await office.send(payload) == 200

        for question in (mine, other):
            assert (await office.ledger.approval(question.id)).votes == ()
        assert len(await office.refusals(other)) == 2
        assert len(await office.refusals(mine)) >= 2


async def test_an_edited_question_is_not_decided_by_an_old_button(slack: FakeSlack) -> None:
    """Attack 29: the button was made for other arguments, and its proof says so."""
    chain = Chain(stages=(Stage(quorum=2),))
    async with Office(slack) as office:
        question = await office.ask(requires_approval=chain)
        old = office.value
        await office.ledger.approve(
            question.id, by="ben", digest=question.digest, args={"amount": 50, "to": "bob"}
        )
        await office.send(clicked(old))

        assert len((await office.ledger.approval(question.id)).votes) == 1
        assert "not what was shown" in office.whispers[0]


async def test_high_risk_is_not_decided_by_a_click_that_should_not_exist(slack: FakeSlack) -> None:
    """Attack 29: a message of before, or a value that somebody made."""
    async with Office(slack) as office:
        for number, options in enumerate(
            [{"requires_approval": Chain(risk="high")}, {"requires_approval": True}]
        ):
            question = await office.ask(call(1, to="x" * 2600 * number), **options)
            payload = clicked(value_of(question.id, question.digest, SECRET.encode()))
            payload["actions"][0]["action_ts"] = f"18.{number}"
            await office.send(payload)
            assert (await office.ledger.approval(question.id)).votes == ()
            assert len(await office.refusals(question)) == 1


async def test_no_address_that_comes_in_a_click_is_called(slack: FakeSlack) -> None:
    """Attack 33: response_url says the metadata service; the tests' own guard would raise."""
    async with Office(slack) as office:
        await office.ask()
        await office.send(clicked(office.value))

    assert office.whispers == ["Your approval counts. The question is approved."]


@pytest.mark.parametrize(
    "payload",
    ["", "[]", "{}", "null", '{"a":1,"a":2}', "{" * 50_000, json.dumps({"type": "block_actions"})],
)
async def test_a_payload_that_is_none_is_refused(slack: FakeSlack, payload: str) -> None:
    async with Office(slack) as office:
        assert await office.send(payload) == 400


async def test_when_slack_cannot_say_who_somebody_is_nothing_is_decided(slack: FakeSlack) -> None:
    """Fail closed; the same click again is taken then."""
    async with Office(slack) as office:
        question = await office.ask()
        slack.errors["users.info"] = ["user_not_found", 503]
        await office.send(clicked(office.value))
        await office.send(clicked(office.value))
        assert (await office.ledger.approval(question.id)).state == "pending"
        await office.send(clicked(office.value))
        assert (await office.ledger.approval(question.id)).state == "approved"


@pytest.mark.parametrize("missing", ["token", "signing_secret", "app_id", "team", "rooms"])
def test_a_slack_channel_that_could_not_be_trusted_is_not_made(slack: FakeSlack, missing: str) -> None:
    with pytest.raises(InvalidTool) as refused:
        channel_to(slack, **{missing: ""})
    assert TOKEN not in str(refused.value)
    assert SECRET not in str(refused.value)
    assert TOKEN not in repr(channel_to(slack))
