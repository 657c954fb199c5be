"""How people decide in the console: by the core's rules, in their own name, on exactly what they saw."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from console.asgi import Client
from console.questions import ANA, BEN, BOTH, HIGH, OLGA, PEOPLE, ask, call_of, options, refund, used
from console.test_console_actions import Sealing
from holdfast import Chain, Stage, StepUp, SyncLedger
from holdfast.console import Role, Visitor, console
from holdfast.errors import ApprovalDenied


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SyncLedger]:
    with SyncLedger(f"sqlite:///{tmp_path / 'desk.db'}", people=PEOPLE) as ledger:
        yield ledger


def as_seen_by(ledger: Any, visitor: Visitor = ANA) -> Client:
    return Client(console(ledger, access=lambda _: visitor))


async def test_an_approval_in_the_console_lets_the_call_run_once(ledger: SyncLedger) -> None:
    """HIT-07, HIT-11: who, how, what they saw and why are on record."""
    proved = datetime(2026, 1, 2, tzinfo=UTC)
    question = ask(ledger)
    client = as_seen_by(ledger, replace(ANA, auth_time=proved, mfa=True))
    answer = await client.post(
        f"/approvals/{question.id}/approve", {"digest": question.digest, "reason": "saw the photos"}
    )

    assert (answer.status_code, answer.headers["location"]) == (303, f"/approvals/{question.id}")
    (vote,) = ledger.approval(question.id).votes
    assert (vote.person, vote.method, vote.proved_at, vote.mfa) == ("ana", "console", proved, True)
    assert (vote.digest, vote.reason) == (question.digest, "saw the photos")
    told = ledger.audit(question.key)[-1].details["decision"]
    assert (told["by"], told["saw"], told["shown"]) == ("ana", question.digest, question.binding["shown"])
    call = call_of({"customer": "cus_9", "amount": 12_000})
    assert ledger.scoped(actor="refund-desk").run(call, refund, **options())["amount"] == 12_000


async def test_a_denial_needs_a_reason_and_the_agent_reads_it(ledger: SyncLedger) -> None:
    """HIT-09"""
    question = ask(ledger)
    client = as_seen_by(ledger)
    silent = await client.post(f"/approvals/{question.id}/deny", {"digest": question.digest, "reason": " "})
    said = await client.post(
        f"/approvals/{question.id}/deny", {"digest": question.digest, "reason": "one parcel, one refund"}
    )

    assert (silent.status_code, said.status_code) == (409, 303)
    with pytest.raises(ApprovalDenied, match="one parcel, one refund"):
        ledger.scoped(actor="refund-desk").run(
            call_of({"customer": "cus_9", "amount": 12_000}), refund, **options()
        )


@pytest.mark.parametrize(
    ("visitor", "chain", "status", "says"),
    [
        (OLGA, Chain(), 403, "nobody decides on their own"),
        (OLGA, Chain(stages=(Stage(role="finance"),)), 403, "nobody decides on their own"),
        (Visitor("eve", frozenset({Role.APPROVER})), Chain(), 403, "nobody who may decide"),
        (BEN, Chain(stages=(Stage(role="owner"),)), 403, "takes the role"),
        (BEN, Chain(stages=(Stage(role="finance", limited=True),)), 403, "more than ben may decide on"),
        (ANA, Chain(stages=(Stage(role="finance", step_up=StepUp(mfa=True)),)), 403, "sign in again"),
        (Visitor("ana", frozenset({Role.ADMIN, Role.OPERATOR})), Chain(), 403, "You may not do that"),
        (Visitor("ana"), Chain(), 403, "You may not do that"),
    ],
)
async def test_law_5_the_core_says_who_may_and_the_page_only_shows_it(
    ledger: SyncLedger, visitor: Visitor, chain: Chain, status: int, says: str
) -> None:
    """HIT-10: also for whoever sends the form by hand."""
    question = ask(ledger, chain=chain)
    client = as_seen_by(ledger, visitor)
    page = await client.get(f"/approvals/{question.id}")
    answer = await client.post(f"/approvals/{question.id}/approve", {"digest": question.digest})

    assert 'action="/approvals/' not in page.text or '/approve"' not in page.text
    assert answer.status_code == status
    assert says in answer.text
    assert ledger.approval(question.id).state == "pending"
    if Role.APPROVER in visitor.roles:
        assert says in page.text
        assert ledger.audit(question.key)[-1].details["refused"]["by"] == visitor.id


async def test_who_may_say_no_but_not_yes_is_offered_that(ledger: SyncLedger) -> None:
    question = ask(ledger, chain=Chain(stages=(Stage(role="finance", limited=True),)))
    page = (await as_seen_by(ledger, BEN).get(f"/approvals/{question.id}")).text

    assert f'action="/approvals/{question.id}/deny"' in page
    assert f'action="/approvals/{question.id}/approve"' not in page


async def test_two_people_are_two_people(ledger: SyncLedger) -> None:
    """HIT-10: quorum, and one vote each."""
    question = ask(ledger, chain=BOTH)
    form = {"digest": question.digest}
    first = await as_seen_by(ledger, ANA).post(f"/approvals/{question.id}/approve", form)
    again = await as_seen_by(ledger, ANA).post(f"/approvals/{question.id}/approve", form)
    page = await as_seen_by(ledger, BEN).get(f"/approvals/{question.id}")
    second = await as_seen_by(ledger, BEN).post(f"/approvals/{question.id}/approve", form)

    assert (first.status_code, again.status_code, second.status_code) == (303, 409, 303)
    assert "everybody has one vote" in again.text
    assert "1 of 2" in page.text
    assert ledger.approval(question.id).state == "approved"


async def test_what_has_ended_takes_no_answer(ledger: SyncLedger) -> None:
    question = ask(ledger)
    ledger.deny(question.id, by="ben", reason="no parcel")
    answer = await as_seen_by(ledger).post(f"/approvals/{question.id}/approve", {"digest": question.digest})

    assert answer.status_code == 409
    assert "already denied by ben" in answer.text
    assert "How it ended is below" in answer.text
    assert '/approve"' not in answer.text


@pytest.mark.parametrize("digest", ["", "0" * 64, "x", "ä" * 64])
async def test_law_1_a_fingerprint_that_is_not_the_stored_one_approves_nothing(
    ledger: SyncLedger, digest: str
) -> None:
    question = ask(ledger)
    answer = await as_seen_by(ledger).post(f"/approvals/{question.id}/approve", {"digest": digest})

    assert answer.status_code == 409
    assert 'role="alert"' in answer.text
    assert ledger.approval(question.id).votes == ()


async def test_law_6_nothing_is_decided_by_following_a_link(ledger: SyncLedger) -> None:
    question = ask(ledger)
    client = as_seen_by(ledger)
    for word in ("approve", "deny", "ask-more", "hand-over", "change", "approve-changed"):
        path = f"/approvals/{question.id}/{word}?digest={question.digest}&reason=x&to=ben"
        assert (await client.get(path)).status_code == 405
    await client.get(f"/approvals/{question.id}?answer=approve&digest={question.digest}")

    assert ledger.approval(question.id).state == "pending"


@pytest.mark.parametrize("typed", ["", "000000", "12345", "approve"])
async def test_where_the_risk_is_high_a_click_is_not_enough(ledger: SyncLedger, typed: str) -> None:
    question = ask(ledger, chain=HIGH)
    client = as_seen_by(ledger)
    form = {"digest": question.digest, "typed": typed}
    refused = await client.post(f"/approvals/{question.id}/approve", form)
    assert refused.status_code == 409
    assert "first 6 characters" in refused.text
    assert ledger.approval(question.id).votes == ()

    taken = await client.post(
        f"/approvals/{question.id}/approve", {**form, "typed": question.digest[:6].upper()}
    )
    assert taken.status_code == 303
    assert ledger.approval(question.id).state == "approved"


async def test_a_question_is_handed_over_to_somebody_who_may(ledger: SyncLedger) -> None:
    """HIT-09"""
    question = ask(ledger)
    client = as_seen_by(ledger)
    nobody = await client.post(f"/approvals/{question.id}/hand-over", {"to": "eve"})
    done = await client.post(f"/approvals/{question.id}/hand-over", {"to": "ben"})

    assert (nobody.status_code, done.status_code) == (403, 303)
    assert [(one.frm, one.to) for one in ledger.approval(question.id).handed] == [("ana", "ben")]
    assert "by ana to ben" in (await client.get(f"/approvals/{question.id}")).text


async def test_changed_arguments_are_shown_before_they_are_approved_and_both_are_on_record(
    ledger: SyncLedger,
) -> None:
    """HIT-09"""
    question = ask(ledger)
    client = as_seen_by(ledger)
    draft = '{"customer": "cus_9", "amount": 9007199254740993}'
    shown = await client.post(f"/approvals/{question.id}/change", {"digest": question.digest, "args": draft})
    assert shown.status_code == 200
    assert '<span class="add">+  &#34;amount&#34;: 9007199254740993,</span>' in shown.text
    assert ledger.approval(question.id).digest == question.digest

    args = re.search(r'name="args" value="([^"]*)"', shown.text)
    assert args is not None
    exact = args[1].replace("&#34;", '"')
    form = {"digest": question.digest, "args": exact, "reason": "half of it"}
    assert (await client.post(f"/approvals/{question.id}/approve-changed", form)).status_code == 303
    done = ledger.approval(question.id)
    assert done.args == {"customer": "cus_9", "amount": 9007199254740993}
    assert (done.state, done.edits[0].digest, done.digest != question.digest) == (
        "approved",
        question.digest,
        True,
    )
    edit = ledger.audit(question.key)[-1].details["edit"]
    assert (edit["by"], edit["from"], edit["to"]) == ("ana", question.digest, done.digest)


@pytest.mark.parametrize(
    "draft",
    [
        "{",
        "[]",
        "null",
        "7",
        '{"amount": 1, "amount": 10000}',
        '{"customer": {"id": "a", "id": "b"}}',
        '{"amount": NaN}',
        '{"amount": 1e999}',
        '{"amount": ' + "9" * 5000 + "}",
        '{"amount": ' + "[" * 20_000,
        '{"amount": 1} {"amount": 2}',
        '{"amount": 12000, "customer": "cus_9"}',
    ],
)
async def test_arguments_that_two_readers_could_read_in_two_ways_are_not_taken(
    ledger: SyncLedger, draft: str
) -> None:
    """Nor what is no change."""
    question = ask(ledger)
    client = as_seen_by(ledger)
    form = {"digest": question.digest, "args": draft, "reason": "x"}
    shown = await client.post(f"/approvals/{question.id}/change", form)

    assert shown.status_code == 409
    assert "Nothing was done" in shown.text
    if "12000" not in draft:
        assert (await client.post(f"/approvals/{question.id}/approve-changed", form)).status_code == 409
    assert ledger.approval(question.id).votes == ()


async def test_the_twin_has_integers_that_javascript_reads_and_the_exact_text(ledger: SyncLedger) -> None:
    question = ask(ledger, customer="cus_9", amount=9007199254740993)
    found = json.loads((await as_seen_by(ledger).get(f"/approvals/{question.id}.json")).content)["question"]

    assert found["args"] == {"amount": "9007199254740993", "customer": "cus_9"}
    assert found["args_text"] == '{"amount":9007199254740993,"customer":"cus_9"}'
    assert found["digest"] == question.digest


async def test_reviewers_see_what_the_agent_believes_called_does_not_know_and_does_on_a_no(
    ledger: SyncLedger,
) -> None:
    """HIT-19: the four blocks."""
    used(ledger, workflow_id="order-1", customer="cus_1", amount=11_000)
    question = ask(ledger, workflow_id="order-1")
    page = (await as_seen_by(ledger).get(f"/approvals/{question.id}")).text
    bare = ask(ledger, workflow_id="order-2", context=None)
    silent = (await as_seen_by(ledger).get(f"/approvals/{bare.id}")).text

    for words in (
        "The parcel came back damaged.",
        "Nobody has seen the photos.",
        "I tell the customer that a colleague will call.",
        "the sum of both receipts",
        "0.8",
    ):
        assert words in page
    assert f"/effects/{question.shown['called'][0]['key']}" in page
    assert silent.count("(nothing said)") == 3
    assert "taken as low" in silent


async def test_arguments_are_compared_with_the_last_approved_or_with_the_first_proposal(
    ledger: SyncLedger,
) -> None:
    used(ledger, customer="cus_8", amount=12_000)
    question = ask(ledger, chain=BOTH)
    client = as_seen_by(ledger)
    last = (await client.get(f"/approvals/{question.id}.json")).json()["against"]
    nothing = (await client.get(f"/approvals/{question.id}.json?against=nothing")).json()["against"]
    ledger.approve(question.id, by="ben", digest=question.digest, args={"customer": "cus_9", "amount": 6_000})
    first = (await client.get(f"/approvals/{question.id}.json")).json()["against"]

    assert (last["name"], last["names"]) == ("last", ["last", "nothing"])
    assert [line for line in last["lines"] if line[0] in "+-"] == [
        '-  "customer": "cus_8"',
        '+  "customer": "cus_9"',
    ]
    assert (nothing["name"], nothing["lines"]) == ("nothing", [])
    assert first["name"] == "first"
    assert '-  "amount": 12000,' in first["lines"]


async def test_a_planted_question_looks_like_any_other(ledger: SyncLedger) -> None:
    """HIT-14"""
    ledger.scoped(actor="refund-desk").plant(call_of({"amount": 1}, "order-7"), reason="more than 100.00 EUR")
    planted = ledger.approvals()[0]
    client = as_seen_by(ledger)
    for path in ("/approvals", f"/approvals/{planted.id}", f"/effects/{planted.key}", "/workflows/order-7"):
        for suffix in ("", ".json"):
            assert "canary" not in (await client.get(path + suffix)).text, path


async def test_what_nobody_answered_in_time_is_no(tmp_path: Path) -> None:
    with SyncLedger(f"sqlite:///{tmp_path / 'desk.db'}", people=PEOPLE) as ledger:
        question = ask(ledger, chain=Chain(stages=(Stage(role="finance", timeout_s=0.001),)))
        answer = await as_seen_by(ledger).post(
            f"/approvals/{question.id}/approve", {"digest": question.digest}
        )

        assert answer.status_code == 409
        assert "expired" in answer.text
        assert question.expires_at - question.created_at <= timedelta(seconds=1)


async def test_what_was_written_by_hand_is_no_question_and_says_so(tmp_path: Path) -> None:
    """SEC-16, HIT-06: a row that somebody forged is refused, and withdrawn."""
    import sqlite3

    path = tmp_path / "desk.db"
    with SyncLedger(f"sqlite:///{path}", people=PEOPLE) as ledger:
        question, broken = ask(ledger), ask(ledger, workflow_id="order-2")
        with sqlite3.connect(path) as db:
            db.execute(
                "UPDATE holdfast_approval SET body = replace(body, 'finance', 'support') WHERE id = ?",
                (question.id,),
            )
            db.execute("UPDATE holdfast_approval SET body = '{}' WHERE id = ?", (broken.id,))
        client = as_seen_by(ledger)
        answer = await client.post(
            f"/approvals/{question.id}/deny", {"digest": question.digest, "reason": "x"}
        )

        assert answer.status_code == 409
        assert "written this question by hand" in answer.text
        assert ledger.approval(question.id).state == "withdrawn"
        unreadable = await client.get(f"/approvals/{broken.id}")
        assert unreadable.status_code == 409
        assert "written this question by hand" in unreadable.text


async def test_a_console_without_the_keys_shows_no_question_and_says_why(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sealed.db'}"
    with SyncLedger(url, people=PEOPLE, codec=Sealing()) as ledger:
        question = ask(ledger)
    with SyncLedger(url, people=PEOPLE) as ledger:
        client = as_seen_by(ledger)
        for path in ("/approvals", f"/approvals/{question.id}", f"/approvals/{question.id}.json"):
            answer = await client.get(path)
            assert answer.status_code == 409, path
            assert "sealed" in answer.text
            assert "damaged" not in answer.text
        for path in ("/", f"/effects/{question.key}", "/workflows/order-1"):
            assert (await client.get(path)).status_code == 200, path
