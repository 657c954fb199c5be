"""`holdfast policy`: rules are checked, tried and replayed before they are in force."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from policy_desk import PAY, spend

from holdfast.policies import load_policies


@pytest.fixture
def pay(home: Path) -> Path:
    """The policy in the working directory."""
    path = home / "pay.yaml"
    path.write_text(PAY)
    return path


def test_a_policy_that_can_be_used_is_told_with_its_version(pay, run, read):
    told = run("policy", "check", "pay.yaml")
    [fields] = read("policy", "check", "pay.yaml")

    version = load_policies(pay).version
    assert told.exit_code == 0
    assert told.stdout == f"{version}\t3\t1\t2\n"
    assert fields == {
        "version": version,
        "rules": ["small", "big", "mail"],
        "chains": ["finance"],
        "tools": ["mail", "pay"],
    }


def test_a_policy_that_cannot_be_used_is_one_line_with_the_place_and_the_mending(pay, run):
    """INT-09: good errors."""
    pay.write_text(PAY.replace("args.amount <= 500", "args.amuont <= 500"))

    told = run("policy", "check", "pay.yaml")

    assert told.exit_code == 1
    assert told.stdout == ""
    assert told.stderr == (
        "error: pay.yaml:7, rule small: args.amuont is no argument (for pay); there are: args.amount, args.to "
        "[invalid-policy]\n"
    )


def test_a_directory_or_several_files_are_one_policy(pay, home, run):
    (home / "rules").mkdir()
    for name, part in zip("ab", PAY.split("chains:"), strict=True):
        (home / "rules" / f"{name}.yaml").write_text(part if name == "a" else f"version: 1\nchains:{part}")

    told = [run("policy", "check", *files).stdout for files in (["rules"], ["rules/a.yaml", "rules/b.yaml"])]

    assert told[0] == told[1] == run("policy", "check", "pay.yaml").stdout != ""


APP = """
from holdfast import SyncLedger
ledger = SyncLedger("sqlite:///:memory:")

@ledger.tool("pay")
def pay(amount: int, to: str, note: str = "") -> str:
    return "paid"

@ledger.tool("mail", requires_approval=True)
def mail(to: str) -> str:
    return "sent"
"""


def test_rules_are_checked_against_the_applications_own_tools(pay, run_app):
    """SEC-13."""
    rules = PAY.partition("tools:")[0] + "rules:" + PAY.partition("rules:")[2]
    pay.write_text(rules)
    fits = run_app(APP, "policy", "check", "pay.yaml")
    call = '{"tool": "mail", "args": {"to": "bob"}}'
    asks = run_app(APP, "policy", "simulate", "pay.yaml", "--call", call, "--exit-code")
    differs = run_app(APP.replace("amount: int", "amount: str"), "policy", "check", "pay.yaml")

    assert fits.exit_code == 0
    assert (asks.exit_code, asks.stdout.split("\t")[:2]) == (5, ["ask", "requires_approval"])
    assert differs.exit_code == 1
    assert "rule big" in differs.stderr


def test_examples_are_tried_and_rules_that_counted_in_none_are_listed(pay, run, read):
    told = run("policy", "test", "pay.yaml")
    lines = read("policy", "test", "pay.yaml")

    assert told.exit_code == 0
    assert told.stderr == "3 tests, 0 not as expected\nnever counted: mail\n"
    assert [line["ok"] for line in lines] == [True, True, True, None]
    assert lines[1] == {
        "what": "test",
        "name": "a cent more",
        "ok": True,
        "expected": "ask",
        "verdict": "ask",
        "rule": "big",
        "why": "big: asks finance",
    }
    assert told.stdout.splitlines()[3] == "never\tmail\t\t\t\tmail\tit counted in no test"
    assert run("policy", "test", "pay.yaml", "--all-rules").exit_code == 1


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("expect: allow", "expect: deny"),
        ("rule: big", "rule: small"),
        ("chain: finance}", "chain: board}"),
        ("why: not int", "why: too much"),
        ("args.amount > 500", "args.amount > 600"),
    ],
)
def test_an_example_that_comes_out_otherwise_is_a_failure(pay, run, right, wrong):
    pay.write_text(PAY.replace(right, wrong))

    told = run("policy", "test", "pay.yaml")

    assert told.exit_code == 1
    assert "1 not as expected" in told.stderr
    assert "\tno\t" in told.stdout


def test_no_examples_are_no_success(pay, run):
    pay.write_text(PAY.partition("tests:")[0])

    assert run("policy", "test", "pay.yaml").exit_code == 1


@pytest.mark.parametrize("wrong", ["expect: maybe", "expct: allow"])
def test_an_example_that_means_nothing_is_told(pay, run, wrong):
    pay.write_text(PAY.replace("expect: allow", wrong))

    told = run("policy", "test", "pay.yaml")

    assert (told.exit_code, "test 1" in told.stderr) == (1, True)


@pytest.mark.parametrize(
    ("amount", "code", "told"),
    [
        ("500", 0, "allow\tsmall\t\t\t"),
        ("501", 5, "ask\tbig\tfinance\tbig: asks finance\t"),
        ('"501"', 4, "deny\tbig, small\t\targs.amount is string, not int\t"),
    ],
)
def test_one_call_is_simulated(pay, run, read, amount, code, told):
    call = f'{{"tool": "pay", "args": {{"amount": {amount}, "to": "bob"}}}}'

    answer = run("policy", "simulate", "pay.yaml", "--call", call, "--exit-code")
    [fields] = read("policy", "simulate", "pay.yaml", "--call", call)

    assert answer.exit_code == code
    assert answer.stdout == f"{told}{load_policies(pay).version}\n"
    assert list(fields) == ["verdict", "rule", "reason", "chain", "stages", "policy"]
    assert fields["stages"] == ([{"role": "finance", "quorum": 2}] if code == 5 else [])


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--call", "{}", "--since", "7d"],
        ["--call", "{"],
        ["--call", "[]"],
        ["--call", "{}"],
        ["--call", '{"tool": "pay", "arguments": {}}'],
        ["--call", '{"tool": "pay", "args": {}, "now": "later"}'],
        ["--call", '{"tool": "pay", "args": {}, "safety": "perhaps"}'],
        ["--since", "yesterday"],
    ],
)
def test_what_cannot_be_simulated_is_wrong_usage(pay, run, words):
    spend()

    assert run("policy", "simulate", "pay.yaml", *words).exit_code == 2


def test_hostile_text_of_a_policy_reaches_no_terminal(pay, run, home):
    pay.write_text(PAY.replace("{id: mail, tool: mail", '{id: "mail\\e[2J", tool: mail'))

    told = run("policy", "check", "pay.yaml")

    assert told.exit_code == 1
    assert "\x1b" not in told.stderr
    assert json.dumps(told.stderr).isascii()
