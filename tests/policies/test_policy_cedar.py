"""Cedar behind the same port: what Cedar alone lets through is denied here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cedarpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._core.chain import Amount
from holdfast.errors import InvalidPolicy
from holdfast.policies import ChainRules, ChainStage, Stage
from holdfast.policies.cedar import CedarPolicies
from holdfast.ports import Allow, Ask, Deny
from policies.shop_rules import facts, said

TEXT = """
@id("charge") permit (principal, action == Action::"charge", resource)
when { context.args.amount > 0 && ["usd", "eur"].contains(context.args.currency) };
@id("approval:finance|over 500.00") forbid (principal, action == Action::"charge", resource)
when { context.args.amount > 50000 } unless { context.approved.contains("finance") };
@id("approval:lead|over 5000.00") forbid (principal, action == Action::"charge", resource)
when { context.args.amount > 500000 } unless { context.approved.contains("lead") };
@id("too much") forbid (principal, action == Action::"charge", resource) when { context.args.amount > 1000000 };
@id("approval:lead|never lifted") forbid (principal, action == Action::"charge", resource)
when { context.args has note && context.args.note == "stuck" };
@id("mail") permit (principal == Agent::"mail-bot", action == Action::"mail", resource)
when { ["a@ours", "b@ours"].containsAll(context.args.to) };
@id("unsure") forbid (principal, action, resource) when { context.confidence < 300 };
"""


def charge(amount: int, currency: str = "usd", note: str | None = None) -> None:
    """The tool."""


def mail(to: list[str], delay: float = 0.0) -> None:
    """Another one, with an argument that Cedar has no type for."""


TOOLS = {"charge": charge, "mail": mail}
CHAINS = {
    "finance": ChainRules(stages=[Stage(role="finance", limited=True)], valid_s=60),
    "lead": ChainRules(stages=[Stage(role="lead", quorum=2)], risk="high"),
}


def cedar(text: str = TEXT, **more: Any) -> CedarPolicies:
    told: dict[str, Any] = {
        "tools": TOOLS,
        "chains": CHAINS,
        "stakes": {"charge": ("amount", "currency")},
    } | more
    return CedarPolicies(text, **told)


POLICIES = cedar()


@pytest.mark.parametrize(
    ("args", "expected", "rule"),
    [
        ({"amount": 2000}, "allow", "charge"),
        ({"amount": 50_001}, "ask", "approval:finance|over 500.00"),
        ({"amount": 1_000_001}, "deny", "too much"),
        ({"amount": 0}, "deny", ""),
        ({"amount": 5, "currency": "gbp"}, "deny", ""),
        ({"amount": 5, "note": "stuck"}, "deny", "approval:lead|never lifted"),
        ({"amount": 5, "note": None}, "allow", "charge"),
    ],
)
def test_cedar_decides_and_its_policies_are_named(args: dict[str, Any], expected: str, rule: str) -> None:
    verdict = POLICIES.decide(facts("charge", args))

    assert (said(verdict), verdict.rule, verdict.policy) == (expected, rule, POLICIES.version)


def test_forbids_that_people_may_lift_become_one_question() -> None:
    """HIT-03."""
    verdict = POLICIES.decide(facts("charge", {"amount": 600_000}))

    assert isinstance(verdict, Ask)
    assert (verdict.chain.name, verdict.chain.valid_s, verdict.chain.risk) == ("finance+lead", 60, "high")
    assert [(stage.role, stage.quorum) for stage in verdict.chain.stages] == [("finance", 1), ("lead", 2)]
    assert verdict.reason == "over 500.00; over 5000.00"
    assert verdict.amount == Amount(minor=600_000, currency="usd")


OPEN = """
@id("all") permit (principal, action, resource);
@id("limit") forbid (principal, action == Action::"charge", resource) when { context.args.amount > 500 };
"""


def test_cedar_alone_lets_a_text_through_where_a_number_was_meant() -> None:
    """The reason for this module; should it fail, Cedar has become stricter."""
    request = {
        "principal": 'Agent::"a"',
        "action": 'Action::"charge"',
        "resource": 'Tool::"charge"',
        "context": {"args": {"amount": "501"}},
    }

    alone = cedarpy.is_authorized(request, OPEN, [])

    assert alone.decision is cedarpy.Decision.Allow
    assert alone.diagnostics.errors


ODD = [
    *({"amount": "501"}, {"amount": 501.0}, {"amount": True}, {"amount": None}, {"amount": 2**63}, {}),
    *({"Amount": 501}, {"amount": 1, "Amount": 501}, {"amount": {"__extn": {"fn": "decimal", "arg": "1"}}}),
    *({"amount": 1, "currency": 5}, {"amount": 1, "note": ["x"]}, {"amount": -5}, {"amount": [1]}),
]


@pytest.mark.parametrize("args", ODD, ids=str)
def test_what_is_odd_is_denied(args: dict[str, Any]) -> None:
    """Attack 52, behind Cedar."""
    policies = cedar(OPEN)

    assert isinstance(policies.decide(facts("charge", args)), Deny)
    assert isinstance(policies.decide(facts("charge", {"amount": 500})), Allow)


def test_a_forbid_that_goes_wrong_forbids() -> None:
    """Attack 52, behind Cedar: alone it would be skipped, and the permit beside it would count."""
    policies = cedar(
        OPEN.replace("context.args.amount > 500", "context.args.amount + 9223372036854775807 > 0")
    )

    verdict = policies.decide(facts("charge", {"amount": 1}))

    assert verdict == Deny("a policy has no answer for this call", "", policies.version)


@pytest.mark.parametrize("tool", ["Charge", "charge ", "ch\u0430rge", "", None, "refund"])
def test_another_tool_is_denied(tool: Any) -> None:
    """Attack 52, behind Cedar."""
    assert isinstance(cedar(OPEN).decide(facts(tool, {"amount": 1})), Deny)


def test_grants_are_policies_on_principals() -> None:
    """SEC-11."""
    call = facts("mail", {"to": ["a@ours"], "delay": 0.5}, actor="mail-bot")

    assert said(POLICIES.decide(call)) == "allow"
    for actor in ("billing-bot", "Mail-bot", "mail-bot\n", "", None, {"type": "Agent", "id": "mail-bot"}):
        assert said(POLICIES.decide(replace(call, actor=actor))) == "deny"


@pytest.mark.parametrize(
    ("confidence", "expected"),
    [
        (0.3, "allow"),
        (0.29, "deny"),
        (None, "deny"),
        (True, "deny"),
        (float("nan"), "deny"),
        ("1", "deny"),
        (2, "deny"),
    ],
)
def test_confidence_is_in_thousandths_and_silence_is_none(confidence: Any, expected: str) -> None:
    """HIT-02."""
    assert said(POLICIES.decide(facts("charge", {"amount": 5}, confidence=confidence))) == expected


SLIPS = {
    "empty": (" ", {}),
    "no Cedar": ("permit (", {}),
    "an argument that is none": (TEXT.replace("args.amount > 50000 ", "args.amuont > 50000 "), {}),
    "a text for a number": (TEXT.replace("> 50000 ", '> "50000" '), {}),
    "an argument that may be missing": (TEXT.replace("context.args has note && ", ""), {}),
    "a tool that is none": (TEXT.replace('Action::"mail"', 'Action::"mial"'), {}),
    "a type that Cedar has not": (OPEN.replace("args.amount", "args.delay"), {}),
    "no id": (TEXT.replace('@id("too much") ', ""), {}),
    "an id twice": (TEXT.replace('@id("too much")', '@id("charge")'), {}),
    "an unknown chain": (TEXT.replace("approval:lead|over", "approval:board|over"), {}),
    "a chain of no stages": (TEXT, {"chains": CHAINS | {"lead": ChainRules(stages=[])}}),
    "a stage with a condition": (
        TEXT,
        {"chains": CHAINS | {"lead": ChainRules(stages=[ChainStage(stage=Stage(), when="args.amount > 5")])}},
    ),
    "a template": (OPEN + '@id("t") permit (principal == ?principal, action, resource);', {}),
    "stakes that are none": (OPEN, {"stakes": {"charge": ("currency", "amount")}}),
    "stakes of no currency": (OPEN, {"stakes": {"charge": ("amount", "dollars")}}),
    "stakes of no tool": (OPEN, {"stakes": {"refund": ("amount", "usd")}}),
    "a tool's name that hides something": (OPEN, {"tools": TOOLS | {'x"; permit': charge}}),
}


@pytest.mark.parametrize(("text", "more"), SLIPS.values(), ids=SLIPS.keys())
def test_policies_that_do_not_fit_the_tools_are_refused_when_they_are_loaded(text: str, more: Any) -> None:
    """SEC-13, attacks 50 and 53, behind Cedar."""
    with pytest.raises(InvalidPolicy) as found:
        cedar(text, **more)

    assert found.value.fix


def test_the_version_is_of_what_is_said() -> None:
    """SEC-13."""
    assert cedar(TEXT.replace("\n", "\n\n") + "// a remark").version == POLICIES.version
    assert cedar(TEXT.replace("50000 ", "50001 ")).version != POLICIES.version
    other = CHAINS | {"lead": ChainRules(stages=[Stage(role="lead", quorum=3)], risk="high")}
    assert cedar(chains=other).version != POLICIES.version


VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.lists(st.integers())
)


@given(args=st.dictionaries(st.sampled_from(["amount", "currency", "note", "x", "__entity"]), VALUES))
def test_only_what_is_as_declared_goes_ahead(args: dict[str, Any]) -> None:
    """Attack 52, by chance, behind Cedar."""
    verdict = POLICIES.decide(facts("charge", args))

    if isinstance(verdict, Allow):
        assert args.keys() <= {"amount", "currency", "note"}
        assert type(args["amount"]) is int
        assert 0 < args["amount"] <= 50_000
        assert args.get("currency", "usd") in {"usd", "eur"}
