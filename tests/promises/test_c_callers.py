"""C9 to C11 and C16 to C18: several callers of one effect, and what the store itself may do."""

from __future__ import annotations

import asyncio

import pytest

from holdfast import Done, Permanent, Replayed, State
from holdfast.errors import (
    EffectFailed,
    HoldfastError,
    InProgress,
    NotResolvable,
    StoreError,
    StoreInvariant,
    StoreUnavailable,
)
from promises.ledgers import CALL, HASTY, Calls, Gate, Place
from promises.watched import Watched


async def test_c9_of_several_simultaneous_beginnings_exactly_one_owns_the_effect(place: Place) -> None:
    books, calls = [place.open() for _ in range(4)], Calls()

    found = await asyncio.gather(
        *(book.begin(CALL, lambda claim: claim.succeed(calls(n=1))) for book in books for _ in range(2))
    )

    assert sorted(type(claim).__name__ for claim in found) == ["Claimed", *["Replayed"] * 7]
    assert calls.count == 1
    assert all(claim.result == calls.result for claim in found if isinstance(claim, Replayed))


async def test_c10_of_several_simultaneous_calls_one_executes_and_all_get_its_result(place: Place) -> None:
    books, calls, gate = [place.open() for _ in range(4)], Calls(), Gate()

    def charge(amount: int, currency: str) -> object:
        gate.wait()
        return calls.charge(amount, currency)

    racing = [asyncio.ensure_future(book.call(CALL, handler=charge)) for book in books for _ in range(4)]
    await gate.reached()
    gate.open()
    receipts = await asyncio.gather(*racing)

    assert calls.count == 1
    assert [receipt.result for receipt in receipts] == [calls.result] * 16
    assert sorted(receipt.replayed for receipt in receipts) == [False] + [True] * 15
    assert len({receipt.audit_hash for receipt in receipts}) == 1


async def test_c10_those_who_waited_get_the_failure_too_and_do_not_try_in_its_wake(place: Place) -> None:
    owner, gate, calls = place.open(), Gate(), Calls()
    watched = Watched(place)
    waiter = place.open(watched)

    def decline(**_: object) -> None:
        gate.wait()
        raise Permanent("no such account")

    owning = asyncio.ensure_future(owner.run(CALL, handler=decline))
    await gate.reached()
    waiting = asyncio.ensure_future(waiter.run(CALL, handler=waiter.handler(calls.charge)))
    await watched.found(2)
    gate.open()

    with pytest.raises(Permanent):
        await owning
    with pytest.raises(EffectFailed, match="no such account"):
        await waiting
    assert calls.count == 0


async def test_c11_a_waiter_whose_patience_ends_gets_a_typed_error_and_executes_nothing(place: Place) -> None:
    owner, waiter, gate, calls = place.open(), place.open(), Gate(), Calls()

    owning = asyncio.ensure_future(owner.run(CALL, handler=lambda amount, currency: gate.wait()))
    await gate.reached()
    for patience in (0, 0.05):
        with pytest.raises(InProgress, match="wait=") as refused:
            await waiter.run(CALL, handler=waiter.handler(calls.charge), wait=patience)
        assert refused.value.until.tzinfo is not None
    gate.open()
    await owning

    assert calls.count == 0
    assert (await waiter.effect(refused.value.key)).state is State.SUCCEEDED


async def test_c16_a_finished_record_never_changes(place: Place) -> None:
    book, calls = place.open(), Calls()
    key = (await book.call(CALL, handler=book.handler(calls.charge))).key
    before = await book.effect(key), await book.audit(key)

    for settle in (
        book.resolve(key, Done("another"), by="ops", reason="a mistake"),
        book.reconcile(key, lambda effect: Done("another")),
    ):
        with pytest.raises(NotResolvable):
            await settle
    await book.begin(CALL, lambda claim: claim.fail("too late"))

    assert (await book.effect(key), await book.audit(key)) == before
    assert (await book.verify()).ok


async def test_c16_the_loser_of_a_race_to_settle_doubt_gets_the_winners_record(place: Place) -> None:
    books = [place.open() for _ in range(4)]
    await books[0].begin(CALL, lambda claim: claim.doubt("the line went dead"))
    [effect] = await books[0].effects()

    settled = await asyncio.gather(
        *(book.resolve(effect.key, Done(n), by=f"ops-{n}", reason="seen") for n, book in enumerate(books)),
        return_exceptions=True,
    )

    after = await books[0].effect(effect.key)
    assert after.state is State.SUCCEEDED
    for answer in settled:
        assert isinstance(answer, NotResolvable) or answer.result == after.result
    assert [entry.event for entry in await books[0].audit(effect.key)].count("resolve_done") == 1


async def test_c17_a_record_that_vanishes_while_someone_waits_for_it_is_a_typed_error(place: Place) -> None:
    owner, gate, calls = place.open(), Gate(), Calls()
    watched = Watched(place)
    waiter = place.open(watched)

    owning = asyncio.ensure_future(owner.call(CALL, handler=lambda amount, currency: gate.wait()))
    await gate.reached()
    [effect] = await owner.effects()
    waiting = asyncio.ensure_future(waiter.run(CALL, handler=waiter.handler(calls.charge)))
    await watched.found(2)
    place.vanish(effect.key)

    with pytest.raises(StoreInvariant, match="vanished") as told:
        await waiting
    gate.open()
    with pytest.raises(HoldfastError, match="vanished"):
        await owning
    assert told.value.key == effect.key
    assert calls.count == 0


@pytest.mark.kinds("sqlite", "sync-sqlite", "postgres", "sync-postgres")
@pytest.mark.parametrize(
    ("how", "error"), [("full", StoreUnavailable), ("wrong", StoreInvariant)], ids=["full", "wrong"]
)
async def test_c18_a_stores_errors_are_typed_say_which_operation_and_key_and_are_wrapped_once(
    place: Place, how: str, error: type[StoreUnavailable | StoreInvariant]
) -> None:
    book, calls = place.open(settings=HASTY), Calls()
    await book.effects()  # the tables are there
    place.refuse_inserts(how)

    with pytest.raises(StoreError) as told:
        await book.run(CALL, handler=book.handler(calls.charge))

    assert type(told.value) is error
    assert told.value.operation
    assert told.value.key is not None
    assert told.value.key.startswith("v1:")
    assert not isinstance(told.value.__cause__, HoldfastError)
    assert "holdfast.errors" not in told.value.why
    assert calls.count == 0
