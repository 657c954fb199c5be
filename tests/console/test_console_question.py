"""The question page in a real Chromium: its seven laws, and the attacks on it by number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import expect

from console.questions import ANA, BOTH, HIGH, PEOPLE, ask, used
from console.served import Served
from console.test_console_attacks import elsewhere, page_of
from console.test_console_browser import still, tick, unchanged
from console.world import HOSTILE
from holdfast import CallContext, SyncLedger
from holdfast.console import console
from holdfast.ledger import Approval


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SyncLedger]:
    with SyncLedger(f"sqlite:///{tmp_path / 'desk.db'}", people=PEOPLE) as ledger:
        yield ledger


@pytest.fixture
def desk(ledger: SyncLedger, serve: Callable[[Any], Served]) -> Served:
    """The desk's console, where Ana decides."""
    return serve(console(ledger, access=lambda _: ANA))


def opened(desk: Served, tab: Any, question: Approval, *, is_still: bool = True) -> str:
    if is_still:
        still(tab)
    url = f"{desk.url}/approvals/{question.id}"
    tab.page.goto(url, wait_until="networkidle")
    return url


def posts(desk: Served) -> list[int]:
    return [status for method, _, status in desk.asked if method == "POST"]


def change(ledger: SyncLedger, question: Approval) -> None:
    """Let somebody else change the question under the reader's hand."""
    ledger.approve(
        question.id, by="ben", digest=question.digest, args={"customer": "cus_9", "amount": 99_000}
    )


def test_law_1_and_attack_43_who_answers_what_is_no_longer_asked_is_told_so(
    ledger: SyncLedger, desk: Served, tab: Any
) -> None:
    """Attack 43, HIT-05, HIT-06: the page shows 12,000; meanwhile the question is about 99,000."""
    question = ask(ledger, chain=BOTH)
    opened(desk, tab, question)
    change(ledger, question)
    tab.page.get_by_role("button", name="Approve once").click()

    expect(tab.page.get_by_role("alert")).to_contain_text("this is not what was shown")
    expect(tab.page.locator("#args")).to_contain_text("99000")
    assert posts(desk) == [409]
    assert [vote.person for vote in ledger.approval(question.id).votes] == ["ben"]


def test_law_2_the_question_stays_under_the_readers_eyes_and_all_else_is_alive(
    ledger: SyncLedger, desk: Served, tab: Any
) -> None:
    """INT-15: nothing on the page moves into the place of what was read."""
    question = ask(ledger, chain=BOTH)
    opened(desk, tab, question)
    tab.page.get_by_label("Why you deny").fill("half a sen")
    change(ledger, question)

    assert tick(tab) == 200
    expect(tab.page.locator("#stands")).to_contain_text("1 of 2")
    expect(tab.page.locator("#stands")).to_contain_text("ben")
    expect(tab.page.locator("#outdated")).to_contain_text("no longer what you see below")
    expect(tab.page.locator("#args")).to_contain_text("12000")
    expect(tab.page.locator("#digest")).to_have_text(question.digest)
    assert tab.page.locator("#yes input[name=digest]").input_value() == question.digest
    expect(tab.page.get_by_label("Why you deny")).to_have_value("half a sen")
    assert unchanged(tab)

    tab.page.get_by_role("link", name="Read it as it is now").click()
    expect(tab.page.locator("#args")).to_contain_text("99000")
    expect(tab.page.locator("#outdated")).to_have_count(0)
    assert tab.said == []


def test_law_2_a_question_that_ends_meanwhile_says_so(ledger: SyncLedger, desk: Served, tab: Any) -> None:
    question = ask(ledger)
    opened(desk, tab, question)
    ledger.deny(question.id, by="ben", reason="no parcel")

    assert tick(tab) == 200
    expect(tab.page.locator("#outdated")).to_contain_text("denied (no parcel)")
    tab.page.get_by_role("button", name="Approve once").click()
    expect(tab.page.get_by_role("alert")).to_contain_text("already denied by ben")
    expect(tab.page.get_by_role("button", name="Approve once")).to_have_count(0)


