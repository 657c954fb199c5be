"""HIT-07, HIT-09: the message in Slack says how its question stands, whatever happens to it."""

from __future__ import annotations

import json

from channels.asked import PEOPLE, call, told
from channels.fake_slack import FakeSlack
from channels.office import Day, channel_to, said
from holdfast import Chain, Stage

POST, UPDATE = "chat.postMessage", "chat.update"


async def test_the_message_says_how_far_a_quorum_is(slack: FakeSlack) -> None:
    """HIT-07: after each part of it the message is drawn anew, and nobody is rung for that."""
    async with Day(channel_to(slack), people=PEOPLE) as day:
        question = await day.ask(requires_approval=Chain(stages=(Stage(quorum=2),)))
        await day.ledger.approve(question.id, by="ana", digest=question.digest, reason="fine by me")
        await told(day.ledger)

        [message] = slack.messages.values()
        assert "1 of 2 said yes: ana" in said(message)
        assert "approved by ana: fine by me" in said(message)
        assert "holdfast_approve" in json.dumps(message["blocks"])
        assert slack.methods == [POST, UPDATE]
        await day.ledger.approve(question.id, by="ben", digest=question.digest)
        await told(day.ledger)
        [message] = slack.messages.values()
        assert "approved by ben" in said(message)
        assert "holdfast_approve" not in json.dumps(message["blocks"])


async def test_the_message_is_drawn_anew_for_each_stage(slack: FakeSlack) -> None:
    """HIT-07"""
    chain = Chain(stages=(Stage(), Stage(role="finance")))
    async with Day(channel_to(slack), people=PEOPLE) as day:
        question = await day.ask(requires_approval=chain)
        assert "stage 1 of 2" in said(next(iter(slack.messages.values())))
        await day.ledger.approve(question.id, by="ben", digest=question.digest)
        await told(day.ledger)

        message, reply = slack.messages.values()
        assert "stage 2 of 2" in said(message)
        assert "approved by ben" in said(message)
        assert "of the role finance" in said(message)
        assert reply["text"].startswith("Please decide on charge: ")


async def test_a_part_of_a_quorum_with_other_arguments_is_asked_of_everybody_anew(slack: FakeSlack) -> None:
    """HIT-09: and the message has the new arguments, fingerprint and buttons."""
    async with Day(channel_to(slack), people=PEOPLE) as day:
        question = await day.ask(requires_approval=Chain(stages=(Stage(quorum=2),)))
        before = json.dumps(next(iter(slack.messages.values()))["blocks"])
        after = await day.ledger.approve(
            question.id, by="ben", digest=question.digest, args={"amount": 50, "to": "bob"}
        )
        await told(day.ledger)

        message, reply = slack.messages.values()
        assert question.digest in before
        assert question.digest not in json.dumps(message)
        assert after.digest in said(message)
        assert '{"amount":50,"to":"bob"}' in said(message)
        assert "Edited by: ben" in said(message)
        assert "thread_ts" in reply


async def test_the_message_says_who_was_asked_in_whose_place(slack: FakeSlack) -> None:
    """HIT-09"""
    async with Day(channel_to(slack), people=PEOPLE) as day:
        question = await day.ask()
        await day.ledger.reassign(question.id, by="ana", to="ben")
        await told(day.ledger)

        message, reply = slack.messages.values()
        assert "handed by ana to ben" in said(message)
        assert "handed by ana to ben" in reply["text"]


async def test_a_withdrawn_question_says_so_also_when_it_had_been_approved(slack: FakeSlack) -> None:
    """HIT-15: nobody believes that a call will be made which is not."""
    async with Day(channel_to(slack), people=PEOPLE) as day:
        asked = await day.ask()
        await day.ledger.withdraw(asked.id, by="ops", reason="no longer wanted")
        await told(day.ledger)
        approved = await day.ask(call(2))
        await day.ledger.approve(approved.id, by="ana", digest=approved.digest)
        await told(day.ledger)
        await day.ledger.withdraw(approved.id, by="ops", reason="no longer wanted")
        await told(day.ledger)

        for message in slack.messages.values():
            assert "withdrawn" in said(message)
            assert "no longer wanted" in said(message)
            assert "holdfast_approve" not in json.dumps(message["blocks"])


async def test_an_approval_that_ran_out_unused_says_so(slack: FakeSlack) -> None:
    async with Day(channel_to(slack), people=PEOPLE) as day:
        asked = await day.ask(requires_approval=Chain(valid_s=100.0))
        await day.ledger.approve(asked.id, by="ana", digest=asked.digest)
        await day.goes_on(200)

        [message] = slack.messages.values()
        assert "the call was not made in time" in said(message)
