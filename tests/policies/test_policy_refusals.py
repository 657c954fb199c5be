"""Attacks 50 and 53, and every slip of a pen: a policy that means nothing, or too much, is refused when loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.errors import InvalidPolicy
from holdfast.policies import (
    Approve,
    ChainRules,
    Policies,
    PolicySet,
    Rule,
    Stage,
    ToolRules,
    load_policies,
    read_policies,
)
from policies.shop_rules import SECRET, SHOP, simple


def refused(text: str, **more: object) -> InvalidPolicy:
    """The error that a text brings."""
    with pytest.raises(InvalidPolicy) as found:
        read_policies(text, where="pay.yaml", secret=SECRET, **more)
    assert found.value.where.startswith("pay.yaml")
    assert found.value.fix
    return found.value


EXPRESSIONS = {
    "args.amuont > 5": "args.amuont is no argument",
    'args.amount > "5"': "no matching overload",
    "args.amount > 5.0": "no matching overload",
    "args.amount": "is of type int, not bool",
    '"yes"': "is of type string, not bool",
    "args": "undeclared reference",
    "ammount > 5": "undeclared reference",
    "window.daily > 5": "undeclared reference",
    "nope(args.amount)": "undeclared reference",
    "args.amount <": "Syntax error",
    "this is not valid ((": "Syntax error",
    "args.amount > 5; true": "Syntax error",
    "has(args.amount)": "",
    "args.amount.cents > 5": "",
    "dyn(args.amount)": "undeclared reference",
    "args.amount > 9223372036854775808": "",
    "__import__('os').system('id') == 0": "undeclared reference",
}


@pytest.mark.parametrize(("when", "why"), EXPRESSIONS.items())
def test_an_expression_that_could_not_be_decided_is_no_policy(when: str, why: str) -> None:
    """SEC-13: unknown names, missing attributes and wrong types are errors of loading, not of the first call."""
    with pytest.raises(InvalidPolicy, match="rule only") as found:
        simple(when)

    assert why in found.value.what


def test_the_error_says_file_line_rule_what_and_how_to_mend_it() -> None:
    """INT-09: good errors."""
    error = refused(SHOP.replace("args.amount <= 1000000", "args.amuont <= 1000000"))

    line = SHOP.partition("- id: big-charge")[0].count("\n") + 1
    assert (error.where, error.rule) == (f"pay.yaml:{line}", "rule big-charge")
    assert error.what == "args.amuont is no argument (for stripe.charge)"
    assert error.fix == "there are: args.amount, args.currency, args.customer, args.note"


SLIPS = {
    "version: 1\n": "version: 2\n",
    "version: 1": "version: true",
    "default: deny": "default: allow",
    "id: big-charge": "id: small-charge",
    "{approve: finance}\n    reason": "{approve: finanz}\n    reason",
    "role: finance, limited": "role: finanz, limited",
    "to: lead": "to: leader",
    "quorum: 2": "quorum: 0",
    "timeout: 2h": "timeout: -2h",
    "timeout: 15m": "timeout: 0s",
    "remind: [5m]": "remind: [20m]",
    "after: 10m": "after: 20m",
    "on_timeout: deny": "on_timeout: allow",
    "{stages: [{role: operator}], valid_for: 2d}": "{stages: []}",
    "{role: operator}]": "{}]",
    "risk: high": "risk: none",
    "mfa: true": "mfa: yes",
    "then: deny\n": "then: alow\n",
    "when: args.currency": "whn: args.currency",
    "tool: stripe.charge\n    when: 50": "tool: stripe.chrage\n    when: 50",
    'tool: "stripe.*", when': 'tool: "strip.*", when',
    "tools: [mail.send]": "tools: [mail.sent]",
    "customer: string}\n    amount: args.amount\n    currency: usd": "customer: string}\n    amount: args.amount",
    "currency: usd": "currency: dollars",
    "amount: args.amount\n    currency: args": "amount: args.customer\n    currency: args",
    "amount: int, currency": "amount: integer, currency",
    "optional: {note: null}": "optional: {nota: null}",
    "optional: {urgent: false}": "optional: {urgent: 0}",
    "sum: args.amount": "sum: args.currency",
    "by: [customer]": "by: [buyer]",
    "by: [customer]}": "by: [note]}",
    "over: 24h": "over: 24 o'clock",
    "review_below: 0.7": "review_below: 70",
    "review_below: 0.7, ": "",
    "reject_below: 0.3, approve": "reject_below: 0.9, approve",
    "reject_below: 0.3, approve: operators": "reject_below: 0.3, approve: nobody",
    "disk.wipe: {args: {}}": "disk.wipe: {}",
    "roles: [finance, lead, operator]": "roles: finance",
    "rules:": "rulez:",
}


@pytest.mark.parametrize(("right", "wrong"), SLIPS.items())
def test_a_slip_of_the_pen_is_no_policy(right: str, wrong: str) -> None:
    """Attack 50 (time runs out into yes, no stages, nobody's quorum), and whatever else is easily mistyped."""
    assert right in SHOP

    refused(SHOP.replace(right, wrong, 1))


def test_what_a_call_may_leave_out_cannot_be_added_up() -> None:
    """Attack 25: what is left out is not on record, and would count for nothing."""
    error = refused(SHOP.replace("optional: {note: null}", "optional: {note: null, amount: 500}"))

    assert (error.rule, "may leave out 'amount'" in error.what) == ("window daily", True)


YAML = {
    "anchor": SHOP.replace("{role: operator}", "&one {role: operator}"),
    "alias": "version: 1\na: &a [1]\nrules: *a\n",
    "merge key": SHOP.replace("valid_for: 2d", "<<: {valid_for: 2d}"),
    "bomb": "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nversion: 1\nrules: *c\n",
    "python object": "version: 1\nrules: !!python/object/apply:os.system ['id']\n",
    "other tag": SHOP.replace("then: deny", "then: !!str deny"),
    "own tag": SHOP.replace("then: deny", "then: !include deny"),
    "duplicate keys": SHOP.replace("then: deny\n", "then: deny\n    then: allow\n"),
    "two documents": SHOP + "\n---\nversion: 1\n",
    "empty": "",
    "only a comment": "# rules come later\n",
    "null": "null\n",
    "a list": "- version: 1\n",
    "a text": "allow everything",
    "no YAML": "version: 1\nrules: [",
    "no YAML either": "version: 1\n\trules: []",
    "binary": "version: 1\x00",
    "too long": SHOP + "# " + "x" * 300_000,
    "too many": SHOP + "tests: [" + "a," * 20_000 + "]",
    "too deep": SHOP + "tests: " + "[" * 40 + "]" * 40,
    "far too deep": "[" * 10_000,
    "no rules": "version: 1\ntools: {pay: {args: {}}}\n",
    "no version": "rules: [{id: a, tool: pay, then: allow}]",
    "octal": SHOP.replace("quorum: 2", "quorum: 02"),
    "sexagesimal": SHOP.replace("over: 24h", "over: 24:00"),
    "a word for yes": SHOP.replace("limited: true", "limited: on"),
    "a rule that is a text": SHOP.replace("rules:\n", "rules:\n  - allow\n"),
    "a rule without an id": SHOP.replace("id: big-charge\n    ", ""),
    "an id that is none": SHOP.replace("id: big-charge", "id: 'big charge\u202e'"),
}


@pytest.mark.parametrize("text", YAML.values(), ids=YAML.keys())
def test_a_file_that_says_something_by_other_means_than_it_seems_is_no_policy(text: str) -> None:
    """Attack 53: anchors, aliases, merge keys, tags, duplicate keys, nothing, and far too much."""
    refused(text)


def test_a_file_that_is_not_there_or_cannot_be_read_is_no_policy(tmp_path: Path) -> None:
    """Attack 53."""
    (tmp_path / "latin.yaml").write_bytes(b"version: 1 # gr\xfc\xdfe")
    (tmp_path / "empty").mkdir()

    for name in ("missing.yaml", "latin.yaml", "empty"):
        with pytest.raises(InvalidPolicy):
            load_policies(tmp_path / name)


def test_what_two_files_say_twice_is_said_once_too_often(tmp_path: Path) -> None:
    """Attack 53: one of the two would win, by the order of names."""
    (tmp_path / "a.yaml").write_text(SHOP)
    for part in (
        "rules: [{id: refund, tool: stripe.refund, then: allow}]",
        "chains: {finance: {stages: [{role: lead}]}}",
        "agents: {mail-bot: {tools: ['*']}}",
    ):
        (tmp_path / "b.yaml").write_text(f"version: 1\n{part}\n")
        with pytest.raises(InvalidPolicy):
            load_policies(tmp_path)


def test_several_files_are_one_policy(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SHOP.partition("chains:")[0])
    (tmp_path / "b.yml").write_text("version: 1\nchains:" + SHOP.partition("chains:")[2])
    (tmp_path / "notes.txt").write_text("no policy")

    assert load_policies(tmp_path).version == read_policies(SHOP).version


def test_an_expression_may_be_neither_endless_nor_deep() -> None:
    """Attack 55."""
    for when in (
        "args.amount > 5" + " && args.amount > 5" * 500,
        "(" * 100 + "true" + ")" * 100,
        "true ? true : " * 100 + "true",
        "[" * 100 + "1" + "]" * 100 + " == []",
    ):
        with pytest.raises(InvalidPolicy):
            simple(when)


def test_a_sample_without_a_secret_is_refused_for_agents_would_know_who_looks() -> None:
    """HIT-13."""
    with pytest.raises(InvalidPolicy, match="secret="):
        read_policies(SHOP + "sample: {rate: 5%}\n")
    with pytest.raises(InvalidPolicy, match="16 bytes"):
        read_policies(SHOP, secret=b"short")


PAY = {"pay": ToolRules(args={"amount": "int"})}
STAGE = Stage(role="finance")
IN_PYTHON = {
    "no rules": PolicySet(rules=[], tools=PAY),
    "no such answer": PolicySet(rules=[Rule(id="a", tool="pay", then="maybe")], tools=PAY),  # type: ignore[arg-type]
    "no such chain": PolicySet(rules=[Rule(id="a", tool="pay", then=Approve(chain="x"))], tools=PAY),
    "no stages": PolicySet(
        rules=[Rule(id="a", tool="pay", then="allow")], tools=PAY, chains={"x": ChainRules(stages=[])}
    ),
    "no tool": PolicySet(rules=[Rule(id="a", tool=[], then="allow")], tools=PAY),
    "no text": PolicySet(rules=[Rule(id="a", tool="pay", when=True, then="allow")], tools=PAY),  # type: ignore[arg-type]
    "nine stages": PolicySet(
        rules=[
            Rule(id="a", tool="pay", then=Approve(chain="x")),
            Rule(id="b", tool="pay", then=Approve(chain="y")),
        ],
        tools=PAY,
        chains={"x": ChainRules(stages=[STAGE] * 5), "y": ChainRules(stages=[STAGE] * 4)},
    ),
    "limits on nothing": PolicySet(
        rules=[Rule(id="a", tool="pay", then=Approve(chain="x"))],
        tools=PAY,
        chains={"x": ChainRules(stages=[Stage(role="finance", limited=True)])},
    ),
}


@pytest.mark.parametrize("policy", IN_PYTHON.values(), ids=IN_PYTHON.keys())
def test_what_is_written_in_python_is_checked_alike(policy: PolicySet) -> None:
    """INT-09, attack 50."""
    with pytest.raises(InvalidPolicy):
        Policies(policy)
