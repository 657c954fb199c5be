"""``holdfast oversight sampled`` and ``review``: what was let pass is looked at afterwards, at a terminal. HIT-13."""

from __future__ import annotations

import json

import pytest

from holdfast import SyncLedger, ToolCall
from holdfast.policies import read_policies

RULES = """
version: 1
tools: {pay: {args: {amount: int}}, mail: {args: {amount: int}}}
sample: [{rate: 100%, tool: pay}]
rules: [{id: all, tool: "*", then: allow}]
"""


@pytest.fixture
def keys(home):
    """Leave two payments, which are drawn, and a mail, which is not; return the payments' keys."""
    policy = read_policies(RULES, secret=b"sixteen bytes and some more")
    with SyncLedger("sqlite:///holdfast.db", policy=policy) as ledger:
        for tool, amount in (("pay", 1), ("pay", 2), ("mail", 3)):
            call = ToolCall(workflow_id=f"order-{amount}", tool=tool, args={"amount": amount})
            ledger.run(call, lambda amount: amount)
        return [effect.key for effect in reversed(ledger.effects(tool="pay"))]


def test_what_is_drawn_is_listed_reviewed_and_counted(keys, run):
    """HIT-12, HIT-13: and exported when it ought not to have passed."""
    listed = [json.loads(line) for line in run("oversight", "sampled", "--json").stdout.splitlines()]
    assert {one["key"] for one in listed} == set(keys)
    assert {(one["rule"], one["verdict"]) for one in listed} == {("all", None)}

    one = run("oversight", "review", keys[0], "--verdict", "wrong", "--by", "ana", "--reason", "paid twice")
    run("oversight", "review", keys[1][3:12], "--verdict", "ok", "--by", "ana", "--reason", "seen")

    assert one.stdout == f"{keys[0]}\twrong\n"
    assert run("oversight", "sampled", "--open").stdout == ""
    assert "pay: 2 drawn, 2 looked at, 1 wrong" in run("oversight", "sampled").stderr
    report = json.loads(run("oversight", "--json").stdout)
    assert (report["reviewed"], report["wrong"], report["override_rate"]) == (2, 1, 0.5)
    [case] = [json.loads(line) for line in run("oversight", "export").stdout.splitlines()]
    assert (case["id"], case["reason"]) == (keys[0], "paid twice")


@pytest.mark.parametrize(
    "args",
    [
        ["--verdict", "fine", "--by", "ana", "--reason", "x"],
        ["--verdict", "ok", "--by", "agent", "--reason", "x"],
        ["--verdict", "ok", "--by", "ana", "--reason", " "],
        ["--verdict", "ok", "--by", "ana"],
    ],
    ids=["no finding", "the agent itself", "no reason", "none"],
)
def test_a_review_that_says_nothing_or_is_the_agents_own_is_refused(keys, run, args):
    """HIT-13."""
    assert run("oversight", "review", keys[0], *args).exit_code != 0
    assert json.loads(run("oversight", "--json").stdout)["reviewed"] == 0
