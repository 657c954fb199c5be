"""X1 to X6: what is so after something broke. The kill tests with real processes are in tests/e2e."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from holdfast import Done, Ledger, NotDone, Settings, State, StillUnknown, SyncLedger
from holdfast.errors import InProgress, NotSerializable, OutcomeUnknown
from promises.ledgers import CALL, DEAD_SOON, HASTY, PATIENCE_S, PATIENT, Book, Calls, Gate, Place


def break_down(**_: Any) -> None:
    raise ConnectionResetError("the answer was lost")


async def test_x1_a_worker_that_died_leaves_doubt_which_is_told_at_once(place: Place) -> None:
    """X1, X4: once the dead worker's lease is over, no caller waits for anything any more."""
    calls, later = Calls(), place.open(settings=DEAD_SOON)
    key = await place.open(settings=DEAD_SOON).die_holding(CALL)
    with pytest.raises(OutcomeUnknown):
        await later.run(CALL, handler=later.handler(calls.charge))  # waits for the lease

    with pytest.raises(OutcomeUnknown, match="holdfast resolve") as told:
        await later.run(CALL, handler=later.handler(calls.charge), wait=0)

    assert told.value.key == key
    assert (await later.effect(key)).state is State.UNKNOWN
    assert calls.count == 0


EVIDENCE = {
    "done": (lambda effect: Done({"id": "found"}), State.SUCCEEDED, {"id": "found"}, 0),
    "not-done": (lambda effect: NotDone(), State.RETRYABLE, {"id": "ch_1"}, 1),
    "not-done-raised": (lambda effect: (_ for _ in ()).throw(NotDone()), State.RETRYABLE, {"id": "ch_1"}, 1),
    "cannot-tell": (lambda effect: StillUnknown("their search is down"), State.UNKNOWN, None, 0),
}


@pytest.mark.parametrize(("reconciler", "state", "result", "again"), EVIDENCE.values(), ids=EVIDENCE.keys())
async def test_x2_evidence_about_doubt_is_replayed_or_tried_again_or_it_stays_unknown(
    place: Place, reconciler: Any, state: State, result: Any, again: int
) -> None:
    """X2, IDE-15, IDE-16."""
    book, calls = place.open(settings=HASTY), Calls()
    with pytest.raises(ConnectionResetError):
        await book.run(CALL, handler=book.handler(break_down))
    [doubtful] = await book.effects(state="unknown")

    settled = await book.reconcile(doubtful.key, reconciler)

    assert settled.state is state
    if state is State.UNKNOWN:
        with pytest.raises(OutcomeUnknown):
            await book.run(CALL, handler=book.handler(calls.charge))
        assert [effect.key for effect in await book.effects(state="unknown")] == [doubtful.key]
    else:
        assert await book.run(CALL, handler=book.handler(calls.charge)) == result
        assert await book.effects(state="unknown") == []
    assert calls.count == again
    assert (await book.effect(doubtful.key)).attempt == 1 + again
    assert (await book.verify()).ok


async def test_x2_a_declared_reconciler_is_asked_in_the_call_that_meets_the_doubt(book: Book) -> None:
    """X2, IDE-15."""
    seen = []

    def find(effect: Any) -> Done:
        seen.append((effect.key, effect.args, effect.attempt))
        return Done({"id": "found"})

    receipt = await book.call(CALL, handler=book.handler(break_down), reconcile=find)

    assert receipt.result == {"id": "found"}
    assert seen == [(receipt.key, CALL.args, 1)]
    assert (await book.effect(receipt.key)).state is State.SUCCEEDED


async def test_x3_a_slow_worker_that_lives_is_never_taken_over(place: Place) -> None:
    slow, other, gate, calls = place.open(settings=PATIENT), place.open(settings=PATIENT), Gate(), Calls()

    def charge(amount: int, currency: str) -> Any:
        gate.wait()
        return calls.charge(amount, currency)

    owning = asyncio.ensure_future(slow.run(CALL, handler=charge))
    await gate.reached()
    [claimed] = await slow.effects()
    with pytest.raises(InProgress):  # longer than the lease that it was claimed with
        await other.run(CALL, handler=other.handler(calls.charge), wait=PATIENT.lease_s + 0.1)
    renewed = await other.effect(claimed.key)
    gate.open()

    assert await owning == calls.result
    assert await other.run(CALL, handler=other.handler(calls.charge)) == calls.result
    assert calls.count == 1
    assert (renewed.state, renewed.attempt) == (State.PENDING, 1)
    assert renewed.lease_until > datetime.now(UTC) > claimed.lease_until


