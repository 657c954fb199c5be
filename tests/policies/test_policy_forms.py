"""INT-09: a policy written in Python and one written in YAML are the same policy, and the version says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.errors import InvalidPolicy
from holdfast.policies import (
    Agent,
    Approve,
    Band,
    ChainRules,
    ChainStage,
    Count,
    Policies,
    PolicySet,
    Rule,
    Sample,
    Stage,
    StepUp,
    ToolRules,
    load_policies,
    read_policies,
)
from policies.shop_rules import CHARGE, SECRET, SHOP, charge, facts, shop

SURE = StepUp(mfa=True, max_age_s=900)
IN_PYTHON = PolicySet(
    roles=["finance", "lead", "operator"],
    agents={
        "billing-bot": Agent(tools=["stripe.*", "mail.send"], owner="olga"),
        "mail-bot": Agent(tools=["mail.send"]),
    },
    tools={
        "stripe.charge": ToolRules(
            args={"amount": "int", "currency": "string", "note": "string or null", "customer": "string"},
            optional={"note": None},
            amount="args.amount",
            currency="args.currency",
        ),
        "stripe.refund": ToolRules(
            args={"amount": "int", "customer": "string"}, amount="args.amount", currency="usd"
        ),
        "mail.send": ToolRules(args={"to": "list(string)", "urgent": "bool"}, optional={"urgent": False}),
        "disk.wipe": ToolRules(args={}),
    },
    windows={"daily": Count(tool="stripe.charge", sum="amount", over_s=86_400, by=["customer"])},
    rules=[
        Rule(
            id="nothing-odd",
            tool="stripe.charge",
            when='args.note != null && args.note.matches("(?i)test")',
            then="deny",
        ),
        Rule(
            id="guessed",
            tool="stripe.*",
            when='"amount" in inferred',
            then=Approve(chain="operators", allows=False),
        ),
        Rule(id="not-in-production", tool=["disk.wipe"], when='environment != "production"', then="allow"),
        Rule(
            id="mail-at-home",
            tool="mail.send",
            when='args.to.all(one, one.endsWith("@ours.example"))',
            then="allow",
        ),
        Rule(id="refund", tool="stripe.refund", then=Approve(chain="finance")),
        Rule(
            id="much-a-day",
            tool="stripe.charge",
            when="window.daily + args.amount > 100000",
            then=Approve(chain="operators", allows=False),
            reason="over 1000.00 in a day",
        ),
        Rule(
            id="big-charge",
            tool="stripe.charge",
            when="50000 < args.amount && args.amount <= 1000000",
            then=Approve(chain="finance"),
            reason="over 500.00",
        ),
        Rule(
            id="small-charge",
            tool="stripe.charge",
            when='args.currency in ["usd", "eur"] && 0 < args.amount && args.amount <= 50000',
            then="allow",
        ),
    ],
    chains={
        "operators": ChainRules(stages=[Stage(role="operator")], valid_s=172_800),
        "finance": ChainRules(
            stages=[
                Stage(
                    role="finance",
                    limited=True,
                    timeout_s=900,
                    remind_s=(300,),
                    escalate="lead",
                    escalate_s=600,
                    step_up=SURE,
                ),
                ChainStage(
                    stage=Stage(role="lead", quorum=2, timeout_s=7200, step_up=SURE),
                    when="args.amount > 500000",
                ),
            ],
            valid_s=3600,
            apart=["carl"],
            risk="high",
        ),
    },
    confidence={"stripe.charge": Band(review_below=0.7, reject_below=0.3, approve="operators")},
)


def test_both_forms_have_one_version_and_decide_alike() -> None:
    """INT-09."""
    written, made = shop(), Policies(IN_PYTHON, secret=SECRET)

    assert written.version == made.version
    calls = [charge(amount=amount) for amount in (-1, 0, 1, 50_000, 50_001, 500_001, 1_000_001)]
    calls += [charge(note="test"), charge(currency="gbp"), charge(amount="1"), facts("disk.wipe", {})]
    calls += [replace(charge(), confidence=sure) for sure in (None, 0.1, 0.5)]
    calls += [
        replace(charge(), windows={"daily": 99_000}),
        facts("stripe.refund", {"amount": 1, "customer": "c"}),
    ]
    for call in calls:
        assert written.decide(call) == made.decide(call)
        assert written.needs(call) == made.needs(call)


def test_the_version_is_of_what_is_said_not_of_how_it_is_laid_out(tmp_path: Path) -> None:
    """SEC-13: another order, other quotes, comments and files are no other policy."""
    head, _, rest = SHOP.partition("rules:\n")
    rules, _, tail = rest.partition("chains:")
    first, *others = rules.split("  - ")[1:]
    turned = f"# rules come last\nchains:{tail}{head.replace('version: 1', 'version: 1 ')}"
    turned = "version: 1\n" + turned.replace("version: 1 \n", "")
    turned += "rules:\n" + "".join(f"  - {rule.rstrip()}\n\n" for rule in (*others, first))
    (tmp_path / "p.yaml").write_text(turned)

    assert load_policies(tmp_path / "p.yaml").version == shop().version


CHANGES = {
    "50000 < args": "50001 < args",
    "then: allow\n  - id: big": "then: deny\n  - id: big",
    "tool: stripe.refund": "tool: stripe.charge",
    "over 500.00": "over five hundred",
    "role: lead, quorum: 2": "role: lead, quorum: 3",
    "timeout: 2h": "timeout: 3h",
    "if: args.amount > 500000": "if: args.amount > 400000",
    "mfa: true": "mfa: false",
    "valid_for: 1h": "valid_for: 2h",
    "apart: [carl]": "apart: [dora]",
    "risk: high": "risk: low",
    "owner: olga": "owner: otto",
    "tools: [mail.send]": "tools: [mail.send, disk.wipe]",
    "optional: {urgent: false}": "optional: {urgent: true}",
    "note: string or null": "note: string",
    "currency: usd": "currency: eur",
    "over: 24h": "over: 25h",
    "by: [customer]": "by: [customer, currency]",
    "review_below: 0.7": "review_below: 0.8",
    "approve: operators}\n": "approve: finance}\n",
    "{also: operators}\n": "{approve: operators}\n",
    "roles: [finance, lead, operator]": "roles: [finance, lead, operator, cook]",
}


@pytest.mark.parametrize(("before", "after"), CHANGES.items())
def test_whatever_changes_the_meaning_changes_the_version(before: str, after: str) -> None:
    """SEC-13, attack 10: an approval given under other rules is told from one given under these."""
    changed = SHOP.replace(before, after, 1)
    if before.startswith("note:"):
        changed = changed.replace("optional: {note: null}", "optional: {note: x}").replace(
            "args.note != null && ", ""
        )

    assert before in SHOP
    assert read_policies(changed, secret=SECRET).version != shop().version


def test_a_share_and_who_may_be_sampled_are_part_of_the_meaning_and_the_secret_is_not() -> None:
    def version(share: str, secret: bytes = SECRET) -> str:
        return read_policies(SHOP + f"sample: {share}\n", secret=secret).version

    assert version("{rate: 5%}") == version("{rate: 0.05, of: allowed}") == version("[{rate: 5%, tool: '*'}]")
    assert version("{rate: 5%}") == version("{rate: 5%}", b"another secret of some length")
    assert len({version("{rate: 5%}"), version("{rate: 6%}"), version("{rate: 5%, tool: mail.send}")}) == 3
    assert Policies(replace(IN_PYTHON, samples=[Sample(rate=0.05)]), secret=SECRET).version == version(
        "{rate: 5%}"
    )


def test_examples_are_no_part_of_the_meaning() -> None:
    assert shop("tests: [{call: {tool: disk.wipe}, expect: deny}]\n").version == shop().version


def test_every_verdict_names_the_version_in_force() -> None:
    """SEC-13: allowed, asked, denied, by a rule, by none, and for want of a fact."""
    policies = shop()
    calls = [charge(), charge(amount=60_000), charge(note="test"), charge(amount="1"), facts("nothing", {})]

    assert {policies.decide(call).policy for call in calls} == {policies.version}
    assert CHARGE["amount"] == 2000


def test_python_says_where_it_is_wrong_as_well() -> None:
    with pytest.raises(InvalidPolicy) as found:
        Policies(replace(IN_PYTHON, chains={}))

    assert (found.value.where, found.value.rule) == ("policy", "rule guessed")
