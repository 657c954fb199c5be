"""`holdfast policy simulate --since`: what other rules would have said of the calls on record."""

from __future__ import annotations

from pathlib import Path

import pytest
from policy_desk import PAY, spend

from holdfast import SyncLedger, ToolCall
from holdfast.errors import ApprovalRequired, PolicyDenied
from holdfast.policies import load_policies


@pytest.fixture
def pay(home: Path) -> Path:
    """The policy in the working directory."""
    path = home / "pay.yaml"
    path.write_text(PAY)
    return path


def test_recorded_calls_are_replayed_and_those_decided_otherwise_are_listed(pay, run, read):
    """SEC-13: what would change, before it does."""
    spend(100, 400, 600, 700)

    told = run("policy", "simulate", "pay.yaml", "--since", "7d")
    lines = read("policy", "simulate", "pay.yaml", "--since", "7d")

    assert told.exit_code == 1
    assert "2 of 4 would now ask (big)" in told.stderr
    assert [(line["workflow_id"], line["before"], line["now"], line["rule"]) for line in lines] == [
        ("w2", "allow", "ask", "big"),
        ("w3", "allow", "ask", "big"),
    ]
    assert list(lines[0]) == ["key", "tool", "workflow_id", "before", "now", "rule", "reason"]
    assert len(told.stdout.splitlines()[0].split("\t")) == 7


def test_a_policy_that_changes_nothing_exits_with_0(pay, run):
    spend(100, 400)

    told = run("policy", "simulate", "pay.yaml", "--since", "1h")

    assert (told.exit_code, told.stdout) == (0, "")
    assert "2 calls, and none would be decided otherwise" in told.stderr


def test_what_waits_for_people_was_asked_and_what_rules_denied_was_denied(pay, run, read):
    with pytest.raises(ApprovalRequired):
        spend(600, requires_approval=True)
    with pytest.raises(ApprovalRequired):
        spend(100, requires_approval=True)
    with (
        SyncLedger("sqlite:///holdfast.db", policy=load_policies(pay)) as ledger,
        pytest.raises(PolicyDenied),
    ):
        ledger.run(
            ToolCall(workflow_id="w9", tool="pay", args={"amount": "5", "to": "bob"}), lambda **_: "paid"
        )
    pay.write_text(
        PAY.replace("args.amount > 500, then: {approve: finance}", "args.amount > 900, then: deny")
    )

    told = run("policy", "simulate", "pay.yaml", "--since", "1h")
    lines = read("policy", "simulate", "pay.yaml", "--since", "1h")

    assert sorted((line["before"], line["now"], line["rule"]) for line in lines) == [
        ("ask", "allow", "small"),
        ("ask", "deny", ""),
    ]
    assert "1 of 3 would now allow (small)" in told.stderr


def test_two_policies_are_compared_on_what_is_recorded(pay, home, run, read):
    spend(100, 400, 600)
    (home / "new.yaml").write_text(PAY.replace("<= 500", "<= 300").replace("> 500", "> 300"))

    told = run("policy", "simulate", "new.yaml", "--against", "pay.yaml", "--since", "1h")
    same = run("policy", "simulate", "pay.yaml", "--against", "pay.yaml", "--since", "1h")

    assert told.exit_code == 1
    assert "1 of 3 would now ask (big)" in told.stderr
    assert same.exit_code == 0


def test_what_was_counted_then_is_counted_again(pay, run, read):
    """Attack 25: payments each below the limit are together above it."""
    window = "windows: {day: {tool: pay, sum: args.amount, over: 1d, by: [to]}}\nrules:\n"
    rule = '  - {id: day, tool: pay, when: "window.day + args.amount > 1000", then: deny}\n'
    pay.write_text(PAY.replace("rules:\n", window + rule))
    spend(400, 400, 400, 100)

    lines = read("policy", "simulate", "pay.yaml", "--since", "1h")

    assert [(line["workflow_id"], line["rule"]) for line in lines] == [("w2", "day"), ("w3", "day")]


def test_confidence_is_assumed_as_said_for_it_is_not_on_record(pay, run):
    pay.write_text(PAY + "confidence: {pay: {review_below: 0.7, approve: finance}}\n")
    spend(100)

    silent = run("policy", "simulate", "pay.yaml", "--since", "1h")
    sure = run("policy", "simulate", "pay.yaml", "--since", "1h", "--confidence", "0.9")

    assert (silent.exit_code, sure.exit_code) == (1, 0)
    assert "--confidence says what to assume" in silent.stderr
    assert "--confidence" not in sure.stderr


def test_what_is_newer_than_the_limit_is_said(pay, run):
    spend(100, 200, 300)

    told = run("policy", "simulate", "pay.yaml", "--since", "1h", "--limit", "2")

    assert "newest 2" in told.stderr
