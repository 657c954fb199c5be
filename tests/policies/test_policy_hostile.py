"""Attacks 49, 52 and 55: whatever a call brings that is odd, no rule lets it through."""

from __future__ import annotations

from collections import UserDict
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policies import Policies, read_policies
from holdfast.ports import Allow, Ask, Deny
from policies.shop_rules import CHARGE, charge, facts, said, shop, simple

POLICIES = shop()


class Sly(int):
    """Says that it is small to whoever compares it."""

    def __le__(self, other: object) -> bool:
        return True

    def __lt__(self, other: object) -> bool:
        return True


NO_INTEGERS = [
    *("501", "", 5.0, 500.5, True, False, None, [], [5], {}, {"value": 5}, 2**63, -(2**63) - 1, 10**400),
    *(float("nan"), float("inf"), Decimal(5), Sly(10**9), b"5", 5j),
]


@pytest.mark.parametrize("amount", NO_INTEGERS, ids=repr)
def test_what_is_no_integer_of_64_bits_is_denied_where_an_integer_is_meant(amount: Any) -> None:
    """Attack 52: "501", True and 501.0 are no 501."""
    verdict = POLICIES.decide(charge(amount=amount))

    assert isinstance(verdict, Deny)
    assert "small-charge" in verdict.rule
    assert verdict.reason.startswith("args.amount ")


MISNAMED = ["Amount", "amount ", " amount", "\u0430mount", "amount\u200b", "AMOUNT", "args.amount"]


@pytest.mark.parametrize("name", MISNAMED, ids=ascii)
def test_an_argument_under_another_name_is_denied_beside_and_instead_of_the_right_one(name: str) -> None:
    """Attack 52."""
    rest = {key: value for key, value in CHARGE.items() if key != "amount"}

    assert said(POLICIES.decide(facts(args=rest))) == "deny"
    assert said(POLICIES.decide(facts(args={**rest, name: 2000}))) == "deny"
    assert said(POLICIES.decide(facts(args={**CHARGE, name: 10**9}))) == "deny"


TOOLS = [
    *(
        "Stripe.charge",
        "stripe.charge ",
        " stripe.charge",
        "stripe.charge\n",
        "stripe.Charge",
        "STRIPE.CHARGE",
    ),
    *(
        "\u0455tripe.charge",
        "stripe\u2024charge",
        "stripe.charge\u200b",
        "stripe.char",
        "stripe",
        "stripe.*",
        "*",
        "",
    ),
    *("stripe.charge.v2", "stripe.charge\x00", "stripe/charge", None, 5, ["stripe.charge"], True),
]


@pytest.mark.parametrize("tool", TOOLS, ids=ascii)
def test_a_tool_of_another_name_is_another_tool(tool: Any) -> None:
    """Attack 52: case, spaces, look-alikes, patterns."""
    assert isinstance(POLICIES.decide(facts(tool)), Deny)


def test_a_declared_tool_that_no_rule_is_about_is_denied() -> None:
    """Attack 52: an unknown tool."""
    policies = simple("true", more="", args="{amount: int}}, other: {args: {}")

    assert said(policies.decide(facts("pay", {"amount": 1}))) == "allow"
    assert said(policies.decide(facts("other", {}))) == "deny"
    assert policies.tools == ("pay",)


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({"amount": -5}, "negative"),
        ({"amount": -(2**63)}, "negative"),
        ({"currency": ""}, "three letters"),
        ({"currency": "US$"}, "three letters"),
        ({"currency": "dollars"}, "three letters"),
        ({"currency": "\uff55\uff53\uff44"}, "three letters"),
        ({"currency": "u\u0455d"}, "three letters"),
        ({"currency": ["usd"]}, "args.currency is a list"),
    ],
    ids=ascii,
)
def test_what_no_limit_could_be_held_against_is_denied(args: dict[str, Any], why: str) -> None:
    """Attack 49: a negative sum, a currency that is none; limits are of the currency's own smallest unit."""
    permissive = read_policies(
        """
version: 1
tools: {pay: {args: {amount: int, currency: string}, amount: args.amount, currency: args.currency}}
rules: [{id: all, tool: pay, then: {approve: people}}]
chains: {people: {stages: [{role: finance, limited: true}]}}
"""
    )

    verdict = permissive.decide(facts("pay", {"amount": 5, "currency": "usd"} | args))

    assert isinstance(verdict, Deny)
    assert why in verdict.reason


