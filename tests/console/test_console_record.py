"""What is done at the console, and what is refused there, is on the audit chain: by whom, and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from console.asgi import Client
from console.world import DANA, Shop
from holdfast.console import Role, Visitor, console

OWN = "holdfast:console"
VERA = Visitor("vera@acme.example", frozenset({Role.VIEWER}), method="test")
OPERATOR = Visitor("oleg@acme.example", frozenset({Role.OPERATOR}), method="test")


def refusals(shop: Shop) -> list[tuple[str, Any, Any]]:
    """Who was refused what, and why, as the audit chain has it."""
    found = shop.ledger.effects(workflow_id=OWN, tool="holdfast:person.refused", limit=1000)
    told = [shop.ledger.audit(str(effect.key)) for effect in found]
    return sorted((one.actor, one.details["action"], one.details["why"]) for [one] in told)


@pytest.mark.parametrize(
    ("path", "form", "word"),
    [
        ("/workflows/ticket-9/cancel", {}, "cancel"),
        ("/workflows/ticket-9/pause", {}, "pause"),
        ("/workflows/ticket-10/resume", {}, "resume"),
        ("/workflows/ticket-8/restart", {}, "restart"),
        ("/workflows/ticket-7/fork", {"step": "send", "to": "ticket-7b"}, "fork"),
        ("/workflows/order-1/compensate", {}, "undo"),
    ],
)
async def test_who_steers_a_workflow_and_why_is_on_record_and_in_its_story(
    client: Client, the_shop: Shop, path: str, form: dict[str, str], word: str
) -> None:
    """HIT-16: all of it is on record."""
    name = path.split("/")[2]
    answer = await client.post(path, {**form, "reason": "the customer called"})
    [deed] = the_shop.ledger.effects(workflow_id=name, tool=f"holdfast:person.{word}")
    [entry] = the_shop.ledger.audit(str(deed.key))
    story = (await client.get(f"/workflows/{name}")).text

    assert answer.status_code == 303
    assert (entry.actor, entry.details["by"]) == (DANA.id, DANA.id)
    assert entry.details["reason"] == "the customer called"
    assert f"{word}, by {DANA.id}" in story
    assert "because: the customer called" in story
    assert not the_shop.ledger.verify().problems


async def test_the_fork_itself_tells_of_whom_it_is_from(client: Client, the_shop: Shop) -> None:
    await client.post("/workflows/ticket-7/fork", {"step": "send", "to": "ticket-7b", "reason": "once more"})
    [deed] = the_shop.ledger.effects(workflow_id="ticket-7b", tool="holdfast:person.fork")

    assert deed.args == {"reason": "once more", "step": "send", "source": "ticket-7"}


@pytest.mark.parametrize("path", ["/workflows/ticket-8/restart", "/workflows/ticket-7/fork"])
async def test_nobody_restarts_or_forks_without_a_reason(client: Client, the_shop: Shop, path: str) -> None:
    answer = await client.post(path, {"step": "send", "to": "ticket-7b"})

    assert answer.status_code == 409
    assert the_shop.ledger.execution("ticket-8").status == "failed"
    assert not the_shop.ledger.effects(workflow_id="ticket-7b")


async def test_who_stopped_everything_and_who_let_it_go_on_is_on_record(
    client: Client, the_shop: Shop
) -> None:
    """SEC-14, HIT-16"""
    await client.post("/stop", {"reason": "it sends too much", "actor": "mailer"})
    await client.post("/let-go", {"reason": "mended", "actor": "mailer"})
    found = the_shop.ledger.effects(workflow_id=OWN)

    assert [(one.tool, one.args) for one in reversed(found)] == [
        ("holdfast:person.halt", {"reason": "it sends too much", "agent": "mailer"}),
        ("holdfast:person.unhalt", {"reason": "mended", "agent": "mailer"}),
    ]


async def test_what_a_role_is_not_allowed_is_on_the_audit_chain(the_shop: Shop) -> None:
    viewer = Client(console(the_shop.ledger, access=lambda _: VERA))
    operator = Client(console(the_shop.ledger, access=lambda _: OPERATOR))
    form = {"reason": "x"}

    assert (await viewer.post("/workflows/ticket-10/resume", form)).status_code == 403
    assert (await viewer.post("/approvals/abc/approve", form)).status_code == 403
    assert (await operator.post("/let-go", form)).status_code == 403
    assert refusals(the_shop) == [
        (OPERATOR.id, "let-go", "it takes another role"),
        (VERA.id, "approve", "it takes another role"),
        (VERA.id, "resume", "it takes another role"),
    ]
    assert not the_shop.ledger.verify().problems


async def test_what_the_ledger_refuses_is_on_the_audit_chain_by_its_kind(
    client: Client, the_shop: Shop
) -> None:
    """Errors repeat what was typed; the record has no more than their kind."""
    assert (await client.post("/workflows/ticket-7/cancel", {"reason": "x"})).status_code == 409
    seen = {"seen": "0" * 64, "reason": "x", "outcome": "done"}
    assert (await client.post(f"/effects/{the_shop.doubtful}/resolve", seen)).status_code == 409

    assert refusals(the_shop) == [
        (DANA.id, "cancel", "invalid-call"),
        (DANA.id, "resolve", "it has changed since it was looked at"),
    ]


async def test_attack_36_a_forged_form_in_the_browser_of_somebody_known_is_on_the_audit_chain(
    client: Client, the_shop: Shop
) -> None:
    answer = await client.post("/stop", {"reason": "x"}, sec_fetch_site="cross-site")

    assert answer.status_code == 403
    assert refusals(the_shop) == [(DANA.id, "forged", "another site sent this form")]


async def test_a_stranger_writes_nothing_into_the_ledger(the_shop: Shop) -> None:
    """Who is nobody could fill it otherwise: neither an action nor a forged form of theirs is on record."""
    before = the_shop.ledger.counts()
    stranger = Client(console(the_shop.ledger, access=lambda _: None))
    for site in ("same-origin", "cross-site"):
        for path in ("/stop", "/workflows/ticket-9/cancel", "/approvals/x/approve"):
            answer = await stranger.post(path, {"reason": "x"}, sec_fetch_site=site)
            assert answer.status_code in {401, 403}

    assert the_shop.ledger.counts() == before


async def test_a_flood_of_refusals_leaves_ten_a_minute_and_a_person(the_shop: Shop) -> None:
    at = [datetime.now(UTC)]
    viewer = Client(console(the_shop.ledger, access=lambda _: VERA, now=lambda: at[0]))
    for _ in range(5):
        await viewer.post("/stop", {"reason": "x"})
    assert len(refusals(the_shop)) == 1  # the same one, once a minute
    for number in range(40):
        await viewer.post(f"/workflows/w-{number}/cancel", {"reason": "x"})
    assert 1 < len(refusals(the_shop)) <= 10
    at[0] += timedelta(minutes=1)
    await viewer.post("/stop", {"reason": "x"})

    assert len(refusals(the_shop)) <= 11
    assert [one for one in refusals(the_shop) if one[1] == "stop"] == [
        (VERA.id, "stop", "it takes another role")
    ] * 2


async def test_access_that_fails_lets_no_forged_form_through(the_shop: Shop) -> None:
    def fails(_: Any) -> Visitor:
        raise RuntimeError("the directory is away")

    answer = await Client(console(the_shop.ledger, access=fails)).post(
        "/stop", {"reason": "x"}, sec_fetch_site="cross-site"
    )

    assert answer.status_code == 403
    assert not the_shop.ledger.halts()


async def test_a_hostile_address_is_on_record_as_plain_text_and_short(the_shop: Shop) -> None:
    viewer = Client(console(the_shop.ledger, access=lambda _: VERA))
    await viewer.post("/workflows/%0a%1b%e2%80%aex" + "y" * 900 + "/cancel", {"reason": "x"})
    [effect] = the_shop.ledger.effects(workflow_id=OWN)

    assert effect.args is not None
    address = str(effect.args["address"])
    assert address.isascii()
    assert address.isprintable()
    assert len(address) <= 300
