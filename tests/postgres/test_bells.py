"""Who is rung on PostgreSQL, in other processes too; what waits for whom while actors are halted and children end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from ops import (
    BEGIN,
    CANCEL,
    FORK,
    HALT,
    LEAVE,
    NOTE,
    PAUSE,
    PROGRESS,
    RESTART,
    RESUME,
    SEND,
    TAKE,
    UNHALT,
    dequeue,
)
from planned import claim, stamp

from holdfast import Settings
from holdfast._core.advance import Advanced, ExecutionOp, Leave, Progress, bell_of_end, bell_of_queue
from holdfast._core.execution import Pause
from holdfast._core.model import EffectKey
from holdfast._core.plan import plan_move
from holdfast._core.states import Event, WorkflowStatus
from holdfast.stores.postgres import BlockingPostgresStore, PostgresStore
from holdfast.stores.postgres.executions import statement
from holdfast.stores.postgres.queues import halt_of
from holdfast.stores.postgres.schema import migrate

SETTINGS = Settings()
DUE, LEFT = bell_of_queue("t", "q"), bell_of_end("t", "w")
END = replace(LEAVE, leave=Leave(to=WorkflowStatus.SUCCEEDED))


@pytest.fixture
async def store(ledger_url: str) -> AsyncIterator[PostgresStore]:
    made = PostgresStore(ledger_url, settings=SETTINGS, migrate=True)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def admin(ledger_url: str) -> Iterator[psycopg.Connection[Any]]:
    migrate(ledger_url)
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        yield connection


def heard(listener: psycopg.Connection[Any]) -> set[str]:
    """Return what rang since the last look, of executions: what was committed by now has been sent."""
    listener.execute("SELECT 1")
    rung = {notice.payload for notice in listener.notifies(timeout=0)}
    return {bell for bell in rung if bell.startswith(("due ", "left "))}


async def test_other_processes_hear_of_what_is_left_and_of_what_is_due(
    store: PostgresStore, admin: psycopg.Connection[Any]
) -> None:
    """And of nothing else: a NOTIFY makes all commits of the database queue up, so a step may cost none."""
    admin.execute("LISTEN holdfast")
    told: dict[str, set[str]] = {}
    life: dict[str, ExecutionOp] = {
        "begin": BEGIN,
        "take": TAKE,
        "note": NOTE,
        "progress": PROGRESS,
        "send": SEND,
        "leave": LEAVE,
        "wake": replace(SEND, id="m2"),
        "pause": PAUSE,
        "told": replace(SEND, id="m3"),
        "resume": RESUME,
        "cancel": CANCEL,
        "restart": RESTART,
        "fork": FORK,
    }
    for name, op in life.items():
        assert isinstance(await store.advance(op), Advanced)
        told[name] = heard(admin)
    assert len(await store.halt(HALT)) == 2
    told["halt"] = heard(admin)
    assert len(await store.halt(UNHALT)) == 2
    told["unhalt"] = heard(admin)

    due = ("begin", "wake", "resume", "restart", "fork", "unhalt")
    assert told == {name: {DUE} if name in due else set() for name in told} | {
        "leave": {LEFT},
        "cancel": {LEFT},
    }


async def test_other_processes_hear_of_a_parent_that_a_child_has_woken(
    store: PostgresStore, admin: psycopg.Connection[Any]
) -> None:
    await store.advance(replace(BEGIN, workflow_id="p", queue="parents"))
    await store.advance(replace(BEGIN, parent="p"))
    await store.advance(TAKE)
    admin.execute("LISTEN holdfast")

    await store.advance(END)

    assert heard(admin) == {LEFT, bell_of_queue("t", "parents")}


@pytest.mark.parametrize("is_blocking", [False, True])
async def test_other_processes_hear_that_doubt_has_ended(
    ledger_url: str, admin: psycopg.Connection[Any], *, is_blocking: bool
) -> None:
    """The words of the database are those of the ports; one that is paused, or held, is not due."""
    made = (BlockingPostgresStore if is_blocking else PostgresStore)(ledger_url, settings=SETTINGS)
    rung: list[str] = []
    made.subscribe(rung.append)
    await made.advance(BEGIN)
    heads = []
    for name in ("a", "b", "c"):
        change, head = claim(name, workflow="w")
        await made.commit(change)
        doubt, head = plan_move(head, Event.DOUBT, stamp())
        await made.commit(doubt)
        heads.append(head)
    admin.execute("LISTEN holdfast")
    rung.clear()

    told = []
    for head, op in zip(heads, (PAUSE, RESUME, TAKE), strict=True):
        await made.commit(plan_move(head, Event.RESOLVE_NOT_DONE, stamp())[0])
        told.append((heard(admin), {*rung}))
        await made.advance(op)
        heard(admin)
        rung.clear()
    await made.close()

    assert told == [({DUE}, {DUE}), (set(), set()), ({DUE}, {DUE})]


@pytest.mark.parametrize("is_blocking", [False, True])
async def test_who_dequeues_is_rung_from_then_on(
    store: PostgresStore, ledger_url: str, *, is_blocking: bool
) -> None:
    """By other processes as well: whoever finds nothing hears of the next one without looking."""
    made = (BlockingPostgresStore if is_blocking else PostgresStore)(ledger_url, settings=SETTINGS)
    loop, rung = asyncio.get_running_loop(), asyncio.Queue[str]()
    made.subscribe(lambda bell: loop.call_soon_threadsafe(rung.put_nowait, bell))
    assert await made.dequeue(dequeue()) == []

    await store.advance(BEGIN)
    async with asyncio.timeout(20):
        bell = await rung.get()
    taken = await made.dequeue(dequeue())
    await made.close()

    assert bell == DUE
    assert [row.workflow_id for row in taken] == ["w"]


@pytest.mark.parametrize("is_blocking", [False, True])
async def test_who_joins_an_execution_is_rung_when_it_is_left(
    store: PostgresStore, ledger_url: str, *, is_blocking: bool
) -> None:
    """As for an effect's outcome: for those who wait and work on no queue."""
    made = (BlockingPostgresStore if is_blocking else PostgresStore)(ledger_url, settings=SETTINGS)
    loop, rung = asyncio.get_running_loop(), asyncio.Queue[str]()
    made.subscribe(lambda bell: loop.call_soon_threadsafe(rung.put_nowait, bell))
    for op in (BEGIN, TAKE):
        await store.advance(op)

    await made.joining("t", EffectKey(LEFT))
    await store.advance(END)
    async with asyncio.timeout(20):
        bell = await rung.get()
    await made.close()

    assert bell == LEFT


