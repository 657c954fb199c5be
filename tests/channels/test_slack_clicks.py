"""HIT-07: people decide in Slack; SEC-16: nobody else does."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import pytest

from channels.asked import PEOPLE, acharge, call, charge
from channels.clicks import SECRET, clicked, form, headers, submitted
from channels.fake_slack import FakeSlack
from channels.office import TOKEN, Office, channel_to, texts
from channels.receivers import begun, post
from holdfast import Chain, Ledger, Stage, SyncLedger
from holdfast.channels.slack_blocks import value_of
from holdfast.errors import ApprovalDenied, ApprovalRequired, InvalidTool


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