async def test_x4_retrying_callers_do_not_prolong_a_dead_workers_claim(place: Place) -> None:
    later, calls = place.open(settings=HASTY), Calls()
    key = await place.open(settings=HASTY).die_holding(CALL)
    dead = await later.effect(key)

    for _ in range(8):
        with pytest.raises((InProgress, OutcomeUnknown)):  # the latter on a machine that is slow enough
            await later.run(CALL, handler=later.handler(calls.charge), wait=0)
        assert (await later.effect(key)).lease_until == dead.lease_until

    with pytest.raises(OutcomeUnknown):
        await later.run(CALL, handler=later.handler(calls.charge))
    assert datetime.now(UTC) >= dead.lease_until
    assert calls.count == 0


async def test_x4_what_may_be_repeated_is_repeated_once_the_dead_workers_lease_is_over(
    place: Place,
) -> None:
    """X4, IDE-24: under the same idem_key, which the external system knows already."""
    later, calls = place.open(settings=DEAD_SOON), Calls()
    key = await place.open(settings=DEAD_SOON).die_holding(CALL, safety="idempotent")

    receipt = await later.call(CALL, handler=later.handler(calls.charge), safety="idempotent")

    assert (receipt.key, calls.count) == (key, 1)
    assert (await later.effect(key)).attempt == 2


AFTER_A_STOP = {"unsafe": State.UNKNOWN, "idempotent": State.RETRYABLE}


@pytest.mark.parametrize("face", [Ledger, SyncLedger])
@pytest.mark.parametrize("stop", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize(("safety", "state"), AFTER_A_STOP.items(), ids=AFTER_A_STOP.keys())
def test_x5_an_interrupted_handler_leaves_doubt_unless_it_may_be_repeated(
    tmp_path: Any, face: type[Ledger | SyncLedger], stop: type[BaseException], safety: Any, state: State
) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"

    def interrupted(**_: Any) -> None:
        raise stop

    async def call_async() -> None:
        async with Ledger(url) as ledger:
            await ledger.run(CALL, handler=interrupted, safety=safety)

    def call() -> None:
        with SyncLedger(url) as ledger:
            ledger.run(CALL, handler=interrupted, safety=safety)

    with pytest.raises(stop):
        asyncio.run(call_async()) if face is Ledger else call()

    with SyncLedger(url) as later:
        [effect] = later.effects()
        assert effect.state is state
        assert effect.error is not None
        assert effect.error.type == stop.__name__


@pytest.mark.kinds("memory", "sqlite", "postgres")
async def test_x5_a_cancelled_callers_handler_finishes_and_is_recorded(place: Place) -> None:
    book, gate, calls = place.open(), asyncio.Event(), Calls()
    started = asyncio.Event()

    async def charge(amount: int, currency: str) -> Any:
        started.set()
        await gate.wait()
        return calls.charge(amount, currency)

    caller = asyncio.ensure_future(book.run(CALL, handler=charge))
    await started.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    gate.set()

    assert await book.run(CALL, handler=charge) == calls.result
    assert calls.count == 1


@pytest.mark.parametrize(
    ("safety", "error", "state"),
    [
        ("unsafe", OutcomeUnknown, State.UNKNOWN),
        ("idempotent", TimeoutError, State.RETRYABLE),
        ("read", TimeoutError, State.RETRYABLE),
    ],
)
async def test_x5_a_timeout_leaves_doubt_but_a_read_leaves_none(
    place: Place, safety: Any, error: type[Exception], state: State
) -> None:
    """X5, IDE-13: a write that timed out is unknown, not failed."""
    book, gate = place.open(), Gate()

    with pytest.raises(error):
        await book.run(CALL, handler=lambda **_: gate.wait(), safety=safety, timeout=0.05, retry=False)

    [effect] = await book.effects()
    assert effect.state is state
    gate.open()


async def test_x5_a_thread_that_outlives_its_timeout_brings_its_result_as_evidence(place: Place) -> None:
    book, gate, calls = place.open(), Gate(), Calls()

    def charge(amount: int, currency: str) -> Any:
        gate.wait()
        return calls.charge(amount, currency)

    with pytest.raises(OutcomeUnknown):
        await book.run(CALL, handler=charge, timeout=0.05)
    gate.open()
    await book.close(drain=PATIENCE_S)

    later = place.open()
    assert await later.run(CALL, handler=later.handler(calls.charge)) == calls.result
    assert calls.count == 1


@pytest.mark.parametrize(
    "result", [{1, 2}, object(), float("nan"), "x" * 500], ids=["set", "object", "nan", "large"]
)
async def test_x6_a_result_that_cannot_be_stored_never_makes_a_done_effect_failed(
    place: Place, result: Any
) -> None:
    book, calls = place.open(settings=Settings(max_result_bytes=400)), Calls(result)

    with pytest.raises(NotSerializable) as first:
        await book.run(CALL, handler=book.handler(calls.charge))
    with pytest.raises(NotSerializable) as later:
        await book.run(CALL, handler=book.handler(calls.charge))

    assert first.value.result is result  # its only copy
    assert str(later.value) == str(first.value)
    [effect] = await book.effects()
    assert (effect.state, effect.result, effect.error) == (State.SUCCEEDED, None, None)
    assert effect.result_gap
    assert calls.count == 1