def test_law_3_whose_words_are_whose_is_said_of_each(ledger: SyncLedger, desk: Served, tab: Any) -> None:
    """HIT-19"""
    opened(desk, tab, ask(ledger))
    author = tab.page.locator("h2", has=tab.page.locator(".origin", has_text="the tool author's words"))
    agent = tab.page.locator("h2", has=tab.page.locator(".origin", has_text="the agent's words"))

    expect(author).to_contain_text("What it will do")
    expect(tab.page.locator("#summary")).to_have_text("Refund 12000 to cus_9")
    expect(agent).to_contain_text("Why the agent wants it")
    expect(tab.page.locator("dl.agent")).to_contain_text("The parcel came back damaged.")
    assert "damaged" not in author.locator("xpath=following-sibling::p[1]").inner_text()


def test_law_4_there_is_no_yes_but_once(ledger: SyncLedger, desk: Served, tab: Any) -> None:
    question = ask(ledger)
    opened(desk, tab, question)
    says = tab.page.locator("main button, main input, main option").evaluate_all(
        "all => all.map(e => (e.textContent + e.value + e.name).toLowerCase())"
    )

    assert [one for one in says if "approve once" in one]
    assert not [one for one in says if "always" in one or "remember" in one or "all" in one]
    tab.page.get_by_role("button", name="Approve once").click()
    expect(tab.page.locator("h1")).to_contain_text("approved")
    assert ask(ledger, workflow_id="order-2").state == "pending"


def test_law_6_a_program_that_follows_every_link_decides_nothing(
    ledger: SyncLedger, desk: Served, tab: Any
) -> None:
    question = ask(ledger)
    url = opened(desk, tab, question)
    links = tab.page.locator("a[href]").evaluate_all("all => all.map(a => a.href)")
    forms = tab.page.locator("main form").evaluate_all("all => all.map(f => [f.method, f.action])")
    for link in [*links, *(action for _, action in forms)]:
        if link.startswith(desk.url):
            httpx2.get(link, trust_env=False, headers={"user-agent": "Slackbot-LinkExpanding 1.0"})

    assert links
    assert {method for method, _ in forms} == {"post"}
    assert httpx2.get(f"{url}/approve", trust_env=False).status_code == 405
    assert ledger.approval(question.id).state == "pending"


@pytest.mark.parametrize("chain", [BOTH, HIGH], ids=["normal", "high"])
def test_law_7_no_key_approves_and_nothing_is_in_focus_that_would(
    ledger: SyncLedger, desk: Served, tab: Any, chain: Any
) -> None:
    question = ask(ledger, chain=chain)
    opened(desk, tab, question)
    assert tab.page.evaluate("document.activeElement.tagName") == "BODY"
    for key in ["Enter", "Space", *"abcdefhilmnoqsuvxyzAY"]:
        tab.page.keyboard.press(key)
    tab.page.get_by_label("Why you approve").fill("fine")
    tab.page.keyboard.press("Enter")
    if chain is HIGH:
        tab.page.get_by_label("high risk").fill(question.digest[:6])
        tab.page.keyboard.press("Enter")
    tab.page.keyboard.press("Control+Enter")
    tab.page.get_by_role("button", name="Deny").click()  # no reason: the browser itself holds it back

    assert posts(desk) == []
    assert ledger.approval(question.id).votes == ()


def test_a_high_risk_takes_a_second_look(ledger: SyncLedger, desk: Served, tab: Any) -> None:
    question = ask(ledger, chain=HIGH)
    opened(desk, tab, question)
    tab.page.get_by_role("button", name="Approve once").click()
    assert posts(desk) == []
    tab.page.get_by_label("high risk").fill("zzzzzz")
    tab.page.get_by_role("button", name="Approve once").click()
    expect(tab.page.get_by_role("alert")).to_contain_text("type the first 6 characters")
    tab.page.get_by_label("high risk").fill(tab.page.locator("#digest").inner_text()[:6])
    tab.page.get_by_role("button", name="Approve once").click()

    expect(tab.page.locator("h1")).to_contain_text("approved")
    assert posts(desk) == [409, 303]


