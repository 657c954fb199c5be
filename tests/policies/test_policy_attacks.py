"""What a hostile file, call or moment makes of rules: nothing that nobody said. X7, SEC-13."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdfast import SyncLedger, ToolCall
from holdfast._core.model import EffectKey, Finding
from holdfast.errors import InvalidPolicy, PolicyDenied
from holdfast.policies import WatchedPolicies, read_policies
from holdfast.policies.trying import try_tests
from holdfast.ports import Allow, Ask
from policies.shop_rules import facts, said

HEAD = "version: 1\ntools: {pay: {args: {amount: int}}}\nrules:\n"


def unless(when: str, args: str) -> Any:
    """All payments are allowed but those of which a condition is true."""
    text = f"version: 1\ntools: {{pay: {{args: {args}}}}}\nrules:\n  - {{id: all, tool: pay, then: allow}}\n"
    return read_policies(f"{text}  - id: limit\n    tool: pay\n    when: |-\n      {when}\n    then: deny\n")


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85", "\r", "\x0b", "\x0c"], ids=ascii)
def test_no_rule_hides_in_what_looks_like_a_comment(end: str) -> None:
    """SEC-13: YAML ends a line, and with it a comment, at characters that editors do not show."""
    hidden = f"  # everything else needs people{end}  - {{id: b, tool: pay, then: allow}}\n"

    with pytest.raises(InvalidPolicy, match=r"policy:5.*U\+"):
        read_policies(f"{HEAD}  - {{id: a, tool: pay, when: args.amount < 5, then: allow}}\n{hidden}")


@pytest.mark.parametrize("sign", ["\u202e", "\u2066", "\u200b", "\ufeff", "\u00ad", "\U000e0041"], ids=ascii)
def test_what_is_shown_in_another_order_or_not_at_all_is_refused(sign: str) -> None:
    """SEC-13: a condition that a reviewer reads otherwise than the evaluator does."""
    with pytest.raises(InvalidPolicy, match="invisible"):
        read_policies(f"{HEAD}  - {{id: a, tool: pay, when: 'args.amount < 5 /{sign}/ 0', then: allow}}\n")


def test_lines_may_end_as_they_do_elsewhere_and_names_may_have_any_letters() -> None:
    """SEC-13."""
    text = f"{HEAD}  - {{id: a, tool: pay, then: allow, reason: Übergrößen für Zoë 🙂}}\n".replace(
        "\n", "\r\n"
    )

    assert said(read_policies(text).decide(facts("pay", {"amount": 5}))) == "allow"


@pytest.mark.parametrize(
    ("when", "args", "fix"),
    [
        ("double(args.text) > 100.0", "{text: string}", "float"),
        ("args.a / args.b > 100.0", "{a: float, b: float}", "multiply"),
        ("dyn(args.text) == 3", "{text: string}", "one type"),
        ('on_behalf_of == "ana"', "{a: int}", "owner"),
    ],
)
def test_what_could_be_neither_above_a_limit_nor_below_it_is_refused_when_it_is_loaded(
    when: str, args: str, fix: str
) -> None:
    """X7: NaN, and a text beside a number, make a limit false without an error. What an agent says is no limit."""
    with pytest.raises(InvalidPolicy) as refused:
        unless(when, args)

    assert fix in refused.value.fix


@pytest.mark.parametrize("huge", [1e200, -1e200, 1.7e308, 2.0**53 + 2])
def test_floats_that_multiply_to_infinity_are_denied(huge: float) -> None:
    """X7: infinity less infinity is no number either."""
    policies = unless("args.a * args.a - args.b * args.b > 0.0", "{a: float, b: float}")

    assert said(policies.decide(facts("pay", {"a": huge, "b": huge}))) == "deny"
    assert said(policies.decide(facts("pay", {"a": 2.0, "b": 3.0}))) == "allow"
    assert said(policies.decide(facts("pay", {"a": 3.0, "b": 2.0}))) == "deny"


@pytest.mark.parametrize(
    ("items", "expected"), [([0, 1], "deny"), ([2, 0], "deny"), ([100], "allow"), ([0, 100], "deny")]
)
def test_what_one_item_has_no_answer_for_is_denied_unless_another_one_settles_it(
    items: list[int], expected: str
) -> None:
    """X7: ``exists`` is true by one that is; an error among those that are not leaves no answer."""
    policies = unless("args.items.exists(one, 10 / one > 1)", "{items: list(int)}")

    assert said(policies.decide(facts("pay", {"items": items}))) == expected


HIDES = """
version: 1
tools: {pay: {args: {amount: int, customer: string}}}
windows: {day: {tool: pay, sum: args.amount, over: 1d, by: [customer]}}
rules:
  - {id: all, tool: pay, then: allow}
  - {id: much, tool: pay, when: window.day + args.amount > 100, then: deny}
