"""Who may decide: attacks 44 to 50 of the red team's plan; HIT-10."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from approvals.office import Office, call_of
from approvals.rules import Rules
from holdfast import Amount, CallContext, Chain, Delegation, Directory, Person, Principal, Stage, StepUp
from holdfast.errors import ApprovalRequired, DecisionRefused, InvalidTool
from holdfast.ports import Ask
from holdfast.testing.runtime import START

CHIEFS = Chain(stages=(Stage(role="chief"),))
PAIR = Chain(stages=(Stage(role="chief", quorum=2),))
LIMITED = Chain(stages=(Stage(role="chief", limited=True),))


def person(name: str, *roles: str, **options: Any) -> Person:
    return Person(id=name, roles=frozenset(roles or ("chief",)), **options)


def passing(frm: str, to: str, *, days: int = 7, since_days: int = 0, **options: Any) -> Delegation:
    since = START + timedelta(days=since_days)
    return Delegation(frm=frm, to=to, since=since, until=since + timedelta(days=days), **options)


def refused(office: Office, ledger: Any, asked: Any, by: str | Principal, kind: str = "not_allowed") -> None:
    """Answer in somebody's name, in vain: nothing changes, and it is told."""
    before = office.question(ledger, asked.id)
    with pytest.raises(DecisionRefused) as refusal:
        office.approve(ledger, asked, by=by)
    assert refusal.value.kind == kind
    assert office.question(ledger, asked.id) == before
    told = office.notes(asked.key, "refused")[-1]
    assert (told["by"], told["kind"]) == (by if isinstance(by, str) else by.id, kind)


OWN = Directory(
    [
        person("ana", agents=frozenset({"agent"}), accounts={"slack": "T1/U1", "oidc": "https://idp|ana"}),
        person("eve"),
        person("bea"),
        person("cleo", "clerk"),
    ],
    [passing("ana", "cleo"), passing("eve", "bea")],
)


@pytest.mark.parametrize(
    ("by", "context"),
    [
        ("agent", CallContext()),
        ("ana", CallContext()),
        ("eve", CallContext(on_behalf_of="eve")),
        ("ana", CallContext(on_behalf_of="T1/U1")),
        ("ana", CallContext(on_behalf_of="https://idp|ana")),
        ("cleo", CallContext()),
    ],
    ids=["the agent", "its owner", "for whom it acts", "by an account", "by another", "the owner's delegate"],
)
def test_whoever_asks_does_not_decide(office: Office, by: str, context: CallContext) -> None:
    """Attack 44: nor whose agent it is, nor for whom it acts, nor who takes their place."""
    ledger = office.ledger(people=OWN)
    asked = office.ask(ledger, call_of(context=context), requires_approval=CHIEFS)

    refused(office, ledger, asked, by)

    assert office.approve(ledger, asked, by="bea").state == "approved"


def test_whoever_asks_hands_nothing_over(office: Office) -> None:
    """Attack 44: nor does a question get to a friend of theirs by their hand."""
    ledger = office.ledger(people=OWN)
    asked = office.ask(ledger, requires_approval=CHIEFS)

    with pytest.raises(DecisionRefused):
        office.run(ledger.reassign(asked.id, by="ana", to="cleo"))

    refused(office, ledger, asked, "cleo")


def test_without_a_directory_too_nobody_decides_on_their_own(office: Office) -> None:
    """Attack 44."""
    ledger = office.ledger()
    asked = office.ask(ledger, call_of(context=CallContext(on_behalf_of="eve")))

    for by in ("agent", "eve"):
        refused(office, ledger, asked, by)