@pytest.mark.parametrize("word", ["approve", "deny", "change"])
def test_without_javascript_one_reads_and_decides(
    ledger: SyncLedger, desk: Served, plain_tab: Any, word: str
) -> None:
    """INT-15, HIT-07, HIT-09"""
    question = ask(ledger)
    page = plain_tab.page
    page.goto(f"{desk.url}/approvals")
    page.locator("main tbody a").first.click()
    if word == "approve":
        page.get_by_role("button", name="Approve once").click()
    elif word == "deny":
        page.get_by_label("Why you deny").fill("one parcel, one refund")
        page.get_by_role("button", name="Deny").click()
    else:
        page.get_by_text("Change it, and approve that instead").click()
        page.get_by_label("The arguments as JSON").fill('{"customer": "cus_9", "amount": 6000}')
        page.get_by_role("button", name="Show what changes").click()
        assert page.locator(".diff .add").inner_text().strip() == '+  "amount": 6000,'
        page.get_by_label("Reason to change it").fill("half of it")
        page.get_by_role("button", name="Approve the change once").click()

    assert page.url.endswith(f"/approvals/{question.id}")
    assert ("denied" if word == "deny" else "approved") in page.locator("h1").inner_text()
    assert ledger.approval(question.id).args["amount"] == (6_000 if word == "change" else 12_000)


@pytest.mark.parametrize("sent_by", ["form", "fetch", "frame"])
def test_attack_36_no_other_site_approves(
    ledger: SyncLedger, desk: Served, tab: Any, serve: Any, sent_by: str
) -> None:
    """Attack 36, SEC-16: a page elsewhere knows the id and the fingerprint, and sends the form."""
    question = ask(ledger)
    target = f"{desk.url}/approvals/{question.id}/approve"
    fields = f"digest={question.digest}"
    if sent_by == "fetch":
        script = f"fetch('{target}', {{method: 'POST', credentials: 'include', body: new URLSearchParams('{fields}')}})"
    else:
        script = "document.forms[0].submit()"
    frame = ' target="f"' if sent_by == "frame" else ""
    evil = serve(
        page_of(
            f'<iframe name="f"></iframe><form method="post" action="{target}"{frame}>'
            f'<input name="digest" value="{question.digest}"></form><script>{script}</script>'
        )
    )
    with tab.page.expect_event(
        "requestfailed" if sent_by != "form" else "requestfinished", lambda request: request.url == target
    ):
        tab.page.goto(elsewhere(evil.url))

    assert posts(desk) == [403]
    assert ledger.approval(question.id).votes == ()


def test_attack_40_another_tenants_question_is_not_there(
    ledger: SyncLedger, desk: Served, serve: Any
) -> None:
    """Attack 40: by its id, by the start of it, in the list, or by answering it."""
    question = ask(ledger)
    url = serve(console(ledger.scoped(tenant="other"), access=lambda _: ANA)).url
    for path in (
        f"/approvals/{question.id}",
        f"/approvals/{question.id}.json",
        f"/approvals/{question.id[:8]}",
    ):
        assert httpx2.get(url + path, trust_env=False).status_code == 404, path
    form = {"digest": question.digest, "reason": "x", "question": "x", "to": "ben", "args": "{}"}
    for word in ("approve", "deny", "ask-more", "hand-over", "change", "approve-changed"):
        answer = httpx2.post(f"{url}/approvals/{question.id}/{word}", data=form, trust_env=False)
        assert answer.status_code == 404, word
        assert "12000" not in answer.text
    listed = httpx2.get(f"{url}/approvals.json", trust_env=False).json()["inbox"]

    assert (listed["rows"], listed["counts"]) == ([], {})
    assert ledger.approval(question.id).version == question.version


