"""Who has the database has no vote: attack 51 of the red team's plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from approvals.office import Office, call_of
from holdfast import Approval
from holdfast._core.approval_text import vote_text
from holdfast._runtime.granting import unsigned
from holdfast.codecs import Ed25519Signatures
from holdfast.errors import ApprovalVoid, InvalidTool

PRIVATE, PUBLIC = Ed25519Signatures.generate_keys()
WORKER = Ed25519Signatures({"k1": PUBLIC})
CONSOLE = Ed25519Signatures({"k1": PUBLIC}, private=PRIVATE)


class Thief:
    """Signs with what somebody else signed once."""

    def __init__(self, stolen: str) -> None:
        self.stolen = stolen

    def sign(self, text: bytes) -> str:
        return self.stolen

    def holds(self, text: bytes, signature: str) -> bool:
        return True


def refused(office: Office, worker: Any, asked: Approval, amount: int = 100) -> None:
    """Make the call in vain."""
    with pytest.raises(ApprovalVoid, match="not signed"):
        office.call(worker, call_of(amount))
    assert office.bank.charged == []
    assert "not signed" in office.notes(asked.key, "ended")[-1]


def test_what_people_decided_where_they_decide_is_used_where_agents_work(office: Office) -> None:
    """Attack 51: the worker checks, and could not have made it."""
    worker, console = office.ledger(signatures=WORKER), office.ledger(signatures=CONSOLE)
    asked = office.ask(worker)

    approved = office.approve(console, asked)

    assert WORKER.holds(vote_text(approved, approved.votes[0]), approved.votes[0].signature)
    assert office.call(worker) == {"charged": 100}


def test_an_agent_that_has_the_database_approves_nothing(office: Office) -> None:
    """Attack 51: it can write a vote, with its place in the audit trail, and no signature."""
    worker = office.ledger(signatures=WORKER)
    asked = office.ask(worker)
    office.approve(office.ledger(), asked, by="the boss")

    refused(office, worker, asked)


def test_a_worker_has_no_key_to_answer_with(office: Office) -> None:
    """Attack 51: nor does it change anything by trying."""
    worker = office.ledger(signatures=WORKER)
    asked = office.ask(worker)

    with pytest.raises(InvalidTool):
        office.approve(worker, asked)

    assert office.question(worker, asked.id) == asked


def test_a_key_of_ones_own_under_the_same_name_is_another_key(office: Office) -> None:
    """Attack 51."""
    private, public = Ed25519Signatures.generate_keys()
    forger = Ed25519Signatures({"k1": public}, private=private)
    worker = office.ledger(signatures=WORKER)
    asked = office.ask(worker)
    office.approve(office.ledger(signatures=forger), asked)

    refused(office, worker, asked)


def test_a_signature_is_of_one_vote_about_one_question(office: Office) -> None:
    """Attacks 13 and 51: taken from another question, or given to another person, it proves nothing."""
    worker, console = office.ledger(signatures=WORKER), office.ledger(signatures=CONSOLE)
    small = office.approve(console, office.ask(worker, call_of(1)))
    thief = office.ledger(signatures=Thief(small.votes[0].signature))
    large = office.ask(worker, call_of(10_000))
    office.approve(thief, large)

    refused(office, worker, large, 10_000)

    vote = small.votes[0]
    for other in ({"person": "bea"}, {"approves": False}, {"digest": "0" * 64}, {"stage": 1}, {"mfa": True}):
        assert not WORKER.holds(vote_text(small, replace(vote, **other)), vote.signature)
    for other in ({"id": "0" * 32}, {"tenant": "another"}):
        assert not WORKER.holds(vote_text(replace(small, **other), vote), vote.signature)


def test_a_signed_vote_is_not_good_for_longer_than_it_said(office: Office) -> None:
    """Attack 51: who can write the row and the trail does not stretch an approval either."""
    ledger = office.ledger(signatures=CONSOLE)
    approved = office.approve(ledger, office.ask(ledger))
    parts = ledger._engine.parts
    stretched = replace(approved, expires_at=approved.expires_at.replace(year=2030))

    assert unsigned(parts, approved) == ""
    assert "longer" in unsigned(parts, stretched)


def test_keys_are_changed_without_losing_what_was_approved(office: Office) -> None:
    """Attack 51: the old public key stays as long as it is of use, and no longer."""
    private, public = Ed25519Signatures.generate_keys()
    asked = office.ask(office.ledger())
    office.approve(office.ledger(signatures=CONSOLE), asked)
    both = Ed25519Signatures({"k1": PUBLIC, "k2": public}, private=private, active="k2")
    alone = Ed25519Signatures({"k2": public}, private=private)

    assert both.sign(b"x").startswith("k2:")
    assert both.holds(b"x", CONSOLE.sign(b"x"))
    assert not alone.holds(b"x", CONSOLE.sign(b"x"))
    assert office.call(office.ledger(signatures=both)) == {"charged": 100}


@pytest.mark.parametrize(
    "signature",
    ["", "k1", "k1:", "k1:!!!", "k1:AAAA", "k2:AAAA", ":", "\ud800:x", "k1:" + "A" * 88],
    ids=ascii,
)
def test_nonsense_is_no_signature(signature: str) -> None:
    assert not WORKER.holds(b"text", signature)


@pytest.mark.parametrize(
    "wrong",
    [
        {"public": {}},
        {"public": {"k1": b"short"}},
        {"public": {"k1": PUBLIC.hex()}},
        {"public": {"k:1": PUBLIC}},
        {"public": {"k1": PUBLIC}, "private": b"short"},
        {"public": {"k1": PUBLIC}, "private": Ed25519Signatures.generate_keys()[0]},
        {"public": {"k1": PUBLIC}, "active": "k2"},
        {"public": {"k1": PUBLIC, "k2": PUBLIC}},
    ],
    ids=range(8),
)
def test_keys_that_do_not_fit_are_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidTool):
        Ed25519Signatures(**wrong)
