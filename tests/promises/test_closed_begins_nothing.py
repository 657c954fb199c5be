"""A closed ledger begins nothing: no attempt, no block, no call of a turn, no undo; what it had begun may end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from holdfast import State, ToolCall, Undone
from holdfast.errors import LedgerClosed, OutcomeUnknown
from promises.ledgers import CALL, HASTY, PATIENCE_S, Book, Gate, Place, vanish

ORDER = "order-123"


class Busy(Exception):
    """An answer 429 that names a time."""

    status_code = 429
    headers = {"retry-after": "1"}  # noqa: RUF012 - as clients have it


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not await true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("rests", [False, True], ids=["before it rests", "while it rests"])
@pytest.mark.kinds("sync-memory", "sync-sqlite", "sync-postgres")
async def test_a_call_makes_no_further_attempt_once_its_ledger_is_closed(place: Place, rests: bool) -> None:
    """I1: its claim would have no heartbeat, and somebody else would act beside it."""
    book, other = place.open(settings=HASTY), place.open()
    began, closed, late = threading.Event(), threading.Event(), []

    def charge(**_: Any) -> None:
        if closed.is_set():
            late.append("attempt")
        if not rests:
            book.ledger.close(drain=0)
            closed.set()
        began.set()
        raise Busy

    calling = asyncio.create_task(book.run(CALL, charge, safety="idempotent"))
    await asyncio.to_thread(began.wait, PATIENCE_S)
    await book.close(drain=0)
    closed.set()
    with pytest.raises(Busy):
        await calling

    assert late == []
    [effect] = await other.effects()
    assert effect.state is State.RETRYABLE
    assert effect.retry_at is not None


async def test_a_block_made_before_the_ledger_was_closed_cannot_be_entered_after_it(place: Place) -> None:
    book, other = place.open(), place.open()
    beginning = book.ledger.begin(CALL)
    await book.close()

    with pytest.raises(LedgerClosed):
        await book.do(beginning.__enter__ if book.is_sync else beginning.__aenter__)

    assert await other.effects() == []


@pytest.mark.kinds("sync-memory", "sync-sqlite", "sync-postgres")
async def test_a_thread_that_waits_to_enter_a_block_is_refused_once_the_ledger_is_closed(
    place: Place,
) -> None:
    book, other = place.open(settings=HASTY), place.open(settings=HASTY)
    waits, acted = threading.Event(), []

    def waiting() -> None:
        waits.set()
        with book.ledger.begin(CALL, safety="idempotent"):
            acted.append("closed")

    await asyncio.create_task(other.do(other.ledger.begin(CALL, safety="idempotent").__enter__))
    block = asyncio.create_task(book.do(waiting))
    await asyncio.to_thread(waits.wait, PATIENCE_S)
    await book.close(drain=0.05)
    await vanish(other.ledger)

    with pytest.raises(LedgerClosed):
        await block
    assert acted == []


@pytest.mark.kinds("sync-memory", "sync-sqlite", "sync-postgres")
async def test_a_turn_is_let_finish_and_its_next_call_is_refused_after_that(place: Place) -> None:
    ran: list[int] = []

    def taken(book: Book, drain: float | None) -> Any:
        def charge(n: int) -> int:
            ran.append(n)
            if n in {1, 3}:  # somebody else closes it meanwhile
                book.ledger._engine.parts.traffic.is_closing = True
                if drain is not None:
                    book.ledger.close(drain=drain)
            return n

        calls = [
            ToolCall(workflow_id=ORDER, tool="charge", args={"n": n}) for n in (len(ran) + 1, len(ran) + 2)
        ]
        return book.turn(calls, handlers={"charge": charge})

    finished = await taken(place.open(), None)
    first, second = await taken(place.open(), 0)

    assert [receipt.error for receipt in finished] == [None, None]
    assert (first.error, type(second.error)) == (None, LedgerClosed)
    assert ran == [1, 2, 3]


async def booked(book: Book, undo: Callable[[int], Awaitable[None]]) -> None:
    async def undone_async(undone: Undone) -> None:
        await undo(undone.args["n"])

    def undone_sync(undone: Undone) -> None:
        asyncio.run(undo(undone.args["n"]))

    step = book.tool(lambda n: n, name="step", compensate=undone_sync if book.is_sync else undone_async)
    for n in (1, 2, 3):
        await step(ORDER, n=n)


async def test_a_compensation_starts_no_further_undo_once_its_ledger_is_closed(place: Place) -> None:
    """CMP-03: another ledger goes on with it, and each undo happens once."""
    book, other, undone = place.open(), place.open(), Counter[int]()

    async def closing(n: int) -> None:
        undone[n] += 1
        if book.is_sync:
            book.ledger.close(drain=0)
        else:
            await book.ledger.close(drain=0)

    async def going_on(n: int) -> None:
        undone[n] += 1

    await booked(book, closing)
    await booked(other, going_on)
    with pytest.raises(LedgerClosed):
        await book.compensate(ORDER, reason="sold out")
    assert undone == {3: 1}

    report = await other.compensate(ORDER, reason="sold out")

    assert len(report.undone) == 3
    assert undone == {1: 1, 2: 1, 3: 1}


async def test_closing_lets_a_compensation_finish(place: Place) -> None:
    book, gate, undone = place.open(), Gate(), []

    async def slowly(n: int) -> None:
        await asyncio.to_thread(gate.wait)
        undone.append(n)

    await booked(book, slowly)
    undoing = asyncio.create_task(book.compensate(ORDER, reason="sold out"))
    await gate.reached()
    closing = asyncio.create_task(book.close(drain=PATIENCE_S))
    await asyncio.sleep(0)
    gate.open()

    assert len((await undoing).undone) == 3
    await closing
    assert undone == [3, 2, 1]


@pytest.mark.kinds("sqlite", "sync-sqlite", "postgres", "sync-postgres")
async def test_what_a_late_thread_brings_to_a_closed_ledger_leaves_no_connection(place: Place) -> None:
    """STA-13: it is on record, and what had to be opened for it is closed again."""
    other, entered, leave = place.open(), threading.Event(), threading.Event()
    if place.store == "postgres":
        place.url += "&application_name=late"
    book = place.open(settings=HASTY)

    def slow(**_: Any) -> str:
        entered.set()
        leave.wait(PATIENCE_S)
        return "late"

    with pytest.raises(OutcomeUnknown):
        await book.run(CALL, slow, timeout=0.05)
    await book.close(drain=0.05)
    leave.set()

    async def is_told() -> bool:
        return (await other.effects())[0].state is State.SUCCEEDED

    async def is_released() -> bool:
        return not await asyncio.to_thread(connections, place, book)

    await until(is_told)
    await until(is_released)


def connections(place: Place, book: Book) -> int:
    if place.store == "sqlite":
        return len(book.ledger._engine.parts.store.database._connections)
    with psycopg.connect(place.url.replace("&application_name=late", "")) as db:
        row = db.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'late'").fetchone()
    return 0 if row is None else row[0]


async def test_a_block_cannot_be_entered_again_before_it_is_left(book: Book) -> None:
    """I2: the outcome of the first would be lost, and its claim renewed for ever."""
    beginning = book.ledger.begin(CALL)
    enter = beginning.__enter__ if book.is_sync else beginning.__aenter__
    leave = beginning.__exit__ if book.is_sync else beginning.__aexit__

    claim = await book.do(enter)
    with pytest.raises(Exception, match="entered again before it was left"):
        await book.do(enter)
    claim.succeed("done")
    await book.do(leave, None, None, None)
    again = await book.do(enter)
    await book.do(leave, None, None, None)

    assert again.result == "done"
    assert not book.ledger._engine.parts.heartbeat.is_busy
