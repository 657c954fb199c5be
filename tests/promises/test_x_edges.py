"""X10 to X15: transactions, hostile identities, deliberate repetition, and what a replay costs."""

from __future__ import annotations

import contextlib
import copy
import sqlite3
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from holdfast import State, ToolCall
from holdfast.errors import HoldfastError, InvalidCall, NotSerializable
from promises.ledgers import CALL, Book, Calls, Place


@contextlib.contextmanager
def a_transaction_of_the_callers(place: Place) -> Iterator[None]:
    """Open on the same database, used, and rolled back at the end."""
    if place.store == "memory":
        yield
    elif place.store == "postgres":
        with psycopg.connect(place.url) as db:
            db.execute("CREATE TABLE mine (n int)")
            yield
            db.rollback()
    else:
        with contextlib.closing(sqlite3.connect(place.url.removeprefix("sqlite:///"))) as db:
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM sqlite_master").fetchall()
            yield
            db.rollback()


async def test_x10_the_claim_is_durable_before_the_handler_runs_whatever_transaction_the_caller_is_in(
    place: Place,
) -> None:
    """X10, IDE-02."""
    book, stranger, seen = place.open(), place.open(), []

    def look(**_: Any) -> None:
        seen.extend(stranger.ledger.effects())

    async def look_async(**_: Any) -> None:
        seen.extend(await stranger.effects())

    assert await book.effects() == []  # the tables are there before the caller's transaction begins
    with a_transaction_of_the_callers(place):
        await book.run(CALL, handler=look if place.is_sync else look_async)

    assert [effect.state for effect in seen] == [State.PENDING]
    [after] = await stranger.effects()
    assert (after.key, after.state) == (seen[0].key, State.SUCCEEDED)


async def test_x11_delimiters_do_not_make_two_calls_one(book: Book) -> None:
    calls = Calls()
    for workflow_id, tool in [("a|b", "c"), ("a", "b|c"), ("a|b|c", "d"), ('a","b', "c")]:
        call = ToolCall(workflow_id=workflow_id, tool=tool, args={})
        await book.run(call, handler=book.handler(calls))

    assert calls.count == 4
    assert len({effect.key for effect in await book.effects()}) == 4


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (ToolCall(workflow_id="w\0", tool="t"), InvalidCall),
        (ToolCall(workflow_id="w", tool="t\0"), InvalidCall),
        (ToolCall(workflow_id="w", tool="t", args={"deep": nested(100_000)}), NotSerializable),
        (ToolCall(workflow_id="w", tool="t", args={"n": float("inf")}), NotSerializable),
        (ToolCall(workflow_id="w", tool="t", args={"n": float("nan")}), NotSerializable),
    ],
    ids=["nul-in-workflow", "nul-in-tool", "deep", "infinite", "nan"],
)
async def test_x11_what_cannot_be_an_identity_does_not_get_through(
    book: Book, call: ToolCall, error: type[HoldfastError]
) -> None:
    calls = Calls()

    with pytest.raises(error):
        await book.run(call, handler=book.handler(calls))

    assert (calls.count, await book.effects()) == (0, [])


async def test_x11_a_nul_character_in_an_argument_gets_through_unharmed(book: Book) -> None:
    calls = Calls("a\0b")
    call = ToolCall(workflow_id="w", tool="t", args={"text": "x\0y"})

    first = await book.run(call, handler=book.handler(calls))
    again = await book.run(call, handler=book.handler(calls))

    assert first == again == "a\0b"
    assert calls.made == [{"text": "x\0y"}]


async def test_x13_the_same_intent_meant_twice_can_be_said_and_runs_twice(book: Book) -> None:
    """X13, IDE-08, IDE-22: by a key of its own, or as one of several in a turn."""
    calls = Calls()
    for key in (None, "reminder-2", "reminder-2"):
        call = ToolCall(workflow_id="w", tool="remind", args={"who": "ann"}, key=key)
        await book.run(call, handler=book.handler(calls))
    assert calls.count == 2

    remind = ToolCall(workflow_id="w2", tool="remind", args={"who": "ann"})
    for _ in range(2):  # the same turn again counts the same two
        receipts = await book.turn([remind, remind], handlers={"remind": book.handler(calls)}, distinct=True)
        assert len({receipt.key for receipt in receipts}) == 2
    assert calls.count == 4


async def test_x14_changing_a_returned_object_does_not_change_the_record(book: Book) -> None:
    mine = {"lines": [{"sku": "a"}]}
    result = {"id": "ch_1", "lines": [1, 2]}
    expected = copy.deepcopy(result)
    call = ToolCall(workflow_id="w", tool="t", args=mine)

    def spoil(lines: list[Any]) -> Any:
        lines[0]["sku"] = "spoiled"
        return result

    first = await book.run(call, handler=book.handler(spoil))
    first["lines"].append("spoiled")
    result["id"] = "spoiled"
    again = await book.run(call, handler=book.handler(spoil))
    again.clear()
    [effect] = await book.effects()
    effect.args["lines"][0]["sku"] = "spoiled"

    assert mine == {"lines": [{"sku": "a"}]}
    assert await book.run(call, handler=book.handler(spoil)) == expected
    assert (await book.effects())[0].args == mine
    assert (await book.verify()).ok


async def test_x15_a_replay_makes_the_database_write_nothing(place: Place) -> None:
    """X15, C2: one hundred of them; another session's writing meanwhile would be seen, so look thrice."""
    book, calls = place.open(), Calls()
    await book.run(CALL, handler=book.handler(calls.charge))

    silent = []
    for _ in range(3):
        before = place.written()
        for _ in range(100):
            await book.run(CALL, handler=book.handler(calls.charge))
        silent.append(place.written() == before)
        if silent[-1]:
            break

    assert silent[-1]
    assert calls.count == 1
