"""What a policy says of a call: denied unless allowed, and asked where people have to decide."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from holdfast._core.chain import Amount
from holdfast._core.contract import Contract
from holdfast.policies import Approve, Policies, read_policies
from holdfast.ports import Allow, Ask, Deny, Window
from policies.shop_rules import CHARGE, charge, facts, said, shop, simple


@pytest.fixture(scope="module")
def policies() -> Policies:
    return shop()


def test_what_a_rule_allows_goes_ahead_and_says_by_which_rule_and_version(policies: Policies) -> None:
    verdict = policies.decide(charge())

    assert verdict == Allow("", "small-charge", policies.version, apart=("olga",))


def test_what_no_rule_allows_is_denied(policies: Policies) -> None:
    verdict = policies.decide(charge(currency="gbp"))

    assert verdict == Deny("no rule allows it", "", policies.version, is_default=True)


@pytest.mark.parametrize(("amount", "expected"), [(500_00, "allow"), (500_01, "ask"), (10_000_01, "deny")])
def test_an_amount_above_the_threshold_is_asked_about(policies: Policies, amount: int, expected: str) -> None:
    """HIT-03: 500 goes ahead, 500.01 does not; in whole minor units."""
    assert said(policies.decide(charge(amount=amount))) == expected


@pytest.mark.parametrize(
    ("confidence", "expected", "rule"),
    [
        (0.71, "allow", "small-charge"),
        (0.7, "allow", "small-charge"),
        (0.69, "ask", "confidence stripe.charge"),
        (0.3, "ask", "confidence stripe.charge"),
        (0.29, "deny", "confidence stripe.charge"),
        (None, "ask", "confidence stripe.charge"),
    ],
)
def test_an_unsure_agent_is_reviewed_a_very_unsure_one_is_rejected_and_silence_counts_as_unsure(
    policies: Policies, confidence: float | None, expected: str, rule: str
) -> None:
    """HIT-02: bands per tool."""
    verdict = policies.decide(replace(charge(), confidence=confidence))

    assert (said(verdict), verdict.rule) == (expected, rule)


@pytest.mark.parametrize("confidence", [True, -0.1, 1.1, float("nan"), "0.9"])
def test_a_confidence_that_is_none_denies(policies: Policies, confidence: float) -> None:
    """HIT-02."""
    verdict = policies.decide(replace(charge(), confidence=confidence))

    assert (said(verdict), verdict.rule) == ("deny", "confidence")


def test_an_agent_is_rejected_when_it_is_silent_and_nobody_reviews() -> None:
    """HIT-02."""
    policies = simple("true", more="confidence: {pay: {reject_below: 0.5}}")

    assert said(policies.decide(facts("pay", {"amount": 1}, confidence=None))) == "deny"
    assert said(policies.decide(facts("pay", {"amount": 1}, confidence=0.5))) == "allow"


def test_each_trigger_alone_stops_a_call_for_people_and_none_of_them_lets_it_go() -> None:
    """HIT-01: high stakes, low confidence, irreversible."""
    policies = simple(
        "true",
        more="""
