"""Effects on the ledger's own database: the handler's rows and our record commit together.

The claim is committed first, as always. A crash before the commit leaves neither rows nor record,
so a dead claim on a local effect is known not done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from holdfast._core.change import Committed, Conflict, PlainOutcome
from holdfast._core.decide import Fallen, on_timeout
from holdfast._core.model import Done, Receipt
from holdfast._core.plan import plan_move
from holdfast._core.states import Event, State
from holdfast._runtime import context
from holdfast._runtime.called_off import record_stop, record_unstarted
from holdfast._runtime.dependencies import went_well
from holdfast._runtime.execute import ensure_held, read_returned, receipt, run_handler
from holdfast._runtime.fall import (
    Fell,
    add_note,
    no_word,
    paid,
    speak_for_itself,
    timed_out,
    tries_of,
    verdict_of,
    word_of,
)
from holdfast._runtime.parts import Held, Parts, Work
from holdfast._runtime.record import Verdict, record
from holdfast._runtime.stops import HandlerTimeout, NeverStarted, StillRunning
from holdfast._runtime.surroundings import executing
from holdfast.errors import LeaseLost, NotSerializable, OutcomeUnknown, StoreError


async def execute_local(parts: Parts, work: Work, held: Held) -> Receipt | Fell:
    """Run the handler inside a transaction and commit its rows with the record.

    Returns:
        The receipt; or what the handler raised, its rows rolled back, and whether another attempt follows.

    Raises:
        LeaseLost: Another worker took over; its rows are rolled back.
    """
    flag = context.in_transaction.set(True)
    try:
        with executing(work, parts, held.timeout_s):
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
            except Exception as error:  # noqa: BLE001 - recorded, and raised by the pipeline
                return await _rolled_back(parts, work, held, error)
    finally:
        parts.heartbeat.drop(held.live)
        context.in_transaction.reset(flag)


async def _rolled_back(parts: Parts, work: Work, held: Held, error: Exception) -> Fell:
    """Record that nothing happened: the handler's rows went with its transaction."""
    failed = timed_out(work, held.timeout_s) if isinstance(error, HandlerTimeout) else error
    if failed is not error:
        failed.__cause__ = error
        word: Done | Fallen = on_timeout(work.contract, failed, tries_of(parts, held), limit_s=held.timeout_s)
    else:
        word = word_of(parts, error, work, held)
    fallen = no_word(work, why="it says that it is done") if isinstance(word, Done) else word
    if fallen.event is not Event.FAIL:
        fallen = replace(fallen, event=Event.RELEASE)
    await record(parts, held, work.actor, replace(verdict_of(failed, fallen), is_proof=True, is_certain=True))
    again_s = await paid(parts, work, held.probe, fallen)
    if again_s is None:
        add_note(failed, f"holdfast: effect {work.key}: its rows were rolled back; the same call tries again")
        speak_for_itself(failed)
    return Fell(error=failed, fallen=fallen, again_s=again_s)


class _Ended(Exception):
    """The handler committed or rolled back by itself: what of its rows is there, nobody can say."""


async def _in_transaction(parts: Parts, work: Work, held: Held) -> Receipt:
    lost: StoreError | None = None
    answer: Committed | Conflict | None = None
    async with parts.store.local() as transaction:
        try:
            returned = await run_handler(
                parts,
                work,
                held.head,
                bill=held.bill,
                late=_nothing_late,
                timeout_s=held.timeout_s,
                tx=transaction.connection,
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
        told = held.bill.told()
        change, after = plan_move(held.head, Event.SUCCEED, stamp, outcome=finished.outcome, spending=told)
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
    await went_well(parts, work, held.probe)
    return receipt(work, after, finished.result, finished.findings)


async def _nothing_late(get: Callable[[], Any]) -> None:
    """A local handler that ends after its transaction was rolled back proves nothing."""
    del get
