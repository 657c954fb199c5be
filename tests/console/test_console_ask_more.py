"""People ask an agent for more on the question's page, in a real Chromium; HIT-09."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from console.questions import ANA, BOTH, PEOPLE, ask
from console.served import Served
from console.test_console_browser import still, tick
from holdfast import SyncLedger
from holdfast.console import console
from holdfast.ledger import Approval

HOSTILE = '"><img src=x onerror=window.hit=4>[a](javascript:window.hit=5)\u202e'


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SyncLedger]:
    with SyncLedger(f"sqlite:///{tmp_path / 'desk.db'}", people=PEOPLE) as ledger:
        yield ledger


@pytest.fixture
def desk(ledger: SyncLedger, serve: Callable[[Any], Served]) -> Served:
    """The desk's console, where Ana decides."""
    return serve(console(ledger, access=lambda _: ANA))


def opened(desk: Served, tab: Any, question: Approval) -> None:
    still(tab)
    tab.page.goto(f"{desk.url}/approvals/{question.id}", wait_until="networkidle")


def answer(ledger: SyncLedger, question: Approval, text: str) -> Approval:
    return ledger.scoped(actor="refund-desk").answer_info(question.id, answer=text)


def test_ana_asks_reads_the_answer_as_the_agents_words_and_approves(
    ledger: SyncLedger, desk: Served, tab: Any
) -> None:
    """HIT-09, HIT-19: and while she waits the page says whose turn it is."""
    question = ask(ledger)
    opened(desk, tab, question)
    tab.page.get_by_text("Ask the agent for more first").click()
    tab.page.get_by_label("what it should tell").fill("Who has seen the photos?")
    tab.page.get_by_role("button", name="Ask", exact=True).click()

    expect(tab.page.locator("#owed")).to_contain_text("has not answered yet")
    expect(tab.page.locator("#stands")).to_contain_text("Who has seen the photos?")
    expect(tab.page.locator("#more")).to_have_count(0)
    expect(tab.page.get_by_role("button", name="Approve once")).to_be_visible()
    assert ledger.approval(question.id).requests[0].by == "ana"

    answer(ledger, question, "Ben, on Monday.")
    assert tick(tab) == 200
    expect(tab.page.locator("#outdated")).to_contain_text("no longer what you see below")
    tab.page.get_by_role("link", name="Read it as it is now").click()
    expect(tab.page.locator("#answers")).to_contain_text("ana asked: Who has seen the photos?")
    expect(tab.page.locator("#answers")).to_contain_text("Ben, on Monday.")
    words = tab.page.locator("h2", has=tab.page.locator(".origin", has_text="the agent's words"))
    expect(words.last).to_contain_text("when it was asked for more")
    tab.page.get_by_role("button", name="Approve once").click()
    expect(tab.page.locator("h1")).to_contain_text("approved")
    assert tab.said == []


def test_a_yes_to_the_page_of_before_the_answer_is_refused(
    ledger: SyncLedger, desk: Served, tab: Any
) -> None:
    """Attack 43, HIT-05: she has not read what is asked now."""
    question = ask(ledger)
    ledger.request_info(question.id, by="ben", question="Who has seen the photos?")
    opened(desk, tab, question)
    answer(ledger, question, "Nobody.")
    tab.page.get_by_role("button", name="Approve once").click()

    expect(tab.page.get_by_role("alert")).to_contain_text("this is not what was shown")
    assert ledger.approval(question.id).state == "pending"


def test_attack_41_what_is_asked_and_answered_is_text(ledger: SyncLedger, desk: Served, tab: Any) -> None:
    """Attack 41: from people and from models; nothing runs, nothing hides."""
    question = ask(ledger, chain=BOTH)
    ledger.request_info(question.id, by="ben", question=HOSTILE)
    answer(ledger, question, HOSTILE)
    ledger.request_info(question.id, by="ben", question=HOSTILE)
    for path in (f"/approvals/{question.id}", f"/effects/{question.key}", "/approvals", "/oversight"):
        tab.page.goto(desk.url + path, wait_until="networkidle")
        assert tab.page.evaluate("window.hit") is None, path
        assert tab.page.locator("[onerror], main script, main img, main iframe").count() == 0, path
        assert tab.page.locator("a[href*=evil], a[href^=javascript]").count() == 0, path
        hidden = tab.page.evaluate("document.querySelector('main').innerText.includes('\\u202e')")
        assert not hidden, path

    tab.page.goto(f"{desk.url}/oversight", wait_until="networkidle")
    expect(tab.page.get_by_text("in 1 of them (100.0 %)")).to_be_visible()
    assert tab.said == []
