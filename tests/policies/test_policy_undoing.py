"""What undoes an effect on record needs no rule of its own: default deny strands no compensation. CMP-02."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import SyncLedger, ToolCall, Undone
from holdfast.policies import read_policies
from holdfast.policies.cedar import CedarPolicies
from holdfast.ports import Policy

SALES = """
version: 1
agents: {shop: {tools: [sell]}}
rules:
  - {id: sales, tool: sell, then: allow}
"""
CEDAR = '@id("sales") permit (principal, action == Action::"sell", resource);'


def sell(item: str) -> str:
    return item


def take_back(undone: Undone, times: int = 1) -> str:
    del times
    return f"took back {undone.args['item']}"


TOOLS: dict[str, Any] = {"sell": sell, "take_back": take_back}


class Shop:
    """A shop that sells a hat under a policy, and takes it back."""

    def __init__(self, policy: Policy, *, is_named: bool = True) -> None:
        self.ledger = SyncLedger("sqlite:///:memory:", actor="shop", policy=policy)
        back = self.ledger.tool("take_back")(take_back)
        self.ledger.tool("sell", compensate=back if is_named else take_back)(sell)

    def undone(self) -> tuple[str, list[Any], str]:
        """Sell and take back; return the fate of the sale, what is on record of the undo's verdict, and why."""
        with self.ledger as ledger:
            ledger.call(ToolCall(workflow_id="w", tool="sell", args={"item": "hat"}))
            report = ledger.compensate("w", reason="she changed her mind")
            [fate] = [one for one in report.effects if one.tool == "sell"]
            trail = [] if fate.by is None else ledger.audit(fate.by)
            told = [event.details["verdict"] for event in trail if "verdict" in event.details]
            return fate.fate, [(one["is"], one["rule"]) for one in told], fate.why


@pytest.mark.parametrize("is_named", [True, False], ids=["a tool", "a function"])
@pytest.mark.parametrize("kind", ["cel", "cedar"])
def test_an_undo_that_no_rule_is_about_goes_ahead_and_is_recorded_as_such(
    kind: str, *, is_named: bool
) -> None:
    """CMP-02: the sale was allowed; that it can be taken back was never a question of rules."""
    policy = read_policies(SALES, tools=TOOLS) if kind == "cel" else CedarPolicies(CEDAR, tools=TOOLS)

    fate, told, _ = Shop(policy, is_named=is_named).undone()

    assert (fate, told) == ("undone", [("allow", "undo")])


def test_what_undoes_is_denied_to_whoever_calls_it_for_its_own_sake() -> None:
    """SEC-11: neither by its name nor by saying so does a call become an undo."""
    with Shop(read_policies(SALES, tools=TOOLS)).ledger as ledger:
        for args in ({}, {"undoes": "v1:" + "0" * 64}):
            with pytest.raises(Exception) as refused:
                ledger.call(ToolCall(workflow_id="w", tool="take_back", args=args))
            assert type(refused.value).__name__ in {"PolicyDenied", "InvalidCall"}
        assert ledger.effects(tool="take_back", state="succeeded") == []


@pytest.mark.parametrize("when", ["true", 'actor == "shop"', "args.times == 1", 'undoes != ""'])
def test_a_rule_that_denies_an_undo_is_kept(when: str) -> None:
    """CMP-02: deny wins here as everywhere, and the report says which rule it was."""
    rules = f"{SALES}  - {{id: never, tool: take_back, when: '{when}', then: deny}}\n"

    fate, _, why = Shop(read_policies(rules, tools=TOOLS)).undone()

    assert (fate, why) == ("failed", "take_back was not tried (PolicyDenied)")


def test_rules_can_leave_undoing_out() -> None:
    """CMP-02: a freeze that is meant for what is new lets the old be taken back."""
    rules = f"""{SALES}  - {{id: freeze, tool: take_back, when: 'undoes == ""', then: deny}}\n"""

    assert Shop(read_policies(rules, tools=TOOLS)).undone()[0] == "undone"


def test_a_policy_that_fails_allows_no_undo() -> None:
    """X7: only what no rule is about goes ahead, not what cannot be decided."""

    class Broken:
        def needs(self, facts: Any) -> Any:
            return ()

        def decide(self, facts: Any) -> Any:
            if facts.undoes is not None:
                raise KeyError("rule")
            return read_policies(SALES, tools=TOOLS).decide(facts)

    assert Shop(Broken()).undone()[0] == "failed"
