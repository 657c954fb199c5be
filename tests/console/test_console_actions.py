"""What is done in the console: through the ledger, in the visitor's name, or refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from console.asgi import Client
from console.world import Shop
from holdfast import SyncLedger, ToolCall
from holdfast.console import console


@pytest.mark.parametrize("word", ["cancel", "pause"])
async def test_a_workflow_is_steered_in_the_visitors_name(client: Client, the_shop: Shop, word: str) -> None:
    answer = await client.post(f"/workflows/ticket-9/{word}", {"reason": "sent twice"})

    assert answer.status_code == 303
    assert answer.headers["location"] == "/workflows/ticket-9"
    shown_now = (await client.get("/workflows/ticket-9")).text
    assert ("cancelled" if word == "cancel" else "dana@acme.example: sent twice") in shown_now


async def test_a_paused_workflow_goes_on_a_failed_one_is_restarted_and_a_good_one_forked(
    client: Client, the_shop: Shop
) -> None:
    assert (await client.post("/workflows/ticket-10/resume", {"reason": "paid"})).status_code == 303
    assert (await client.post("/workflows/ticket-8/restart", {"reason": "mended"})).status_code == 303
    forked = await client.post(
        "/workflows/ticket-7/fork", {"step": "send", "to": "ticket-7/again", "reason": "once more"}
    )

    assert not the_shop.ledger.execution("ticket-10").pause
    assert the_shop.ledger.execution("ticket-8").status == "queued"
    assert forked.headers["location"] == "/workflows/ticket-7%252Fagain"
    assert the_shop.ledger.execution("ticket-7/again").status == "queued"


async def test_doubt_is_settled_by_a_persons_word_and_that_is_on_record(
    client: Client, the_shop: Shop
) -> None:
    seen = the_shop.ledger.audit(the_shop.doubtful)[-1].hash
    form = {
        "seen": seen,
        "outcome": "done",
        "result": '{"id": 9007199254740993}',
        "reason": "seen in the list",
    }
    answer = await client.post(f"/effects/{the_shop.doubtful}/resolve", form)

    assert answer.status_code == 303
    effect = the_shop.ledger.effect(the_shop.doubtful)
    assert (effect.state, effect.result) == ("succeeded", {"id": 9007199254740993})
    last = the_shop.ledger.audit(the_shop.doubtful)[-1]
    assert (last.details["by"], last.details["reason"]) == ("dana@acme.example", "seen in the list")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"outcome": ""}, "Say outcome"),
        ({"outcome": "perhaps"}, "Say whether it is done"),
        ({"outcome": "done", "result": "{"}, "no JSON"),
        ({"outcome": "done", "result": "NaN"}, "no JSON"),
        ({"outcome": "done", "result": "[" * 10_000}, "no JSON"),
        ({"reason": "  "}, "Say reason"),
        ({"seen": "0" * 64}, "has moved"),
        ({"seen": "ä"}, "has moved"),
    ],
)
async def test_what_cannot_be_understood_settles_nothing_and_says_why(
    client: Client, the_shop: Shop, changed: dict[str, str], says: str
) -> None:
    seen = the_shop.ledger.audit(the_shop.doubtful)[-1].hash
    form = {"seen": seen, "outcome": "not_done", "reason": "looked", **changed}
    answer = await client.post(f"/effects/{the_shop.doubtful}/resolve", form)

    assert answer.status_code == 409
    assert says in answer.text
    assert the_shop.ledger.effect(the_shop.doubtful).state == "unknown"


async def test_what_the_ledger_refuses_is_409_with_its_reason_on_the_same_page(
    client: Client, the_shop: Shop
) -> None:
    settled = the_shop.ledger.audit(the_shop.done)[-1].hash
    for path, form in (
        ("/workflows/ticket-7/cancel", {"reason": "x"}),
        ("/workflows/ticket-7/fork", {"step": "no such step", "to": "t"}),
        ("/workflows/order-2/compensate", {"reason": ""}),
        (f"/effects/{the_shop.done}/resolve", {"seen": settled, "outcome": "not_done", "reason": "x"}),
        (
            f"/effects/{the_shop.doubtful}/reconcile",
            {"seen": the_shop.ledger.audit(the_shop.doubtful)[-1].hash},
        ),
    ):
        answer = await client.post(path, form)
        assert answer.status_code == 409, path
        assert 'role="alert"' in answer.text
        assert answer.text.count("<h1>") == 1


async def test_a_form_that_is_too_large_is_not_read(client: Client, the_shop: Shop) -> None:
    answer = await client.post("/workflows/ticket-9/cancel", {"reason": "x" * 70_000})

    assert answer.status_code == 413
    assert the_shop.ledger.execution("ticket-9").status == "queued"


async def test_the_stop_button_stops_everything_and_only_an_admin_lets_go(
    client: Client, the_shop: Shop
) -> None:
    """SEC-14, HIT-16: the stop button."""
    assert (await client.post("/stop", {"reason": "odd payments"})).status_code == 303
    assert "odd payments" in (await client.get("/")).text
    assert the_shop.ledger.execution("ticket-9").pause == "halted"
    assert (await client.post("/let-go", {"reason": "it was a test"})).status_code == 303
    assert not the_shop.ledger.execution("ticket-9").pause


async def test_the_chains_are_verified_on_demand_and_the_outcome_stays_on_the_page(
    client: Client, the_shop: Shop
) -> None:
    assert "None since" in (await client.get("/audit")).text
    assert (await client.post("/audit/verify", {})).status_code == 303

    found = (await client.get("/audit.json")).json()["last"]
    assert (found["chains"], found["problem_count"], found["by"]) == (3, 0, "dana@acme.example")


class Sealing:
    """A codec whose key the console does not have."""

    def seal(self, text: str, *, context: str) -> str:
        return json.dumps({"enc": "test", "kid": "one", "ct": text[::-1]})

    def open(self, text: str, *, context: str) -> str:
        return str(json.loads(text)["ct"])[::-1]


async def test_what_is_sealed_is_shown_as_that_by_a_console_without_the_keys(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sealed.db'}"
    with SyncLedger(url, codec=Sealing()) as ledger:

        @ledger.workflow
        def support(ctx: Any, topic: str) -> str:
            return str(ctx.step("draft", str.upper, topic))

        support.run("ticket-7", topic="a secret matter")
        ledger.run(ToolCall(workflow_id="w", tool="t", args={"to": "a secret matter"}), lambda to: to)
        key = ledger.effects()[0].key
    with SyncLedger(url) as ledger:
        client = Client(console(ledger))
        for path in ("/workflows/ticket-7", f"/effects/{key}", "/workflows", "/", "/workflows/w", "/doubt"):
            for suffix in ("", ".json") if path != "/" else ("",):
                answer = await client.get(path + suffix)
                assert answer.status_code == 200, path
                assert "secret matter" not in answer.text
        assert "Sealed with keys" in (await client.get(f"/effects/{key}")).text
        assert "sealed with keys" in (await client.get("/workflows/ticket-7")).text
