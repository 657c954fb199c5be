"""HIT-07: people decide by signed webhooks, outward and back; SEC-16: nobody else does."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from channels.asked import PEOPLE, acharge, ask, call, charge, told
from channels.receivers import Receiver, post
from holdfast import Chain, Directory, Ledger, Person, Stage, SyncLedger
from holdfast.channels import Target, WebhookChannel, WebhookInbox
from holdfast.channels.reach import AddressRefused, Reach
from holdfast.channels.signing import Forged, keys_of, signed, verified
from holdfast.errors import ApprovalDenied, InvalidTool

OLD = "whsec_" + base64.b64encode(b"o" * 32).decode()
NEW = "whsec_" + base64.b64encode(b"n" * 32).decode()
LOOPBACK = ("127.0.0.0/8",)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().serving() as receiver:
        yield receiver


def channel_to(receiver: Receiver, **options: Any) -> WebhookChannel:
    target = Target(url=f"{receiver.url}/hook?a=1", secrets=[NEW], allow=LOOPBACK)
    return WebhookChannel({"default": target}, **options)


def answer_to(question: Any, **said: Any) -> bytes:
    told = {"approval": question.id, "digest": question.digest, "decision": "approve", "by": "ana-7", **said}
    return json.dumps({name: value for name, value in told.items() if value is not None}).encode()


def headers(body: bytes, *, secret: str = NEW, name: str = "msg_1", at: int | None = None) -> dict[str, str]:
    return signed(keys_of([secret]), name, int(time.time()) if at is None else at, body)


def inbox(ledger: Any, **options: Any) -> WebhookInbox:
    return WebhookInbox(ledger, **{"sender": "crm", "secrets": [NEW], **options})


async def refusals(ledger: Ledger, question: Any) -> list[Any]:
    return [e.details["refused"] for e in await ledger.audit(question.key) if "refused" in (e.details or {})]


# Outward.


async def test_a_webhook_brings_key_tool_args_reason_and_all_else_signed(
    place: Any, receiver: Receiver
) -> None:
    """HIT-07: signed as Standard Webhooks has it; its own library agrees."""
    from holdfast import Settings

    settings = Settings(console_url="https://ops.acme.example/holdfast")
    async with Ledger(
        place, channels=[channel_to(receiver)], settings=settings, migrate=isinstance(place, str)
    ) as ledger:
        question = await ask(ledger)

    got = receiver.got[0]
    Webhook(NEW).verify(got.body, got.headers)
    assert got.path == "/hook?a=1"
    assert got.headers["webhook-id"] == f"{question.id}-1-webhook"
    said = got.json
    assert said["type"] == "approval.asked"
    assert (said["key"], said["tool"], said["args"]) == (question.key, "charge", {"amount": 100, "to": "bob"})
    assert said["reason"] == question.reason
    assert (said["approval"], said["digest"]) == (question.id, question.digest)
    assert said["expires_at"] == question.expires_at.isoformat()
    assert said["agent"]["belief"] == "bob was charged twice"
    assert said["agent"]["uncertainty"] == "which charge"
    assert said["agent"]["on_decline"] == "I tell bob"
    assert said["called"] == []
    assert said["link"] == f"https://ops.acme.example/holdfast/approvals/{question.id}"


async def test_a_webhook_that_failed_comes_again_under_the_same_id(receiver: Receiver) -> None:
    receiver.answers = [(503, {"retry-after": "0"}), (200, {})]
    async with Ledger("memory://", channels=[channel_to(receiver)]) as ledger:
        await ask(ledger)
        await told(ledger)
        while len(receiver.got) < 2:
            await told(ledger)

    first, second = receiver.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_each_message_is_signed_with_all_secrets_while_they_are_rotated() -> None:
    body = b'{"a":1}'
    made = signed(keys_of([NEW, OLD]), "msg_1", int(time.time()), body)

    for secret in (NEW, OLD):
        assert Webhook(secret).verify(body, made) == {"a": 1}


def test_what_the_library_signs_is_good_and_what_it_refuses_is_not() -> None:
    from datetime import UTC, datetime

    at = datetime.now(UTC)
    body = '{"a":1}'
    signature = Webhook(NEW).sign("msg_1", at, body)
    made = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }

    assert verified(keys_of([OLD, NEW]), made, body.encode(), time.time()) == "msg_1"
    with pytest.raises(Forged):
        verified(keys_of([OLD]), made, body.encode(), time.time())
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(body, made)


def test_an_id_with_a_dot_is_refused() -> None:
    """Two messages would have one signature: ``a.1`` at 2, and ``a`` at 1 with a longer body."""
    now = int(time.time())
    made = signed(keys_of([NEW]), f"a.{now}", now, b"{}")
    with pytest.raises(Forged):
        verified(keys_of([NEW]), made, b"{}", now)
    other = {**made, "webhook-id": "a", "webhook-timestamp": str(now)}
    assert verified(keys_of([NEW]), other, f"{now}.".encode() + b"{}", now) == "a"


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "0.0.0.0",
        "::1", "fd00::1", "fe80::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
        "224.0.0.1", "fd00:ec2::254", "2001:0:a9fe:a9fe::1",
    ],
)  # fmt: skip
def test_a_webhook_reaches_nothing_that_is_not_public(address: str) -> None:
    """SEC-16, attack 33: metadata services and what lies behind the firewall, in every spelling."""
    reach = Reach("https://hooks.acme.example/", lookup=lambda host, port: ["8.8.8.8", address])

    with pytest.raises(AddressRefused):
        reach.post(b"{}", {})


def test_a_name_is_looked_up_once_and_that_address_is_connected_to(receiver: Receiver) -> None:
    """Attack 33: DNS rebinding; the second answer would be the metadata service."""
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    asked: list[str] = []

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers.pop(0)

    reach = Reach(f"http://hooks.acme.example:{receiver.port}/x", allow=LOOPBACK, lookup=lookup)

    assert reach.post(b"{}", {}) == 200
    assert asked == ["hooks.acme.example"]
    assert receiver.got[0].headers["host"] == f"hooks.acme.example:{receiver.port}"
    with pytest.raises(AddressRefused):
        reach.post(b"{}", {})


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    """Attack 33: the target sends us on to somewhere else."""
    receiver.answers = [(302, {"location": f"{receiver.url}/elsewhere"})] * 9
    async with Ledger("memory://", channels=[channel_to(receiver)]) as ledger:
        question = await ask(ledger)
        await told(ledger)
        assert len((await ledger.approval(question.id)).untold) <= 1
        [effect] = await ledger.effects(tool="holdfast:tell")
        assert effect.state != "succeeded"

    assert {got.path for got in receiver.got} == {"/hook?a=1"}


async def test_a_target_that_became_private_is_told_nothing_and_that_is_on_record() -> None:
    """Attack 33: refused, and audited."""
    alerts: list[Any] = []
    target = Target(url="https://hooks.acme.example/", secrets=[NEW])
    channel = WebhookChannel({"default": target}, lookup=lambda host, port: ["169.254.169.254"])
    async with Ledger("memory://", channels=[channel], on_alert=alerts.append) as ledger:
        await ask(ledger)
        await told(ledger)
        [effect] = await ledger.effects(tool="holdfast:tell")

    assert effect.state == "failed"
    assert [alert.code for alert in alerts] == ["notice_lost"]


@pytest.mark.parametrize(
    "url",
    ["http://plain.acme.example/", "https://user@hooks.acme.example/", "file:///etc/passwd", "https://", "",
     "https://a b/", "https://hooks.acme.example:99999/", "gopher://x/", "https://ho\u0131t.example/"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    """Attack 33"""
    with pytest.raises(InvalidTool) as refused:
        Reach(url)
    assert "@" not in str(refused.value)
    assert "plain" not in str(refused.value).replace("plain address", "")


async def test_a_tenants_questions_go_to_its_own_target_and_to_no_other(receiver: Receiver) -> None:
    """Attack 34: args of one tenant at another one's endpoint."""
    with Receiver().serving() as other:
        channel = WebhookChannel(
            {
                "acme": Target(url=receiver.url, secrets=[NEW], allow=LOOPBACK),
                "globex": Target(url=other.url, secrets=[OLD], allow=LOOPBACK),
            }
        )
        async with Ledger("memory://", channels=[channel]) as ledger:
            await ask(ledger.scoped(tenant="acme"), call(1))
            await ask(ledger.scoped(tenant="globex"), call(2))
            await ask(ledger.scoped(tenant="nobody"), call(3))

    assert [got.json["args"]["amount"] for got in receiver.got] == [1]
    assert [got.json["args"]["amount"] for got in other.got] == [2]
    assert [got.json["tenant"] for got in (*receiver.got, *other.got)] == ["acme", "globex"]


