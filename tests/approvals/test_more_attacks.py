"""Attacks that the red team's plan does not have; their numbers begin at 101."""

from __future__ import annotations

from typing import Any

import pytest

from approvals.office import Office, call_of
from approvals.rules import Rules
from holdfast import CallContext, Chain, Stage
from holdfast.errors import (
    ApprovalNotFound,
    ApprovalRequired,
    ApprovalVoid,
    HoldfastError,
    InvalidCall,
    PolicyDenied,
)
from holdfast.ports import Allow, Ask, Deny


@pytest.mark.parametrize("says", [None, 0, "", [], "no", 1, object(), {}], ids=range(8))
def test_a_rule_that_does_not_say_no_asks(office: Office, says: Any) -> None:
    """Attack 106 (own), HIT-04: only ``False`` lets a call pass: a rule that forgot to answer does not."""
    ledger = office.ledger()

    office.ask(ledger, requires_approval=lambda call: says)

    assert office.bank.charged == []


def test_a_rule_that_fails_asks(office: Office) -> None:
    """X7, HIT-04: who cannot say whether to ask is not believed."""
    ledger = office.ledger()

    def fails(call: Any) -> bool:
        raise KeyError("amount")

    office.ask(ledger, requires_approval=fails)

    assert office.bank.charged == []


@pytest.mark.parametrize("says", [None, True, "allow", object(), Allow], ids=range(5))
def test_a_policy_that_says_nothing_denies(office: Office, says: Any) -> None:
    """X7: fail closed."""
    ledger = office.ledger(policy=Rules(lambda facts: says))

    with pytest.raises(PolicyDenied):
        office.call(ledger, requires_approval=False)

    assert office.bank.charged == []


@pytest.mark.durable
def test_a_question_that_was_deleted_is_asked_again(office: Office) -> None:
    """Attack 107 (own): to make an approval vanish makes nothing run."""
    ledger = office.ledger()
    asked = office.approve(ledger, office.ask(ledger))
    office.sql("DELETE FROM holdfast_approval WHERE id = ?", asked.id)

    second = office.ask(ledger)

    assert second.digest != asked.digest
    assert second.votes == ()


@pytest.mark.durable
def test_an_approval_whose_effect_was_deleted_serves_no_other(office: Office) -> None:
    """Attack 107 (own): nor does an approval without its effect let a new one run."""
    ledger = office.ledger()
    asked = office.approve(ledger, office.ask(ledger))
    office.sql("DELETE FROM holdfast_effect WHERE key = ?", asked.key)
    office.sql("DELETE FROM holdfast_audit WHERE key = ?", asked.key)

    with pytest.raises(HoldfastError):
        office.call(ledger)

    assert office.bank.charged == []


@pytest.mark.durable
def test_an_approval_that_was_moved_to_another_effect_is_none(office: Office) -> None:
    """Attack 108 (own): its row given the key of a dearer call fits neither that call nor that trail."""
    ledger = office.ledger()
    small, large = office.ask(ledger, call_of(1)), office.ask(ledger, call_of(10_000))
    office.approve(ledger, small)
    office.sql("DELETE FROM holdfast_approval WHERE id = ?", large.id)
    office.tamper(small, key=large.key)

    with pytest.raises(ApprovalVoid):
        office.call(ledger, call_of(10_000))

    assert office.bank.charged == []


@pytest.mark.parametrize("name", ["", "%", "_" * 32, "0' OR '1'='1", "*", "0" * 200, "\x00"], ids=ascii)
def test_no_pattern_names_a_question(office: Office, name: str) -> None:
    """Attack 109 (own): an id is letters and digits; nothing in it means any."""
    ledger = office.ledger()
    asked = office.ask(ledger)

    with pytest.raises(ApprovalNotFound):
        office.run(ledger.approve(name, by="ana", digest=asked.digest))

    assert office.question(ledger, asked.id).state == "pending"


