"""Effects on the ledger's own database: the handler's rows and our record commit together.

The claim is committed first, as always. A crash before the commit leaves neither rows nor record,
so a dead claim on a local effect is known not done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast._core.change import Committed, Conflict, PlainOutcome, plan_move
from holdfast._core.model import Receipt
from holdfast._core.states import Event, State
from holdfast._runtime import context
from holdfast._runtime.drive import HandlerTimeout, NeverStarted, StillRunning
from holdfast._runtime.execute import (
    add_note,
    ensure_held,
    error_outcome,
    executing,
    read_returned,
    receipt,
    record_stop,
    record_unstarted,
    run_handler,
    speak_for_itself,
    timed_out,
    word_of,
)
from holdfast._runtime.parts import Held, Parts, Work
from holdfast._runtime.record import Verdict, record
from holdfast.errors import LeaseLost, NotSerializable, OutcomeUnknown, StoreError


async def execute_local(parts: Parts, work: Work, held: Held) -> Receipt:
    """Run the handler inside a transaction and commit its rows with the record.

    Raises:
        Exception: Whatever the handler raised; its rows are rolled back, the effect may be tried again.
        NotSerializable: Its result cannot be kept; its rows are rolled back.
        LeaseLost: Another worker took over; its rows are rolled back.
    """
    flag = context.in_transaction.set(True)
    try:
        with executing(work):
            await ensure_held(parts, held)
            try:
                return await _in_transaction(parts, work, held)
            except parts.runtime.stops as stop:
                await record_stop(parts, work, held, stop)
                raise
            except StillRunning as running:  # its transaction is closed under it
                await record_stop(parts, work, held, running.stop)
                raise running.stop from None
            except NeverStarted as never:
                await record_unstarted(parts, work, held)
                raise never.stop from None
            except (LeaseLost, OutcomeUnknown):
                raise
            except _Ended:
                why = "its handler ended the transaction itself"
                verdict = Verdict(event=Event.DOUBT, outcome=PlainOutcome(), details={"why": why})
                await record(parts, held, work.actor, verdict)
                doubt = OutcomeUnknown(work.key, why)
                speak_for_itself(doubt)
                raise doubt from None
            except Exception as error:  # noqa: BLE001 - recorded, and raised again
                failed = timed_out(work) if isinstance(error, HandlerTimeout) else error
                event = Event.FAIL if word_of(error, work) is Event.FAIL else Event.RELEASE
                await record(parts, held, work.actor, Verdict(event=event, outcome=error_outcome(failed)))
                add_note(
                    failed,
                    f"holdfast: effect {work.key}: its rows were rolled back; the same call tries again",
                )
                speak_for_itself(failed)
                raise failed from (error if failed is not error else None)
    finally:
        parts.heartbeat.drop(held.live)
        context.in_transaction.reset(flag)


class _Ended(Exception):
    """The handler committed or rolled back by itself: what of its rows is there, nobody can say."""


async def _in_transaction(parts: Parts, work: Work, held: Held) -> Receipt:
    lost: StoreError | None = None
    answer: Committed | Conflict | None = None
    async with parts.store.local() as transaction:
        try:
            returned = await run_handler(
                parts, work, held.head, late=_nothing_late, tx=transaction.connection
            )
        except Exception as error:
            if not transaction.is_open:
                raise _Ended from error
            raise
        if not transaction.is_open:
            raise _Ended
        finished = read_returned(parts, work, returned)
        if finished.outcome.result_gap is not None:
            path, _, why = finished.outcome.result_gap.partition(" ")
            raise NotSerializable(path, why)
        stamp = parts.stamp(work.tenant, work.key, work.actor)
        change, after = plan_move(held.head, Event.SUCCEED, stamp, outcome=finished.outcome)
        try:
            answer = await transaction.commit(change)
        except StoreError as error:
            lost = error
    # Looked up only now: the transaction has given its connection back.
    if lost is not None:
        found = (await parts.store.find(after.tenant, after.key)).record
        if found is None or found.audit_hash != after.audit_hash:
            raise lost
    elif isinstance(answer, Conflict):
        raise LeaseLost(after.key, State.UNKNOWN if answer.found is None else answer.found.state)
    parts.bus.ring(work.key)
    return receipt(work, after, finished.result, finished.findings)


async def _nothing_late(get: Callable[[], Any]) -> None:
    """A local handler that ends after its transaction was rolled back proves nothing."""
    del get
