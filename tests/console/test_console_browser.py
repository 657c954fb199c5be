"""The console in a real Chromium: no complaint under its policy, alive by ticks, whole without JavaScript."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import expect

from console.world import DANA
from holdfast.console import console

PAGES = (
    "/",
    "/workflows",
    "/approvals",
    "/doubt",
    "/budgets",
    "/oversight",
    "/policy",
    "/audit",
    "/workers",
    "/settings",
    "/-/patterns",
)


_LOOK = """() => new Promise((done) => {
  const told = (event) => done(event.detail.ctx.response.status);
  document.body.addEventListener("htmx:finally:request", told, {once: true});
  document.body.dispatchEvent(new Event("tick"));
})"""


def tick(tab: Any) -> int:
    """Let the page look once, and take in what it is told; return the status that it was answered with.

    A page that has not taken in the answer before is of the version before, and rightly told news again.
    """
    return int(tab.page.evaluate(_LOOK))


def unchanged(tab: Any) -> bool:
    """Whether the page is answered with 304; ages are told by the minute, which may turn once meanwhile."""
    return 304 in (tick(tab), tick(tab))


def still(tab: Any) -> None:
    """Have the pages that are opened from now on look only when they are told to."""
    tab.page.add_init_script("localStorage.setItem('holdfast.pace', '0')")


@pytest.mark.parametrize("path", PAGES)
def test_no_page_gives_a_browser_anything_to_complain_of(acting: Any, tab: Any, path: str) -> None:
    """OBS-23: a strict policy, Trusted Types, and no complaint."""
    tab.page.goto(acting.url + path, wait_until="networkidle")

    assert tab.said == []


def test_pages_of_things_give_nothing_to_complain_of(acting: Any, the_shop: Any, tab: Any) -> None:
    for path in (
        "/workflows/ticket-7",
        "/workflows/order-2",
        f"/effects/{the_shop.doubtful}",
        f"/effects/{the_shop.hostile}",
    ):
        tab.page.goto(acting.url + path, wait_until="networkidle")

    assert tab.said == []


def test_an_unchanged_page_is_answered_with_304_and_a_changed_one_comes_by_itself(
    acting: Any, the_shop: Any, tab: Any
) -> None:
    still(tab)
    tab.page.goto(f"{acting.url}/workflows", wait_until="networkidle")
    row = tab.page.locator("tbody tr", has_text="ticket-9")
    link = tab.page.get_by_role("link", name="ticket-8")
    link.focus()

    assert unchanged(tab)
    the_shop.ledger.cancel("ticket-9", by="ops", reason="sent twice")
    assert tick(tab) == 200
    expect(row.first).to_contain_text("cancelled")
    expect(link).to_be_focused()
    assert unchanged(tab)
    assert tab.said == []


def test_a_page_that_is_paused_asks_for_nothing_and_one_that_is_not_looks_by_itself(
    acting: Any, tab: Any
) -> None:
    with tab.page.expect_response(lambda response: response.status == 304):
        tab.page.goto(f"{acting.url}/workflows")
    tab.page.keyboard.press("p")

    assert tab.page.locator("#pace").input_value() == "0"


def test_what_a_person_types_and_the_buttons_under_their_hand_stay_when_the_page_changes(
    acting: Any, the_shop: Any, tab: Any
) -> None:
    still(tab)
    tab.page.goto(f"{acting.url}/workflows/ticket-9", wait_until="networkidle")
    reason = tab.page.get_by_label("Reason to cancel")
    reason.fill("the customer called")
    the_shop.ledger.pause("ticket-9", by="ops", reason="wait")

    assert tick(tab) == 200
    expect(tab.page.locator("h1")).to_contain_text("paused")
    expect(reason).to_have_value("the customer called")


def test_why_something_was_refused_stays_on_the_page_when_it_is_refreshed(acting: Any, tab: Any) -> None:
    """What matters is no toast: it stays until the reader goes on."""
    still(tab)
    tab.page.goto(f"{acting.url}/workflows/ticket-9", wait_until="networkidle")
    tab.page.locator("form[action$='/cancel']").evaluate(
        "form => { form.action = form.action.replace('-9', '-7') }"
    )
    tab.page.get_by_label("Reason to cancel").fill("too late")
    tab.page.get_by_role("button", name="Cancel").click()
    tab.page.wait_for_load_state("networkidle")
    expect(tab.page.get_by_role("alert")).to_contain_text("has ended")
    tick(tab)

    assert tick(tab) == 304
    expect(tab.page.get_by_role("alert")).to_contain_text("has ended")


def test_everything_is_reached_by_keys_and_no_key_does_anything_to_an_effect(acting: Any, tab: Any) -> None:
    tab.page.goto(f"{acting.url}/", wait_until="networkidle")
    tab.page.keyboard.press("g")
    tab.page.keyboard.press("w")
    tab.page.wait_for_url("**/workflows")
    tab.page.keyboard.press("j")
    tab.page.keyboard.press("j")
    first = tab.page.evaluate("document.activeElement.textContent")
    tab.page.keyboard.press("k")
    assert tab.page.evaluate("document.activeElement.textContent") != first
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url("**/workflows/*")
    tab.page.keyboard.press("?")
    expect(tab.page.locator("#keys")).to_be_visible()
    tab.page.keyboard.press("Escape")
    for key in "abcdefhilmnoqsuvxyz":
        tab.page.keyboard.press(key)

    assert not [asked for asked in acting.asked if asked[0] == "POST"]
    assert tab.said == []


def test_the_theme_is_flipped_by_a_key_and_kept(acting: Any, tab: Any) -> None:
    tab.page.goto(f"{acting.url}/", wait_until="networkidle")
    light = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.page.keyboard.press("t")
    dark = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.page.goto(f"{acting.url}/doubt", wait_until="networkidle")

    assert light != dark
    assert tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


def test_without_javascript_one_searches_reads_and_acts(acting: Any, the_shop: Any, plain_tab: Any) -> None:
    page = plain_tab.page
    page.goto(f"{acting.url}/workflows")
    page.get_by_role("searchbox").fill("ticket status:failed")
    page.get_by_role("button", name="Search").click()
    assert page.locator("tbody tr").count() == 1
    page.get_by_role("link", name="ticket-8").click()
    page.goto(f"{acting.url}/workflows/ticket-9")
    page.get_by_label("Reason to cancel").fill("sent twice")
    page.get_by_role("button", name="Cancel").click()

    assert page.url.endswith("/workflows/ticket-9")
    assert "cancelled" in page.locator("h1").inner_text()
    assert the_shop.ledger.execution("ticket-9").status == "cancelled"


def test_the_waterfall_is_drawn_by_the_server_in_the_proportions_of_time(acting: Any, tab: Any) -> None:
    """OBS-23"""
    tab.page.goto(f"{acting.url}/workflows/ticket-7", wait_until="networkidle")
    drawn = tab.page.evaluate(
        "[...document.querySelectorAll('.bar rect')].map(r => r.getBoundingClientRect().width)"
    )
    asked = tab.page.evaluate(
        "[...document.querySelectorAll('.bar rect')].map(r => parseFloat(r.getAttribute('width')))"
    )
    whole = tab.page.evaluate("document.querySelector('.bar').getBoundingClientRect().width")

    assert len(drawn) == 2
    assert [100 * one / whole for one in drawn] == pytest.approx(asked, abs=0.5)


def test_a_first_visit_is_small(acting: Any, tab: Any) -> None:
    bodies: list[int] = []
    tab.page.on("response", lambda response: bodies.append(len(response.body())))
    tab.page.goto(f"{acting.url}/workflows", wait_until="networkidle")

    assert sum(bodies) < 80_000


def test_a_name_that_looks_like_a_path_leads_to_its_own_page(acting: Any, tab: Any) -> None:
    still(tab)
    tab.page.goto(f"{acting.url}/workflows", wait_until="networkidle")
    tab.page.get_by_role("link", name="odd/../name.json").click()
    tab.page.wait_for_url(re.compile(r".*/workflows/odd%252F"))
    tab.page.wait_for_load_state("networkidle")

    expect(tab.page.locator("h1")).to_contain_text("odd/../name.json")
    assert unchanged(tab)


def test_a_page_whose_minute_has_turned_is_news_once_and_then_unchanged(
    the_shop: Any, serve: Any, tab: Any
) -> None:
    """Ages are told by the minute: each turn changes every page, and the page that took it in is current."""
    at = [datetime.now(UTC)]
    served = serve(console(the_shop.ledger, access=lambda _: DANA, now=lambda: at[0]))
    still(tab)
    tab.page.goto(f"{served.url}/workflows/ticket-7", wait_until="networkidle")

    for _ in range(10):
        at[0] += timedelta(minutes=1)
        assert (tick(tab), tick(tab)) == (200, 304)
