"""SEC-16: what comes back through channels, repeated, at once, for somebody else, or about something else."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from channels.asked import PEOPLE, ask, call, charge, with_channels
from channels.clicks import SECRET, clicked, form, headers
from channels.fake_slack import FakeSlack
from channels.office import Office, channel_to
from channels.receivers import begun, post
from channels.test_webhooks import NEW, OLD, answer_to, inbox
from channels.test_webhooks import headers as signed_headers
from holdfast import Chain, Directory, Ledger, Person, Stage, SyncLedger
from holdfast.channels.signing import Forged, keys_of, signed, verified
from holdfast.channels.slack_blocks import value_of
from holdfast.errors import ApprovalRequired, PayloadConflict
from holdfast.ports import Message
from holdfast.stores.memory import MemoryStore
from holdfast.testing import FakeClock
from holdfast.testing.faults import Crash, Faults, FaultyRuntime, FaultyStore
from holdfast.testing.places import ledger_on
from holdfast.testing.runtime import FakeRuntime

TWO = Chain(stages=(Stage(quorum=2),))


# Slack.


async def test_slack_may_try_the_address_and_only_slack(slack: FakeSlack) -> None:
    """SEC-16: an ssl_check is answered, if it is signed, and does nothing."""
    async with Office(slack) as office:
        body = urlencode({"ssl_check": "1", "token": "legacy-token"}).encode()
        assert await post(office.app, body, headers(body)) == (200, None)
        assert (await post(office.app, body, headers(body, secret="other")))[0] == 401
        assert (await post(office.app, body, {}))[0] == 401


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"type": "url_verification", "challenge": "3eZbrw1aB", "token": "t"}).encode(),
        b"ssl_check=1&payload=%7B%7D",
        b"payload=%7B%7D&payload=%7B%7D",
        b"ssl_check=1&ssl_check=1",
        b"&&&",
        b"\xff\xfe",
        b"&".join(b"a=1" for _ in range(1000)),
    ],
)
async def test_what_is_signed_and_no_click_is_refused(slack: FakeSlack, body: bytes) -> None:
    """SEC-16: this is no address for events: no challenge is handed back."""
    async with Office(slack) as office:
        status, said = await post(office.app, body, headers(body))
        assert (status, said) == (400, {"error": "no click of ours"})
        assert slack.calls == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS", "DELETE"])
async def test_nothing_is_decided_in_slack_but_by_post(slack: FakeSlack, method: str) -> None:
    """Attack 32"""
    async with Office(slack) as office:
        question = await office.ask()
        body = form(clicked(office.value))
        assert (await post(office.app, body, headers(body), method=method))[0] == 405
        assert (await office.ledger.approval(question.id)).votes == ()


async def test_a_body_beyond_any_bound_is_refused_before_it_is_looked_at(slack: FakeSlack) -> None:
    async with Office(slack) as office:
        body = b"payload=" + b"a" * (300 << 10)
        assert (await post(office.app, body, headers(body)))[0] == 413


async def test_the_same_click_from_all_sides_at_once_is_one_vote(place: Any, slack: FakeSlack) -> None:
    """SEC-16, attack 27: before two processes at the same time."""
    async with Office(slack, place) as office, Ledger(place, people=PEOPLE) as other:
        question = await office.ask(requires_approval=TWO)
        body = form(clicked(office.value))
        sent = headers(body)
        apps = (office.app, office.channel.inbox(other)) * 3
        assert {status for status, _ in await asyncio.gather(*(post(app, body, sent) for app in apps))} == {
            200
        }

        after = await office.ledger.approval(question.id)
        assert [vote.person for vote in after.votes] == ["ana"]


async def test_two_people_who_click_at_once_are_two_votes_and_one_person_who_clicks_twice_is_one(
    place: Any, slack: FakeSlack
) -> None:
    """Attack 45"""
    async with Office(slack, place) as office:
        question = await office.ask(requires_approval=Chain(stages=(Stage(quorum=3),)))
        value = office.value

        async def click(user: str, at: str) -> None:
            payload = clicked(value, user=user)
            payload["actions"][0]["action_ts"] = at
            body = form(payload)
            await post(office.app, body, headers(body))

        await asyncio.gather(*(click(user, at) for user in ("UANA", "UBEN") for at in ("1.1", "1.2", "1.3")))

        after = await office.ledger.approval(question.id)
        assert sorted(vote.person for vote in after.votes) == ["ana", "ben"]
        assert after.state == "pending"


async def test_slack_is_answered_while_the_ledger_is_locked(slack: FakeSlack, tmp_path: Path) -> None:
    """HIT-07: within its three seconds, whatever holds the database; the click counts once it is let go."""
    place = tmp_path / "s.db"
    channel = channel_to(slack)
    with SyncLedger(f"sqlite:///{place}", people=PEOPLE, channels=[channel]) as ledger:
        with pytest.raises(ApprovalRequired) as required:
            ledger.run(call(), charge, requires_approval=True)
        question = ledger.approval(required.value.approval)
        body = form(clicked(value_of(question.id, question.digest, SECRET.encode())))
        while not slack.messages or ledger.approval(question.id).untold:
            ledger.sweep()
        lock = sqlite3.connect(place, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        answer = await begun(channel.inbox(ledger), body, headers(body))
        await asyncio.wait_for(answer.answered.wait(), 3)
        assert answer.status == 200
        lock.execute("ROLLBACK")
        lock.close()
        await answer.done

        assert ledger.approval(question.id).state == "approved"


async def test_a_button_of_another_tenant_decides_nothing_here(slack: FakeSlack) -> None:
    """Attacks 28, 34, 40: one app, two tenants: the proof is good, and the question is not there."""
    async with Office(slack) as office:
        theirs = await ask(office.ledger.scoped(tenant="globex"))
        await office.send(clicked(value_of(theirs.id, theirs.digest, SECRET.encode())))

        assert office.whispers == ["Nothing was decided: there is no such question."]
        assert (await office.ledger.scoped(tenant="globex").approval(theirs.id)).votes == ()


async def test_a_button_made_by_another_apps_secret_decides_nothing(slack: FakeSlack) -> None:
    """Attack 29: two apps on one ledger: neither makes buttons for the other."""
    async with Office(slack) as office:
        question = await office.ask()
        await office.send(clicked(value_of(question.id, question.digest, b"the other app's secret")))

        assert (await office.ledger.approval(question.id)).votes == ()
        [refused] = await office.refusals(question)
        assert "not made for this question" in refused["why"]


async def test_a_signature_with_more_or_less_than_one_is_none(slack: FakeSlack) -> None:
    """Attack 26: Slack sends one; nothing is picked out of a list."""
    async with Office(slack) as office:
        question = await office.ask()
        body = form(clicked(office.value))
        made = headers(body)
        good = made["x-slack-signature"]
        for spoilt in (
            f"v0=0 {good}",
            f"{good},{good}",
            good.upper(),
            good[:-1],
            f" {good}",
            good.removeprefix("v0="),
        ):
            assert (await post(office.app, body, {**made, "x-slack-signature": spoilt}))[0] == 401
        twice = ("x-slack-request-timestamp", made["x-slack-request-timestamp"])
        assert (await post(office.app, body, made, repeated=twice))[0] == 400
        assert (await office.ledger.approval(question.id)).votes == ()


@pytest.mark.parametrize(("age", "status"), [(299, 400), (301, 401), (-25, 400), (-35, 401)])
async def test_five_minutes_are_five_minutes(slack: FakeSlack, age: int, status: int) -> None:
    """Attack 26"""
    async with Office(slack) as office:
        body = form("[]")
        assert (await post(office.app, body, headers(body, at=int(time.time()) - age)))[0] == status


async def test_slacks_own_verifier_and_ours_agree(slack: FakeSlack) -> None:
    """Attack 26: over the SDK's own implementation of v0 signatures."""
    from slack_sdk.signature import SignatureVerifier

    async with Office(slack) as office:
        body = form("[]")
        stamp = str(int(time.time()))
        made = SignatureVerifier(SECRET).generate_signature(timestamp=stamp, body=body)
        sent = {"x-slack-request-timestamp": stamp, "x-slack-signature": str(made)}
        assert (await post(office.app, body, sent))[0] == 400
        assert headers(body, at=stamp)["x-slack-signature"] == made
        wrong = hmac.new(SECRET.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha1).hexdigest()
        assert (await post(office.app, body, {**sent, "x-slack-signature": f"v0={wrong}"}))[0] == 401