"""


class HidesCustomers:
    """A guard that keeps customers off the record."""

    def inspect(self, content: Any, facts: Any) -> tuple[Finding, ...]:
        return (Finding(code="pii", message="a name", action="redact", paths=("$.customer",)),)


def test_what_guards_keep_off_the_record_is_counted_all_the_same() -> None:
    """Attack 25: a limit for each customer is none when the record does not say whose each payment was."""
    with SyncLedger("sqlite:///:memory:", policy=read_policies(HIDES)) as ledger:
        engine = ledger._engine
        ledger._engine = replace(engine, parts=replace(engine.parts, guards=(HidesCustomers(),)))
        call = {"tool": "pay", "args": {"amount": 60, "customer": "c1"}}
        ledger.run(ToolCall(workflow_id="w1", **call), lambda amount, customer: None)

        with pytest.raises(PolicyDenied, match="much"):
            ledger.run(ToolCall(workflow_id="w2", **call), lambda amount, customer: None)
        assert "c1" not in str([effect.args for effect in ledger.effects(tool="pay")])


COUNTED = (
    HEAD
    + "  - {id: all, tool: pay, when: 'window.all < 5', then: allow}\nwindows: {all: {tool: pay, over: 1d}}\n"
)
PLAIN = HEAD + "  - {id: all, tool: pay, then: allow}\n"


def test_a_call_is_decided_by_the_version_that_said_what_to_count_for_it(tmp_path: Path) -> None:
    """SEC-13: a change between the two denies nobody for want of what the new one wants counted."""
    path = tmp_path / "pay.yaml"
    path.write_text(PLAIN)
    policies = WatchedPolicies(path)
    call = facts("pay", {"amount": 5})
    before = policies.version
    assert policies.needs(call) == ()

    path.write_text(COUNTED)
    other = threading.Thread(target=policies.reload)
    other.start()
    other.join()

    verdict = policies.decide(call)
    assert (said(verdict), verdict.policy) == ("allow", before)
    assert policies.decide(facts("pay", {"amount": 5})).policy == policies.version != before
    assert [window.name for window in policies.needs(call)] == ["all"]


def test_what_was_asked_for_one_call_decides_on_no_other(tmp_path: Path) -> None:
    """SEC-13: nor does an earlier version stay in force for what comes later."""
    path = tmp_path / "pay.yaml"
    path.write_text(PLAIN)
    policies = WatchedPolicies(path)
    policies.needs(facts("pay", {"amount": 5}))
    path.write_text(PLAIN.replace("allow", "deny"))
    policies.reload()

    assert said(policies.decide(facts("pay", {"amount": 5}, key=EffectKey("v1:" + "b" * 64)))) == "deny"


def swapped(directory: Path, text: str) -> None:
    """Put a file in place as deployments do: another directory, and a link that is turned."""
    version = directory / f"v{len(list(directory.iterdir()))}"
    version.mkdir()
    (version / "pay.yaml").write_text(text)
    link = directory / "now.new"
    link.symlink_to(version)
    link.replace(directory / "now")


def test_a_link_that_is_turned_is_followed_and_one_that_dangles_changes_nothing(tmp_path: Path) -> None:
    """SEC-13."""
    now = [0.0]
    swapped(tmp_path, PLAIN)
    policies = WatchedPolicies(tmp_path / "now", clock=lambda: now[0])
    call = facts("pay", {"amount": 5})

    def looked() -> str:
        for _ in range(3):
            now[0] += 2
            policies.needs(call)
        return said(policies.decide(call))

    swapped(tmp_path, PLAIN.replace("then: allow", "then: deny"))
    assert looked() == "deny"
    (tmp_path / "now").unlink()
    (tmp_path / "now").symlink_to(tmp_path / "nowhere")
    assert looked() == "deny"


def tried(test: str) -> str:
    """Return what is wrong with an example of the rules."""
    return try_tests(read_policies(f"{COUNTED}tests:\n  - {test}\n")).tried[0].wrong


@pytest.mark.parametrize(
    ("test", "wrong"),
    [
        ("{call: {tool: pya, args: {amount: 5}}, expect: deny}", "no rule is about the tool"),
        ("{call: {tool: pay, args: {amount: 5}}, expect: deny}", "no windows to count in"),
        (
            '{call: {tool: pay, args: {amount: 5}, windows: {all: 0}}, expect: allow, why: ""}',
            "fits any reason",
        ),
    ],
    ids=["misspelt", "not counted", "any reason"],
)
def test_an_example_that_could_not_fail_is_said_to_be_none(test: str, wrong: str) -> None:
    """SEC-13: it would pass with any rules, and let everybody believe that something was shown."""
    assert wrong in tried(test)


@pytest.mark.parametrize(
    "test",
    [
        "{call: {tool: pya, args: {amount: 5}}, expect: deny, why: no rule is about}",
        "{call: {tool: pay, args: {amount: 5}, windows: {all: 5}}, expect: deny}",
        "{call: {tool: pay, args: {amount: 5}}, expect: deny, why: not counted}",
    ],
)
def test_an_example_that_says_what_it_shows_counts(test: str) -> None:
    """SEC-13."""
    assert tried(test) == ""


@pytest.mark.parametrize(("then", "kind"), [("{approve: ops}", Ask), ("{also: ops}", Ask), ("allow", Allow)])
def test_rules_that_have_people_asked_have_them_asked_about_an_undo_too(then: str, kind: Any) -> None:
    """CMP-02: it needs no rule to go ahead, and heeds one that adds people."""
    text = f"{HEAD}  - {{id: a, tool: pay, then: {then}}}\nchains: {{ops: {{stages: [{{role: ops}}]}}}}\n"
    undo = facts("pay", {"undoes": "v1:" + "c" * 64}, undoes=EffectKey("v1:" + "c" * 64))
    policies = read_policies(text.replace("{amount: int}", "{}"))

    assert isinstance(policies.decide(undo), kind)