def test_nobody_votes_twice_under_any_name(office: Office) -> None:
    """Attack 45: neither again, nor for somebody who has voted, nor after somebody voted for them."""
    people = Directory(
        [person("ana"), person("bea"), person("cleo", "clerk"), person("dora")],
        [passing("ana", "cleo"), passing("bea", "cleo")],
    )
    ledger = office.ledger(people=people)
    asked = office.ask(ledger, requires_approval=PAIR)
    office.approve(ledger, asked, by="cleo")

    refused(office, ledger, asked, "cleo", "voted")
    refused(office, ledger, asked, "ana", "voted")
    refused(office, ledger, asked, Principal(id="cleo", method="slack"), "voted")

    votes = office.approve(ledger, asked, by="bea").votes
    assert [(vote.person, vote.acts_for) for vote in votes] == [("cleo", "ana"), ("bea", "")]


def test_no_account_is_two_peoples() -> None:
    """Attack 45: an account leads to one person, whichever channel it is of."""
    with pytest.raises(InvalidTool):
        Directory([person("ana", accounts={"slack": "T/U"}), person("bea", accounts={"slack": "T/U"})])
    with pytest.raises(InvalidTool):
        Directory([person("ana"), person("ana")])

    both = Directory([person("ana", accounts={"slack": "T/U", "oidc": "T/V"})])
    assert both.of_account("slack", "T/U") == both.of_account("oidc", "T/V") == both.find("ana")
    assert both.of_account("slack", "T/V") is None


@pytest.mark.parametrize("name", ["", " ana", "ana ", "a\u200bna", "a\nna", "x" * 513], ids=ascii)
def test_a_name_that_only_looks_like_one_is_none(office: Office, name: str) -> None:
    """Attack 45: nobody is told from themselves by a character that nobody sees."""
    ledger = office.ledger()
    asked = office.ask(ledger)

    with pytest.raises(InvalidTool):
        office.approve(ledger, asked, by=name)

    assert office.question(ledger, asked.id).votes == ()


def test_what_was_passed_on_is_not_passed_on_again(office: Office) -> None:
    """Attack 46: a delegate's delegate decides nothing, and a delegate hands nothing over."""
    people = Directory(
        [person("ana"), person("bea", "clerk"), person("cleo", "clerk")],
        [passing("ana", "bea"), passing("bea", "cleo")],
    )
    ledger = office.ledger(people=people)
    asked = office.ask(ledger, requires_approval=CHIEFS)

    refused(office, ledger, asked, "cleo")
    with pytest.raises(DecisionRefused):
        office.run(ledger.reassign(asked.id, by="bea", to="cleo"))
    assert office.approve(ledger, asked, by="bea").votes[0].acts_for == "ana"


@pytest.mark.parametrize(("after_days", "counts"), [(-1, 0), (0, 1), (6, 1), (7, 0)])
def test_a_delegation_holds_for_its_time(office: Office, after_days: int, counts: int) -> None:
    """Attack 46: neither before nor after."""
    people = Directory([person("ana"), person("bea", "clerk")], [passing("ana", "bea", since_days=1)])
    ledger = office.ledger(people=people)
    chain = Chain(stages=(Stage(role="chief", timeout_s=30 * 86_400),))
    asked = office.ask(ledger, requires_approval=chain)
    office.clock.advance(timedelta(days=1 + after_days))

    if counts:
        assert office.approve(ledger, asked, by="bea").state == "approved"
    else:
        refused(office, ledger, asked, "bea")


def test_no_delegation_is_without_an_end() -> None:
    """Attack 46."""
    for options in ({"days": 15}, {"days": 0}, {"days": -1}):
        with pytest.raises(InvalidTool):
            passing("ana", "bea", **options)
    with pytest.raises(InvalidTool):
        passing("ana", "ana")
    with pytest.raises(InvalidTool):
        Directory([person("ana")], [passing("ana", "nobody")])


def asking(minor: int, currency: str = "eur", chain: Chain = LIMITED) -> Rules:
    """A policy that asks about an amount."""
    return Rules(Ask("a payment", policy="v1", chain=chain, amount=Amount(minor=minor, currency=currency)))