def test_another_currency_is_asked_about_as_that_currency() -> None:
    """Attack 49: 60000 yen are asked about as yen, for whom a limit in dollars is none."""
    verdict = POLICIES.decide(charge(amount=60_000, currency="JPY"))

    assert isinstance(verdict, Ask)
    assert verdict.amount is not None
    assert (verdict.amount.minor, verdict.amount.currency) == (60_000, "jpy")
    assert all(stage.limited for stage in verdict.chain.stages if stage.role == "finance")


RUNTIME = {
    "args.amount + 9223372036854775807 > 0": {"amount": 1},
    "args.amount / (args.amount - 1) >= 0": {"amount": 1},
    'args.tags["vip"] == 1': {"tags": {}},
    "args.names[3] == 'a'": {"names": []},
    "args.maybe > 5": {"maybe": None},
    "args.text.matches(args.pattern)": {"pattern": "(("},
    "int(args.text) > 5": {"text": "five"},
    'timestamp(args.text) < now || args.text == "x"': {"text": "soon"},
    "duration(args.text) < duration('1h')": {"text": "??"},
    "args.names.all(one, int(one) > 0)": {"names": ["1", "x"]},
}
ARGS = "{amount: int, tags: map(int), names: list(string), maybe: int or null, text: string, pattern: string}"
PLAIN: dict[str, Any] = {"amount": 1, "tags": {}, "names": [], "maybe": 1, "text": "", "pattern": ""}


@pytest.mark.parametrize(("when", "args"), RUNTIME.items())
@pytest.mark.parametrize("then", ["allow", "deny"])
def test_a_condition_without_an_answer_denies_and_says_whose_it_is_but_no_value(
    when: str, args: dict[str, Any], then: str
) -> None:
    """Attack 52: an error is neither true nor false; in a rule that denies it is no "does not apply"."""
    policies = simple(when, then=then, args=ARGS)
    beside = replace(
        policies.policy.rules[0], id="open", when="true", then="allow"
    )  # what stands behind it must not run
    policies = Policies(replace(policies.policy, rules=(*policies.policy.rules, beside)))

    verdict = policies.decide(facts("pay", PLAIN | args))

    assert isinstance(verdict, Deny)
    assert verdict.rule == "only"
    assert verdict.reason.startswith("its condition has no answer for this call (")
    assert all(value not in verdict.reason for value in ("five", "soon", "??", "vip"))


def test_a_pattern_that_blows_up_elsewhere_is_answered_in_no_time() -> None:
    """Attack 55: linear by construction; the call is 40,000 letters long."""
    policies = simple('args.text.matches("^(a+)+$")', args="{text: string}")

    assert said(policies.decide(facts("pay", {"text": "a" * 40_000 + "b"}))) == "deny"
    assert said(policies.decide(facts("pay", {"text": "a" * 40_000}))) == "allow"


def test_a_list_too_long_to_be_looked_through_is_denied() -> None:
    """Attack 55: loops within loops over what a call brings."""
    policies = simple(
        "args.names.all(a, args.names.all(b, args.names.all(c, a == b || b == c || a != c)))",
        args="{names: list(string)}",
    )
    flat = simple("args.names.all(a, a == 'x')", args="{names: list(string)}")

    assert isinstance(policies.decide(facts("pay", {"names": ["x"] * 1_000})), Deny)
    assert isinstance(flat.decide(facts("pay", {"names": ["x"] * 1_001})), Deny)
    assert isinstance(flat.decide(facts("pay", {"names": ["x"] * 1_000})), Allow)