# Webhooks.


async def test_one_message_before_two_processes_at_once_is_one_vote(place: Any) -> None:
    """SEC-16, attack 30"""
    async with (
        Ledger(place, people=PEOPLE, migrate=isinstance(place, str)) as one,
        Ledger(place, people=PEOPLE) as other,
    ):
        question = await ask(one, requires_approval=TWO)
        body = answer_to(question)
        sent = signed_headers(body)
        answers = await asyncio.gather(*(post(inbox(ledger), body, sent) for ledger in (one, other) * 3))

        assert {(status, said["by"]) for status, said in answers} == {(200, "ana")}
        assert [said["replayed"] for _, said in answers].count(False) == 1
        assert len((await one.approval(question.id)).votes) == 1


def test_any_of_several_signatures_may_be_the_good_one_and_a_list_without_end_is_not_read() -> None:
    """SEC-16: while secrets are rotated a message has several; other versions are passed over."""
    now, body = int(time.time()), b"{}"
    good = signed(keys_of([NEW]), "m1", now, body)
    [one] = good["webhook-signature"].split(" ")
    for several in (f"v1,AAAA {one}", f"v1a,AAAA v2,BBBB {one}", f"{one} {one}", f"junk  {one}"):
        assert verified(keys_of([NEW, OLD]), {**good, "webhook-signature": several}, body, now) == "m1"
    for none in (
        "v1,AAAA " * 16 + one,
        one.replace("v1", "v2"),
        f"v1,AAAA,{one}",
        one.removeprefix("v1,"),
    ):
        with pytest.raises(Forged):
            verified(keys_of([NEW, OLD]), {**good, "webhook-signature": none}, body, now)


