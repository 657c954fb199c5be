"""Callers that leave, siblings that fail, ledgers that close: on a real event loop, and in real threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast import Ledger, NotDone, RetryPolicy, Settings, State, SyncLedger, ToolCall
from holdfast.errors import EffectFailed, LedgerClosed, OutcomeUnknown
from holdfast.ports import Store
from holdfast.stores.memory import MemoryStore
from holdfast.stores.postgres import PostgresStore
from holdfast.stores.sqlite.store import SqliteStore
from holdfast.testing import FaultyStore

CALL = ToolCall(workflow_id="order-123", tool="charge", args={"amount": 100})
SECOND = ToolCall(workflow_id="order-123", tool="charge", args={"amount": 200})


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Opens one durable place, again and again."""
    if request.param == "memory":
        kept = MemoryStore()
        return lambda: kept
    if request.param == "sqlite":
        return lambda: SqliteStore(str(tmp_path / "ledger.db"))
    url: str = request.getfixturevalue("ledger_url")
    return lambda: PostgresStore(url, settings=Settings(), migrate=True)


async def told(opened: Any) -> list[tuple[State, Any, list[str]]]:
    """State, result and story of every effect, the oldest first; as a new process reads them."""
    async with Ledger(opened()) as ledger:
        assert (await ledger.verify()).ok
        found = [
            (effect.state, effect.result, [str(event.event) for event in await ledger.audit(effect.key)])
            for effect in await ledger.effects()
        ]
    return found[::-1]


class Slow:
    """An async handler that says when it began, and ends when it is told to."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()
        self.ran = 0

    async def __call__(self, amount: int) -> Any:
        self.ran += 1
        self.began.set()
        await self.may_end.wait()
        return {"id": "ch_1"}


async def test_a_cancelled_caller_leaves_at_once_and_its_handler_is_recorded(opened: Any) -> None:
    """X5, I2: the handler runs in a task of its own; its real outcome is recorded, and replayed."""
    slow = Slow()
    async with Ledger(opened()) as ledger:
        caller = asyncio.create_task(ledger.run(CALL, slow.__call__))
        await slow.began.wait()

        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller

        slow.may_end.set()
        assert await ledger.run(CALL, slow.__call__) == {"id": "ch_1"}
    assert slow.ran == 1
    assert await told(opened) == [(State.SUCCEEDED, {"id": "ch_1"}, ["claim", "succeed"])]


async def test_the_siblings_of_a_failing_call_are_recorded(opened: Any) -> None:
    """A task group cancels the siblings of a task that raises; what they do in the world is done all the same."""
    slow = Slow()

    async def fails(amount: int) -> Any:
        await slow.began.wait()
        raise RuntimeError("odd")

    async def siblings(ledger: Ledger) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(ledger.run(CALL, slow.__call__))
            group.create_task(ledger.run(SECOND, fails))

    async with Ledger(opened()) as ledger:
        with pytest.raises(ExceptionGroup):
            await siblings(ledger)
        slow.may_end.set()

    assert sorted(await told(opened), key=str) == [
        (State.SUCCEEDED, {"id": "ch_1"}, ["claim", "succeed"]),
        (State.UNKNOWN, None, ["claim", "doubt"]),
    ]


class Gate:
    """Holds a ledger up at one boundary until it is opened."""

    def __init__(self, at: str) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self._at = at

    async def reach(self, name: str) -> None:
        if name == self._at:
            self.reached.set()
            await self.open.wait()


@pytest.mark.parametrize("at", ["before claim", "after claim"])
async def test_a_caller_that_leaves_before_the_handler_started_gives_the_claim_back(
    opened: Any, at: str
) -> None:
    """Nothing ran yet, so nothing needs to run any more; and the next caller need not wait for a lease."""
    gate, slow = Gate(at), Slow()
    slow.may_end.set()
    async with Ledger(FaultyStore(opened(), gate)) as ledger:
        caller = asyncio.create_task(ledger.run(CALL, slow.__call__))
        await gate.reached.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        gate.open.set()

    assert slow.ran == 0
    assert await told(opened) == [(State.RETRYABLE, None, ["claim", "release"])]
    async with Ledger(opened()) as ledger:
        assert await ledger.run(CALL, slow.__call__, wait=0) == {"id": "ch_1"}


@pytest.mark.parametrize("at", ["before claim", "after claim"])
async def test_callers_that_leave_before_the_handler_started_use_up_no_retries(opened: Any, at: str) -> None:
    """RET-11: a budget is of executions; who goes away three times in a row has had none."""
    policy, tried = RetryPolicy(maximum_attempts=2, initial_interval=0.001), list[int]()

    async def refuse(amount: int) -> None:
        tried.append(amount)
        raise NotDone("busy")

    for _ in range(3):
        gate = Gate(at)
        async with Ledger(FaultyStore(opened(), gate)) as ledger:
            caller = asyncio.create_task(ledger.run(CALL, refuse, retry=policy))
            await gate.reached.wait()
            caller.cancel()
            await asyncio.gather(caller, return_exceptions=True)
            gate.open.set()
    async with Ledger(opened()) as ledger:
        with pytest.raises(NotDone):
            await ledger.run(CALL, refuse, retry=policy)
        with pytest.raises(EffectFailed, match="used up"):
            await ledger.run(CALL, refuse, retry=policy)

    assert tried == [100, 100]


async def test_a_cancelled_joiner_leaves_and_disturbs_nobody(opened: Any) -> None:
    slow = Slow()
    async with Ledger(opened()) as ledger:
        owner = asyncio.create_task(ledger.run(CALL, slow.__call__))
        await slow.began.wait()
        gate = Gate("before find")
        async with Ledger(FaultyStore(opened(), gate)) as other:
            joiner = asyncio.create_task(other.run(CALL, slow.__call__))
            await gate.reached.wait()
            joiner.cancel()
            with pytest.raises(asyncio.CancelledError):
                await joiner
            gate.open.set()
        slow.may_end.set()
        assert await owner == {"id": "ch_1"}

    assert await told(opened) == [(State.SUCCEEDED, {"id": "ch_1"}, ["claim", "succeed"])]


async def test_closing_lets_handlers_finish(opened: Any) -> None:
    slow = Slow()
    ledger = Ledger(opened())
    caller = asyncio.create_task(ledger.run(CALL, slow.__call__))
    await slow.began.wait()

    closing = asyncio.create_task(ledger.close(drain=30))
    await asyncio.sleep(0)
    slow.may_end.set()
    await closing

    assert await caller == {"id": "ch_1"}
    with pytest.raises(LedgerClosed):
        await ledger.run(CALL, slow.__call__)
    assert await told(opened) == [(State.SUCCEEDED, {"id": "ch_1"}, ["claim", "succeed"])]


@pytest.mark.parametrize("safety", ["unsafe", "idempotent", "local"])
async def test_closing_stops_what_does_not_finish_and_records_what_that_means(
    opened: Any, safety: Any
) -> None:
    """X5: one shielded attempt to put doubt on record, instead of a lease that has to run out."""
    slow = Slow()
    ledger = Ledger(opened())
    caller = asyncio.create_task(ledger.run(CALL, slow.__call__, safety=safety))
    await slow.began.wait()

    await ledger.close(drain=0.01)

    with pytest.raises(asyncio.CancelledError):
        await caller
    expected = (State.UNKNOWN, "doubt") if safety == "unsafe" else (State.RETRYABLE, "release")
    assert await told(opened) == [(expected[0], None, ["claim", expected[1]])]


class Stuck:
    """A plain handler that runs in a thread, and ends when it is told to."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.may_end = threading.Event()
        self.ran = 0

    def __call__(self, amount: int) -> Any:
        self.ran += 1
        self.began.set()
        assert self.may_end.wait(60)
        return {"id": "ch_1"}


