"""Who answers for an agent decides on nothing of what it asks, whoever it is that wants people to decide: HIT-10."""

from __future__ import annotations

from typing import Any

import pytest

from approvals.office import Office
from approvals.rules import Rules
from holdfast import Chain, Directory, Person, Stage
from holdfast._core.chain import ANYBODY
from holdfast._runtime.deciding import stricter
from holdfast.errors import DecisionRefused
from holdfast.policies import read_policies
from holdfast.ports import Allow, Ask, Deny

OWNED = """
version: 1
agents: {agent: {tools: [charge], owner: olga}}
tools: {charge: {args: {amount: int, to: string}}}
rules: [{id: all, tool: charge, then: allow}]
"""
EIGHT = Chain(name="eight", stages=tuple(Stage(role=f"r{n}") for n in range(8)))


@pytest.mark.parametrize("wanted", [True, Chain(stages=(Stage(role=""),))], ids=["anybody", "a chain"])
def test_rules_that_allow_and_name_an_owner_keep_it_from_deciding_what_the_tool_asks(
    office: Office, wanted: Any
) -> None:
    """HIT-10: the policy asks nobody here, the tool does."""
    ledger = office.ledger(policy=read_policies(OWNED))
    asked = office.ask(ledger, requires_approval=wanted)

    with pytest.raises(DecisionRefused, match="nobody decides on their own"):
        office.approve(ledger, asked, by="olga")

    office.approve(ledger, asked, by="ana")
    assert office.call(ledger, requires_approval=wanted) == {"charged": 100}


def test_who_is_kept_out_is_kept_out_under_every_account(office: Office) -> None:
    """HIT-10: a rule names a mail address, the directory knows whose it is."""
    people = Directory([Person(id="olga", accounts={"oidc": "olga@acme.example"}), Person(id="ana")])
    chain = Chain(apart=("olga@acme.example",))
    ledger = office.ledger(people=people)
    asked = office.ask(ledger, requires_approval=chain)

    with pytest.raises(DecisionRefused, match="nobody decides on their own"):
        office.approve(ledger, asked, by="olga")

    assert office.approve(ledger, asked, by="ana").state == "approved"


def test_what_the_tool_asks_is_bound_to_the_rules_that_let_it(office: Office) -> None:
    """Attack 10, SEC-13: the version of the rules is in each question, and under others it is another one."""
    first = office.ledger(policy=Rules(Allow(policy="v1")))
    asked = office.approve(first, office.ask(first))

    again = office.ask(office.ledger(policy=Rules(Allow(policy="v2"))))

    assert (asked.binding["policy"], again.binding["policy"]) == ("v1", "v2")


def test_a_tool_and_rules_that_want_more_stages_than_there_may_be_are_denied() -> None:
    """X7: together they would be no chain; that is no reason to drop anybody."""
    ruled = Ask("much", "big", "v1", Chain(name="one", stages=(Stage(role="lead"),)))

    said = stricter(ruled, Ask("the tool", chain=EIGHT))

    assert isinstance(said, Deny)
    assert (said.rule, said.policy) == ("big", "v1")


@pytest.mark.parametrize(
    ("one", "other", "risk"),
    [("low", "normal", "normal"), ("normal", "low", "normal"), ("low", "high", "high")],
)
def test_the_risk_of_two_that_ask_is_the_higher_one(one: Any, other: Any, risk: str) -> None:
    """HIT-10."""
    said = stricter(
        Ask("a", "a", "v1", Chain(name="a", risk=one)), Ask("b", chain=Chain(name="b", risk=other))
    )

    assert isinstance(said, Ask)
    assert said.chain.risk == risk


def test_who_asks_anybody_asks_those_whom_rules_name() -> None:
    """HIT-10: the narrower of the two."""
    ruled = Ask("much", "big", "v1", Chain(name="one", stages=(Stage(role="lead"),)))

    assert stricter(ruled, Ask("the tool", chain=ANYBODY)) == ruled