def test_the_smaller_of_two_limits_is_a_delegates(office: Office) -> None:
    """Attack 46: nobody decides on more in another's place than in their own, nor on more than the other."""
    people = Directory(
        [
            person("ana", limits={"eur": 1000}),
            person("bea", "clerk", limits={"eur": 200}),
            person("cleo", "clerk", limits={"eur": 9000}),
            person("dora", "clerk"),
        ],
        [passing("ana", "bea"), passing("ana", "cleo"), passing("ana", "dora")],
    )
    ledger = office.ledger(people=people, policy=asking(1001))
    asked = office.ask(ledger)
    for by in ("ana", "bea", "cleo", "dora"):
        refused(office, ledger, asked, by)

    ledger = office.ledger(people=people, policy=asking(1000))
    asked = office.ask(ledger, call_of(2))
    for by in ("bea", "dora"):
        refused(office, ledger, asked, by)
    assert office.approve(ledger, asked, by="cleo").state == "approved"


def test_programs_and_models_are_nobody(office: Office) -> None:
    """Attack 47: whether they say so themselves, or the directory does."""
    people = Directory([person("bot", is_human=False), person("ana")], [passing("bot", "ana")])
    ledger = office.ledger(people=people)
    asked = office.ask(ledger, requires_approval=CHIEFS)

    refused(office, ledger, asked, "bot")
    refused(office, ledger, asked, Principal(id="ana", is_human=False))
    refused(office, ledger, asked, Principal(id="stranger", roles=frozenset({"chief"})))


@pytest.mark.parametrize(
    "then",
    [
        [person("bea")],
        [person("ana", "clerk"), person("bea")],
        [person("ana", is_human=False), person("bea")],
        [person("ana", trained_until=START), person("bea")],
        [person("ana", agents=frozenset({"agent"})), person("bea")],
    ],
    ids=["has left", "lost the role", "is a program", "has no training", "is the owner"],
)
def test_a_vote_is_counted_anew_when_it_is_used(office: Office, then: list[Person]) -> None:
    """Attack 48: who may not decide any more when the call is made has not decided on it."""
    before = office.ledger(people=Directory([person("ana"), person("bea")]))
    asked = office.approve(before, office.ask(before, requires_approval=CHIEFS))
    after = office.ledger(people=Directory(then))

    with pytest.raises(ApprovalRequired) as second:
        office.call(after, requires_approval=CHIEFS)

    assert second.value.approval != asked.id
    assert office.bank.charged == []
    office.approve(after, office.question(after, second.value.approval), by="bea")
    office.call(after, requires_approval=CHIEFS)


def test_a_delegates_vote_needs_whom_it_was_for(office: Office) -> None:
    """Attack 48: a vote in the place of somebody who lost the role is not moved to another one's place."""
    crowd = [person("bea"), person("cleo", "clerk")]
    passed = [passing("ana", "cleo"), passing("bea", "cleo")]
    before = office.ledger(people=Directory([person("ana"), *crowd], passed))
    asked = office.ask(before, requires_approval=PAIR)
    office.approve(before, asked, by="cleo")
    office.approve(before, asked, by="bea")
    after = office.ledger(people=Directory([person("ana", "clerk"), *crowd], passed))

    with pytest.raises(ApprovalRequired):
        office.call(after, requires_approval=PAIR)

    assert office.bank.charged == []


def test_a_limit_that_was_lowered_counts(office: Office) -> None:
    """Attack 48."""
    before = office.ledger(people=Directory([person("ana", limits={"eur": 500})]), policy=asking(500))
    office.approve(before, office.ask(before))

    with pytest.raises(ApprovalRequired):
        office.call(office.ledger(people=Directory([person("ana", limits={"eur": 499})]), policy=asking(500)))

    assert office.bank.charged == []


