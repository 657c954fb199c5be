"""OBS-25, COS-08: alerts go to other systems signed, at least once, and under one id."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from channels.receivers import Receiver
from holdfast import Alert, Budget, Ledger, SyncLedger, ToolCall
from holdfast.channels import AlertWebhook
from holdfast.errors import InvalidTool
from holdfast.stores.memory import MemoryStore
from holdfast.testing import FakeClock
from holdfast.testing.faults import Crash, Faults, FaultyRuntime, FaultyStore
from holdfast.testing.places import ledger_on
from holdfast.testing.runtime import FakeRuntime

NEW = "whsec_" + base64.b64encode(b"n" * 32).decode()
OLD = "whsec_" + base64.b64encode(b"o" * 32).decode()
LOOPBACK = ("127.0.0.0/8",)
BUDGETS = {"tenant": Budget(tool_calls=2, alert_at=[0.5])}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().serving() as receiver:
        yield receiver


def hook(receiver: Receiver, **options: Any) -> AlertWebhook:
    return AlertWebhook(f"{receiver.url}/hook?token=t0psecret", [NEW], allow=LOOPBACK, **options)


def call(n: int) -> ToolCall:
    return ToolCall(workflow_id="w", tool="pay", args={"n": n})


async def pay(n: int) -> int:
    return n


def plainly(n: int) -> int:
    return n


async def quiet(ledger: Ledger) -> None:
    import asyncio

    while tasks := ledger._engine.parts.runtime._tasks:
        await asyncio.wait(set(tasks))


async def test_an_alert_of_a_budget_goes_out_signed_with_all_that_it_says(
    place: Any, receiver: Receiver
) -> None:
    """COS-08, OBS-25: by callback, by webhook and in the log, once each."""
    alerts: list[Alert] = []
    async with Ledger(
        place, budgets=BUDGETS, on_alert=[alerts.append, hook(receiver)], migrate=isinstance(place, str)
    ) as ledger:
        await ledger.run(call(1), pay, safety="idempotent")
        await quiet(ledger)
        await ledger.sweep()
        [effect] = await ledger.effects(tool="holdfast:alert.sent")
        assert (await ledger.verify()).ok

    [got], [alert] = receiver.got, alerts
    Webhook(NEW).verify(got.body, got.headers)
    assert got.headers["webhook-id"] == alert.id
    assert got.json == {
        "type": "alert.budget_threshold",
        "id": alert.id,
        "code": "budget_threshold",
        "message": alert.message,
        "tenant": "default",
        "subject": "tenant/tool_calls@50%",
        "workflow_id": "",
        "at": got.json["at"],
    }
    assert effect.state == "succeeded"


def test_blocking_callers_alerts_go_out_too(receiver: Receiver) -> None:
    with SyncLedger("memory://", budgets=BUDGETS, on_alert=hook(receiver)) as ledger:
        ledger.run(call(1), plainly, safety="idempotent")
        for thread in list(ledger._engine.parts.runtime._abandoned):
            thread.join()

    assert [got.json["subject"] for got in receiver.got] == ["tenant/tool_calls@50%"]


@pytest.mark.parametrize("answer", [(503, {}), (429, {"retry-after": "1"}), (401, {}), (None, {})])
async def test_an_alert_that_was_not_taken_comes_again_under_its_id_and_the_log_has_it_once(
    receiver: Receiver, answer: tuple[int | None, dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    """OBS-25: at least once, with the id to know it by; whoever listens here hears it once."""
    clock, alerts = FakeClock(), list[Alert]()
    told = receiver.reply
    receiver.reply = lambda got: (answer[0], answer[1], b"") if answer[0] else None
    sinks = [alerts.append, hook(receiver)]
    ledger = ledger_on(MemoryStore(clock=clock), FakeRuntime(clock), budgets=BUDGETS, on_alert=sinks)
    with caplog.at_level(logging.DEBUG):
        await ledger.run(call(1), pay, safety="idempotent")
        assert len(alerts) == len(receiver.got) == 1
        receiver.reply = told
        clock.advance(60)
        await ledger.sweep()
    for _ in range(2):
        clock.advance(3600)
        await ledger.sweep()

    first, second = receiver.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == alerts[0].id
    assert first.json == second.json
    assert len(alerts) == 1
    assert "t0psecret" not in caplog.text
    assert str(receiver.port) not in caplog.text
    [effect] = await ledger.effects(tool="holdfast:alert.sent")
    assert "t0psecret" not in repr(effect)
    await ledger.close()


async def test_a_target_that_sends_us_elsewhere_is_not_asked_again(receiver: Receiver) -> None:
    clock = FakeClock()
    receiver.answers = [(302, {"location": f"{receiver.url}/elsewhere"})] * 9
    ledger = ledger_on(MemoryStore(clock=clock), FakeRuntime(clock), budgets=BUDGETS, on_alert=hook(receiver))
    await ledger.run(call(1), pay, safety="idempotent")
    for _ in range(3):
        clock.advance(3600)
        await ledger.sweep()

    assert [got.path for got in receiver.got] == ["/hook?token=t0psecret"]
    await ledger.close()


def test_wherever_a_process_dies_the_webhook_has_the_alert_in_the_end(receiver: Receiver) -> None:
    """OBS-25: at least once on a crash, under the same id."""
    import asyncio

    async def life(store: MemoryStore, clock: FakeClock, faults: Faults) -> None:
        runtime = FaultyRuntime(FakeRuntime(clock), faults)
        ledger = ledger_on(
            FaultyStore(store, faults), runtime, budgets=BUDGETS, on_alert=hook(receiver), owner="dying"
        )
        await ledger.run(call(1), pay, safety="idempotent")

    whole = Faults()
    asyncio.run(life(MemoryStore(clock=(clock := FakeClock())), clock, whole))
    points = whole.trace
    for n in range(points.index("after succeed") + 1, len(points)):
        clock, faults = FakeClock(), Faults(n)
        store = MemoryStore(clock=clock)
        receiver.got.clear()
        with pytest.raises(Crash):
            asyncio.run(life(store, clock, faults))
        clock.advance(3600)
        after = ledger_on(store, FakeRuntime(clock), budgets=BUDGETS, on_alert=hook(receiver))
        asyncio.run(swept(after))

        assert 1 <= len(receiver.got) <= 2, f"died {points[n]}"
        assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert points.count("after handler") == 3


async def swept(ledger: Ledger) -> None:
    await ledger.sweep()
    await ledger.close()


async def test_alerts_of_other_kinds_go_out_as_well(receiver: Receiver) -> None:
    """OBS-25: a circuit that opens."""
    clock = FakeClock()
    ledger = ledger_on(MemoryStore(clock=clock), FakeRuntime(clock), on_alert=hook(receiver))
    told = Alert(code="circuit_opened", message="m", tenant="default", subject="crm", at=clock())
    ledger._engine.parts.alerts.tell(told)
    ledger._engine.parts.alerts.tell(told)

    assert [got.json["code"] for got in receiver.got] == ["circuit_opened"] * 2
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 2
    await ledger.close()


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("http://plain.acme.example/", [NEW]),
        ("https://hooks.acme.example/", ["hush-hush"]),
        ("file:///x", [NEW]),
    ],
)
def test_an_address_or_a_secret_that_is_none_is_refused_and_not_shown(url: str, secrets: list[str]) -> None:
    """SEC-16"""
    with pytest.raises(InvalidTool) as refused:
        AlertWebhook(url, secrets)
    assert "hush-hush" not in str(refused.value)
    assert "plain.acme" not in str(refused.value)


async def test_an_address_that_is_not_public_is_reached_by_no_alert() -> None:
    """SEC-16, attack 33."""
    clock, asked = FakeClock(), list[str]()

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["169.254.169.254"]

    sink = AlertWebhook("https://hooks.acme.example/", [NEW, OLD], lookup=lookup)
    ledger = ledger_on(MemoryStore(clock=clock), FakeRuntime(clock), budgets=BUDGETS, on_alert=sink)
    await ledger.run(call(1), pay, safety="idempotent")
    [effect] = await ledger.effects(tool="holdfast:alert.sent")

    assert (effect.state, asked) == ("failed", ["hooks.acme.example"])
    await ledger.close()


@pytest.mark.parametrize("odd", [5, [5], [print, 5], "hook"])
def test_what_can_take_no_alert_is_refused(odd: Any) -> None:
    with pytest.raises(InvalidTool, match="on_alert"):
        Ledger("memory://", on_alert=odd)


def test_sinks_have_names_of_their_own_and_are_plain(receiver: Receiver) -> None:
    class Async:
        name = "queue"

        async def send(self, alert: Alert) -> None:
            del alert

    for odd in ([hook(receiver), hook(receiver)], [hook(receiver, name="No name")], [Async()]):
        with pytest.raises(InvalidTool, match="sink of alerts"):
            Ledger("memory://", on_alert=odd)
