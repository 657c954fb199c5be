"""A reconciler that blocks keeps nobody else waiting, and one that never answers is not waited for."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest

from holdfast import Done, Effect, Ledger, NotDone, Settings, State, SyncLedger, ToolCall
from holdfast.errors import OutcomeUnknown

CALL = ToolCall(workflow_id="order-1", tool="charge", args={"amount": 100})
HASTY = Settings(reconcile_timeout=0.05, reconcile_skew=1e-6)


def loses_the_answer(amount: int) -> None:
    raise ConnectionResetError("the answer was lost")


async def in_doubt(ledger: Ledger) -> Any:
    with pytest.raises(ConnectionResetError):
        await ledger.run(CALL, loses_the_answer)
    [effect] = await ledger.effects(state=State.UNKNOWN)
    return effect


async def test_a_plain_reconciler_blocks_its_own_thread_only() -> None:
    """IDE-15: the loop turns meanwhile, so leases are renewed and others are served."""
    asked, answers = threading.Event(), threading.Event()

    def look(effect: Effect) -> Done:
        asked.set()
        assert answers.wait(60)
        return Done({"id": effect.args["amount"]})

    async with Ledger("memory://") as ledger:
        effect = await in_doubt(ledger)
        looking = asyncio.create_task(ledger.reconcile(effect.key, look))
        while not asked.is_set():
            await asyncio.sleep(0)
        other = await ledger.run(ToolCall(workflow_id="order-2", tool="charge"), lambda: "served")
        answers.set()
        found = await looking

    assert other == "served"
    assert (found.state, found.result) == (State.SUCCEEDED, {"id": 100})


class Silent:
    """A reconciler that is an object, and never answers."""

    async def __call__(self, effect: Effect) -> Done:
        await asyncio.Event().wait()
        return Done()


def thread_that_blocks(until: threading.Event) -> Any:
    def look(effect: Effect) -> NotDone:
        until.wait(60)
        return NotDone()

    return look


@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_a_reconciler_that_does_not_answer_in_time_found_nothing(kind: str) -> None:
    """IDE-15: doubt stays doubt, and the trail says why; what it says too late is no evidence."""
    over = threading.Event()
    look = Silent() if kind == "async" else thread_that_blocks(over)
    async with Ledger("memory://", settings=HASTY) as ledger:
        effect = await in_doubt(ledger)

        found = await ledger.reconcile(effect.key, look)
        over.set()
        with pytest.raises(OutcomeUnknown):
            await ledger.run(CALL, lambda amount: "again")
        entries = await ledger.audit(effect.key)

    assert found.state is State.UNKNOWN
    [note] = [entry.details for entry in entries if entry.details.get("reconciled")]
    assert note["why"] == "the reconciler took longer than 0.05 s"


async def test_reconcilers_that_never_answer_keep_no_thread_from_handlers_or_from_each_other() -> None:
    """IDE-15: with one thread for handlers and more questions unanswered than that, all else goes on."""
    over = threading.Event()
    async with asyncio.timeout(30), Ledger("memory://", settings=replace(HASTY, handler_threads=1)) as ledger:
        effect = await in_doubt(ledger)
        for _ in range(2):
            await ledger.reconcile(effect.key, thread_that_blocks(over))

        served = await ledger.run(ToolCall(workflow_id="order-2", tool="charge"), lambda: "served")
        found = await ledger.reconcile(effect.key, lambda effect: Done())
        over.set()

    assert served == "served"
    assert found.state is State.SUCCEEDED


async def test_whoever_asks_may_be_cancelled() -> None:
    """A cancelled caller is not answered "found nothing" by the reconciler's thread, which goes on."""
    asked, over = threading.Event(), threading.Event()

    def look(effect: Effect) -> NotDone:
        asked.set()
        over.wait(60)
        return NotDone()

    async with Ledger("memory://") as ledger:
        effect = await in_doubt(ledger)
        looking = asyncio.create_task(ledger.reconcile(effect.key, look))
        while not asked.is_set():
            await asyncio.sleep(0)
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
        over.set()


def test_without_a_loop_a_reconciler_is_asked_in_the_callers_own_thread() -> None:
    """What belongs to this thread, e.g. a cursor of sqlite3, can be used by it."""
    here: list[int] = []

    def look(effect: Effect) -> Done:
        here.append(threading.get_ident())
        return Done()

    with SyncLedger("memory://", settings=HASTY) as ledger:
        with pytest.raises(ConnectionResetError):
            ledger.run(CALL, loses_the_answer)
        [effect] = ledger.effects(state=State.UNKNOWN)

        assert ledger.reconcile(effect.key, look).state is State.SUCCEEDED

    assert here == [threading.get_ident()]


async def test_what_the_outside_calls_an_effect_is_known_from_evidence_as_from_a_result() -> None:
    """IDE-15, IDE-27: a webhook may name what only a reconciler has found; numbers are names as well."""

    async def look(effect: Effect) -> Done:
        return Done({"charge": {"id": 4711}})

    async with Ledger("memory://") as ledger:
        ledger.tool(name="charge", reconcile=look, external_id="charge.id")(loses_the_answer)
        told = await ledger.call(CALL)

        [effect] = await ledger.effects()
        seen = await ledger.observe("4711", "done", evidence={"event": "evt_1"})

    assert told.result == {"charge": {"id": 4711}}
    assert effect.external_id == "4711"
    assert seen.effect is not None
    assert seen.effect.key == effect.key