@pytest.mark.parametrize(("age", "is_good"), [(300, True), (301, False), (-300, True), (-301, False)])
def test_a_webhooks_five_minutes_are_five_minutes(age: int, is_good: bool) -> None:
    """SEC-16"""
    now, body = int(time.time()), b"{}"
    made = signed(keys_of([NEW]), "m1", now - age, body)
    if is_good:
        assert verified(keys_of([NEW]), made, body, now) == "m1"
    else:
        with pytest.raises(Forged):
            verified(keys_of([NEW]), made, body, now)


async def test_a_message_is_one_persons_answer_also_when_the_directory_changes_meanwhile() -> None:
    """Attack 45: it died after the vote and before that was on record; by then the account is somebody else's."""
    clock = FakeClock()
    kept = MemoryStore(clock=clock)
    runtime = FakeRuntime(clock)
    question = await ask(with_channels(ledger_on(kept, runtime), people=PEOPLE), requires_approval=TWO)
    message = Message(
        id="crm/m1", kind="webhook", account="crm/ana-7", approval=question.id, digest=question.digest,
        decision="approve",
    )  # fmt: skip
    faults = Faults("after handler")
    dying = ledger_on(FaultyStore(kept, faults), FaultyRuntime(runtime, faults))
    with pytest.raises(Crash):
        await with_channels(dying, people=PEOPLE).hear(message)
    clock.advance(60)
    changed = Directory([Person(id="ben", accounts={"webhook": "crm/ana-7"}), Person(id="ana")])
    later = with_channels(ledger_on(kept, runtime), people=changed)

    with pytest.raises(PayloadConflict):
        await later.hear(message)

    assert [vote.person for vote in (await later.approval(question.id)).votes] == ["ana"]
    assert (await later.approval(question.id)).state == "pending"


async def test_an_account_that_changed_hands_before_the_click_is_its_new_owners(slack: FakeSlack) -> None:
    """Attack 28: what counts is the directory when the answer is taken, not when people were asked."""
    async with Office(slack) as office:
        question = await office.ask(requires_approval=Chain(stages=(Stage(role="finance"),)))
        people = Directory(
            [Person(id="ana", roles=frozenset({"finance"})), Person(id="eve", accounts={"slack": "T1/UANA"})]
        )
        engine = office.ledger._engine
        office.ledger._engine = replace(engine, parts=replace(engine.parts, people=people))
        await office.send(clicked(office.value))

        assert (await office.ledger.approval(question.id)).votes == ()
        [refused] = await office.refusals(question)
        assert refused["by"] == "eve"
