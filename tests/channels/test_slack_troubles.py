"""HIT-15, HIT-07: what people hear when Slack refuses, forgets, hangs or has moved."""

from __future__ import annotations

import json
from typing import Any

import pytest

from channels.asked import PEOPLE, ask, call, told
from channels.clicks import ROOM
from channels.fake_slack import FakeSlack
from channels.office import Day, channel_to, said
from holdfast import Chain, Stage
from holdfast.errors import InvalidTool

REMINDING = Chain(stages=(Stage(timeout_s=40_000.0, remind_s=(600.0, 1200.0)),))
POST, UPDATE, HISTORY, REPLIES = (
    "chat.postMessage",
    "chat.update",
    "conversations.history",
    "conversations.replies",
)


def limited(after_s: int, body: bytes = b'{"ok":false,"error":"ratelimited"}') -> Any:
    return 429, {"retry-after": str(after_s), "content-type": "application/json"}, body


# One retry layer: what the SDK sends is what our rules want.


@pytest.mark.parametrize("how", [500, 503, "closed"])
async def test_a_post_without_an_answer_is_sent_once_and_looked_for_before_it_is_sent_again(
    slack: FakeSlack, how: Any
) -> None:
    """HIT-15: the SDK repeats nothing by itself: neither a 500 nor a connection that was closed."""
    slack.errors[POST] = [how]
    async with Day(channel_to(slack)) as day:
        await day.ask()
        assert slack.methods.count(POST) == 1
        await day.goes_on(120)

        assert slack.methods[0] == slack.methods[-1] == POST
        assert set(slack.methods[1:-1]) == {HISTORY}
        assert len(slack.messages) == 1


@pytest.mark.parametrize("body", [b'{"ok":false,"error":"ratelimited"}', b"", b"<html>", b"[]"])
async def test_slack_is_not_asked_again_before_the_time_that_it_asks_for(
    slack: FakeSlack, body: bytes
) -> None:
    """HIT-15, RET-05: 429 is a refusal, whatever its body; Retry-After is kept to, and nothing is looked for."""
    slack.errors[POST] = [limited(300, body)]
    async with Day(channel_to(slack)) as day:
        question = await day.ask()
        await day.goes_on(290)
        assert slack.methods == [POST]
        await day.goes_on(1000)

        assert slack.methods == [POST, POST]
        assert len(slack.messages) == 1
        assert await day.untold(question) == 0


@pytest.mark.parametrize("how", [500, "closed", limited(30)])
async def test_an_update_that_failed_is_sent_again_by_our_rules_alone(slack: FakeSlack, how: Any) -> None:
    """HIT-15"""
    async with Day(channel_to(slack)) as day:
        question = await day.ask()
        slack.errors[UPDATE] = [how]
        await day.ledger.deny(question.id, by="ana", reason="no")
        await told(day.ledger)
        assert slack.methods.count(UPDATE) == 1
        await day.goes_on(20)
        assert slack.methods.count(UPDATE) == 1 or how != limited(30)
        await day.goes_on(300)

        assert [name for name in slack.methods if name not in {HISTORY, REPLIES}] == [POST, UPDATE, UPDATE]
        assert await day.untold(question) == 0


# Evidence.


@pytest.mark.parametrize(
    "refusal", ["missing_scope", "not_in_channel", "ratelimited", "invalid_auth", limited(5)]
)
async def test_who_may_not_look_into_the_room_has_no_evidence_that_nothing_was_posted(
    slack: FakeSlack, refusal: Any
) -> None:
    """HIT-15: the message is there and its answer was lost; a refused look is no leave to post again."""
    slack.errors = {POST: ["lost"], HISTORY: [refusal] * 3}
    async with Day(channel_to(slack)) as day:
        question = await day.ask()
        await day.goes_on(600)

        assert len(slack.messages) == 1
        assert slack.methods.count(POST) == 1
        assert await day.untold(question) == 0
        assert day.alerts == []


async def test_doubt_that_nobody_can_settle_is_an_alert_and_later_notices_go_on(slack: FakeSlack) -> None:
    """HIT-15: without the right to look, nobody would ever hear of this question again."""
    slack.errors = {POST: ["lost"], HISTORY: ["missing_scope"] * 10_000}
    chain = Chain(stages=(Stage(timeout_s=40_000.0, remind_s=(600.0,)),))
    async with Day(channel_to(slack)) as day:
        question = await day.ask(requires_approval=chain)
        await day.goes_on(5000, every_s=50)

        assert [alert.code for alert in day.alerts] == ["notice_lost"]
        assert len(slack.messages) == 2
        first, second = slack.messages.values()
        assert "thread_ts" not in second
        assert said(second) == said(first)
        assert await day.untold(question) == 0


