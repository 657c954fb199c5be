"""What a stranger with a database prompt makes of an approval is noticed, refused, and on record."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from approvals.office import Office, call_of
from holdfast import Alert, Approval, Chain, Stage
from holdfast._core.approval_text import digest_of, exact_text
from holdfast.errors import ApprovalRequired, ApprovalVoid, DecisionRefused, HoldfastError

pytestmark = pytest.mark.durable
TWO = Chain(stages=(Stage(quorum=2, timeout_s=3600, remind_s=(60,)),))


def binding_with(asked: Approval, **fields: Any) -> str:
    """Return the text of a binding with other *fields*."""
    return exact_text({**asked.binding, **fields})


def other_args(office: Office, asked: Approval) -> None:
    office.sql("UPDATE holdfast_effect SET args = ? WHERE key = ?", '{"amount":10000,"to":"bob"}', asked.key)


def other_binding(office: Office, asked: Approval) -> None:
    office.tamper(asked, binding=binding_with(asked, args='{"amount":10000,"to":"bob"}'))


def other_binding_and_digest(office: Office, asked: Approval) -> None:
    changed = {**asked.binding, "args": '{"amount":10000,"to":"bob"}'}
    office.tamper(asked, binding=exact_text(changed), digest=digest_of(changed))


def longer(office: Office, asked: Approval) -> None:
    later = asked.expires_at + timedelta(days=300)
    moment = later if office.kind == "postgres" else int(later.timestamp() * 1_000_000)
    office.tamper(asked, expires_at=moment)


def other_votes(office: Office, asked: Approval) -> None:
    body = office.body(asked)
    body["votes"][0]["person"] = "the boss"
    office.tamper(asked, body=body)


def other_chain(office: Office, asked: Approval) -> None:
    body = office.body(asked)
    body["chain"]["stages"][0]["role"] = "anybody"
    office.tamper(asked, body=body)


def nonsense(office: Office, asked: Approval) -> None:
    office.tamper(asked, body="{")


def half(office: Office, asked: Approval) -> None:
    office.tamper(asked, body={"reason": "?"})


def other_version(office: Office, asked: Approval) -> None:
    office.tamper(asked, version=7)


def no_trail(office: Office, asked: Approval) -> None:
    office.sql("DELETE FROM holdfast_audit WHERE key = ? AND seq = 2", asked.key)


def by_hand(*ways: Callable[[Office, Approval], None]) -> Any:
    return pytest.mark.parametrize("way", ways, ids=lambda way: way.__name__)


@by_hand(
    other_args,
    other_binding,
    other_binding_and_digest,
    longer,
    other_votes,
    other_chain,
    nonsense,
    half,
    other_version,
    no_trail,
)
def test_an_approval_that_was_written_by_hand_is_none(
    office: Office, way: Callable[[Office, Approval], None]
) -> None:
    """Attack 1, HIT-06: changed behind the ledger's back it is refused, withdrawn, told, and asked about anew."""
    ledger = office.ledger()
    asked = office.approve(ledger, office.ask(ledger))
    way(office, asked)

    with pytest.raises(ApprovalVoid):
        office.call(ledger)

    assert office.bank.charged == []
    [(state,)] = office.sql("SELECT state FROM holdfast_approval WHERE id = ?", asked.id)
    assert state == "withdrawn"
    told = office.sql("SELECT body FROM holdfast_audit WHERE key = ? ORDER BY seq DESC LIMIT 1", asked.key)
    body = json.loads(told[0][0])
    assert "void" in body or "ended" in body


@by_hand(other_args, other_binding, other_binding_and_digest, other_chain, nonsense, half, longer)
def test_nobody_answers_what_was_written_by_hand(
    office: Office, way: Callable[[Office, Approval], None]
) -> None:
    """Attack 1, HIT-06: what people are shown of it is not what was asked."""
    ledger = office.ledger()
    asked = office.ask(ledger)
    way(office, asked)

    with pytest.raises((ApprovalVoid, DecisionRefused)):
        office.approve(ledger, asked)

    with pytest.raises(HoldfastError):
        office.call(ledger)
    assert office.bank.charged == []


def test_a_question_that_says_approved_because_somebody_wrote_so_is_not(office: Office) -> None:
    """Attack 1: the word alone does nothing."""
    ledger = office.ledger()
    asked = office.ask(ledger)
    office.tamper(asked, state="approved")

    with pytest.raises(ApprovalVoid):
        office.call(ledger)

    assert office.bank.charged == []


def test_a_vote_that_was_written_by_hand_is_not_made_good_by_a_reminder(office: Office) -> None:
    """Attack 101 (own): what time writes next must not put the forger's vote on the trail as if it were ours."""
    ledger = office.ledger()
    asked = office.approve(ledger, office.ask(ledger, requires_approval=TWO), by="ana")
    body = office.body(asked)
    body["votes"][0] |= {"person": "mallory"}
    body["votes"].append({**body["votes"][0], "person": "mallory's cousin"})
    office.tamper(asked, body=body, state="pending")
    office.clock.advance(61)

    office.run(ledger.sweep())
    with pytest.raises((ApprovalVoid, DecisionRefused)):
        office.approve(ledger, asked, by="bea")

    with pytest.raises((ApprovalVoid, ApprovalRequired)):
        office.call(ledger, requires_approval=TWO)
    assert office.bank.charged == []
    assert office.notes(asked.key, "ended") != []


def test_a_question_that_cannot_be_read_keeps_nobody_else_waiting(office: Office) -> None:
    """Attack 102 (own): one row of nonsense neither stops the reminders of others, nor hides them for ever."""
    ledger = office.ledger()
    bad = office.ask(ledger, call_of(1), requires_approval=TWO)
    good = office.ask(ledger, call_of(2), requires_approval=TWO)
    office.tamper(bad, body="nonsense")
    office.clock.advance(61)

    office.run(ledger.sweep())

    assert office.question(ledger, good.id).reminded == 1
    assert [one.id for one in office.run(ledger.approvals())] == [good.id]


def test_what_cannot_be_read_hides_nothing_else(office: Office) -> None:
    """One row that a stranger spoilt is left out, told of once and withdrawn; pages stay full."""
    told: list[Alert] = []
    ledger = office.ledger(on_alert=told.append)
    rows = [office.ask(ledger, call_of(workflow_id=f"order-{n}")) for n in range(4)]
    office.run(ledger.deny(rows[3].id, by="ana", reason="no"))
    for spoilt in (rows[1], rows[3]):
        nonsense(office, spoilt)

    first = office.run(ledger.approvals(limit=2, state="pending"))
    everything = office.run(ledger.approvals(state=None))
    report = office.run(ledger.oversight())

    assert {one.id for one in first} == {rows[0].id, rows[2].id}
    assert {one.id for one in everything} == {rows[0].id, rows[2].id}
    assert report.asked == 2
    assert office.run(ledger.approval_counts())["withdrawn"] == 1
    assert {alert.code for alert in told} == {"approval_unreadable"}
    assert sorted(alert.subject for alert in told) == sorted([rows[1].id, rows[3].id])


def test_a_used_approval_that_was_written_anew_is_not_good_again(office: Office) -> None:
    """Attack 16: set back to approved by hand it fits no trail; what was done is answered from the record."""
    ledger = office.ledger()
    asked = office.approve(ledger, office.ask(ledger))
    office.call(ledger)
    office.tamper(asked, state="approved", version=asked.version)
    office.sql("UPDATE holdfast_effect SET state = 'waiting' WHERE key = ?", asked.key)

    with pytest.raises(ApprovalVoid):
        office.call(ledger)

    assert office.bank.charged == [(100, "bob")]
