"""People may change what they approve, and what runs is what they approved; HIT-09."""

from __future__ import annotations

from typing import Any

import pytest

from approvals.office import Office, call_of
from approvals.rules import Rules
from holdfast import Amount, Chain, Directory, Person, Stage, ToolCall
from holdfast._core.question_text import at_stake
from holdfast.errors import ApprovalDenied, ApprovalRequired, ApprovalVoid, DecisionRefused, PayloadConflict
from holdfast.ports import Allow, Ask, Deny

LESS = {"amount": 50, "to": "bob"}
MORE = {"amount": 5000, "to": "bob"}


def test_what_people_changed_is_what_runs(office: Office) -> None:
    """HIT-09: the agent asked for 100; 50 were approved, executed and replayed, and both hashes are told."""
    ledger = office.ledger()
    asked = office.ask(ledger)
    edited = office.approve(ledger, asked, args=LESS, reason="half will do")

    first = office.call(ledger)
    second = office.call(office.ledger())

    assert first == second == {"charged": 50}
    assert office.bank.charged == [(50, "bob")]
    [effect] = office.run(ledger.effects())
    assert effect.args == LESS
    [told] = office.notes(asked.key, "edit")
    assert (told["from"], told["to"]) == (asked.digest, edited.digest)
    assert told["from"] != told["to"]
    assert office.run(ledger.verify()).ok


def test_no_is_told_to_whoever_asks_and_asks_again(office: Office) -> None:
    """HIT-09: with the reason that was given, now and later, and nothing ran."""
    ledger = office.ledger()
    asked = office.ask(ledger)
    office.deny(ledger, asked, reason="over the budget; ask for 50")

    for _ in range(2):
        with pytest.raises(ApprovalDenied, match="over the budget; ask for 50"):
            office.call(ledger)

    assert office.bank.charged == []


def test_a_question_is_handed_to_somebody_else(office: Office) -> None:
    """HIT-09: who was asked lets another decide; both are on record."""
    people = Directory([Person(id="ana", roles=frozenset({"chief"})), Person(id="bea")])
    ledger, chain = office.ledger(people=people), Chain(stages=(Stage(role="chief"),))
    asked = office.ask(ledger, requires_approval=chain)
    with pytest.raises(DecisionRefused):
        office.approve(ledger, asked, by="bea")

    office.run(ledger.reassign(asked.id, by="ana", to="bea"))
    approved = office.approve(ledger, asked, by="bea")

    assert (approved.votes[0].person, approved.votes[0].acts_for) == ("bea", "ana")
    assert office.notes(asked.key, "handed") == [{"from": "ana", "to": "bea"}]


def limited(minor: Any) -> Rules:
    """Ask about whatever is in the call, of people with a limit."""
    chain = Chain(stages=(Stage(limited=True),))

    def says(facts: Any) -> Any:
        return Ask("money", policy="v1", chain=chain, amount=Amount(minor=minor(facts), currency="eur"))

    return Rules(says)


def test_nobody_raises_a_call_above_their_limit_by_changing_it(office: Office) -> None:
    """Attack 103 (own): asked about 100, with a limit of 1000, they do not approve 5000."""
    people = Directory([Person(id="ana", limits={"eur": 1000})])
    ledger = office.ledger(people=people, policy=limited(lambda facts: facts.args["amount"]))
    asked = office.ask(ledger)
    edited = office.approve(ledger, asked, by="ana", args=MORE)

    assert at_stake(edited.shown) == "100 eur before it was edited"
    with pytest.raises(ApprovalVoid, match="rules"):
        office.call(ledger)

    assert office.bank.charged == []
    second = office.ask(ledger)
    office.approve(ledger, second, by="ana", args=LESS)
    assert office.call(ledger) == {"charged": 50}


@pytest.mark.parametrize(
    "then", [Deny("too much", policy="v1"), Ask("much", policy="v1", chain=Chain(stages=(Stage(quorum=2),)))]
)
def test_rules_look_at_what_people_made_of_a_call(office: Office, then: Any) -> None:
    """Attack 104 (own): people cannot change a call into one that rules forbid, or leave to others."""
    rules = Rules(lambda facts: Ask("any", policy="v1") if facts.args["amount"] <= 100 else then)
    ledger = office.ledger(policy=rules)
    office.approve(ledger, office.ask(ledger), args=MORE)

    with pytest.raises(ApprovalVoid, match="rules"):
        office.call(ledger)

    assert office.bank.charged == []


def by_amount(call: ToolCall) -> Any:
    """A tool's own rule: more than 1000 takes two people."""
    amount: Any = call.args["amount"]
    return Chain(stages=(Stage(quorum=2 if amount > 1000 else 1),))


def test_a_tools_own_rule_looks_at_what_people_made_of_a_call(office: Office) -> None:
    """Attack 104 (own): without any policy as well."""
    ledger = office.ledger()
    office.approve(ledger, office.ask(ledger, requires_approval=by_amount), args=MORE)

    with pytest.raises(ApprovalVoid, match="rules"):
        office.call(ledger, requires_approval=by_amount)

    assert office.bank.charged == []


@pytest.mark.parametrize(
    "args",
    [{"amount": 50}, {"amount": 50, "to": "bob", "cc": "eve"}, {}, {"amount": 50, "to": "bob", "x": 1}],
)
def test_a_change_that_does_not_fit_the_tool_lets_nothing_run(office: Office, args: dict[str, Any]) -> None:
    """Attack 105 (own)."""
    ledger = office.ledger()
    office.approve(ledger, office.ask(ledger), args=args)

    with pytest.raises(ApprovalVoid, match="does not fit"):
        office.call(ledger)

    assert office.bank.charged == []
    office.ask(ledger)


def test_a_change_does_not_make_another_call_of_it(office: Office) -> None:
    """Attack 1, IDE-10: what the agent changes meanwhile is compared with what it asked, not with the change."""
    ledger = office.ledger()
    asked = office.ask(ledger, call_of(key="k"))
    office.approve(ledger, asked, args=LESS)

    with pytest.raises(PayloadConflict):
        office.call(ledger, call_of(50, key="k"))
    assert office.bank.charged == []
    assert office.call(ledger, call_of(key="k")) == {"charged": 50}


def test_a_change_and_a_vote_at_once_are_of_two_questions(office: Office) -> None:
    """Attack 15: who has the old card on the screen does not answer the new one."""
    ledger, chain = office.ledger(), Chain(stages=(Stage(quorum=2),))
    asked = office.ask(ledger, requires_approval=chain)
    office.approve(ledger, asked, by="ana", args=LESS)

    with pytest.raises(DecisionRefused) as refused:
        office.approve(ledger, asked, by="bea")

    assert refused.value.kind == "stale"
    with pytest.raises(ApprovalRequired):
        office.call(ledger, requires_approval=chain)


def test_rules_that_allow_what_people_made_of_it_let_it_run(office: Office) -> None:
    """HIT-09: a change to something harmless is no new question."""
    rules = Rules(lambda facts: Allow() if facts.args["amount"] <= 50 else Ask("any", policy="v1"))
    ledger = office.ledger(policy=rules)
    office.approve(ledger, office.ask(ledger, requires_approval=False), args=LESS)

    assert office.call(ledger, requires_approval=False) == {"charged": 50}