def test_attack_41_what_a_model_wrote_is_text_in_every_part_of_a_question(
    ledger: SyncLedger, desk: Served, tab: Any
) -> None:
    """Attack 41: arguments, names, reasons, context, summary, votes."""
    name = '"><img src=x onerror=window.hit=4>[a](javascript:window.hit=5)\u202e'
    context = CallContext(belief=name, uncertainty=name, on_decline=name, inferred={name: name})
    used(ledger, workflow_id=f"w0{name[:-1]}")
    question = ask(
        ledger,
        chain=BOTH,
        reason=name,
        workflow_id=f"w{name[:-1]}",
        actor=f"a{name[:-1]}",
        context=context,
        **{**HOSTILE, name: name, "customer": name},
    )
    ledger.approve(question.id, by="ben", digest=question.digest, reason=name)
    for path in ("/approvals", f"/approvals/{question.id}", f"/approvals?agent={name}", "/"):
        tab.page.goto(desk.url + path, wait_until="networkidle")
        assert tab.page.evaluate("window.hit") is None, path
        assert tab.page.locator("[onerror], main script, main img, main iframe").count() == 0, path
        assert tab.page.locator("a[href*=evil], a[href^=javascript]").count() == 0, path
        hidden = tab.page.evaluate("document.querySelector('main').innerText.includes('\\u202e')")
        assert not hidden, path

    assert tab.said == []


def test_attack_41_a_letter_that_looks_like_another_is_pointed_out(
    ledger: SyncLedger, desk: Served, tab: Any
) -> None:
    opened(desk, tab, ask(ledger, customer="p\u0430ypal", amount=1, memo="a\u200bb"))

    expect(tab.page.locator("#question .problem").first).to_contain_text("$.customer mixes letters")
    expect(tab.page.locator("#question .problem").last).to_contain_text("$.memo has characters that cannot")
    expect(tab.page.locator("#args .ghost")).to_have_text("U+200B")


def test_attack_42_nothing_of_a_payload_is_out_of_sight(ledger: SyncLedger, desk: Served, tab: Any) -> None:
    """Attack 42: ten thousand line ends, a line without end, a bar that covers the last lines."""
    args = {"a": "\n" * 10_000, "b": "x" * 20_000, "c": list(range(500)), "customer": "the end of it"}
    opened(desk, tab, ask(ledger, **args))
    box = tab.page.locator("#args")
    sizes = box.evaluate("e => [e.scrollHeight - e.clientHeight, e.scrollWidth - e.clientWidth]")
    tab.page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    bar = tab.page.locator(".decide").bounding_box()
    last = tab.page.locator("#question > *:nth-last-child(2)").bounding_box()

    assert sizes == [0, 0]
    assert "the end of it" in box.inner_text()
    assert bar is not None
    assert last is not None
    assert last["y"] + last["height"] <= bar["y"]
    assert tab.page.locator("details #args").count() == 0


def test_attack_42_nobody_says_yes_to_more_than_the_page_shows(
    ledger: SyncLedger, desk: Served, tab: Any
) -> None:
    """Attack 42: of what is too long for a page at first, size and hash, and the whole on demand."""
    question = ask(ledger, text="x" * 150_000, z="the end of it")
    opened(desk, tab, question)
    expect(tab.page.get_by_text("characters are not shown yet")).to_be_visible()
    expect(tab.page.get_by_role("button", name="Approve once")).to_have_count(0)
    expect(tab.page.get_by_role("button", name="Deny")).to_be_visible()
    tab.page.get_by_role("link", name="show all of it").click()
    expect(tab.page.locator("#args")).to_contain_text("the end of it")
    tab.page.get_by_role("button", name="Approve once").click()

    expect(tab.page.locator("h1")).to_contain_text("approved")
