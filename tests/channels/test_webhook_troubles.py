"""HIT-15: receivers of webhooks that hang, drip, redirect, are gone, or belong to somebody else."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from channels.asked import PEOPLE, Broken, ask, call, told
from channels.fake_slack import FakeSlack
from channels.office import Day
from channels.office import channel_to as slack_to
from channels.receivers import Receiver
from holdfast import Chain, Ledger, Stage
from holdfast.channels import LinkChannel, Target, WebhookChannel
from holdfast.errors import NotDone

SECRET = "whsec_" + base64.b64encode(b"n" * 32).decode()
LOOPBACK = ("127.0.0.0/8",)
HOUR_S = 3600.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().serving() as receiver:
        yield receiver


def to(*receivers: Receiver, **options: Any) -> WebhookChannel:
    names = ("default", "globex")
    targets = {
        name: Target(url=receiver.url, secrets=[SECRET], allow=LOOPBACK)
        for name, receiver in zip(names, receivers, strict=False)
    }
    return WebhookChannel(targets, **options)


async def test_a_receiver_that_is_down_is_tried_for_about_half_a_day() -> None:
    """HIT-15: then somebody is told, and not before."""
    down = Broken("down", NotDone("away"))
    async with Day(down) as day:
        question = await day.ask(requires_approval=Chain(stages=(Stage(timeout_s=30 * HOUR_S),)))
        await day.goes_on(8 * HOUR_S, every_s=120)
        assert day.alerts == []
        await day.goes_on(10 * HOUR_S, every_s=120)

        assert [alert.code for alert in day.alerts] == ["notice_lost"]
        assert await day.untold(question) == 0
        assert 40 < len(down.tellings) < 100


@pytest.mark.parametrize("status", [429, 503])
async def test_a_receiver_that_asks_for_patience_gets_it(receiver: Receiver, status: int) -> None:
    """HIT-15: under the same id."""
    receiver.answers = [(status, {"retry-after": "1800"})]
    async with Day(to(receiver)) as day:
        await day.ask()
        await day.goes_on(1790, every_s=30)
        assert len(receiver.got) == 1
        await day.goes_on(2100, every_s=30)

        assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
        assert len(receiver.got) == 2
        assert day.alerts == []


@pytest.mark.parametrize("status", [410, 404, 400])
async def test_a_receiver_that_is_gone_is_one_request_and_one_alert(receiver: Receiver, status: int) -> None:
    """HIT-15"""
    receiver.answers = [(status, {})] * 9
    async with Day(to(receiver)) as day:
        question = await day.ask()
        await day.goes_on(600)

        assert len(receiver.got) == 1
        assert [alert.code for alert in day.alerts] == ["notice_lost"]
        assert await day.untold(question) == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_receiver_that_sends_us_elsewhere_is_a_refusal_and_an_alert(
    receiver: Receiver, status: int
) -> None:
    """Attack 33: it is followed nowhere, and trying again would be sent elsewhere again."""
    receiver.answers = [(status, {"location": "http://169.254.169.254/latest/meta-data"})] * 9
    async with Day(to(receiver)) as day:
        await day.ask()
        await day.goes_on(600)

        assert len(receiver.got) == 1
        assert [alert.code for alert in day.alerts] == ["notice_lost"]


async def test_one_tenants_dead_receiver_keeps_no_other_tenant_from_hearing(receiver: Receiver) -> None:
    """Attack 34: neither its failures nor its open circuit are anybody else's."""
    with Receiver().serving() as other:
        receiver.answers = [(503, {})] * 1000
        async with Day(to(receiver, other)) as day:
            globex = day.ledger.scoped(tenant="globex")
            for number in range(12):
                await ask(day.ledger, call(number))
            await day.goes_on(120)
            await ask(globex, call(99))
            await told(globex)

        assert [got.json["args"]["amount"] for got in other.got] == [99]


async def test_a_part_of_a_quorum_is_a_webhook_and_no_mail(receiver: Receiver) -> None:
    """HIT-07: systems that show the question show how far it is; nobody has to read a mail for that."""
    mails: list[str] = []

    def mail(subject: str) -> None:
        mails.append(subject)

    async with Day(to(receiver), LinkChannel(mail), people=PEOPLE) as day:
        question = await day.ask(requires_approval=Chain(stages=(Stage(quorum=2),)))
        await day.ledger.approve(question.id, by="ana", digest=question.digest)
        await told(day.ledger)
        await day.ledger.approve(question.id, by="ben", digest=question.digest)
        await told(day.ledger)

        assert [got.json["type"] for got in receiver.got] == [
            "approval.asked", "approval.answered", "approval.ended",
        ]  # fmt: skip
        assert [one["by"] for one in receiver.got[1].json["decisions"]] == ["ana"]
        assert [mail.partition(":")[0] for mail in mails] == ["Please decide", "Decided"]
        assert await day.untold(question) == 0


async def test_who_was_told_of_a_yes_is_told_that_nothing_comes_of_it(receiver: Receiver) -> None:
    async with Day(to(receiver), people=PEOPLE) as day:
        question = await day.ask(requires_approval=Chain(valid_s=100.0))
        await day.ledger.approve(question.id, by="ana", digest=question.digest)
        await day.goes_on(200)

        told_of = [(got.json["type"], got.json["state"]) for got in receiver.got]
        assert told_of == [
            ("approval.asked", "pending"), ("approval.ended", "approved"), ("approval.ended", "expired"),
        ]  # fmt: skip


@pytest.mark.parametrize("status", [401, 403, 407, 408, 409, 425, 429, 500, 501, 502, 504])
async def test_whatever_a_receiver_keeps_saying_it_is_not_flooded_and_in_the_end_somebody_is_told(
    receiver: Receiver, status: int
) -> None:
    """HIT-15: no answer is tried at every round, and none is tried for ever."""
    receiver.answers = [(status, {})] * 10_000
    async with Day(to(receiver)) as day:
        question = await day.ask(requires_approval=Chain(stages=(Stage(timeout_s=100 * HOUR_S),)))
        await day.goes_on(600, every_s=5)
        assert len(receiver.got) < 20
        await day.goes_on(20 * HOUR_S, every_s=300)

        assert len(receiver.got) < 100
        assert [alert.code for alert in day.alerts].count("notice_lost") == 1
        assert await day.untold(question) == 0


async def test_a_slack_that_hangs_keeps_nobody_from_hearing_by_webhook(
    receiver: Receiver, slack: FakeSlack
) -> None:
    """HIT-15"""
    gate, heard = threading.Event(), threading.Event()
    ordinary = slack._chat_postMessage
    slack._chat_postMessage = lambda given: (gate.wait(60), ordinary(given))[1]  # type: ignore[method-assign]
    told_of = receiver.reply
    receiver.reply = lambda got: (heard.set(), told_of(got))[1]
    async with Ledger("memory://", channels=[slack_to(slack), to(receiver)]) as ledger:
        await ask(ledger)
        assert await asyncio.to_thread(heard.wait, 30)
        assert slack.messages == {}
        gate.set()
