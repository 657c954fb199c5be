"""Approvals on the other pages, how people decide, and what the rules say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.asgi import Client
from console.questions import ANA, PEOPLE, ask, call_of, refund, used
from holdfast import SyncLedger
from holdfast._core.people import Principal
from holdfast.console import Visitor, console
from holdfast.policies import Policies, PolicySet, Rule
from holdfast.ports import Allow, Facts, Verdict, Window

POLICY = """
version: 1
tools:
  stripe.refund: {args: {customer: string, amount: int}}
windows:
  today: {tool: stripe.refund, sum: args.amount, over: 24h}
rules:
  - {id: small, tool: stripe.refund, when: args.amount <= 10000, then: allow}
  - {id: big, tool: stripe.refund, when: args.amount > 10000, then: {approve: finance}, reason: more than 100}
  - {id: much, tool: stripe.refund, when: window.today > 50000, then: deny, reason: enough for today}
chains:
  finance: {stages: [{role: finance, quorum: 2}]}
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SyncLedger]:
    with SyncLedger(f"sqlite:///{tmp_path / 'desk.db'}", people=PEOPLE) as ledger:
        yield ledger


def seen(ledger: Any) -> Client:
    return Client(console(ledger, access=lambda _: ANA))


async def test_the_overview_leads_to_what_waits_and_says_when_the_first_ends(ledger: SyncLedger) -> None:
    client = seen(ledger)
    assert "/approvals" not in (await client.get("/")).text.split("<main")[1]
    questions = [ask(ledger, workflow_id=f"order-{number}") for number in range(3)]
    page = (await client.get("/")).text.split("<main")[1]
    found = (await client.get("/overview.json")).json()["overview"]

    assert '<a href="/approvals">' in page
    assert found["waiting"] == 3
    assert found["next_end"] == questions[0].expires_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.mark.parametrize("of", ["effect", "workflow"])
async def test_an_effect_and_a_workflow_show_what_people_were_asked_and_said(
    ledger: SyncLedger, of: str
) -> None:
    """OBS-23: one page has states, approvals and decisions."""
    done = used(ledger, workflow_id="order-1")
    denied = ask(ledger, workflow_id="order-2")
    ledger.deny(denied.id, by="ben", reason="one parcel, one refund")
    client = seen(ledger)
    for question, says in ((done, "ana"), (denied, "one parcel, one refund")):
        path = f"/effects/{question.key}" if of == "effect" else f"/workflows/{question.workflow_id}"
        page = (await client.get(path)).text
        twin = json.loads((await client.get(f"{path}.json")).content)["approvals"]
        assert f'href="/approvals/{question.id}"' in page
        assert says in page.split("What people were asked")[1]
        assert [row["id"] for row in twin] == [question.id]


async def test_oversight_says_how_people_decide_and_what_looks_like_a_click(ledger: SyncLedger) -> None:
    """HIT-12, HIT-14: rates, times, reviewers, streaks and planted questions, exact."""
    for number in range(12):
        question = ask(ledger, workflow_id=f"order-{number}")
        ledger.approve(question.id, by="ana", digest=question.digest)
    denied = ask(ledger, workflow_id="order-20")
    ledger.deny(denied.id, by="ben", reason="no")
    ask(ledger, workflow_id="order-21")
    planted = ledger.scoped(actor="refund-desk").plant(call_of({"amount": 1}, "order-22"), reason="x")
    ledger.approve(planted.id, by="ana", digest=planted.digest)
    client = seen(ledger)
    page = (await client.get("/oversight")).text
    found = (await client.get("/oversight.json")).json()

    report = found["oversight"]
    assert (report["asked"], report["approved"], report["denied"], report["pending"]) == (14, 12, 1, 1)
    assert (found["rates"]["approval"], found["rates"]["override"]) == ("92.3 %", "7.7 %")
    assert [(one["person"], one["answers"]) for one in report["reviewers"]] == [("ana", 13), ("ben", 1)]
    assert {one["code"] for one in report["concerns"]} == {"fast_streak", "canary_approved"}
    assert "answers in a row" in page
    assert "0 of 1" in page
    assert max(bar["width"] for bar in found["times"]) == 100
    assert page.count('<svg class="bar busy"') == len(found["times"]) == 4
    assert (await client.get("/oversight?since=7d")).status_code == 200
    assert (await client.get("/oversight?since=forever")).status_code == 200