def test_no_error_and_no_repr_tells_a_secret() -> None:
    target = Target(url="https://hooks.acme.example/?token=t0psecret", secrets=[NEW])
    assert "t0psecret" not in repr(target)
    assert NEW not in repr(target)
    for bad in (["hush-hush"], ["whsec_!!hush-hush"], ["whsec_" + base64.b64encode(b"hush-hush").decode()]):
        with pytest.raises(InvalidTool) as refused:
            keys_of(bad)
        assert "hush-hush" not in str(refused.value)


# Back.


async def test_a_signed_answer_resumes_the_call(place: Any) -> None:
    """HIT-07"""
    async with Ledger(place, people=PEOPLE, migrate=isinstance(place, str)) as ledger:
        question = await ask(ledger)
        body = answer_to(question, reason="fine")

        assert await post(inbox(ledger), body, headers(body)) == (
            200,
            {"state": "approved", "by": "ana", "replayed": False},
        )
        assert await ledger.run(call(), acharge, requires_approval=True) == {"charged": 100, "to": "bob"}
        [vote] = (await ledger.approval(question.id)).votes
        assert (vote.person, vote.method, vote.reason) == ("ana", "webhook", "fine")
        assert (await ledger.verify()).problems == ()


async def test_a_signed_no_denies_with_its_reason() -> None:
    async with Ledger("memory://", people=PEOPLE) as ledger:
        question = await ask(ledger)
        silent = answer_to(question, decision="deny")
        assert (await post(inbox(ledger), silent, headers(silent)))[0] == 400
        body = answer_to(question, decision="deny", reason="not ours to pay")

        assert (await post(inbox(ledger), body, headers(body, name="msg_2")))[0] == 200
        with pytest.raises(ApprovalDenied, match="not ours to pay"):
            await ledger.run(call(), acharge, requires_approval=True)


