"""Attack 39: an OpenID provider that lies, and answers that somebody else sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from joserfc.jwk import RSAKey
from playwright.sync_api import expect

from console.provider import CLIENT, SECRET, Provider
from console.served import Served
from console.world import Shop
from holdfast.console import Role, console
from holdfast.console.openid import OpenID
from holdfast.errors import InvalidTool


def roles_of(claims: Any) -> set[Role]:
    return {Role.OPERATOR} if claims["email"].endswith("@acme.example") else set()


class Company:
    """A provider, and a console that trusts it."""

    def __init__(self, the_shop: Shop, serve: Callable[[Any], Served], stack: ExitStack) -> None:
        self.provider = Provider()
        self.provider.issuer = serve(self.provider.app()).url.replace("127.0.0.1", "localhost")
        self._stack = stack
        self.now = lambda: datetime.now(UTC)
        outer: dict[str, Any] = {}

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await outer["app"](scope, receive, send)

        self.served = serve(app)
        self.url = self.served.url
        access = OpenID(
            self.provider.issuer,
            client_id=CLIENT,
            client_secret=SECRET,
            url=self.url,
            roles=roles_of,
            now=lambda: self.now(),  # noqa: PLW0108 - tests put another one there
        )
        outer["app"] = console(the_shop.ledger, access=access)

    def sign_in(self) -> tuple[httpx2.Client, httpx2.Response]:
        """Go to the provider and come back, as a browser would."""
        client = self.browser(follow_redirects=True)
        return client, client.get(f"{self.url}/-/sign-in")

    def browser(self, **options: Any) -> httpx2.Client:
        """A browser without a face; it is closed with the test."""
        return self._stack.enter_context(httpx2.Client(trust_env=False, **options))

    def is_in(self, client: httpx2.Client) -> bool:
        return client.get(f"{self.url}/workflows").status_code == 200


@pytest.fixture
def company(the_shop: Shop, serve: Callable[[Any], Served]) -> Iterator[Company]:
    with ExitStack() as stack:
        yield Company(the_shop, serve, stack)


def test_one_signs_in_at_the_provider_in_a_real_browser_and_acts(
    company: Company, the_shop: Shop, browser: Any
) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{company.url}/-/sign-in")
        page.wait_for_url(f"{company.url}/")
        expect(page.get_by_text("dana@acme.example (operator)")).to_be_visible()
        page.goto(f"{company.url}/settings")
        expect(page.get_by_text("known by oidc, more than one factor")).to_be_visible()
        page.goto(f"{company.url}/workflows/ticket-9")
        page.get_by_label("Reason to pause").fill("a question")
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("h1")).to_contain_text("paused")
    assert the_shop.ledger.execution("ticket-9").pause_reason == "dana@acme.example: a question"


def test_attack_39_each_way_to_the_provider_has_its_own_state_nonce_and_challenge(company: Company) -> None:
    for _ in range(3):
        client, answer = company.sign_in()
        assert answer.status_code == 200
        assert company.is_in(client)
    for name in ("state", "nonce", "code_challenge"):
        told = [asked[name] for asked in company.provider.asked]
        assert len(set(told)) == 3
        assert all(len(one) >= 43 for one in told)
    assert {asked["code_challenge_method"] for asked in company.provider.asked} == {"S256"}
    assert len({form["code_verifier"] for form in company.provider.token_requests}) == 3


@pytest.mark.parametrize("alg", ["none", "HS256", "foreign"])
def test_attack_39_a_token_that_the_provider_did_not_sign_is_nobodys(company: Company, alg: str) -> None:
    company.provider.alg = alg
    client, answer = company.sign_in()

    assert answer.status_code == 403
    assert not company.is_in(client)


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another-client"},
        {"aud": ["another-client"]},
        {"aud": None},
        {"aud": [CLIENT, "another-client"], "azp": "another-client"},
        {"aud": [CLIENT, "another-client"]},
        {"nonce": "of another time"},
        {"nonce": None},
        {"exp": 1},
        {"exp": None},
        {"iat": 4_000_000_000},
        {"nbf": 4_000_000_000},
        {"sub": None},
        {"email_verified": False},
        {"email_verified": None},
        {"email_verified": "true"},
        {"email": None},
        {"email": ""},
        {"email": "dana@acme.example\u202e"},
        {"email": 7},
    ],
    ids=str,
)
def test_attack_39_a_claim_that_is_wrong_missing_or_unverified_lets_nobody_in(
    company: Company, claims: dict[str, Any]
) -> None:
    company.provider.claims = claims
    client, answer = company.sign_in()

    assert answer.status_code == 403
    assert not company.is_in(client)


@pytest.mark.parametrize(
    "told",
    [
        {"state": None},
        {"state": "invented"},
        {"state": ""},
        {"code": None},
        {"code": "of somebody else"},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"error": "access_denied"},
    ],
    ids=str,
)
def test_attack_39_a_way_back_that_is_not_ours_leads_nowhere(
    company: Company, told: dict[str, str | None]
) -> None:
    company.provider.told = told
    client, answer = company.sign_in()

    assert answer.status_code == 403
    assert not company.is_in(client)


def test_attack_39_who_comes_back_in_another_browser_is_not_let_in(company: Company) -> None:
    """Otherwise a victim would be signed in as the attacker, or the other way round."""
    leaving = company.browser()
    to_provider = leaving.get(f"{company.url}/-/sign-in").headers["location"]
    back = leaving.get(to_provider).headers["location"]
    victim = company.browser()

    assert victim.get(back).status_code == 403
    assert not company.is_in(victim)
    assert leaving.get(back).status_code == 403  # and it is used up


def test_attack_39_a_way_back_is_gone_once_and_not_for_ever(company: Company) -> None:
    client = company.browser()
    back = client.get(client.get(f"{company.url}/-/sign-in").headers["location"]).headers["location"]
    assert client.get(back).status_code == 200
    assert client.get(back).status_code == 403

    late = company.browser()
    back = late.get(late.get(f"{company.url}/-/sign-in").headers["location"]).headers["location"]
    begun = datetime.now(UTC)
    company.now = lambda: begun + timedelta(minutes=11)
    assert late.get(back).status_code == 403


def test_attack_39_a_provider_by_another_name_is_not_believed(company: Company) -> None:
    company.provider.document = {"issuer": "https://evil.example"}
    _, answer = company.sign_in()

    assert answer.status_code == 403
    assert not company.provider.asked


def test_attack_39_nothing_is_sent_to_an_unprotected_address(company: Company) -> None:
    company.provider.document = {"token_endpoint": "http://evil.example/token"}
    client, answer = company.sign_in()

    assert answer.status_code == 403
    assert not company.is_in(client)


def test_new_keys_of_the_provider_are_learnt(company: Company) -> None:
    client, _ = company.sign_in()
    assert company.is_in(client)
    company.provider.key = RSAKey.generate_key(2048, {"kid": "three", "use": "sig"})
    begun = datetime.now(UTC)
    company.now = lambda: begun + timedelta(seconds=45)
    client, answer = company.sign_in()

    assert answer.status_code == 200


def test_who_has_no_role_is_known_and_sees_nothing(company: Company) -> None:
    company.provider.claims = {"email": "mallory@evil.example"}
    client, _ = company.sign_in()

    assert client.get(f"{company.url}/workflows").status_code == 403
    assert not re.search("ticket|order", client.get(f"{company.url}/workflows").text)


@pytest.mark.parametrize(
    "given",
    [
        {"issuer": "http://login.example"},
        {"url": "http://ops.example"},
        {"issuer": "login.example"},
        {"scope": "email"},
    ],
    ids=str,
)
def test_what_cannot_be_safe_is_refused_when_it_is_declared(given: dict[str, str]) -> None:
    with pytest.raises(InvalidTool):
        OpenID(
            **{
                "issuer": "https://login.example",
                "client_id": CLIENT,
                "url": "https://ops.example",
                "roles": roles_of,
                **given,
            }
        )