async def test_doubt_that_is_old_because_nobody_was_there_is_looked_into_first(slack: FakeSlack) -> None:
    """HIT-15: all processes were away for a night; what was posted before is found."""
    slack.errors = {POST: ["lost"], HISTORY: ["missing_scope"]}
    async with Day(channel_to(slack)) as day:
        question = await day.ask()
        day.clock.advance(8 * 3600)
        await day.goes_on(30)

        assert day.alerts == []
        assert await day.untold(question) == 0
        assert len(slack.messages) == 1


async def test_a_busy_room_is_looked_through_page_by_page_from_the_same_moment(slack: FakeSlack) -> None:
    """HIT-15"""
    slack.most = 7
    async with Day(channel_to(slack)) as day:
        slack.errors = {POST: ["lost"], HISTORY: ["missing_scope"] * 2}
        await day.ask()
        for number in range(40):  # of people who talk
            slack._chat_postMessage({"channel": ROOM, "text": f"lunch {number}"})
        await day.goes_on(120)

        looks = slack.of(HISTORY)
        assert {look["oldest"] for look in looks} == {looks[0]["oldest"]}
        assert max(int(look.get("cursor", 0)) for look in looks) == 35
        assert len([one for one in slack.messages.values() if "metadata" in one]) == 1


async def test_a_clock_that_is_a_little_off_makes_no_second_message(slack: FakeSlack) -> None:
    """HIT-15: Slack writes its own time on messages."""
    slack.began_s -= 290
    slack.errors[POST] = ["lost"]
    async with Day(channel_to(slack)) as day:
        await day.ask()
        await day.goes_on(120)

        assert len(slack.messages) == 1
        assert slack.methods.count(POST) == 1


async def test_an_end_that_is_the_first_news_of_a_question_is_posted_once(slack: FakeSlack) -> None:
    """HIT-15: the first notice was lost for good, the end is a message of its own, and its answer is lost."""
    async with Day(channel_to(slack)) as day:
        slack.errors[POST] = ["msg_too_long", "msg_too_long", "lost"]
        question = await day.ask()
        await day.ledger.deny(question.id, by="ana", reason="no")
        await day.goes_on(600)

        assert len(slack.messages) == 1
        assert await day.untold(question) == 0


async def test_an_answer_that_is_the_first_news_of_a_question_is_posted_once(slack: FakeSlack) -> None:
    """HIT-15: the same for a part of a quorum."""
    async with Day(channel_to(slack), people=PEOPLE) as day:
        slack.errors[POST] = ["msg_too_long", "msg_too_long", "lost"]
        question = await day.ask(requires_approval=Chain(stages=(Stage(quorum=2),)))
        await day.ledger.approve(question.id, by="ana", digest=question.digest)
        await day.goes_on(600)

        assert len(slack.messages) == 1
        assert await day.untold(question) == 0


# Messages that are gone, or cannot be changed.


async def test_who_deletes_the_message_does_not_silence_the_question(slack: FakeSlack) -> None:
    """HIT-15: the reminder is then a message of its own, with all its parts, and the end is told there."""
    async with Day(channel_to(slack), people=PEOPLE) as day:
        question = await day.ask(requires_approval=REMINDING)
        slack.messages.clear()
        await day.goes_on(700)
        [anew] = slack.messages.values()
        assert "thread_ts" not in anew
        assert question.digest in said(anew)
        assert "holdfast_approve" in json.dumps(anew["blocks"])
        await day.goes_on(600)
        _, reply = slack.messages.values()
        assert reply["thread_ts"] == next(iter(slack.messages))
        await day.ledger.deny(question.id, by="ana", reason="too much")
        await day.goes_on(60)

        assert len(slack.messages) == 2
        ended = next(iter(slack.messages.values()))
        assert "denied by ana: too much" in said(ended)
        assert "holdfast_approve" not in json.dumps(ended["blocks"])
        assert day.alerts == []