async def test_an_answer_comes_to_a_sync_ledger_as_well(tmp_path: Any) -> None:
    from holdfast.errors import ApprovalRequired

    with SyncLedger(f"sqlite:///{tmp_path}/s.db", people=PEOPLE) as ledger:
        with pytest.raises(ApprovalRequired) as required:
            ledger.run(call(), charge, requires_approval=True)
        body = answer_to(ledger.approval(required.value.approval))
        assert (await post(inbox(ledger), body, headers(body)))[0] == 200
        assert ledger.run(call(), charge, requires_approval=True) == {"charged": 100, "to": "bob"}


async def test_the_same_message_is_taken_once_whatever_the_process(place: Any) -> None:
    """SEC-16, attack 30: the same id again, before another process; the record knows, no memory does."""
    chain = Chain(stages=(Stage(quorum=2),))
    async with (
        Ledger(place, people=PEOPLE, migrate=isinstance(place, str)) as one,
        Ledger(place, people=PEOPLE) as other,
    ):
        question = await ask(one, requires_approval=chain)
        body = answer_to(question)
        sent = headers(body)
        first = await post(inbox(one), body, sent)
        again = await post(inbox(other), body, sent)

        assert first == (200, {"state": "pending", "by": "ana", "replayed": False})
        assert again == (200, {"state": "pending", "by": "ana", "replayed": True})
        assert len((await one.approval(question.id)).votes) == 1


async def test_another_body_under_a_known_id_is_refused() -> None:
    """Attack 30"""
    async with Ledger("memory://", people=PEOPLE) as ledger:
        question, other = await ask(ledger), await ask(ledger, call(7))
        body, changed = answer_to(question), answer_to(question, by="ben-3")
        await post(inbox(ledger), body, headers(body))

        assert (await post(inbox(ledger), changed, headers(changed)))[0] == 409
        elsewhere = answer_to(other)
        assert (await post(inbox(ledger), elsewhere, headers(elsewhere)))[0] in {200, 409}


