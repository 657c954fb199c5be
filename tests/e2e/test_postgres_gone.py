"""PostgreSQL goes away, as in a power cut, while a handler runs; and comes back, in time or too late."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from e2e.children import PATIENCE_S, Scene
from holdfast import Budget, Ledger, Settings, State, SyncLedger, ToolCall
from holdfast._runtime.drive import run_sync
from holdfast.errors import OutcomeUnknown, StoreUnavailable
from holdfast.ports import AccountQuery
from pg_server import PostgresServer

CALL = ToolCall(workflow_id="order-123", tool="charge", args={"amount": 100})


@pytest.fixture(params=["async", "sync"])
def scene(request: pytest.FixtureRequest, own_postgres: PostgresServer, tmp_path: Path) -> Scene:
    schema = f"s{time.monotonic_ns()}"
    with psycopg.connect(own_postgres.url, autocommit=True) as admin:
        admin.execute(f"CREATE SCHEMA {schema}")
    return Scene(f"{own_postgres.url}?options=-csearch_path%3D{schema}", tmp_path, request.param)


def in_a_thread(scene: Scene, handler: Any, settings: Settings, told: list[Any]) -> threading.Thread:
    """Make the call as its users would, and keep what it returned or raised."""

    async def call_async() -> Any:
        async with Ledger(scene.url, settings=settings, migrate=True) as ledger:
            return await ledger.run(CALL, handler)

    def call() -> None:
        try:
            if scene.face == "async":
                told.append(asyncio.run(call_async()))
            else:
                with SyncLedger(scene.url, settings=settings, migrate=True) as ledger:
                    told.append(ledger.run(CALL, handler))
        except Exception as error:  # noqa: BLE001 - the test looks at it
            told.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    return thread


class Handler:
    """Charges, and stays until it is let go."""

    def __init__(self) -> None:
        self.started, self.may_end = threading.Event(), threading.Event()
        self.count = 0

    def __call__(self, amount: int) -> dict[str, int]:
        self.count += 1
        self.started.set()
        assert self.may_end.wait(PATIENCE_S)
        return {"charged": amount}


def test_a_result_is_recorded_once_the_database_is_back(scene: Scene, own_postgres: PostgresServer) -> None:
    """DUR-10, X6, I2: the record is retried for as long as the lease lives, the handler never."""
    handler, told = Handler(), list[Any]()
    calling = in_a_thread(scene, handler, Settings(lease=PATIENCE_S, renew_every=1), told)
    assert handler.started.wait(PATIENCE_S)
    own_postgres.stop_immediate()
    handler.may_end.set()
    own_postgres.start()
    calling.join(PATIENCE_S)

    with scene.ledger() as ledger:
        [effect] = ledger.effects()
        assert ledger.verify().ok
    assert told == [{"charged": 100}]
    assert (effect.state, effect.result, handler.count) == (State.SUCCEEDED, {"charged": 100}, 1)


def test_a_result_that_could_not_be_recorded_in_time_is_handed_over_and_the_effect_is_in_doubt(
    scene: Scene, own_postgres: PostgresServer
) -> None:
    """DUR-10, X6: never failed, never lost, never executed again."""
    handler, told = Handler(), list[Any]()
    calling = in_a_thread(scene, handler, Settings(lease=0.6, renew_every=0.2, drain=0.1), told)
    assert handler.started.wait(PATIENCE_S)
    own_postgres.stop_immediate()
    handler.may_end.set()
    calling.join(PATIENCE_S)
    own_postgres.start()

    [error] = told
    assert type(error) is OutcomeUnknown
    assert error.result == {"charged": 100}
    assert isinstance(error.__cause__, StoreUnavailable)
    with scene.ledger() as ledger:
        with pytest.raises(OutcomeUnknown):
            ledger.run(CALL, handler)
        assert ledger.effect(error.key).state is State.UNKNOWN
    assert handler.count == 1


def test_a_claim_that_cannot_be_made_is_refused_before_anything_happens(
    scene: Scene, own_postgres: PostgresServer
) -> None:
    """DUR-10, C18: and works again with the same ledger, once the database is back."""
    settings = Settings(store_patience=0.1)
    seen: list[int] = []

    def note(amount: int) -> None:
        seen.append(amount)

    with SyncLedger(scene.url, settings=settings, migrate=True) as ledger:
        ledger.effects()
        own_postgres.stop_immediate()
        with pytest.raises(StoreUnavailable) as told:
            ledger.run(CALL, note)
        own_postgres.start()

        assert seen == []
        assert own_postgres.url.rpartition(":")[0].split("@")[0].rpartition(":")[2] not in str(told.value)
        assert ledger.run(CALL, lambda amount: {"charged": amount}) == {"charged": 100}


def test_connections_that_broke_are_replaced_without_anyone_noticing(
    scene: Scene, own_postgres: PostgresServer
) -> None:
    """DUR-10: an orderly restart between two calls of one ledger."""
    with SyncLedger(scene.url, migrate=True) as ledger:
        for n in range(3):
            call = ToolCall(workflow_id="w", tool="t", args={"n": n})
            assert ledger.run(call, lambda n: n) == n
            own_postgres.restart()
        assert [effect.result for effect in ledger.effects()] == [2, 1, 0]


def test_budgets_refuse_without_the_database_and_count_afterwards_what_they_let_through(
    own_postgres: PostgresServer,
) -> None:
    """COS-20: what changes something waits for its record; reads go on where that was configured."""
    settings = Settings(store_patience=0.2)
    budgets = {"tenant": Budget(tool_calls=50, on_outage="allow"), "agent:clerk": Budget(tool_calls=50)}
    made: list[int] = []

    def look(n: int) -> int:
        made.append(n)
        return n

    def call(n: int) -> ToolCall:
        return ToolCall(workflow_id="w", tool="look", args={"n": n})

    with SyncLedger(own_postgres.url, settings=settings, budgets=budgets, migrate=True) as ledger:
        ledger.run(call(0), look, safety="read")
        own_postgres.kill()
        assert [ledger.run(call(n), look, safety="read") for n in (1, 2, 3)] == [1, 2, 3]
        with pytest.raises(StoreUnavailable):
            ledger.scoped(actor="clerk").run(call(4), look, safety="read")
        with pytest.raises(StoreUnavailable):
            ledger.run(call(5), look, safety="idempotent", retry=False)
        own_postgres.start()
        ledger.sweep()
        [effect] = ledger.effects(tool="holdfast:unaccounted")
        [level] = run_sync(ledger._engine.parts.store.budgets.levels(AccountQuery(owner="default")))

    assert made == [0, 1, 2, 3]
    assert effect.state is State.SUCCEEDED
    assert (level.spent, level.held) == (4, 0)
