"""Attacks 36 to 43 on the console, in a real browser where a browser is what defends."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from playwright.sync_api import expect
from starlette.responses import HTMLResponse

from console.world import DANA, HOSTILE, break_off, shop
from holdfast import Done, StillUnknown, SyncLedger, ToolCall
from holdfast.console import console


def elsewhere(url: str) -> str:
    """The same machine under a name that is another site to a browser."""
    return url.replace("127.0.0.1", "localhost")


def page_of(html: str) -> Any:
    async def evil(scope: Any, receive: Any, send: Any) -> None:
        await HTMLResponse(html)(scope, receive, send)

    return evil


def is_live(ledger: SyncLedger) -> bool:
    return ledger.execution("ticket-9").status == "queued"


@pytest.mark.parametrize("sent_by", ["form", "fetch", "no-cors"])
def test_attack_36_a_form_of_another_site_does_nothing(
    acting: Any, the_shop: Any, tab: Any, serve: Any, sent_by: str
) -> None:
    target = f"{acting.url}/workflows/ticket-9/cancel"
    mode = ", mode: 'no-cors'" if sent_by == "no-cors" else ""
    script = (
        "document.forms[0].submit()"
        if sent_by == "form"
        else f"fetch('{target}', {{method: 'POST', credentials: 'include'{mode}, body: new URLSearchParams('reason=x')}})"
    )
    evil = serve(
        page_of(
            f'<form method="post" action="{target}"><input name="reason" value="x"></form><script>{script}</script>'
        )
    )
    # What a script of another site may not even read counts for the browser as a failure.
    came = "requestfinished" if sent_by == "form" else "requestfailed"
    with tab.page.expect_event(came, lambda request: request.url == target):
        tab.page.goto(elsewhere(evil.url))

    assert [status for method, _, status in acting.asked if method == "POST"] == [403]
    assert is_live(the_shop.ledger)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
def test_attack_36_old_browsers_and_neighbours_are_judged_by_what_they_say(
    acting: Any, the_shop: Any, headers: dict[str, str]
) -> None:
    answer = httpx2.post(
        f"{acting.url}/workflows/ticket-9/cancel", data={"reason": "x"}, headers=headers, trust_env=False
    )

    assert answer.status_code == 403
    assert is_live(the_shop.ledger)


def test_attack_36_nothing_is_done_by_following_a_link(acting: Any, the_shop: Any) -> None:
    answer = httpx2.get(f"{acting.url}/workflows/ticket-9/cancel?reason=x", trust_env=False)

    assert answer.status_code == 405
    assert is_live(the_shop.ledger)


@pytest.mark.parametrize(
    ("kind", "body"), [("application/json", '{"reason": "x"}'), ("text/plain", "reason=x"), ("", "reason=x")]
)
def test_attack_36_what_is_no_form_is_not_read(acting: Any, the_shop: Any, kind: str, body: str) -> None:
    answer = httpx2.post(
        f"{acting.url}/workflows/ticket-9/cancel",
        content=body,
        headers={"content-type": kind},
        trust_env=False,
    )

    assert answer.status_code == 415
    assert is_live(the_shop.ledger)


def test_attack_37_the_console_is_shown_in_no_frame(acting: Any, tab: Any, serve: Any) -> None:
    evil = serve(page_of(f'<iframe src="{acting.url}/workflows/ticket-9" width="900" height="700"></iframe>'))
    tab.page.goto(evil.url, wait_until="networkidle")
    (frame,) = [one for one in tab.page.frames if one is not tab.page.main_frame]

    assert "ticket-9" not in frame.content()
    assert any("frame" in said.lower() for said in tab.said)


def test_attack_37_no_answer_may_be_framed(acting: Any) -> None:
    for path in ("/", "/workflows", "/overview.json", "/static/style.css", "/nothing", "/healthz"):
        answer = httpx2.get(acting.url + path, trust_env=False)
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], path
        assert answer.headers["x-frame-options"] == "DENY", path
        assert answer.headers["cache-control"] == "no-store" or path.startswith("/static")


def test_attack_40_what_another_tenant_has_is_not_there(the_shop: Any, serve: Any) -> None:
    other = console(the_shop.ledger.scoped(tenant="other"), access=None)
    url = serve(other).url

    for path in (
        f"/effects/{the_shop.done}",
        f"/effects/{the_shop.done}.json",
        "/workflows/ticket-7",
        "/workflows/ticket-7.json",
        "/workflows/order-1",
        f"/audit?key={the_shop.done[3:]}",
    ):
        assert httpx2.get(url + path, trust_env=False).status_code == 404, path
    listed = httpx2.get(f"{url}/workflows.json", trust_env=False).json()
    assert listed["workflows"]["rows"] == []


def test_attack_40_nothing_of_another_tenant_is_moved(the_shop: Any, serve: Any) -> None:
    url = serve(console(the_shop.ledger.scoped(tenant="other"), access=lambda _: DANA)).url
    head = the_shop.ledger.audit(the_shop.doubtful)[-1].hash
    settle = {"seen": head, "outcome": "not_done", "reason": "x"}

    done = httpx2.post(f"{url}/effects/{the_shop.doubtful}/resolve", data=settle, trust_env=False)
    cancelled = httpx2.post(f"{url}/workflows/ticket-9/cancel", data={"reason": "x"}, trust_env=False)

    assert (done.status_code, cancelled.status_code) == (404, 404)
    assert the_shop.ledger.effect(the_shop.doubtful).state == "unknown"
    assert is_live(the_shop.ledger)


def test_attack_41_what_models_wrote_is_text_on_every_page(ledger: Any, serve: Any, tab: Any) -> None:
    the_shop = shop(ledger)
    name = '"><img src=x onerror=window.hit=4>'
    with pytest.raises(ConnectionResetError):
        ledger.run(ToolCall(workflow_id=f"w{name}", tool=f"t{name}", args=HOSTILE), break_off)
    ledger.resolve(the_shop.doubtful, Done({"x": name}), by=f"by{name}", reason="<b>\u202efdp</b>")
    ledger.pause("ticket-9", by=f"by{name}", reason=f"why{name}")
    url = serve(console(ledger, access=lambda _: DANA)).url
    odd = ledger.effects(tool=f"t{name}")[0].key
    paths = [
        "/",
        "/workflows",
        "/doubt",
        "/workers",
        f"/workflows?q={name}",
        f"/audit?key={odd[3:12]}",
        f"/effects/{odd}",
        f"/effects/{the_shop.hostile}",
        f"/effects/{the_shop.doubtful}",
        "/workflows/ticket-9",
    ]
    tab.page.goto(url + "/workflows")
    tab.page.locator("tbody a", has_text="onerror").click()
    for path in [tab.page.url.removeprefix(url), *paths]:
        tab.page.goto(url + path, wait_until="networkidle")
        assert tab.page.evaluate("window.hit") is None, path
        assert (
            tab.page.locator("[onerror], main script, main img, main iframe, [hx-swap=innerHTML]").count()
            == 0
        )
        assert tab.page.locator("a[href*=evil], a[href^=javascript]").count() == 0, path
        assert tab.page.get_by_text("stolen", exact=True).count() == 0, path

    assert tab.said == []


def test_attack_41_what_cannot_be_seen_is_shown_by_its_number(acting: Any, the_shop: Any, tab: Any) -> None:
    tab.page.goto(f"{acting.url}/effects/{the_shop.hostile}", wait_until="networkidle")
    shown = tab.page.locator("#args").inner_text()

    assert [
        tab.page.locator(".ghost", has_text=number).count() > 0
        for number in ("U+202E", "U+200B", "U+2066", "U+E000", "U+3164")
    ] == [True] * 5
    assert not [char for char in shown if char in "\u202e\u200b\u2066\u3164\ue000\x1b\x00"]
    assert "9007199254740993" in shown
    assert "hunter2" not in tab.page.content()


def test_attack_41_should_a_template_slip_the_browser_refuses_what_was_slipped_in(
    acting: Any, tab: Any
) -> None:
    tab.page.goto(f"{acting.url}/workflows", wait_until="networkidle")
    refused = tab.page.evaluate(
        """() => {
          try { document.querySelector('#main').innerHTML = '<img src=x onerror="window.hit=5">'; return ''; }
          catch (error) { return error.name; }
        }"""
    )
    asked = len(acting.asked)
    tab.page.evaluate(
        """() => {
          const slipped = document.createElement('div');
          slipped.setAttribute('hx-get', '/settings');
          slipped.setAttribute('hx-trigger', 'load');
          document.querySelector('#main').append(slipped);
          htmx.process(slipped);
          const script = document.createElement('b');
          script.setAttribute('style', 'color: rgb(1, 2, 3)');
          script.id = 'styled';
          document.querySelector('#main').append(script);
        }"""
    )

    assert refused == "TypeError"
    assert tab.page.locator("[hx-get='/settings']").count() == 0
    assert tab.page.evaluate("window.hit") is None
    assert tab.page.evaluate("getComputedStyle(document.querySelector('#styled')).color") != "rgb(1, 2, 3)"
    assert not [one for one in acting.asked[asked:] if one[1] == "/settings"]


def test_attack_42_a_payload_is_on_the_page_whole_and_no_part_of_it_scrolls_out_of_sight(
    acting: Any, the_shop: Any, tab: Any
) -> None:
    tab.page.goto(f"{acting.url}/effects/{the_shop.hostile}", wait_until="networkidle")
    box = tab.page.locator("#args")
    sizes = box.evaluate("e => [e.scrollHeight - e.clientHeight, e.scrollWidth - e.clientWidth]")

    assert "the end of it" in box.inner_text()
    assert sizes == [0, 0]
    expect(tab.page.locator("details").get_by_text("the end of it")).to_have_count(0)


def test_attack_42_of_one_too_long_for_a_page_it_says_how_much_is_missing_and_names_the_whole(
    ledger: Any, serve: Any, tab: Any
) -> None:
    args = {"text": "x" * 150_000 + "the end of it"}
    with pytest.raises(ConnectionResetError):
        ledger.run(ToolCall(workflow_id="w", tool="t", args=args), break_off)
    key = ledger.effects()[0].key
    url = serve(console(ledger)).url
    tab.page.goto(f"{url}/effects/{key}", wait_until="networkidle")
    whole = json.loads(httpx2.get(f"{url}/effects/{key}.json", trust_env=False).content)

    expect(tab.page.get_by_text("characters are not on this page")).to_be_visible()
    assert whole["effect"]["args"] == args
    assert whole["effect"]["fingerprint"] in tab.page.content()


def test_attack_43_who_settles_what_has_moved_since_they_looked_is_told_so(
    acting: Any, the_shop: Any, tab: Any
) -> None:
    tab.page.add_init_script("localStorage.setItem('holdfast.pace', '0')")
    tab.page.goto(f"{acting.url}/effects/{the_shop.doubtful}", wait_until="networkidle")
    the_shop.ledger.resolve(the_shop.doubtful, StillUnknown("asked the bank"), by="erik", reason="no answer")
    tab.page.get_by_label("it is not done").check()
    tab.page.get_by_label("Reason to settle it").fill("not in the list")
    tab.page.get_by_role("button", name="Settle").click()

    expect(tab.page.get_by_role("alert")).to_contain_text("has moved since you opened this page")
    assert the_shop.ledger.effect(the_shop.doubtful).state == "unknown"
    assert [status for method, _, status in acting.asked if method == "POST"] == [409]
