"""Reads: executed every time, recorded with one commit, never claimed. A read changes nothing.

Unlike effects they are not answered from the record, unless ``max_age`` says how old an answer may be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from holdfast._core.budget import PlaceHold
from holdfast._core.change import Change, Committed, Head, PlainOutcome, Retrying, head_of
from holdfast._core.decide import Fallen, Tries, on_error, on_timeout
from holdfast._core.model import Done, Finding, Receipt, Record
from holdfast._core.plan import holding, plan_insert, plan_move
from holdfast._core.states import DECIDED, Event, Safety, State
from holdfast._runtime import context
from holdfast._runtime.answer import replay
from holdfast._runtime.bill import Bill
from holdfast._runtime.budgeting import exceeded
from holdfast._runtime.burial import has_freed_seats
from holdfast._runtime.deciding import told_of
from holdfast._runtime.dependencies import admit_read, draw, give_back, tell_of_auth, went_well
from holdfast._runtime.execute import Finished, read_returned, receipt, run_handler
from holdfast._runtime.fall import (
    Fell,
    is_foreign,
    no_word,
    paid,
    speak_for_itself,
    tell_attempts,
    timed_out,
    verdict_of,
)
from holdfast._runtime.parts import Parts, Work
from holdfast._runtime.prepaid import is_prepaid, paying
from holdfast._runtime.record import Verdict, commit_patiently
from holdfast._runtime.stops import CalledOff, HandlerTimeout
from holdfast._runtime.surroundings import executing
from holdfast.errors import NotSerializable, StoreInvariant, StoreUnavailable

_SEARCHES: Final = 3  # so often seats of the dead are looked for
_UNACCOUNTED: Final = Finding(
    code="unaccounted",
    message="the database was away: the read is not on record, and is counted once it is back",
)


async def read(parts: Parts, work: Work, tries: Tries) -> Receipt | Fell:
    """Run the handler of a read and record what it saw; or answer from a record that is young enough.

    Args:
        tries: What this call has behind it: the budget of a read's retries is its call's.

    Returns:
        The receipt; or what the handler raised, on record, and whether another attempt follows.
    """
    if await _goes_without_store(parts, work):
        return await _unaccounted(parts, work, tries)
    young = await _young_enough(parts, work)
    if young is not None:
        return young
    probe = await admit_read(parts, work)
    try:
        return await paying(parts, work, partial(_made, parts, work, tries, probe))
    except CalledOff as called_off:
        raise called_off.stop from None
    finally:
        await give_back(parts, work, probe)


async def _made(parts: Parts, work: Work, tries: Tries, probe: str, bill: Bill | None) -> Receipt | Fell:
    """Run the handler and record what it saw, or that it saw nothing."""
    timeout_s = time_left(parts, work, tries)
    with executing(work, parts, timeout_s, is_probe=bool(probe)):
        try:
            head, late = _imagined(parts, work, tries), _nothing_late
            returned = await run_handler(parts, work, head, bill=bill, late=late, timeout_s=timeout_s)
        except HandlerTimeout as over:
            error = timed_out(work, timeout_s)
            error.__cause__ = over
            fallen = on_timeout(work.contract, error, tries, limit_s=timeout_s)
            return await _failed(parts, work, probe, error, fallen)
        except CalledOff:
            raise
        except Exception as error:  # noqa: BLE001 - recorded, and raised by the pipeline
            return await _failed(parts, work, probe, error, _word(parts, work, error, tries))
    finished = read_returned(parts, work, returned)
    try:
        head, noted = await _observe(parts, work, Event.OBSERVE, finished.outcome)
    except StoreUnavailable:  # it went away meanwhile
        if not _goes_unrecorded(parts, work):
            raise
        return _answer(work, _unrecorded(parts, work, tries), finished, returned, (_UNACCOUNTED,))
    await went_well(parts, work, probe)
    return _answer(work, head, finished, returned, noted)


def _cost(parts: Parts, work: Work) -> PlaceHold | None:
    """Return what the read holds of budgets when it is recorded."""
    return None if work.is_own else parts.pricer.hold(work.facts, 1, parts.runtime.now(), is_spent=True)


def _goes_unrecorded(parts: Parts, work: Work) -> bool:
    """Whether a read may be told that the store did not take any more; it is counted all the same."""
    cost = _cost(parts, work)
    if cost is not None and is_prepaid(work):  # what is held counts when its claim is over
        return parts.outages.allow(cost)
    return parts.outages.let_through(cost)


async def _goes_without_store(parts: Parts, work: Work) -> bool:
    """Whether a read under budgets goes on although the store is away; one under none does not ask.

    Raises:
        StoreUnavailable: It is, and not all of its budgets allow that. Nothing ran.
    """
    cost = _cost(parts, work)
    if cost is None:
        return False
    try:
        await parts.store.find(work.tenant, work.key)
    except StoreUnavailable:
        if parts.outages.let_through(cost):
            return True
        raise
    return False


async def _unaccounted(parts: Parts, work: Work, tries: Tries) -> Receipt:
    """Make a read that cannot be recorded: it is counted once the store is back, whatever comes of it."""
    timeout_s = time_left(parts, work, tries)
    head = _unrecorded(parts, work, tries)
    with executing(work, parts, timeout_s, is_probe=False):
        try:
            returned = await run_handler(parts, work, head, late=_nothing_late, timeout_s=timeout_s)
        except HandlerTimeout as late:
            raise timed_out(work, timeout_s) from late
        except CalledOff as called_off:
            raise called_off.stop from None
    return _answer(work, head, read_returned(parts, work, returned), returned, (_UNACCOUNTED,))


def _imagined(parts: Parts, work: Work, tries: Tries) -> Head:
    """Return where an effect would stand whose handler runs: a read holds no claim."""
    return Head(
        tenant=work.tenant,
        key=work.key,
        workflow_id=work.new.workflow_id,
        state=State.RETRYABLE,
        fence=0,
        attempt=tries.attempt,
        audit_seq=0,
        audit_hash=b"",
        at=parts.runtime.now(),
    )


def _unrecorded(parts: Parts, work: Work, tries: Tries) -> Head:
    """Return where a read would stand that is not on record."""
    return replace(_imagined(parts, work, tries), state=State.SUCCEEDED)


async def _young_enough(parts: Parts, work: Work) -> Receipt | None:
    """Return what was seen before, if the tool's ``max_age`` takes it."""
    if work.contract.max_age_s is None:
        return None
    found = await parts.store.find(work.tenant, work.key)
    record = found.record
    if record is None or record.state is not State.SUCCEEDED or record.safety is not Safety.READ:
        return None
    if record.fingerprint != work.new.fingerprint or record.observed_at is None or record.result_gap:
        return None
    age_s = (parts.runtime.now() - record.observed_at).total_seconds()
    return replay(parts, work, record) if 0 <= age_s <= work.contract.max_age_s else None