async def test_a_thread_that_outlives_its_timeout_brings_late_evidence(opened: Any) -> None:
    """X5, IDE-13: a thread cannot be stopped, so its timeout is doubt, and its result settles it."""
    stuck = Stuck()
    async with Ledger(opened()) as ledger:
        with pytest.raises(OutcomeUnknown):
            await ledger.run(CALL, stuck.__call__, timeout=0.05)
        assert [state for state, *_ in await told(opened)] == [State.UNKNOWN]

        stuck.may_end.set()  # closing waits for it

    assert await told(opened) == [(State.SUCCEEDED, {"id": "ch_1"}, ["claim", "doubt", "resolve_done"])]
    assert stuck.ran == 1


async def test_a_reconciler_is_not_believed_while_the_thread_may_still_act(opened: Any) -> None:
    """I1, X2: "not done" is a lie as long as the first execution goes on in this very process."""
    stuck = Stuck()
    options: dict[str, Any] = {"timeout": 0.05, "reconcile": lambda effect: NotDone()}
    async with Ledger(opened(), settings=Settings(reconcile_skew=1e-6)) as ledger:
        for _ in range(3):
            with pytest.raises(OutcomeUnknown):
                await ledger.run(CALL, stuck.__call__, **options)
        assert stuck.ran == 1

        stuck.may_end.set()

    [(state, result, events)] = await told(opened)
    assert (state, result, events[-1]) == (State.SUCCEEDED, {"id": "ch_1"}, "resolve_done")


async def test_a_thread_whose_caller_left_is_recorded_when_it_ends(opened: Any) -> None:
    stuck = Stuck()
    async with Ledger(opened()) as ledger:
        caller = asyncio.create_task(ledger.run(CALL, stuck.__call__))
        await asyncio.to_thread(stuck.began.wait, 60)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        stuck.may_end.set()

    assert await told(opened) == [(State.SUCCEEDED, {"id": "ch_1"}, ["claim", "succeed"])]


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_a_blocking_ledgers_thread_that_outlives_its_timeout_brings_late_evidence(
    kind: str, tmp_path: Path
) -> None:
    stuck = Stuck()
    store = MemoryStore() if kind == "memory" else f"sqlite:///{tmp_path}/ledger.db"

    with SyncLedger(store) as ledger:
        with pytest.raises(OutcomeUnknown):
            ledger.run(CALL, stuck.__call__, timeout=0.05)
        [effect] = ledger.effects()
        assert effect.state is State.UNKNOWN
        stuck.may_end.set()

    with SyncLedger(store) as ledger:
        [effect] = ledger.effects()
        assert (effect.state, effect.result, stuck.ran) == (State.SUCCEEDED, {"id": "ch_1"}, 1)


def test_sixteen_threads_of_one_blocking_ledger_execute_an_effect_once(tmp_path: Path) -> None:
    """C9, C10, IDE-04, IDE-18."""
    counted: list[int] = []
    start = threading.Barrier(16)
    results: list[Any] = []

    def charge(amount: int) -> Any:
        counted.append(amount)
        return {"id": f"ch_{len(counted)}"}

    def caller() -> None:
        start.wait()
        results.append(ledger.run(CALL, charge))

    with SyncLedger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        threads = [threading.Thread(target=caller) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert counted == [100]
    assert results == [{"id": "ch_1"}] * 16