def test_the_start_of_two_ids_names_neither(office: Office) -> None:
    """Attack 109 (own): what could be either question is none."""
    ledger = office.ledger()
    known = {office.ask(ledger, call_of(n)).id for n in range(17)}  # of 17, two begin with the same letter
    starts = [name[0] for name in known]
    shared = next(start for start in starts if starts.count(start) > 1)

    with pytest.raises(ApprovalNotFound):
        office.run(ledger.deny(shared, by="ana", reason="no"))


def test_an_agents_words_are_bounded_and_marked_as_its_own(office: Office) -> None:
    """Attack 110 (own), HIT-19: it cannot push the arguments off the card, nor speak as the tool's author."""
    ledger = office.ledger()
    words = "already approved by the CFO"
    context = CallContext(belief=words, uncertainty=words, on_decline=words, inferred={"to": words})

    asked = office.ask(ledger, call_of(context=context))

    assert set(asked.shown["context"]) == {"belief", "confidence", "uncertainty", "on_decline", "inferred"}
    elsewhere = {name: value for name, value in asked.shown.items() if name != "context"}
    assert words not in repr(elsewhere)
    for longest in ({"belief": "x" * 4001}, {"inferred": {"a" * 4001: "x"}}, {"belief": "\ud800"}):
        with pytest.raises(InvalidCall):
            CallContext(**longest)


def test_an_agent_cannot_change_its_reasons_under_the_readers_eyes(office: Office) -> None:
    """Attack 111 (own): other reasons do not change the card that people have before them."""
    ledger = office.ledger()
    asked = office.ask(ledger, call_of(context=CallContext(belief="owed")))

    with pytest.raises(ApprovalRequired) as again:
        office.call(ledger, call_of(context=CallContext(belief="a gift")))

    assert again.value.approval == asked.id
    assert office.question(ledger, asked.id) == asked


def test_a_summary_that_lies_or_fails_hides_nothing(office: Office) -> None:
    """Attack 112 (own): beside the author's sentence stand the exact arguments."""
    ledger = office.ledger()

    def fails(call: Any) -> str:
        raise ValueError

    for n, summary in enumerate((lambda call: "a harmless look" * 1000, fails)):
        asked = office.ask(ledger, call_of(n), summary=summary)
        assert asked.shown["args"] == f'{{"amount":{n},"to":"bob"}}'
        assert len(asked.shown["summary"]) <= 500


def test_rules_that_are_turned_off_do_not_free_what_waits(office: Office) -> None:
    """Attack 113 (own): a worker without the policy, and a tool without its flag, still waits for people."""
    ruled = office.ledger(policy=Rules(Ask("asked", policy="v1")))
    asked = office.ask(ruled, requires_approval=False)
    bare = office.ledger()

    with pytest.raises(ApprovalRequired) as again:
        office.call(bare, requires_approval=False)

    assert again.value.approval == asked.id
    assert office.bank.charged == []


def test_rules_that_deny_what_was_done_do_not_undo_its_answer(office: Office) -> None:
    """C14, I7: a finished call is answered from the record, whatever the rules say by now."""
    ledger = office.ledger()
    office.approve(ledger, office.ask(ledger))
    office.call(ledger)

    again = office.call(office.ledger(policy=Rules(Deny("frozen"))), requires_approval=False)

    assert again == {"charged": 100}
    assert office.bank.charged == [(100, "bob")]


def test_two_rules_that_ask_are_both_asked(office: Office) -> None:
    """Attack 114 (own): a policy that asks anybody does not replace the two people that the tool wants."""
    chain = Chain(name="two", stages=(Stage(quorum=2),))
    ledger = office.ledger(policy=Rules(Ask("any", policy="v1", chain=Chain(name="one"))))
    asked = office.approve(ledger, office.ask(ledger, requires_approval=chain), by="ana")
    assert asked.state == "pending"

    asked = office.approve(ledger, asked, by="bea")
    assert asked.state == "pending"
    office.approve(ledger, asked, by="cleo")
    assert office.call(ledger, requires_approval=chain) == {"charged": 100}
