"""Conditions are asked together, and each has the answer that it has by itself."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.errors import InvalidPolicy
from holdfast.policies import PolicySet, Rule, ToolRules, load_policies
from holdfast.ports import Allow, Deny
from policies.shop_rules import facts

PAY = {"pay": ToolRules(args={"amount": "int", "items": "list(int)", "note": "string or null"})}


def ruled(*conditions: str, then: Any = "allow", **args: Any) -> Any:
    """Ask rules of these conditions, named by number, about a payment."""
    rules = [Rule(id=f"r{n:03}", tool="pay", when=when, then=then) for n, when in enumerate(conditions)]
    policies = load_policies(PolicySet(rules=rules, tools=PAY))
    return policies.decide(facts("pay", {"amount": 5, "items": [], "note": None, **args}))


def test_of_many_rules_those_count_that_are_true() -> None:
    """SEC-13: also where they are more than are asked at once."""
    said = ruled(*(f"args.amount == {n}" if n % 7 else "args.amount > 1" for n in range(130)))

    assert isinstance(said, Allow)
    assert said.rule.split(", ") == sorted({"r005", *(f"r{n:03}" for n in range(0, 130, 7))})


@pytest.mark.parametrize("place", [0, 1, 39, 40, 89])
@pytest.mark.parametrize("then", ["allow", "deny"])
def test_one_that_has_no_answer_denies_under_its_own_name(place: int, then: str) -> None:
    """X7: it hides behind none of its neighbours, and they do not hide it."""
    conditions = ["true" if then == "allow" else "false"] * 90
    conditions[place] = "args.items[3] > 0"

    said = ruled(*conditions, then=then)

    assert isinstance(said, Deny)
    assert (said.rule, "no answer" in said.reason) == (f"r{place:03}", True)


@pytest.mark.parametrize(
    "odd",
    [
        "args.amount == 5 // ) ? 7 : -1",
        'args.note == null || args.note != ") ? 0 : -1].filter(n, n >= 0)"',
        '"""\n) ? 1 : 2\n""" != ""',
        "[3, -1].exists(n, n == -1)",
        "args.amount == 5 ? true : false",
        "(" * 28 + "true" + ")" * 28,
        "args.amount == 5" + " && true" * 240,
    ],
    ids=["comment", "text", "long text", "its own n", "conditional", "deep", "long"],
)
def test_how_a_condition_is_written_changes_nothing_for_its_neighbours(odd: str) -> None:
    """SEC-13."""
    said = ruled("false", odd, "args.amount == 6", odd, "args.amount == 5")

    assert isinstance(said, Allow)
    assert said.rule == "r001, r003, r004"


def test_conditions_that_are_too_much_together_are_asked_one_by_one() -> None:
    """SEC-13: the evaluator's limit is on each of them, not on how many there are."""
    said = ruled(*["args.items.all(item, item >= 0)"] * 40, items=list(range(1000)))

    assert isinstance(said, Allow)
    assert len(said.rule.split(", ")) == 40


@pytest.mark.parametrize("text", ["true), (false", "true) ? 0 : -1, (true", "true].filter(n, true) == [true"])
def test_no_condition_reaches_out_of_its_place(text: str) -> None:
    """X7: what is no expression by itself is refused, whatever it would be among others."""
    with pytest.raises(InvalidPolicy, match="r000"):
        ruled(text)


def test_a_hundred_rules_take_a_handful_of_evaluations() -> None:
    """SEC-13: counted, not timed; bench/policy times it."""
    rules = [Rule(id=f"r{n}", tool="pay", when=f"args.amount == {n}", then="allow") for n in range(100)]
    policies = load_policies(PolicySet(rules=rules, tools=PAY))

    assert len(policies._tools["pay"].conditions._programs) <= 3
