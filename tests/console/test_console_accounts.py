"""Accounts that a proxy or a provider vouches for are people of the directory, or nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from console.provider import CLIENT, SECRET, Provider
from console.questions import ask
from console.served import Served
from holdfast import Directory, Person, SyncLedger
from holdfast.console import Role, Visitor, console
from holdfast.console.accounts import Accounts
from holdfast.console.openid import OpenID
from holdfast.console.proxy import TrustedHeader
from holdfast.errors import InvalidTool


def people(**accounts: str) -> Directory:
    """Ana of finance, who operates as well; a program; and somebody without any account."""
    return Directory(
        [
            Person(id="ana", roles={"finance", "operator"}, accounts=accounts),
            Person(id="bot", roles={"admin"}, is_human=False, accounts={"proxy": "bot@acme.example"}),
            Person(id="boss", roles={"admin", "finance"}),
        ]
    )


ROLES = {"finance": {Role.APPROVER}}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SyncLedger]:
    with SyncLedger(f"sqlite:///{tmp_path / 'desk.db'}", people=people()) as ledger:
        yield ledger


class Door:
    """A console behind a provider or a proxy, and who comes to it."""

    def __init__(self, ledger: SyncLedger, serve: Callable[[Any], Served], stack: ExitStack) -> None:
        self.ledger = ledger
        self.provider = Provider()
        self.provider.issuer = serve(self.provider.app()).url.replace("127.0.0.1", "localhost")
        outer: dict[str, Any] = {}

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await outer["app"](scope, receive, send)

        self._outer = outer
        self.url = serve(app).url
        self._stack = stack

    def with_openid(self, accounts: Accounts) -> None:
        access = OpenID(
            self.provider.issuer,
            client_id=CLIENT,
            client_secret=SECRET,
            url=self.url,
            accounts=accounts,
            scope="openid",
        )
        self._outer["app"] = console(self.ledger, access=access)

    def with_proxy(self, accounts: Accounts) -> None:
        access = TrustedHeader(["127.0.0.1"], accounts=accounts)
        self._outer["app"] = console(self.ledger, access=access)

    def browser(self, **options: Any) -> httpx2.Client:
        return self._stack.enter_context(
            httpx2.Client(trust_env=False, base_url=self.url, follow_redirects=True, **options)
        )


@pytest.fixture
def door(ledger: SyncLedger, serve: Callable[[Any], Served]) -> Iterator[Door]:
    with ExitStack() as stack:
        yield Door(ledger, serve, stack)


def test_whose_account_the_provider_vouches_for_is_at_the_console_as_the_directory_has_them(
    door: Door,
) -> None:
    """HIT-10: they decide under their own name, with the roles of the directory and no others."""
    known = people(oidc=f"{door.provider.issuer}|user-1")
    door.with_openid(Accounts(known, roles=ROLES))
    question = ask(door.ledger)
    client = door.browser()
    client.get("/-/sign-in")
    page = client.get("/settings")
    done = client.post(f"/approvals/{question.id}/approve", data={"digest": question.digest})
    refused = client.post("/let-go", data={"reason": "x"})

    assert "ana (approver, operator, viewer)" in page.text
    assert done.status_code == 200
    (vote,) = door.ledger.approval(question.id).votes
    assert (vote.person, vote.mfa) == ("ana", True)
    assert refused.status_code == 403


def test_an_account_is_of_one_provider_and_one_subject_whatever_address_it_claims(door: Door) -> None:
    """Two providers have users of the same name, and anybody writes any address into an account."""
    for account in (f"{door.provider.issuer}|user-2", "https://other.example|user-1", "user-1", "ana"):
        door.with_openid(Accounts(people(oidc=account)))
        door.provider.claims = {"email": "ana", "preferred_username": "ana"}
        client = door.browser()
        answer = client.get("/-/sign-in")

        assert answer.status_code == 403
        assert "Nobody here has this account" in answer.text
        assert client.get("/").status_code == 401


def test_whom_the_directory_does_not_know_may_read_where_that_is_set_and_nothing_else(door: Door) -> None:
    door.with_openid(Accounts(people(), roles=ROLES, unknown="viewer"))
    client = door.browser()
    client.get("/-/sign-in")

    assert f"{door.provider.issuer}|user-1 (viewer)" in client.get("/").text
    assert client.post("/stop", data={"reason": "x"}).status_code == 403


def test_a_proxys_names_are_accounts_of_the_directory(door: Door) -> None:
    door.with_proxy(Accounts(people(proxy="ana@acme.example"), roles=ROLES, unknown="viewer"))
    told = {
        name: door.browser(headers={"x-forwarded-user": name}).get("/")
        for name in ("ana@acme.example", "eve@acme.example", "bot@acme.example", "ana", "boss")
    }

    assert "ana (approver, operator, viewer)" in told["ana@acme.example"].text
    assert "eve@acme.example (viewer)" in told["eve@acme.example"].text
    # A program is nobody here; and a proxy's name is an account, not the id of somebody whose account it is not.
    assert [told[name].status_code for name in ("bot@acme.example", "ana", "boss")] == [401, 401, 401]


@pytest.mark.parametrize("unknown", ["refused", "viewer"])
def test_roles_of_the_directory_that_mean_nothing_here_give_nothing(unknown: Any) -> None:
    found = Accounts(people(proxy="a"), unknown=unknown).visitor("proxy", "a", Visitor("a"))

    assert found == Visitor("ana", frozenset({Role.VIEWER, Role.OPERATOR}))


def test_who_says_what_somebody_is_twice_or_never_is_told_so() -> None:
    accounts = Accounts(people())
    options: dict[str, Any] = {"client_id": "c", "url": "https://ops.example"}
    for both in ({}, {"roles": lambda _: (), "accounts": accounts}):
        with pytest.raises(InvalidTool):
            OpenID("https://login.example", **options, **both)
    with pytest.raises(InvalidTool):
        TrustedHeader(["127.0.0.1"], roles=lambda _: (), accounts=accounts)
    with pytest.raises(InvalidTool):
        Accounts(people(), unknown="anything")  # type: ignore[arg-type]  # it is refused
