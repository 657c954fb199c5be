"""The inbox without a browser: whose questions come first, what it costs, and that nothing is hidden."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.asgi import Client
from console.questions import ANA, OLGA, PEOPLE, ask, used
from console.test_console_pages import Counting
from holdfast import Chain, Stage, SyncLedger
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


@pytest.mark.parametrize("after", ["x", "~", "2026-01-01~abc", "yesterday~abc", "2026-01-01T00:00:00Z~a'b"])
async def test_a_place_that_is_none_is_the_beginning(ledger: SyncLedger, after: str) -> None:
    ask(ledger)
    found = (await inbox_of(ledger).get(f"/approvals.json?after={after}")).json()["inbox"]

    assert len(found["rows"]) == 1


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

    assert (first["counts"], first["looked_at"], first["beyond"]) == ({"pending": 151}, 100, 51)
    assert first["agents"] == [["noisy", 100]]
    assert "51 more are pending beyond the 100 looked at" in page
    assert 'href="/approvals?state=pending&amp;without=noisy"' in page
    for found in (only, but):
        assert [row["id"] for row in found["rows"]] == [hidden.id]
        assert (found["looked_at"], found["after"]) == (151, None)
        assert found["agents"] == [["noisy", 150], ["quiet", 1]]


async def test_the_inbox_asks_twice_a_narrow_one_and_a_question_five_times_at_most(tmp_path: Path) -> None:
    """OBS-23: however many wait."""
    from holdfast.stores.sqlite.store import SqliteStore

    path = tmp_path / "desk.db"
    with SyncLedger(f"sqlite:///{path}", people=PEOPLE) as first:
        used(first)
        for number in range(260):
            question = ask(first, workflow_id=f"order-{number + 1}")
    store = Counting(SqliteStore(str(path), blocking=True, group_commit=True))
    store.approvals = _Part(store.approvals, store.asked)  # what is asked of it counts
    with SyncLedger(store, people=PEOPLE) as ledger:
        client = inbox_of(ledger)
        asked: dict[str, int] = {}
        for page in (
            "/approvals",
            "/approvals?view=mine",
            "/approvals?agent=x",
            "/",
            f"/approvals/{question.id}",
        ):
            store.asked.clear()
            assert (await client.get(page)).status_code == 200
            asked[page] = len(store.asked)

    assert list(asked.values())[:1] == [2]
    assert asked.pop("/") <= 6
    assert max(asked.values()) <= 5, asked


class _Part:
    def __init__(self, inner: Any, asked: list[str]) -> None:
        self._inner = inner
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        self._asked.append(f"approvals.{name}")
        return getattr(self._inner, name)


async def test_links_in_the_inbox_lead_to_questions_and_to_no_decision(ledger: SyncLedger) -> None:
    question = ask(ledger)
    page = (await inbox_of(ledger).get("/approvals")).text

    assert re.findall(r'href="(/approvals/[^"]*)"', page) == [f"/approvals/{question.id}"]
    assert 'method="post"' not in page.split("<main")[1]