async def test_a_new_id_for_an_old_body_is_forged_and_with_the_secret_still_one_vote() -> None:
    """Attack 30: the id is signed; who has the secret gets no second vote by it."""
    chain = Chain(stages=(Stage(quorum=2),))
    async with Ledger("memory://", people=PEOPLE) as ledger:
        question = await ask(ledger, requires_approval=chain)
        body = answer_to(question)
        sent = headers(body)
        await post(inbox(ledger), body, sent)

        assert (await post(inbox(ledger), body, {**sent, "webhook-id": "msg_2"}))[0] == 401
        await post(inbox(ledger), body, headers(body, name="msg_2"))
        after = await ledger.approval(question.id)
        assert (after.state, len(after.votes)) == ("pending", 1)


async def test_after_rotation_the_old_secret_proves_nothing() -> None:
    """Attack 30"""
    async with Ledger("memory://", people=PEOPLE) as ledger:
        question = await ask(ledger)
        body = answer_to(question)

        assert (await post(inbox(ledger), body, headers(body, secret=OLD)))[0] == 401
        assert (await post(inbox(ledger, secrets=[NEW, OLD]), body, headers(body, secret=OLD)))[0] == 200


@pytest.mark.parametrize("age", [301, -301])
async def test_what_is_too_old_or_of_the_future_is_refused(age: int) -> None:
    """SEC-16"""
    async with Ledger("memory://", people=PEOPLE) as ledger:
        body = answer_to(await ask(ledger))
        assert (await post(inbox(ledger), body, headers(body, at=int(time.time()) - age)))[0] == 401


@pytest.mark.parametrize(
    "spoilt",
    [{"webhook-timestamp": ""}, {"webhook-timestamp": "nan"}, {"webhook-timestamp": "1e9"}, {"webhook-id": ""},
     {"webhook-signature": ""}, {"webhook-signature": "v1"}, {"webhook-signature": "v1,"},
     {"webhook-signature": "v1a,AAAA"}, {"webhook-timestamp": "\u0661\u0662".encode().decode("latin-1")}],
)  # fmt: skip
async def test_headers_that_prove_nothing_are_401_and_no_error(spoilt: dict[str, str]) -> None:
    """SEC-16"""
    async with Ledger("memory://", people=PEOPLE) as ledger:
        body = answer_to(await ask(ledger))
        assert (await post(inbox(ledger), body, {**headers(body), **spoilt}))[0] == 401


async def test_a_name_that_is_claimed_is_nobodys() -> None:
    """SEC-16, attack 31: the person's id, another sender's account, an extra field."""
    async with Ledger("memory://", people=PEOPLE) as ledger:
        question = await ask(ledger)
        for number, by in enumerate(("ana", "alice", "crm/ana-7", "ANA-7", "webhook:crm/ana-7", " ana-7")):
            body = answer_to(question, by=by)
            status, told = await post(inbox(ledger), body, headers(body, name=f"m{number}"))
            assert (status, told["by"], told["state"]) == (403, "", "pending"), by
        body = answer_to(question)
        assert (await post(inbox(ledger, sender="erp"), body, headers(body, name="e1")))[0] == 403
        extra = answer_to(question, approver="ana")
        assert (await post(inbox(ledger), extra, headers(extra, name="x1")))[0] == 400

        assert len(await refusals(ledger, question)) == 7
        assert (await ledger.approval(question.id)).votes == ()


async def test_without_a_directory_nobody_is_known() -> None:
    """Attack 31"""
    async with Ledger("memory://") as ledger:
        body = answer_to(await ask(ledger))
        assert (await post(inbox(ledger), body, headers(body)))[0] == 403


async def test_a_persons_id_that_looks_like_an_account_gains_nothing() -> None:
    """Attack 31: nobody is found by the name under which a stranger is put on record."""
    people = Directory([Person(id="webhook:crm/eve")])
    async with Ledger("memory://", people=people) as ledger:
        question = await ask(ledger)
        body = answer_to(question, by="eve")
        assert (await post(inbox(ledger), body, headers(body)))[0] == 403
        assert (await ledger.approval(question.id)).votes == ()