def _word(parts: Parts, work: Work, error: Exception, tries: Tries) -> Fallen:
    """Read what a read's error means; that it is done after all cannot be: nothing was read."""
    if is_foreign(error):
        return no_word(work, why=type(error).__name__)
    word = on_error(error, work.contract, parts.runtime.now(), tries)
    return no_word(work, why="it says that it is done") if isinstance(word, Done) else word


async def _failed(parts: Parts, work: Work, probe: str, error: Exception, fallen: Fallen) -> Fell:
    """Record that a read failed, and say whether it is tried again."""
    verdict = verdict_of(error, fallen)
    again_s = await paid(parts, work, probe, fallen)
    retrying = None if again_s is None else Retrying(delay_s=again_s)
    await _observe(parts, work, Event.RELEASE, verdict.outcome, verdict, retrying)
    if fallen.stops_workflow:
        await tell_of_auth(parts, work, fallen.fault.why)
    if again_s is None:
        await tell_attempts(parts, work, error, fallen)
        speak_for_itself(error)
    return Fell(error=error, fallen=fallen, again_s=again_s)


def tries_so_far(parts: Parts, attempt: int, started: float, previous_s: float) -> Tries:
    """Return what a call of a read has behind it."""
    return Tries(
        attempt=attempt,
        elapsed_s=parts.runtime.monotonic() - started,
        previous_s=previous_s,
        draw=draw(parts),
    )


