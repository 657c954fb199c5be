"""Callers that leave, handlers that are called off, threads that cannot be had: nothing leaks, nothing runs twice."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from holdfast import Done, Ledger, NotDone, Settings, SyncLedger, ToolCall
from holdfast._core.states import State
from holdfast.errors import InvalidTool, OutcomeUnknown, PayloadConflict
from holdfast.stores.memory import MemoryStore
from promises.ledgers import vanish

CALL = ToolCall(workflow_id="order-1", tool="charge", args={"amount": 100})


@pytest.mark.parametrize("turns", range(12))
async def test_a_block_whose_caller_is_cancelled_at_any_turn_leaves_no_claim(turns: int) -> None:
    async with Ledger("sqlite:///:memory:") as ledger:

        async def block() -> None:
            async with ledger.begin(CALL) as claim:
                claim.succeed("done")

        task = asyncio.ensure_future(block())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.gather(*ledger._engine.parts.runtime._tasks, return_exceptions=True)

        assert not ledger._engine.parts.heartbeat._live
        assert State.PENDING not in {effect.state for effect in await ledger.effects()}


async def test_i1_a_thread_that_could_not_be_stopped_is_given_its_lease_before_anybody_runs_again() -> None:
    """A reconciler that finds nothing proves nothing while the first handler may still act."""
    store, begun, go = MemoryStore(), threading.Event(), threading.Event()
    starts: list[int] = []

    def charge(amount: int) -> str:
        starts.append(amount)
        begun.set()
        go.wait(30)
        return "charged"

    first = Ledger(store, settings=Settings(reconcile_skew=1e-6))
    calling = asyncio.ensure_future(first.run(CALL, charge))
    await asyncio.to_thread(begun.wait, 30)
    for (
        task
    ) in first._engine.parts.runtime._tasks:  # as an event loop is torn down whose ledger nobody closed
        task.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    try:
        async with Ledger(store, settings=Settings(reconcile_skew=1e-6)) as second:
            with pytest.raises(OutcomeUnknown):
                await second.run(CALL, charge, reconcile=lambda effect: NotDone())
    finally:
        go.set()

    assert starts == [100]


async def test_i1_a_handler_whose_thread_cannot_be_had_never_runs_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts: list[int] = []

    def charge(amount: int) -> int:
        starts.append(amount)
        return amount

    start = threading.Thread.start

    def no_thread(thread: threading.Thread) -> None:
        if thread.name.startswith("holdfast-handler"):
            msg = "can't start new thread"
            raise RuntimeError(msg)
        start(thread)

    async with Ledger("memory://", settings=Settings(handler_threads=1)) as ledger:
        with monkeypatch.context() as without:
            without.setattr(threading.Thread, "start", no_thread)
            with pytest.raises(RuntimeError):
                await ledger.run(CALL, charge, safety="idempotent")
        async with asyncio.timeout(20):
            assert await ledger.run(CALL, charge, safety="idempotent") == 100
            other = ToolCall(workflow_id="order-2", tool="charge", args={"amount": 5})
            assert await ledger.run(other, charge) == 5

    assert starts == [100, 5]


async def test_a_plain_handler_that_waits_for_a_thread_never_starts_once_its_caller_has_left() -> None:
    """I2: nothing ran yet, so the claim is given back, and not only when a thread comes free."""
    busy, go, ran = threading.Event(), threading.Event(), []

    def occupied() -> None:
        busy.set()
        go.wait(30)

    def charge(amount: int) -> None:
        ran.append(amount)

    async with Ledger("memory://", settings=Settings(handler_threads=1)) as ledger:
        first = asyncio.ensure_future(ledger.run(ToolCall(workflow_id="w", tool="other"), occupied))
        await asyncio.to_thread(busy.wait, 30)
        queued = asyncio.ensure_future(ledger.run(CALL, charge))
        while not await ledger.effects(tool="charge"):
            await asyncio.sleep(0)
        queued.cancel()
        await asyncio.gather(queued, return_exceptions=True)
        async with asyncio.timeout(20):
            while (await ledger.effects(tool="charge"))[0].state is not State.RETRYABLE:
                await asyncio.sleep(0)
        go.set()
        await first

    assert ran == []


async def test_a_plain_handlers_own_cancelled_error_cancels_nobody_else() -> None:
    """``concurrent.futures.CancelledError`` is an ordinary error: of a future that somebody else cancelled."""

    def charge(amount: int) -> None:
        raise concurrent.futures.CancelledError

    async with Ledger("memory://") as ledger:
        with pytest.raises(concurrent.futures.CancelledError):
            await ledger.run(CALL, charge)
        assert asyncio.current_task().cancelling() == 0


async def test_a_thread_that_exits_late_does_not_end_the_program() -> None:
    go, ended = threading.Event(), threading.Event()

    def charge(amount: int) -> None:
        go.wait(30)
        ended.set()
        raise SystemExit(3)

    async with Ledger("memory://") as ledger:
        with pytest.raises(OutcomeUnknown):
            await ledger.run(CALL, charge, timeout=0.01)
        go.set()
        await asyncio.to_thread(ended.wait, 30)
        await asyncio.gather(*ledger._engine.parts.runtime._abandoned, return_exceptions=True)

        assert (await ledger.effects())[0].state is State.UNKNOWN


def behind(handler: Any, amount: int) -> Any:
    """What an ordinary decorator makes of a handler: a plain function around it."""
    return handler(amount)


async def test_an_async_generator_behind_a_plain_function_is_run_to_its_end() -> None:
    async def stream(amount: int) -> Any:
        yield amount
        yield amount + 1

    async def wrapped(amount: int) -> Any:
        return stream(amount)

    async with Ledger("memory://") as ledger:
        assert await ledger.run(CALL, functools.partial(behind, stream)) == [100, 101]
        other = ToolCall(workflow_id="order-2", tool="charge", args={"amount": 7})
        assert await ledger.run(other, wrapped) == [7, 8]


def test_an_async_generator_is_not_taken_for_done_without_an_event_loop() -> None:
    async def stream(amount: int) -> Any:
        yield amount

    with SyncLedger("memory://") as ledger:
        with pytest.raises(InvalidTool, match="async generator"):
            ledger.run(CALL, functools.partial(behind, stream))
        assert ledger.effects()[0].state is State.UNKNOWN


class Flaky:
    """A codec whose key service is away for the second thing that it is asked to seal."""

    def __init__(self) -> None:
        self.asked = 0

    def seal(self, text: str, *, context: str) -> str:
        self.asked += "/result" in context
        if "/result" in context and self.asked == 1:
            raise ConnectionError
        return text

    def open(self, text: str, *, context: str) -> str:
        return text


async def test_i2_a_codec_that_fails_at_the_record_is_asked_again_and_the_handler_is_not() -> None:
    starts: list[int] = []

    def charge(amount: int) -> int:
        starts.append(amount)
        return amount

    async with Ledger("memory://", codec=Flaky()) as ledger:
        assert await ledger.run(CALL, charge) == 100
        assert await ledger.run(CALL, charge) == 100

    assert starts == [100]


async def test_ide_30_a_local_handler_that_commits_by_itself_and_raises_leaves_doubt(tmp_path) -> None:
    async with Ledger(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:

        def charge(amount: int, effect: Any) -> None:
            effect.tx.execute("CREATE TABLE IF NOT EXISTS mine (n)")
            effect.tx.execute("COMMIT")
            raise ValueError

        with pytest.raises(OutcomeUnknown, match="ended the transaction itself"):
            await ledger.run(CALL, charge, safety="local")


async def test_ide_05_one_turn_that_means_two_payloads_by_one_key_is_told_so() -> None:
    async with Ledger("memory://") as ledger:

        @ledger.tool(key=["order"])
        def charge(order: str, amount: int) -> int:
            return amount

        calls = [
            ToolCall(workflow_id="w", tool="charge", args={"order": "o-1", "amount": amount})
            for amount in (100, 999, 100)
        ]
        first, second, third = await ledger.turn(calls)

    assert (first.result, third.result) == (100, 100)
    assert isinstance(second.error, PayloadConflict)


async def test_receipts_of_one_turn_do_not_share_what_they_hold() -> None:
    async with Ledger("memory://") as ledger:
        first, second = await ledger.turn(
            [CALL, CALL], handlers={"charge": lambda amount: {"items": [amount]}}
        )
        first.result["items"].append("mine")

    assert second.result == {"items": [100]}


async def test_an_empty_scope_is_refused_and_not_taken_for_the_present_one() -> None:
    async with Ledger("memory://", tenant="acme") as ledger:
        with pytest.raises(InvalidTool, match="tenant"):
            ledger.scoped(tenant="")
        with pytest.raises(InvalidTool, match="actor"):
            ledger.scoped(actor="")


async def test_a_read_cannot_be_claimed() -> None:
    async with Ledger("memory://") as ledger:
        with pytest.raises(InvalidTool, match="reads hold no claim"):
            async with ledger.begin(CALL, safety="read"):
                pass


async def test_i2_what_handlers_did_is_on_record_although_the_loop_is_torn_down(tmp_path) -> None:
    """Two hundred handlers have returned when everything is cancelled: their records are made all the same."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    returned: list[int] = []

    async def charge(amount: int) -> int:
        returned.append(amount)
        return amount

    async def agent() -> None:
        ledger = Ledger(url)
        calls = [ToolCall(workflow_id="w", tool="charge", args={"amount": n}) for n in range(200)]
        tasks = [asyncio.ensure_future(ledger.run(call, charge)) for call in calls]
        while not returned:
            await asyncio.sleep(0)
        del tasks

    await asyncio.to_thread(asyncio.run, agent())
    async with Ledger(url) as ledger:
        states = {effect.args["amount"]: effect.state for effect in await ledger.effects(limit=1000)}

    assert returned
    assert {states[amount] for amount in returned} == {State.SUCCEEDED}