async def test_a_reminder_in_place_of_a_deleted_message_is_posted_once(slack: FakeSlack) -> None:
    """HIT-15: also when its answer is lost: it is no reply, so it is looked for in the room."""
    async with Day(channel_to(slack)) as day:
        await day.ask(requires_approval=REMINDING)
        slack.messages.clear()
        slack.errors[POST] = ["lost"]
        await day.goes_on(900)

        assert len(slack.messages) == 1


@pytest.mark.parametrize("refusal", ["cant_update_message", "edit_window_closed", "invalid_blocks"])
async def test_a_message_that_cannot_be_changed_keeps_nobody_from_being_reminded_and_told_of_the_end(
    slack: FakeSlack, refusal: str
) -> None:
    """HIT-15"""
    async with Day(channel_to(slack)) as day:
        question = await day.ask(requires_approval=REMINDING)
        slack.errors[UPDATE] = [refusal] * 1000
        await day.goes_on(700)
        assert len(slack.messages) == 2
        await day.ledger.deny(question.id, by="ana", reason="too much")
        await day.goes_on(60)

        assert "denied by ana: too much" in list(slack.messages.values())[-1]["text"]
        assert len(slack.messages) == 3
        assert await day.untold(question) == 0
        assert day.alerts == []


async def test_a_room_that_was_closed_and_replaced_is_left_for_the_new_one(slack: FakeSlack) -> None:
    """HIT-15: the whole question is posted in the new room, and what comes later stays there."""
    old = channel_to(slack)
    async with Day(old) as day:
        question = await day.ask(requires_approval=REMINDING)
        slack.archived.add(ROOM)
        old._rooms["default"] = "C2"
        await day.goes_on(1300)
        await day.ledger.deny(question.id, by="ana", reason="too much")
        await day.goes_on(60)

        first, reply = slack.in_room("C2")
        assert question.digest in said(first)
        assert "denied by ana: too much" in said(first)
        assert reply["thread_ts"] in slack.messages
        assert len(slack.in_room(ROOM)) == 1
        assert await day.untold(question) == 0


async def test_a_room_that_moved_leaves_no_buttons_behind(slack: FakeSlack) -> None:
    """The old room can be written in still: its message says how the question stands, and no more is asked there."""
    channel = channel_to(slack)
    async with Day(channel) as day:
        await day.ask(requires_approval=REMINDING)
        channel._rooms["default"] = "C2"
        await day.goes_on(700)

        [old], [new] = slack.in_room(ROOM), slack.in_room("C2")
        assert "holdfast_approve" not in json.dumps(old["blocks"])
        assert "holdfast_approve" in json.dumps(new["blocks"])


@pytest.mark.parametrize("refusal", ["invalid_blocks", "msg_blocks_too_long"])
async def test_a_message_that_slack_does_not_take_becomes_a_short_one_without_buttons(
    slack: FakeSlack, refusal: str
) -> None:
    """HIT-07: people hear of it all the same, and decide on its page."""
    async with Day(channel_to(slack)) as day:
        question = await day.ask()
        slack.messages.clear()
        slack.errors[POST] = [refusal]
        other = await day.ask(call(7))

        [short] = slack.messages.values()
        assert {block["type"] for block in short["blocks"]} == {"header", "section", "actions"}
        assert "holdfast_approve" not in json.dumps(short["blocks"])
        assert f"/approvals/{other.id}" in json.dumps(short["blocks"])
        assert day.alerts == []
        assert question.id != other.id


@pytest.mark.parametrize("rooms", [{"default": ""}, {"default": None}, {"": "C1"}, {"default": "#general"}])
def test_a_room_that_is_none_is_refused_at_once(slack: FakeSlack, rooms: Any) -> None:
    """A name instead of an id would be another room once it is renamed."""
    with pytest.raises(InvalidTool):
        channel_to(slack, rooms=rooms)


async def test_a_question_goes_to_the_room_of_its_own_tenant(slack: FakeSlack) -> None:
    """Attack 34"""
    async with Day(channel_to(slack, rooms={"acme": "C1", "globex": "C2"})) as day:
        for number, tenant in enumerate(("acme", "globex", "nobody")):
            await ask(day.ledger.scoped(tenant=tenant), call(number))
            await told(day.ledger.scoped(tenant=tenant))

        assert ['"amount":0' in said(one) for one in slack.in_room("C1")] == [True]
        assert ['"amount":1' in said(one) for one in slack.in_room("C2")] == [True]
        assert len(slack.messages) == 2
