"""IDE-30: rows of a local effect and its record are both there or both not, wherever the process dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from holdfast import Effect, Ledger, NotDone, State, ToolCall
from holdfast.errors import NotSerializable
from holdfast.testing import CrashReport, Life, World

CALL = ToolCall(workflow_id="trip-7", tool="book", args={"seat": "12A"})
TABLE = "CREATE TABLE IF NOT EXISTS booking (world TEXT NOT NULL, seat TEXT NOT NULL)"
ROWS = 3

EveryCrash = Callable[..., CrashReport]


def write(tx: Any, world: World, n: int) -> None:
    """Insert the n-th row; the memory store hands out a dict in place of a connection."""
    if isinstance(tx, dict):
        tx[world.tenant, n] = "12A"
    else:
        tx.execute(TABLE)
        tx.execute(f"INSERT INTO booking VALUES ('{world.tenant}', '{n}')")


def count(world: World) -> int:
    """How many rows are in the database."""

    async def look(ledger: Ledger) -> int:
        store = ledger._engine.parts.store
        async with store.local() as transaction:
            tx = transaction.connection
            if isinstance(tx, dict):
                return sum(place[0] == world.tenant for place in store._inner.rows)
            tx.execute(TABLE)
            [found] = tx.execute(f"SELECT count(*) FROM booking WHERE world = '{world.tenant}'").fetchone()
            return int(found)

    return world.look(look)


def booking(**variant: Any) -> Any:
    """A handler with a boundary before and after each of its rows; *variant* says how its first runs end."""
    errors: list[Exception] = variant.get("errors", [])

    async def scenario(ledger: Ledger, world: World) -> Any:
        def book(seat: str, effect: Effect) -> Any:
            world.executed["book"] += 1
            for n in range(ROWS):
                world.boundary(f"before row {n}")
                write(effect.tx, world, n)
                world.boundary(f"after row {n}")
            if world.executed["book"] <= len(errors):
                raise errors[world.executed["book"] - 1]
            return {"seat": seat}

        for error in errors:
            try:
                return await ledger.run(CALL, book, safety="local")
            except type(error):
                continue
        return await ledger.run(CALL, book, safety="local")

    return scenario


BOUNDARIES = 4 + 2 * ROWS + 3
"""Claim, begin, each row, handler, commit; the begin has no after: its transaction is open then."""


def agree(world: World, life: Life) -> None:
    """All rows and a record, and the same answer for ever."""
    [effect] = world.effects()
    assert count(world) == ROWS
    assert (effect.state, effect.result, life.end) == (State.SUCCEEDED, {"seat": "12A"}, {"seat": "12A"})


def test_ide_30_a_local_effect_happens_exactly_once_wherever_the_process_dies(
    every_crash: EveryCrash, store: str
) -> None:
    """I1, I2: nobody is ever in doubt about rows that commit with their record."""
    report = every_crash(booking(), agree, store=store)

    assert len(report) == BOUNDARIES
    assert report.boundaries[2] == "before local"
    assert report.boundaries[-2:] == ("before local succeed", "after local succeed")


def test_ide_30_nor_do_two_deaths_in_a_row_matter(every_crash: EveryCrash) -> None:
    report = every_crash(booking(), agree, store="sqlite", deaths=2)

    assert report.worlds > BOUNDARIES**2 / 2


@pytest.mark.parametrize(
    "error", [NotDone("full"), ValueError("odd"), ConnectionError()], ids=["not-done", "odd", "away"]
)
def test_ide_30_rows_of_a_failed_attempt_are_rolled_back_before_the_next_one(
    every_crash: EveryCrash, store: str, error: Exception
) -> None:
    """Any error of a local handler proves that nothing happened: its rows went with it."""
    report = every_crash(booking(errors=[error]), agree, store=store)

    assert len(report) == 2 * BOUNDARIES + 2  # the second claim asks twice: insert, then move
    assert {"before release", "after release"} < set(report.boundaries)


def test_ide_30_rows_whose_result_cannot_be_kept_are_rolled_back(every_crash: EveryCrash, store: str) -> None:
    """X6 for local effects: no record, no rows; the next call tries again."""

    async def scenario(ledger: Ledger, world: World) -> Any:
        def book(seat: str, effect: Effect) -> Any:
            write(effect.tx, world, 0)
            return {seat}

        return await ledger.run(CALL, book, safety="local")

    def check(world: World, life: Life) -> None:
        [effect] = world.effects()
        assert isinstance(life.end, NotSerializable)
        assert (effect.state, count(world)) == (State.RETRYABLE, 0)

    every_crash(scenario, check, store=store)


@pytest.mark.parametrize("died_at", range(BOUNDARIES))
def test_ide_30_before_the_restart_rows_and_record_agree_as_well(
    died_at: int, store: str, tmp_path: Any
) -> None:
    """What a reader of the database sees while nobody has recovered yet."""
    from holdfast.testing.places import places

    world = World(places(store, tmp_path)())
    world.live(booking(), die_at=died_at)

    done = [effect.state is State.SUCCEEDED for effect in world.effects()] == [True]
    assert count(world) == (ROWS if done else 0)
    world.close()