async def test_a_program_is_no_person_in_a_webhook() -> None:
    """Attack 47: a service account with a directory entry, and one that is mapped as a person's agent."""
    async with Ledger("memory://", people=PEOPLE) as ledger:
        question = await ask(ledger)
        body = answer_to(question, by="bot-1")
        status, told = await post(inbox(ledger), body, headers(body))

        assert (status, told["error"]) == (403, "not_allowed")
        assert len(await refusals(ledger, question)) == 1


async def test_high_risk_is_not_decided_where_not_all_can_be_read() -> None:
    async with Ledger("memory://", people=PEOPLE) as ledger:
        question = await ask(ledger, requires_approval=Chain(risk="high"))
        body = answer_to(question)

        assert (await post(inbox(ledger), body, headers(body)))[1]["error"] == "step_up"
        assert (await post(inbox(ledger, shows_all=True), body, headers(body, name="m2")))[0] == 200


async def test_an_answer_to_what_was_shown_before_is_stale() -> None:
    async with Ledger("memory://", people=PEOPLE) as ledger:
        body = answer_to(await ask(ledger), digest="0" * 64)
        status, told = await post(inbox(ledger), body, headers(body))
        assert (status, told["error"]) == (409, "stale")


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"[]", 400), (b'{"by":1}', 400), (b"{" * 100_000, 400), (b'{"by":"a","by":"b"}', 400),
     (b"x" * (300 << 10), 413), (b"\xff\xfe", 400), (b"NaN", 400)],
)  # fmt: skip
async def test_a_body_that_is_none_is_refused(body: bytes, status: int) -> None:
    async with Ledger("memory://", people=PEOPLE) as ledger:
        assert (await post(inbox(ledger), body, headers(body)))[0] == status


async def test_nothing_is_decided_by_a_get_and_by_a_header_that_comes_twice() -> None:
    """Attack 32"""
    async with Ledger("memory://", people=PEOPLE) as ledger:
        question = await ask(ledger)
        body = answer_to(question)
        assert (await post(inbox(ledger), body, headers(body), method="GET"))[0] == 405
        assert (await post(inbox(ledger), body, headers(body), repeated=("webhook-id", "m2")))[0] == 400
        assert (await ledger.approval(question.id)).state == "pending"


async def test_another_tenants_question_is_not_found() -> None:
    async with Ledger("memory://", people=PEOPLE) as ledger:
        body = answer_to(await ask(ledger.scoped(tenant="globex")))
        assert (await post(inbox(ledger), body, headers(body)))[0] == 404


async def test_whoever_dies_after_the_vote_and_before_the_answer_is_on_record_has_voted_once() -> None:
    """SEC-16: the sender sends it again; it is taken as the one that it is."""
    from channels.asked import with_channels
    from holdfast.ports import Message
    from holdfast.stores.memory import MemoryStore
    from holdfast.testing import FakeClock
    from holdfast.testing.faults import Crash, Faults, FaultyRuntime, FaultyStore
    from holdfast.testing.places import ledger_on
    from holdfast.testing.runtime import FakeRuntime

    clock, kept = FakeClock(), None
    kept = MemoryStore(clock=clock)
    quiet = with_channels(ledger_on(kept, FakeRuntime(clock)), people=PEOPLE)
    question = await ask(quiet)
    message = Message(
        id="crm/m1", kind="webhook", account="crm/ana-7", approval=question.id, digest=question.digest,
        decision="approve",
    )  # fmt: skip
    faults = Faults("after handler")
    dying = with_channels(
        ledger_on(FaultyStore(kept, faults), FaultyRuntime(FakeRuntime(clock), faults)), people=PEOPLE
    )
    with pytest.raises(Crash):
        await dying.hear(message)
    clock.advance(60)

    heard = await quiet.hear(message)

    assert (heard.state, heard.by, heard.refused) == ("approved", "ana", "")
    assert len((await quiet.approval(question.id)).votes) == 1
