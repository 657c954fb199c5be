"""The inbox without a browser: whose questions come first, what it costs, and that nothing is hidden."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.asgi import Client
from console.questions import ANA, BOTH, OLGA, PEOPLE, ask, used
from holdfast import Chain, Stage, SyncLedger
from holdfast._core.people import Principal
from holdfast.console import Role, Visitor, console

OWNER = Chain(name="owner", stages=(Stage(role="owner", timeout_s=60),))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SyncLedger]:
    with SyncLedger(f"sqlite:///{tmp_path / 'desk.db'}", people=PEOPLE) as ledger:
        yield ledger


def inbox_of(ledger: Any, visitor: Visitor = ANA) -> Client:
    return Client(console(ledger, access=lambda _: visitor))


async def test_the_visitors_own_questions_come_first_then_what_ends_first(ledger: SyncLedger) -> None:
    """HIT-07, INT-15: the inbox in the console."""
    other = ask(ledger, chain=OWNER, workflow_id="order-2")
    mine = ask(ledger, workflow_id="order-1")
    client = inbox_of(ledger)
    found = (await client.get("/approvals.json")).json()["inbox"]
    page = (await client.get("/approvals")).text

    assert [row["id"] for row in found["mine"]] == [mine.id]
    assert [row["id"] for row in found["rows"]] == [other.id, mine.id]
    assert [row["is_mine"] for row in found["rows"]] == [False, True]
    assert page.index(f"/approvals/{mine.id}") < page.index(f"/approvals/{other.id}")
    assert found["counts"] == {"pending": 2}


async def test_who_may_decide_nothing_is_shown_nothing_as_theirs(ledger: SyncLedger) -> None:
    """HIT-10: the asker's owner, and who is no approver at the console, have nothing to decide."""
    ask(ledger)
    for visitor in (OLGA, Visitor("ana", frozenset({Role.ADMIN, Role.OPERATOR}))):
        found = (await inbox_of(ledger, visitor).get("/approvals.json")).json()["inbox"]
        assert found["mine"] == []
        assert len(found["rows"]) == 1


async def test_each_state_has_its_list_and_its_count(ledger: SyncLedger) -> None:
    done = used(ledger)
    denied = ask(ledger, workflow_id="order-3")
    ledger.deny(denied.id, by="ana", reason="one parcel, one refund")
    client = inbox_of(ledger)
    for state, ident in (("consumed", done.id), ("denied", denied.id)):
        found = (await client.get(f"/approvals.json?state={state}")).json()["inbox"]
        assert [row["id"] for row in found["rows"]] == [ident]
        assert found["counts"] == {"consumed": 1, "denied": 1}
        assert found["mine"] == []
    assert "one parcel, one refund" in (await client.get(f"/approvals/{denied.id}")).text
    assert (await client.get("/approvals?state=odd")).status_code == 200


async def test_pages_follow_each_other_without_gap_or_repetition(ledger: SyncLedger) -> None:
    expected = [ask(ledger, workflow_id=f"order-{number}").id for number in range(120)]
    client = inbox_of(ledger)
    seen: list[str] = []
    query = ""
    for _ in range(3):
        found = (await client.get(f"/approvals.json{query}")).json()["inbox"]
        seen += [row["id"] for row in found["rows"]]
        query = f"?after={found['after']}".replace("+", "%2B")

    assert seen == expected
    assert found["after"] is None


async def test_attack_35_a_flood_of_questions_hides_none(ledger: SyncLedger) -> None:
    """Attack 35, HIT-12: an agent asks and asks so that one question goes under."""
    soon = Chain(name="soon", stages=(Stage(role="finance", timeout_s=600),))
    for number in range(150):
        ask(ledger, chain=soon, workflow_id=f"flood-{number}", actor="noisy")
    hidden = ask(ledger, workflow_id="order-1", actor="quiet")
    client = inbox_of(ledger)
    first = (await client.get("/approvals.json")).json()["inbox"]
    page = (await client.get("/approvals")).text
    only = (await client.get("/approvals.json?agent=quiet")).json()["inbox"]
    but = (await client.get("/approvals.json?without=noisy")).json()["inbox"]

    assert first["counts"] == {"pending": 151}
    assert first["agents"] == [["noisy", 150], ["quiet", 1]]
    assert (first["mine_count"], len(first["mine"]), first["found"]) == (151, 50, 151)
    assert 'the first 50 of <a href="/approvals?view=mine">151</a>' in page
    assert "50 of 151." in page
    assert 'href="/approvals?state=pending&amp;without=noisy"' in page
    for found in (only, but):
        assert [row["id"] for row in found["rows"]] == [hidden.id]
        assert (found["found"], found["after"]) == (1, None)


async def test_what_is_mine_and_how_much_it_is_holds_for_all_that_wait(ledger: SyncLedger) -> None:
    """HIT-07: what is the visitor's own is found behind any number of others' questions, and counted."""
    for number in range(130):
        ask(ledger, chain=OWNER, workflow_id=f"others-{number}", actor="other-desk")
    mine = [ask(ledger, workflow_id=f"mine-{number}").id for number in range(60)]
    client = inbox_of(ledger)
    whole = (await client.get("/approvals.json")).json()["inbox"]
    first = (await client.get("/approvals.json?view=mine")).json()["inbox"]
    after = first["after"].replace("~", "%7E")
    rest = (await client.get(f"/approvals.json?view=mine&after={after}")).json()["inbox"]

    assert (whole["mine_count"], [row["id"] for row in whole["mine"]]) == (60, mine[:50])
    assert [row["id"] for row in first["rows"] + rest["rows"]] == mine
    assert (first["found"], rest["found"], rest["after"]) == (60, 60, None)
    assert whole["agents"] == [["other-desk", 130], ["refund-desk", 60]]


async def test_what_was_decided_changed_or_asked_since_is_in_the_next_look(ledger: SyncLedger) -> None:
    """The console keeps what it has read of questions, and no longer than it holds."""
    both = ask(ledger, chain=BOTH, workflow_id="order-1")
    gone = ask(ledger, workflow_id="order-2")
    client = inbox_of(ledger)
    assert len((await client.get("/approvals.json")).json()["inbox"]["mine"]) == 2
    ledger.approve(both.id, by=Principal(id="ana"), digest=both.digest)
    ledger.deny(gone.id, by="ben", reason="no")
    new = ask(ledger, workflow_id="order-3")
    found = (await client.get("/approvals.json")).json()["inbox"]

    assert [(row["id"], row["given"], row["is_mine"]) for row in found["rows"]] == [
        (both.id, 1, False),
        (new.id, 0, True),
    ]
    assert (found["mine_count"], found["agents"]) == (1, [["refund-desk", 2]])


async def test_links_in_the_inbox_lead_to_questions_and_to_no_decision(ledger: SyncLedger) -> None:
    question = ask(ledger)
    page = (await inbox_of(ledger).get("/approvals")).text

    assert re.findall(r'href="(/approvals/[^"]*)"', page) == [f"/approvals/{question.id}"]
    assert 'method="post"' not in page.split("<main")[1]