async def test_a_name_that_is_too_long_to_be_told_rings_in_its_own_process_only(
    store: PostgresStore, admin: psycopg.Connection[Any]
) -> None:
    """The limit of a NOTIFY fails nobody's end."""
    name = "x" * 9000
    rung: list[str] = []
    store.subscribe(rung.append)
    admin.execute("LISTEN holdfast")

    await store.advance(replace(BEGIN, workflow_id=name))
    await store.advance(replace(TAKE, workflow_id=name))
    await store.advance(replace(END, workflow_id=name, leave=Leave(to=WorkflowStatus.FAILED)))

    assert heard(admin) == {DUE}
    assert rung == [DUE, bell_of_end("t", name)]


async def once_it_waits(admin: psycopg.Connection[Any], work: Awaitable[Any]) -> asyncio.Future[Any]:
    """Start *work*; return once it waits for a lock."""
    task = asyncio.ensure_future(work)
    async with asyncio.timeout(20):
        while not admin.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
            assert not task.done()
            await asyncio.sleep(0)
    return task


async def test_what_is_being_begun_while_its_actor_is_halted_is_halted(
    store: PostgresStore, admin: psycopg.Connection[Any], ledger_url: str
) -> None:
    """Nothing escapes: the halt waits for it, and sees it."""
    with psycopg.connect(ledger_url) as other:
        name, values = statement(replace(BEGIN, owner="a"), None)
        other.execute(store._sql[name], values)
        halting = await once_it_waits(admin, store.halt(HALT))
        await store.advance(replace(BEGIN, workflow_id="other", actor="b", owner="a"))  # not its business
        other.commit()

        assert len(await halting) == 1

    found = await store.journal("t", "w")
    assert found is not None
    assert (found.execution.pause, found.execution.status) == (Pause.HALT, WorkflowStatus.RUNNING)


@pytest.mark.parametrize("op", [BEGIN, RESTART, FORK], ids=["begin", "restart", "fork"])
@pytest.mark.parametrize("is_on", [True, False])
async def test_who_begins_while_an_actor_is_being_halted_learns_of_it(
    store: PostgresStore, admin: psycopg.Connection[Any], ledger_url: str, op: ExecutionOp, *, is_on: bool
) -> None:
    """And so does who begins while it is being let go on: nobody stays halted by a halt that is over."""
    if op is not BEGIN:
        for known in (BEGIN, TAKE, replace(END, leave=Leave(to=WorkflowStatus.FAILED))):
            await store.advance(known)
    if not is_on:
        await store.halt(HALT)
    names, values = halt_of(HALT if is_on else UNHALT, None)

    with psycopg.connect(ledger_url) as other:
        for name in names:
            other.execute(store._sql[name], values)
        beginning = await once_it_waits(admin, store.advance(op))
        other.commit()
        begun = await beginning

    assert isinstance(begun, Advanced)
    assert begun.execution.pause is (Pause.HALT if is_on else Pause.NO)


async def test_halts_of_one_tenant_take_turns(
    store: PostgresStore, admin: psycopg.Connection[Any], ledger_url: str
) -> None:
    """Whoever lifts the last one lets go on: two who are lifted at once must not each leave it to the other."""
    await store.advance(BEGIN)
    everybody = replace(HALT, actor="")
    await store.halt(HALT)
    await store.halt(everybody)
    names, values = halt_of(UNHALT, None)

    with psycopg.connect(ledger_url) as other:
        for name in names:
            other.execute(store._sql[name], values)
        lifting = await once_it_waits(admin, store.halt(replace(everybody, is_on=False)))
        other.commit()

        assert len(await lifting) == 1


@pytest.mark.parametrize(("child", "parent"), [("w", "a"), ("w", "x")])
@pytest.mark.parametrize("op", [END, CANCEL], ids=["ends", "is cancelled"])
async def test_a_child_and_its_parent_are_locked_in_one_order(
    store: PostgresStore,
    admin: psycopg.Connection[Any],
    ledger_url: str,
    op: ExecutionOp,
    child: str,
    parent: str,
) -> None:
    """By name, whichever is which: so nobody who locks several, to halt them, can wait for one that waits for it."""
    await store.advance(replace(BEGIN, workflow_id=parent))
    await store.advance(replace(BEGIN, workflow_id=child, parent=parent))
    if isinstance(op, Progress):
        await store.advance(TAKE)
    first, second = sorted((child, parent))
    row = "SELECT 1 FROM holdfast_execution WHERE workflow_id = %s FOR UPDATE NOWAIT"

    with psycopg.connect(ledger_url) as other:
        other.execute(row, [first])
        ending = await once_it_waits(admin, store.advance(op))
        with admin.transaction():
            free = admin.execute(row, [second]).fetchall()
        other.rollback()
        ended = await ending

    assert free == [(1,)]
    assert isinstance(ended, Advanced)
    found = await store.journal("t", parent)
    assert found is not None
    assert found.execution.news == 1