@pytest.mark.parametrize(
    ("minor", "currency", "counts"),
    [(1000, "eur", 1), (1001, "eur", 0), (5000, "eur", 0), (1, "usd", 0), (-1, "eur", 0), (1000, "EUR", 1)],
)
def test_a_limit_is_of_one_currency_and_of_whole_minor_units(
    office: Office, minor: int, currency: str, counts: int
) -> None:
    """Attack 49, HIT-10: neither another currency nor a negative amount is below it."""
    people = Directory([person("alice", limits={"eur": 1000})])
    ledger = office.ledger(people=people, policy=asking(minor, currency))
    asked = office.ask(ledger)

    if counts:
        assert office.approve(ledger, asked, by="alice").state == "approved"
    else:
        refused(office, ledger, asked, "alice")


def test_what_is_at_stake_must_be_known_to_be_below_a_limit(office: Office) -> None:
    """Attack 49: without an amount no limit covers it."""
    ledger = office.ledger(people=Directory([person("alice", limits={"eur": 10**9})]))

    refused(office, ledger, office.ask(ledger, requires_approval=LIMITED), "alice")


@pytest.mark.parametrize("minor", [10.0, 9.99, True, "10", None], ids=repr)
def test_money_is_whole(minor: Any) -> None:
    """Attack 49: no floats, no texts."""
    with pytest.raises(InvalidTool):
        Amount(minor=minor, currency="eur")
    with pytest.raises(InvalidTool):
        Person(id="ana", limits={"eur": minor})


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Chain(stages=()),
        lambda: Chain(stages=(Stage(quorum=0),)),
        lambda: Chain(stages=(Stage(quorum=-1),)),
        lambda: Chain(stages=(Stage(quorum=True),)),
        lambda: Chain(stages=(Stage(timeout_s=0),)),
        lambda: Chain(stages=(Stage(timeout_s=-5),)),
        lambda: Chain(stages=(Stage(timeout_s=float("inf")),)),
        lambda: Chain(stages=(Stage(timeout_s=float("nan")),)),
        lambda: Chain(valid_s=0),
        lambda: Chain(valid_s=-1),
        lambda: Chain(stages=(Stage(),) * 9),
        lambda: Chain(stages=(Stage(escalate="boss"),)),
        lambda: StepUp(max_age_s=-1),
    ],
    ids=range(13),
)
def test_no_chain_lets_anything_through_by_being_empty(wrong: Any) -> None:
    """Attack 50: no stages, no quorum, no time: none of it can be said."""
    with pytest.raises(InvalidTool):
        wrong()


def test_no_chain_can_say_that_silence_is_a_yes() -> None:
    """Attack 50, HIT-15: there is no such option."""
    for options in ({"on_timeout": "allow"}, {"default": "approve"}):
        with pytest.raises(TypeError):
            Stage(**options)  # type: ignore[arg-type]


HIGH = Chain(stages=(Stage(role="chief", step_up=StepUp(mfa=True, max_age_s=300)),), risk="high")


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ({"mfa": True, "at": START}, 1),
        ({"mfa": True, "at": START - timedelta(seconds=301)}, 0),
        ({"mfa": True, "at": START + timedelta(seconds=1)}, 0),
        ({"mfa": True}, 0),
        ({"at": START}, 0),
        ({"mfa": True, "at": START, "sees_all": False}, 0),
    ],
    ids=["all of it", "too long ago", "in the future", "no time", "one factor", "sees a part"],
)
def test_high_risk_takes_a_fresh_proof_and_the_whole_payload(
    office: Office, options: dict[str, Any], counts: int
) -> None:
    """HIT-10: whoever decides has proved who they are, just now and surely, and sees everything."""
    ledger = office.ledger(people=Directory([person("ana")]))
    asked = office.ask(ledger, requires_approval=HIGH)
    who = Principal(id="ana", **options)

    if counts:
        assert office.approve(ledger, asked, by=who).state == "approved"
    else:
        refused(office, ledger, asked, who, "step_up")