confidence: {pay: {review_below: 0.7, approve: people}}
chains: {people: {stages: [{role: finance}]}}
""",
    )
    rules = (
        *policies.policy.rules,
        replace(policies.policy.rules[0], id="stakes", when="args.amount > 100", then=_people()),
        replace(
            policies.policy.rules[0],
            id="final",
            when='reversal == "irreversible" && safety == "unsafe"',
            then=_people(),
        ),
    )
    policies = Policies(replace(policies.policy, rules=rules))
    calm = facts("pay", {"amount": 1}, contract=Contract(reversal="reversible"))

    assert said(policies.decide(calm)) == "allow"
    assert policies.decide(replace(calm, args={"amount": 101})).rule == "stakes"
    assert policies.decide(replace(calm, confidence=0.1)).rule == "confidence pay"
    assert policies.decide(replace(calm, contract=Contract())).rule == "final"


def _people() -> Approve:
    return Approve(chain="people")


def test_what_people_are_asked_carries_the_chain_the_amount_and_the_reason(policies: Policies) -> None:
    verdict = policies.decide(charge(amount=600_00))

    assert isinstance(verdict, Ask)
    assert (verdict.reason, verdict.rule, verdict.policy) == ("over 500.00", "big-charge", policies.version)
    assert verdict.amount == Amount(minor=600_00, currency="usd")
    [stage] = verdict.chain.stages
    assert (stage.role, stage.limited, stage.timeout_s, stage.remind_s) == ("finance", True, 900.0, (300.0,))
    assert (stage.escalate, stage.escalate_s) == ("lead", 600.0)
    assert stage.step_up is not None
    assert (stage.step_up.mfa, stage.step_up.max_age_s) == (True, 900.0)
    assert (verdict.chain.valid_s, verdict.chain.risk) == (3600.0, "high")


def test_a_stage_with_a_condition_is_part_of_the_question_only_where_it_holds(policies: Policies) -> None:
    def roles(amount: int) -> list[tuple[str, int]]:
        verdict = policies.decide(charge(amount=amount))
        assert isinstance(verdict, Ask)
        return [(stage.role, stage.quorum) for stage in verdict.chain.stages if stage.role != "operator"]

    assert roles(5000_00) == [("finance", 1)]
    assert roles(5000_01) == [("finance", 1), ("lead", 2)]


def test_a_chain_of_which_no_stage_applies_denies() -> None:
    """Attack 50: a chain without stages has nobody in it who could approve, so it approves nothing."""
    more = "chains: {people: {stages: [{if: args.amount > 100, role: finance}]}}"
    policies = simple("true", then="{approve: people}", more=more)

    assert said(policies.decide(facts("pay", {"amount": 101}))) == "ask"
    verdict = policies.decide(facts("pay", {"amount": 100}))
    assert isinstance(verdict, Deny)
    assert (verdict.rule, verdict.reason) == ("chain people", "no stage of the chain applies to this call")


def test_several_rules_that_ask_are_one_question_with_all_their_stages(policies: Policies) -> None:
    verdict = policies.decide(charge(amount=1000_01))

    assert isinstance(verdict, Ask)
    assert verdict.rule == "big-charge, much-a-day"
    assert verdict.reason == "over 500.00; over 1000.00 in a day"
    assert verdict.chain.name == "finance+operators"
    assert [stage.role for stage in verdict.chain.stages] == ["finance", "operator"]
    assert (verdict.chain.valid_s, verdict.chain.risk) == (3600.0, "high")


def test_a_rule_that_asks_as_well_allows_nothing_by_itself(policies: Policies) -> None:
    """Attack 49: operators are asked about what was guessed; that makes no sum of ten times the limit theirs."""
    over = replace(charge(amount=10_000_01), inferred=("amount",), windows={"daily": 5_000_00})

    assert policies.decide(over) == Deny("no rule allows it", "", policies.version, is_default=True)


def test_deny_wins_over_approve_and_approve_over_allow_in_whatever_order_they_stand() -> None:
    texts = {
        "allow": "{id: a, tool: pay, then: allow}",
        "ask": "{id: b, tool: pay, when: args.amount > 1, then: {approve: people}}",
        "deny": "{id: c, tool: pay, when: args.amount > 2, then: deny}",
    }
    for names in (["allow", "ask", "deny"], ["deny", "ask", "allow"], ["ask", "deny", "allow"]):
        policies = _pay("[" + ", ".join(texts[name] for name in names) + "]")
        found = [said(policies.decide(facts("pay", {"amount": amount}))) for amount in (1, 2, 3)]
        assert found == ["allow", "ask", "deny"]


def _pay(rules: str) -> Policies:
    return read_policies(
        f"version: 1\ntools: {{pay: {{args: {{amount: int}}}}}}\nrules: {rules}\n"
        "chains: {people: {stages: [{role: finance}]}}\n"
    )


def test_an_agent_uses_the_tools_that_it_is_granted_and_no_other(policies: Policies) -> None:
    """SEC-11: what the rules allow everybody, an agent without the grant may not."""
    mail = facts("mail.send", {"to": ["a@ours.example"]})

    assert said(policies.decide(replace(mail, actor="mail-bot"))) == "allow"
    assert policies.decide(replace(charge(), actor="mail-bot")) == Deny(
        "this agent may not use this tool", "agents", policies.version
    )
    assert said(policies.decide(replace(mail, actor="unheard-of"))) == "deny"
    assert said(policies.decide(replace(mail, actor="Mail-bot"))) == "deny"


def test_who_answers_for_an_agent_never_decides_on_its_calls(policies: Policies) -> None:
    """HIT-10: separation of duties; attack 44 by an agent's owner."""
    verdict = policies.decide(facts("stripe.refund", {"amount": 5, "customer": "c"}))

    assert isinstance(verdict, Ask)
    assert verdict.chain.apart == ("carl", "olga")