@pytest.mark.parametrize(
    "odd",
    [
        {"now": datetime(2026, 1, 1)},  # noqa: DTZ001 - a moment of nowhere is what this is about
        {"now": None},
        {"tenant": None},
        {"actor": 5},
        {"actor": ["billing-bot"]},
        {"environment": b"production"},
        {"inferred": (5,)},
        {"inferred": None},
        {"args": None},
        {"args": [("amount", 1)]},
        {"contract": None},
        {"windows": None},
    ],
    ids=str,
)
def test_facts_that_are_none_deny(odd: dict[str, Any]) -> None:
    """Attack 52: nothing raises, and nothing goes ahead."""
    verdict = POLICIES.decide(replace(charge(), **odd))

    assert isinstance(verdict, Deny)
    assert verdict.policy == POLICIES.version


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*CHARGE, "note", "Amount", "\u0430mount", "x"]) | st.text(max_size=6)


@given(args=st.dictionaries(NAMES, JSONISH, max_size=5), confidence=JSONISH, windows=JSONISH)
def test_only_a_call_that_is_as_declared_goes_ahead_whatever_else_is_tried(
    args: dict[str, Any], confidence: Any, windows: Any
) -> None:
    """Attack 52, by chance: what is allowed fits the rule to the letter."""
    call = replace(facts(args=args), confidence=confidence, windows=windows)

    verdict = POLICIES.decide(call)

    if isinstance(verdict, Allow):
        assert args.keys() <= {*CHARGE, "note"}
        assert type(args["amount"]) is int
        assert 0 < args["amount"] <= 50_000
        assert args["currency"] in {"usd", "eur"}
        assert type(confidence) in {int, float}
        assert 0.7 <= confidence <= 1


@given(change=st.dictionaries(st.sampled_from(sorted(CHARGE)), JSONISH, min_size=1))
def test_a_valid_call_with_anything_else_in_one_place_goes_ahead_only_if_it_is_valid_again(
    change: dict[str, Any],
) -> None:
    """Attack 52, by chance, near the edge."""
    verdict = POLICIES.decide(charge(**change))

    if isinstance(verdict, Allow):
        args = CHARGE | change
        assert (type(args["amount"]), type(args["currency"]), type(args["customer"])) == (int, str, str)
        assert 0 < args["amount"] <= 50_000


@given(
    tool=st.text(max_size=14) | st.sampled_from(["stripe.charge", "mail.send"]), actor=st.text(max_size=12)
)
def test_only_a_granted_tool_of_a_known_agent_goes_ahead(tool: str, actor: str) -> None:
    """SEC-11, by chance."""
    verdict = POLICIES.decide(replace(charge(), tool=tool, actor=actor))

    assert isinstance(verdict, Deny) or (tool, actor) == ("stripe.charge", "billing-bot")


@given(
    amount=st.integers(-(2**63), 2**63 - 1),
    daily=st.integers(-(2**63), 2**63 - 1),
    confidence=st.none() | st.floats(0, 1),
)
def test_a_larger_sum_is_never_decided_more_freely(amount: int, daily: int, confidence: float | None) -> None:
    """HIT-03, by chance: deny, ask and allow lie in the order of the amount."""
    call = replace(charge(amount=amount), windows={"daily": daily}, confidence=confidence)

    expected = "allow" if 0 < amount <= 50_000 else "ask" if 50_000 < amount <= 1_000_000 else "deny"
    if expected == "allow" and (confidence is None or confidence < 0.7 or daily + amount > 100_000):
        expected = "ask"
    if (confidence is not None and confidence < 0.3) or daily + amount >= 2**63 or daily + amount < -(2**63):
        expected = "deny"
    assert said(POLICIES.decide(call)) == expected


def test_arguments_that_only_look_like_a_mapping_are_read_like_one() -> None:
    assert said(POLICIES.decide(facts(args=UserDict(CHARGE)))) == "allow"