def time_left(parts: Parts, work: Work, tries: Tries) -> float | None:
    """Return how long the handler may take: no longer than its call's and its surroundings' time."""
    limits = [work.contract.timeout_s]
    retry = work.contract.retry
    if retry is not None and retry.deadline_s is not None:
        limits.append(max(retry.deadline_s - tries.elapsed_s, 0.001))
    until = context.given_up_at()
    if until is not None:
        limits.append(max((until - parts.runtime.monotonic()) * 0.9, 0.001))
    return min((limit for limit in limits if limit is not None), default=None)


def _answer(work: Work, head: Head, finished: Finished, returned: Any, noted: tuple[Finding, ...]) -> Receipt:
    if finished.outcome.result_gap is not None:
        path, _, why = finished.outcome.result_gap.partition(" ")
        gap = NotSerializable(path, why, work.key)
        gap.result = returned
        raise gap
    return receipt(work, head, finished.result, finished.findings + noted)


def _counted(parts: Parts, work: Work, event: Event, change: Change, head: Head) -> Change:
    """Return *change* with what the read costs, which is spent when it is recorded."""
    if event is not Event.OBSERVE or work.is_own or is_prepaid(work):
        return change
    hold = parts.pricer.hold(work.facts, head.attempt, head.at, is_spent=True)
    return change if hold is None else holding(change, hold)


async def _observe(
    parts: Parts,
    work: Work,
    event: Event,
    outcome: PlainOutcome,
    verdict: Verdict | None = None,
    retrying: Retrying | None = None,
) -> tuple[Head, tuple[Finding, ...]]:
    """Record a read; over an effect of the same key that is no read, it is only noted."""
    until = parts.runtime.monotonic() + parts.settings.store_patience_s
    details = None if verdict is None else verdict.details
    if parts.policy is not None:
        details = {**(details or {}), "verdict": told_of(work.verdict)}
    workflow = None if verdict is None else verdict.workflow
    stamp = parts.stamp(work.tenant, work.key, work.actor)
    change, head = plan_insert(work.new, event, stamp, outcome=outcome, details=details, workflow=workflow)
    change = _counted(parts, work, event, change, head)
    noted: tuple[Finding, ...] = ()
    searches = 0
    while True:
        answer = await commit_patiently(parts, change, until=until)
        if isinstance(answer, Committed):
            return head, noted
        found = answer.found
        if answer.refused is not None:
            searches += 1
            if searches <= _SEARCHES and await has_freed_seats(parts, work, answer.refused, answer.now):
                continue
            raise exceeded(answer.refused, work.key, was_read=True)
        if found is None:
            raise StoreInvariant("record a read", "its row has vanished", work.key)
        if found.audit_hash == head.audit_hash:
            return head, noted
        stamp = parts.stamp(work.tenant, work.key, work.actor)
        if _may_observe(found, work, event):
            change, head = plan_move(
                head_of(found),
                event,
                stamp,
                outcome=outcome,
                details=details,
                retrying=retrying,
                workflow=workflow,
            )
            change = _counted(parts, work, event, change, head)
        else:
            message = (
                f"this key is on record as a {found.state} {found.safety} effect; the read was only noted"
            )
            noted = (Finding(code="read_noted", message=message),)
            change, head = plan_move(
                head_of(found), Event.NOTE, stamp, details={"read": event}, workflow=workflow
            )


def _may_observe(found: Record, work: Work, event: Event) -> bool:
    return (
        found.safety is Safety.READ
        and found.fingerprint == work.new.fingerprint
        and DECIDED[found.state, event] is not None
    )


async def _nothing_late(get: Callable[[], Any]) -> None:
    """A read that ends after it was given up is of no interest."""
    del get