def test_counts_are_asked_for_and_decide(policies: Policies) -> None:
    needs = policies.needs(charge())

    assert needs == (
        Window(name="daily", tool="stripe.charge", over_s=86400.0, sum_of="amount", by=("customer",)),
    )
    assert said(policies.decide(replace(charge(), windows={"daily": 98_000}))) == "allow"
    assert policies.decide(replace(charge(), windows={"daily": 98_001})).rule == "much-a-day"
    assert policies.needs(facts("mail.send", {})) == policies.needs(facts("nothing", {})) == ()


def test_a_count_per_agent_or_workflow_is_asked_for_that_one() -> None:
    for per, expected in (("actor", ("billing-bot", None)), ("workflow", (None, "order-1"))):
        policies = simple("window.n < 3", more=f"windows: {{n: {{tool: pay, over: 1h, per: {per}}}}}")
        [window] = policies.needs(facts("pay", {"amount": 1}))

        assert (window.actor, window.workflow_id) == expected
        assert window.sum_of is None


@pytest.mark.parametrize("windows", [{}, {"daily": None}, {"daily": "0"}, {"daily": True}, {"daily": 2**63}])
def test_what_was_not_counted_denies(policies: Policies, windows: dict[str, int]) -> None:
    verdict = policies.decide(replace(charge(), windows=windows))

    assert (said(verdict), verdict.rule) == ("deny", "window daily")


def test_rules_know_when_they_are_asked() -> None:
    hours = simple('now.getHours("Europe/Berlin") >= 9 && now.getHours("Europe/Berlin") < 17')

    assert said(hours.decide(facts("pay", {"amount": 1}, now=datetime(2026, 7, 1, 7, tzinfo=UTC)))) == "allow"
    assert said(hours.decide(facts("pay", {"amount": 1}, now=datetime(2026, 1, 1, 7, tzinfo=UTC)))) == "deny"


def test_rules_know_the_environment_the_tenant_and_the_workflow() -> None:
    policies = simple('environment == "staging" && tenant == "acme" && workflow_id.startsWith("test-")')
    call = facts("pay", {"amount": 1}, environment="staging", tenant="acme", workflow_id="test-1")

    assert said(policies.decide(call)) == "allow"
    for other in ({"environment": "production"}, {"tenant": "acm"}, {"workflow_id": "real-1"}):
        assert said(policies.decide(replace(call, **other))) == "deny"


def test_what_the_agent_made_out_by_itself_is_asked_about(policies: Policies) -> None:
    verdict = policies.decide(replace(charge(), inferred=("amount",)))

    assert (said(verdict), verdict.rule) == ("ask", "guessed")


def test_an_argument_that_is_left_out_is_what_the_tool_takes_it_for() -> None:
    policies = simple("args.amount <= 10 && !args.force", args="{amount: int, force: bool}")
    defaulting = simple(
        "args.amount <= 10 && !args.force",
        args="{amount: int, force: bool}, optional: {force: false}",
    )

    assert said(policies.decide(facts("pay", {"amount": 1}))) == "deny"
    assert said(defaulting.decide(facts("pay", {"amount": 1}))) == "allow"
    assert said(defaulting.decide(facts("pay", {"amount": 1, "force": True}))) == "deny"


def test_a_currency_may_be_said_once_for_all(policies: Policies) -> None:
    verdict = policies.decide(facts("stripe.refund", {"amount": 5, "customer": "c"}))

    assert isinstance(verdict, Ask)
    assert verdict.amount == Amount(minor=5, currency="usd")


def test_null_is_a_value_where_the_tool_says_so(policies: Policies) -> None:
    assert said(policies.decide(charge(note=None))) == "allow"
    assert said(policies.decide(charge(note="hello"))) == "allow"
    assert policies.decide(charge(note="a TEST")).rule == "nothing-odd"
    assert CHARGE["amount"] == 2000