async def test_a_dead_workers_claim_can_be_settled_by_evidence_without_another_call(tmp_path) -> None:
    """Nobody may ever make the same call again: reconcile and resolve take the claim for the doubt that it is."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    keys = []
    for workflow_id in ("by-reconciler", "by-person"):
        dead = Ledger(url, settings=Settings(lease=0.02, renew_every=0.01))
        beginning = dead.begin(ToolCall(workflow_id=workflow_id, tool="charge", args={"amount": 1}))
        keys.append((await asyncio.create_task(beginning.__aenter__())).key)
        await vanish(dead)
    async with Ledger(url) as ledger:
        async with asyncio.timeout(20):
            for key in keys:
                while (await ledger.effect(key)).lease_until > datetime.now(UTC):
                    await asyncio.sleep(0)
        reconciled = await ledger.reconcile(keys[0], lambda effect: Done("seen"))
        resolved = await ledger.resolve(keys[1], NotDone, by="ops", reason="no such charge")
        story = [event.event for event in await ledger.audit(keys[0])]

    assert (reconciled.state, reconciled.result) == (State.SUCCEEDED, "seen")
    assert resolved.state is State.RETRYABLE
    assert story == ["claim", "doubt", "resolve_done"]


class Gated(MemoryStore):
    """A store whose first commit is applied while its caller still waits for the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.applied = asyncio.Event()

    async def commit(self, change: Any) -> Any:
        answer = await super().commit(change)
        if not self.applied.is_set():
            self.applied.set()
            await asyncio.Event().wait()
        return answer


async def test_a_claim_that_is_on_its_way_when_the_ledger_closes_is_given_back() -> None:
    store, starts = Gated(), []

    def charge(amount: int) -> None:
        starts.append(amount)

    ledger = Ledger(store)
    calling = asyncio.ensure_future(ledger.run(CALL, charge))
    await store.applied.wait()
    await ledger.close(drain=0)
    await asyncio.gather(calling, return_exceptions=True)

    async with Ledger(store) as after:
        [effect] = await after.effects()
        story = [event.event for event in await after.audit(effect.key)]

    assert (effect.state, story) == (State.RETRYABLE, ["claim", "release"])
    assert starts == []