async def test_oversight_reads_all_that_was_asked_once_a_minute_at_most(
    ledger: SyncLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    oversight = SyncLedger.oversight

    def counting(self: SyncLedger, **told: Any) -> Any:
        asked.append(told["since"])
        return oversight(self, **told)

    monkeypatch.setattr(SyncLedger, "oversight", counting)
    at = ask(ledger).created_at
    moments = [at.replace(second=1), at.replace(second=1), at.replace(second=58)]
    client = Client(console(ledger, now=lambda: moments.pop(0)))
    for _ in range(3):
        await client.get("/oversight")

    assert asked == ["30d"]


async def test_without_a_policy_the_page_says_so(ledger: SyncLedger) -> None:
    client = seen(ledger)
    assert "No policy is loaded" in (await client.get("/policy")).text
    form = {"tool": "t", "args": "{}"}
    assert "No policy is loaded" in (await client.post("/policy/simulate", form)).text


async def test_the_rules_are_shown_as_loaded_and_asked_without_a_trace(tmp_path: Path) -> None:
    """INT-15: what is simulated is neither recorded nor run."""
    from holdfast.policies import load_policies

    (tmp_path / "money.yaml").write_text(POLICY)
    policies = load_policies(tmp_path / "money.yaml")
    with SyncLedger(f"sqlite:///{tmp_path / 'desk.db'}", people=PEOPLE, policy=policies) as ledger:
        client = seen(ledger)
        page = (await client.get("/policy")).text
        told = (await client.get("/policy.json")).json()["policy"]
        assert policies.version in page
        assert [(rule["id"], rule["then"]) for rule in told["rules"]] == [
            ("small", "allow"),
            ("big", "ask finance"),
            ("much", "deny"),
        ]
        for args, windows, says, rule in (
            ('{"customer": "c", "amount": 10000}', "", "<b>allow</b>", "small"),
            ('{"customer": "c", "amount": 10001}', "", "<b>ask</b>", "big"),
            ('{"customer": "c", "amount": 1}', '{"today": 50001}', "<b>deny</b>", "much"),
            ('{"customer": "c", "amount": "1"}', "", "<b>deny</b>", ""),
        ):
            form = {"tool": "stripe.refund", "args": args, "windows": windows, "confidence": "0.9"}
            answer = await client.post("/policy/simulate", form)
            assert answer.status_code == 200
            assert says in answer.text
            assert not rule or f"rule <code>{rule}</code>" in answer.text
        assert ledger.effects() == []
        assert ledger.approvals(state=None) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"tool": ""},
        {"args": "{"},
        {"args": '{"a": 1, "a": 2}'},
        {"confidence": "2"},
        {"confidence": "nan"},
        {"confidence": "sure"},
        {"windows": '{"today": true}'},
        {"windows": "[]"},
    ],
)
async def test_a_call_that_cannot_be_read_is_not_simulated(tmp_path: Path, changed: dict[str, str]) -> None:
    rules = PolicySet(rules=[Rule(id="all", tool="t", then="allow")])
    with SyncLedger("memory://", policy=Policies(rules, tools={"t": refund})) as ledger:
        answer = await seen(ledger).post("/policy/simulate", {"tool": "t", "args": "{}", **changed})

    assert answer.status_code == 409
    assert 'role="alert"' in answer.text


class Program:
    """Rules as a program: it tells of none."""

    def needs(self, facts: Facts) -> list[Window]:
        return []

    def decide(self, facts: Facts) -> Verdict:
        if facts.tool == "broken":
            raise ZeroDivisionError
        return Allow("it is a program's word")


async def test_rules_that_are_a_program_can_be_asked_and_one_that_fails_denies(tmp_path: Path) -> None:
    with SyncLedger("memory://", policy=Program()) as ledger:
        client = Client(console(ledger, access=lambda _: Visitor("x")))
        page = (await client.get("/policy")).text
        allowed = (await client.post("/policy/simulate", {"tool": "t", "args": "{}"})).text
        failed = (await client.post("/policy/simulate", {"tool": "broken", "args": "{}"})).text

    assert "it tells no rules" in page
    assert "a program&#39;s word" in allowed
    assert "<b>deny</b>: the policy failed (ZeroDivisionError)" in failed


def test_a_person_is_who_the_console_says_and_has_no_roles_by_it() -> None:
    """SEC-16, HIT-10"""
    from holdfast.console.people import principal_of

    assert principal_of(ANA) == Principal(id="ana", method="console")
