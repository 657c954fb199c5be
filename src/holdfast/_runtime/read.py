"""Reads: executed every time, recorded with one commit, never claimed. A read changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast._core.change import Committed, Head, PlainOutcome, head_of, plan_insert, plan_move
from holdfast._core.model import Finding, Receipt, Record
from holdfast._core.states import DECIDED, Event, Safety, State
from holdfast._runtime.drive import CalledOff, HandlerTimeout
from holdfast._runtime.execute import (
    Finished,
    error_outcome,
    executing,
    read_returned,
    receipt,
    run_handler,
    speak_for_itself,
    timed_out,
)
from holdfast._runtime.parts import Parts, Work
from holdfast._runtime.record import commit_patiently
from holdfast.errors import NotSerializable, StoreInvariant


async def read(parts: Parts, work: Work) -> Receipt:
    """Run the handler of a read and record what it saw.

    Raises:
        Exception: Whatever the handler raised, once that is recorded.
    """
    probe = Head(
        tenant=work.tenant,
        key=work.key,
        workflow_id=work.new.workflow_id,
        state=State.RETRYABLE,
        fence=0,
        attempt=1,
        audit_seq=0,
        audit_hash=b"",
        at=parts.runtime.now(),
    )
    with executing(work):
        try:
            returned = await run_handler(parts, work, probe, late=_nothing_late)
        except HandlerTimeout as late:
            error = timed_out(work)
            await _observe(parts, work, Event.RELEASE, error_outcome(error))
            speak_for_itself(error)
            raise error from late
        except CalledOff as called_off:
            raise called_off.stop from None
        except Exception as error:
            await _observe(parts, work, Event.RELEASE, error_outcome(error))
            speak_for_itself(error)
            raise
    finished = read_returned(parts, work, returned)
    head, noted = await _observe(parts, work, Event.OBSERVE, finished.outcome)
    return _answer(work, head, finished, returned, noted)


def _answer(work: Work, head: Head, finished: Finished, returned: Any, noted: tuple[Finding, ...]) -> Receipt:
    if finished.outcome.result_gap is not None:
        path, _, why = finished.outcome.result_gap.partition(" ")
        gap = NotSerializable(path, why, work.key)
        gap.result = returned
        raise gap
    return receipt(work, head, finished.result, finished.findings + noted)


async def _observe(
    parts: Parts, work: Work, event: Event, outcome: PlainOutcome
) -> tuple[Head, tuple[Finding, ...]]:
    """Record a read; over an effect of the same key that is no read, it is only noted."""
    until = parts.runtime.monotonic() + parts.settings.store_patience_s
    stamp = parts.stamp(work.tenant, work.key, work.actor)
    change, head = plan_insert(work.new, event, stamp, outcome=outcome)
    noted: tuple[Finding, ...] = ()
    while True:
        answer = await commit_patiently(parts, change, until=until)
        if isinstance(answer, Committed):
            return head, noted
        found = answer.found
        if found is None:
            raise StoreInvariant("record a read", "its row has vanished", work.key)
        if found.audit_hash == head.audit_hash:
            return head, noted
        stamp = parts.stamp(work.tenant, work.key, work.actor)
        if _may_observe(found, work, event):
            change, head = plan_move(head_of(found), event, stamp, outcome=outcome)
        else:
            message = (
                f"this key is on record as a {found.state} {found.safety} effect; the read was only noted"
            )
            noted = (Finding(code="read_noted", message=message),)
            change, head = plan_move(head_of(found), Event.NOTE, stamp, details={"read": event})


def _may_observe(found: Record, work: Work, event: Event) -> bool:
    return (
        found.safety is Safety.READ
        and found.fingerprint == work.new.fingerprint
        and DECIDED[found.state, event] is not None
    )


async def _nothing_late(get: Callable[[], Any]) -> None:
    """A read that ends after it was given up is of no interest."""
    del get
