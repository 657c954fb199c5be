"""Attack 38: sessions that cannot be planted, kept or taken over; and a proxy's word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from playwright.sync_api import expect
from starlette.responses import HTMLResponse

from console.served import Served
from console.world import Shop
from holdfast.console import Role, console
from holdfast.console.one_time import OneTimeToken
from holdfast.console.proxy import TrustedHeader
from holdfast.errors import InvalidTool

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Door:
    """A console behind one-time tokens, and the tokens that it printed."""

    def __init__(self, the_shop: Shop, serve: Callable[[Any], Served]) -> None:
        self.tokens: list[str] = []
        self.clock = Clock()
        access = OneTimeToken(
            self.tokens.append, visitor="dana@acme.example", roles={Role.OPERATOR}, now=self.clock
        )
        access.announce()
        self.served = serve(console(the_shop.ledger, access=access))
        self.url = self.served.url

    def client(self, **cookies: str) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, cookies=cookies, trust_env=False)

    @property
    def cookie(self) -> str:
        return f"holdfast-{self.url.rpartition(':')[2]}"

    def sign_in(self, client: httpx2.Client, token: str = "") -> httpx2.Response:
        return client.post("/-/sign-in", data={"token": token or self.tokens[-1]})


@pytest.fixture
def door(the_shop: Shop, serve: Callable[[Any], Served]) -> Door:
    return Door(the_shop, serve)


def test_attack_38_a_session_that_somebody_else_chose_is_never_adopted(door: Door) -> None:
    planted = "chosen-by-the-attacker"
    with door.client(**{door.cookie: planted}) as client:
        answer = door.sign_in(client)
        given = answer.cookies[door.cookie]

    assert answer.status_code == 303
    assert given != planted
    with door.client(**{door.cookie: planted}) as attacker:
        assert attacker.get("/workflows").status_code == 401
    with door.client(**{door.cookie: given}) as client:
        assert client.get("/workflows").status_code == 200


def test_attack_38_signing_in_again_ends_the_session_before(door: Door) -> None:
    with door.client() as client:
        first = door.sign_in(client).cookies[door.cookie]
        second = door.sign_in(client).cookies[door.cookie]

    assert first != second
    with door.client(**{door.cookie: first}) as stolen:
        assert stolen.get("/workflows").status_code == 401


def test_attack_38_a_stolen_cookie_is_worth_nothing_after_signing_out(door: Door) -> None:
    with door.client() as client:
        cookie = door.sign_in(client).cookies[door.cookie]
        with door.client(**{door.cookie: cookie}) as thief:
            assert thief.get("/workflows").status_code == 200
            client.post("/-/sign-out")
            assert thief.get("/workflows").status_code == 401
            assert thief.post("/workflows/ticket-9/cancel", data={"reason": "x"}).status_code == 401


@pytest.mark.parametrize(("every", "lasts"), [(timedelta(minutes=90), 8), (timedelta(minutes=121), 0)])
def test_attack_38_a_session_ends_when_it_is_idle_and_in_any_case_after_half_a_day(
    door: Door, every: timedelta, lasts: int
) -> None:
    with door.client() as client:
        cookie = door.sign_in(client).cookies[door.cookie]
    with door.client(**{door.cookie: cookie}) as client:
        seen = 0
        door.clock.now += every
        while client.get("/settings").status_code == 200:
            seen += 1
            door.clock.now += every

    assert seen == lasts


def test_attack_38_the_cookie_is_for_the_server_alone(door: Door) -> None:
    with door.client() as client:
        told = door.sign_in(client).headers["set-cookie"].lower()

    assert "httponly" in told
    assert "samesite=strict" in told
    assert "domain" not in told


def test_attack_38_over_tls_the_cookie_is_one_that_no_other_host_can_set(the_shop: Shop) -> None:
    tokens: list[str] = []
    access = OneTimeToken(tokens.append, visitor="dana")
    access.announce()
    app = console(the_shop.ledger, access=access)

    async def ask() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="https://ops.example") as client:
            return await client.post("/-/sign-in", data={"token": tokens[-1]})

    told = asyncio.run(ask()).headers["set-cookie"]
    assert told.startswith("__Host-holdfast=")
    assert "Secure" in told
    assert "Path=/" in told


def test_attack_38_a_token_opens_the_door_once_and_a_wrong_one_never(door: Door) -> None:
    (first,) = door.tokens
    with door.client() as client, door.client() as other:
        assert door.sign_in(other, "wrong").status_code == 403
        assert door.sign_in(other, "ä").status_code == 403
        assert client.get(f"/-/sign-in?token={first}").status_code == 200  # a preview uses nothing up
        assert door.sign_in(client, first).status_code == 303
        assert door.sign_in(other, first).status_code == 403
        assert other.get("/workflows").status_code == 401
    assert len(set(door.tokens)) == 2


def test_attack_38_nobody_is_signed_in_by_a_form_of_another_site(door: Door) -> None:
    answer = httpx2.post(
        f"{door.url}/-/sign-in",
        data={"token": door.tokens[-1]},
        headers={"sec-fetch-site": "cross-site"},
        trust_env=False,
    )

    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("script", [True, False])
def test_one_signs_in_by_the_printed_link_acts_and_signs_out(door: Door, browser: Any, script: bool) -> None:
    with browser.new_context(java_script_enabled=script) as context:
        page = context.new_page()
        page.goto(f"{door.url}/workflows")
        expect(page.get_by_text("Nobody knows you here")).to_be_visible()
        page.goto(f"{door.url}/-/sign-in?token={door.tokens[-1]}")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("dana@acme.example (operator)")).to_be_visible()
        page.goto(f"{door.url}/workflows/ticket-9")
        page.get_by_label("Reason to cancel").fill("sent twice")
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("h1")).to_contain_text("cancelled")
        page.get_by_role("button", name="Sign out").click()
        page.goto(f"{door.url}/workflows")
        expect(page.get_by_text("Nobody knows you here")).to_be_visible()


def test_who_is_signed_in_and_comes_by_a_link_of_another_site_gets_where_it_leads(
    door: Door, browser: Any, serve: Callable[[Any], Served]
) -> None:
    async def chat(scope: Any, receive: Any, send: Any) -> None:
        await HTMLResponse(f'<a href="{door.url}/workflows/ticket-7?x=1">look</a>')(scope, receive, send)

    other = serve(chat).url.replace("127.0.0.1", "localhost")
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{door.url}/-/sign-in?token={door.tokens[-1]}")
        page.get_by_role("button", name="Sign in").click()
        page.goto(other)
        page.get_by_role("link", name="look").click()
        expect(page.locator("h1")).to_contain_text("ticket-7")


# A proxy's word


@pytest.mark.parametrize(
    ("peers", "headers", "status"),
    [
        (["127.0.0.1"], [("x-forwarded-user", "dana")], 200),
        (["127.0.0.0/8"], [("X-Forwarded-User", "dana")], 200),
        (["10.0.0.1"], [("x-forwarded-user", "dana")], 401),
        (["10.0.0.1"], [("x-forwarded-user", "dana"), ("x-forwarded-for", "10.0.0.1")], 401),
        (["127.0.0.1"], [], 401),
        (["127.0.0.1"], [("x-forwarded-user", "")], 401),
        (["127.0.0.1"], [("x-forwarded-user", "dana"), ("x-forwarded-user", "admin")], 401),
    ],
)
def test_a_proxys_word_counts_from_the_proxy_alone(
    the_shop: Shop,
    serve: Callable[[Any], Served],
    peers: list[str],
    headers: list[tuple[str, str]],
    status: int,
) -> None:
    url = serve(console(the_shop.ledger, access=TrustedHeader(peers))).url

    assert httpx2.get(f"{url}/workflows", headers=headers, trust_env=False).status_code == status


@pytest.mark.parametrize("peers", [[], ["everybody"], ["10.0.0.1/8"]])
def test_who_trusts_nobody_or_no_address_is_told_so(peers: list[str]) -> None:
    with pytest.raises(InvalidTool):
        TrustedHeader(peers)
