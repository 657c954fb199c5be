"""A share of what rules let pass is looked at afterwards: which calls, by whom, and what they found. HIT-13."""

from __future__ import annotations

from typing import Any

import pytest

from approvals.office import Office, call_of
from approvals.rules import Rules
from holdfast import Directory, Person, Principal
from holdfast.errors import DecisionRefused, EffectNotFound, InvalidCall
from holdfast.ledger import SampledCall
from holdfast.policies import read_policies
from holdfast.ports import Allow

DRAWN = Allow("small", "small-ones", "v1", sampled=True)
EVEN = Rules(lambda facts: DRAWN if facts.args["amount"] % 2 == 0 else Allow("small", "small-ones", "v1"))


def made(office: Office, *amounts: int, **options: Any) -> Any:
    """Make calls of these amounts under rules that draw the even ones; return the ledger."""
    ledger = office.ledger(policy=EVEN, **options)
    for amount in amounts:
        office.call(ledger, call_of(amount), requires_approval=False)
        office.clock.advance(1)
    return ledger


def drawn(office: Office, ledger: Any, **options: Any) -> list[SampledCall]:
    found: list[SampledCall] = office.run(ledger.sampled(**options))
    return found


def reviewed(office: Office, ledger: Any, key: str, by: Any = "ana", verdict: Any = "ok") -> SampledCall:
    call: SampledCall = office.run(ledger.review(key, by=by, verdict=verdict, reason="the invoice is there"))
    return call


def test_what_was_drawn_is_listed_with_by_which_rule_it_passed_and_what_was_found(office: Office) -> None:
    """HIT-13: from the claims' own audit entries, also by a process without the policy."""
    made(office, 1, 2, 3, 4)
    ledger = office.ledger()

    four, two = drawn(office, ledger)

    assert [(one.args or {}).get("amount") for one in (four, two)] == [4, 2]
    assert {(one.rule, one.policy, one.verdict, one.reviews) for one in (four, two)} == {
        ("small-ones", "v1", None, ())
    }
    assert reviewed(office, ledger, two.key, verdict="wrong").verdict == "wrong"
    assert [one.key for one in drawn(office, ledger, reviewed=True)] == [two.key]
    assert [one.key for one in drawn(office, ledger, reviewed=False)] == [four.key]
    assert drawn(office, ledger, tool="refund") == []
    told = office.notes(two.key, "review")
    assert [(one["by"], one["verdict"], one["reason"]) for one in told] == [
        ("ana", "wrong", "the invoice is there")
    ]
    assert office.run(ledger.verify()).ok


def test_a_read_that_was_drawn_is_listed_too(office: Office) -> None:
    """HIT-13, SEC-13: what rules say of a read is on record with it."""
    ledger = office.ledger(policy=EVEN)
    office.call(ledger, call_of(2), requires_approval=False, safety="read")

    [call] = drawn(office, ledger)

    assert reviewed(office, ledger, call.key).verdict == "ok"
    assert [one.key for one in drawn(office, ledger, reviewed=True)] == [call.key]
    assert (office.notes(call.key, "verdict")[0]["rule"], call.rule) == ("small-ones", "small-ones")


def test_the_last_review_counts_in_the_rates_and_a_wrong_call_is_a_case_for_agents(office: Office) -> None:
    """HIT-12, HIT-13, HIT-20."""
    ledger = made(office, 2, 4, 6, 8)
    keys = [call.key for call in drawn(office, ledger)]
    reviewed(office, ledger, keys[0], verdict="wrong")
    reviewed(office, ledger, keys[1], verdict="wrong")
    reviewed(office, ledger, keys[1], by="bea", verdict="ok")
    reviewed(office, ledger, keys[2])

    report = office.run(ledger.oversight(since="1d"))
    [case] = office.run(ledger.overrides(since="1d"))

    assert (report.reviewed, report.wrong, report.overridden) == (3, 1, 1)
    assert (report.override_rate, report.approval_rate) == (1 / 3, None)
    assert (case["id"], case["expected"], case["by"]) == (keys[0], {"decision": "deny"}, "ana")
    assert case["input"]["args"] == {"amount": 8, "to": "bob"}


PEOPLE = Directory([Person(id="ana"), Person(id="olga", agents=frozenset({"agent"}))])


@pytest.mark.parametrize(
    ("by", "why"),
    [
        ("agent", "has made the call"),
        ("olga", "nobody reviews their own"),
        ("mallory", "nobody who may decide"),
        (Principal(id="ana", is_human=False), "no person's"),
    ],
    ids=["the agent", "its owner", "a stranger", "a program"],
)
def test_nobody_reviews_their_own_call_nor_without_being_known(office: Office, by: Any, why: str) -> None:
    """HIT-13: a review that an agent could write would be its own word."""
    ledger = made(office, 2, people=PEOPLE)
    [call] = drawn(office, ledger)

    with pytest.raises(DecisionRefused, match=why) as refused:
        reviewed(office, ledger, call.key, by=by)

    assert f"holdfast show {call.key}" in str(refused.value)
    assert drawn(office, ledger)[0].reviews == ()
    assert reviewed(office, ledger, call.key).reviews[0].by == "ana"


def test_only_what_was_drawn_is_reviewed(office: Office) -> None:
    """HIT-13: a rate over calls that somebody chose would say nothing."""
    ledger = made(office, 1)
    [effect] = office.run(ledger.effects())

    with pytest.raises(InvalidCall, match="was not drawn"):
        reviewed(office, ledger, effect.key)
    with pytest.raises(EffectNotFound):
        reviewed(office, ledger, "v1:" + "0" * 64)
    for verdict, reason in (("fine", "x"), (None, "x"), ("ok", " "), ("ok", "x" * 2001), ("ok", None)):
        with pytest.raises(InvalidCall):
            office.run(ledger.review(effect.key, by="ana", verdict=verdict, reason=reason))


def test_another_tenant_sees_and_reviews_nothing(office: Office) -> None:
    """IDE-11."""
    ledger, other = made(office, 2), office.ledger(tenant="another")
    [call] = drawn(office, ledger)

    assert drawn(office, other) == []
    with pytest.raises(EffectNotFound):
        reviewed(office, other, call.key)


def test_of_a_policy_in_a_file_its_own_share_is_listed(office: Office) -> None:
    """HIT-13: all of one tool, none of another: strata are by tool."""
    rules = """
version: 1
tools: {charge: {args: {amount: int, to: string}}, note: {args: {amount: int, to: string}}}
sample: [{rate: 100%, tool: charge}]
rules: [{id: all, tool: "*", then: allow}]
"""
    ledger = office.ledger(policy=read_policies(rules, secret=b"sixteen bytes and some more"))
    office.call(ledger, requires_approval=False)
    note = call_of()
    office.call(ledger, type(note)(workflow_id="w", tool="note", args=note.args), requires_approval=False)

    assert [(call.tool, call.rule) for call in drawn(office, ledger)] == [("charge", "all")]
