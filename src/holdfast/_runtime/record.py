"""Step 10: put the outcome on record. The record is retried, the handler never."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, TypeVar

from holdfast._core.change import (
    Change,
    Committed,
    Conflict,
    Head,
    PlainOutcome,
    Retrying,
    WorkflowStop,
    head_of,
)
from holdfast._core.model import EffectKey, Record
from holdfast._core.plan import plan_move
from holdfast._core.settling import Spending
from holdfast._core.states import Event, State
from holdfast._core.value import value
from holdfast._runtime.parts import Held, Parts
from holdfast._runtime.proof import DONE, keep_done, refuted, tell
from holdfast.errors import HoldfastError, LeaseLost, OutcomeUnknown, StoreInvariant, StoreUnavailable

T = TypeVar("T")
_OWNERS_WORD: Final = frozenset({Event.SUCCEED, Event.FAIL})
"""What nobody but the claim's owner records; doubt and release are also what is said of the dead."""
_DENIALS: Final = frozenset({Event.FAIL, Event.RELEASE})
"""What an attempt says that did nothing, and what the outside may know better."""
_FIRST_DELAY_S: Final = 0.02
_LAST_DELAY_S: Final = 1.0


@value
class Verdict:
    """What became of an attempt: the event, and what is recorded with it.

    Attributes:
        goes_on: The handler could not be stopped; it may act until the claim's lease ends, or longer.
        retrying: What it means for further attempts.
        workflow: What it means for the workflow.
        is_proof: It tells what is so; without proof, a release says only that another attempt would be
            harmless.
        is_certain: Nothing that the outside told can speak against it: its rows were rolled back.
    """

    event: Event
    outcome: PlainOutcome
    details: Mapping[str, Any] | None = None
    goes_on: bool = False
    retrying: Retrying | None = None
    workflow: WorkflowStop | None = None
    is_proof: bool = True
    is_certain: bool = False


async def commit_patiently(
    parts: Parts, change: Change, *, until: float, may_refuse: bool = False
) -> Committed | Conflict:
    """Commit *change*, trying again while the store is away, until the monotonic time *until*.

    Args:
        may_refuse: A budget that refuses it is not told of: it is sent again, with less.

    Raises:
        StoreUnavailable: It stayed away; the change may or may not have been applied.
    """
    delay = _FIRST_DELAY_S
    while True:
        try:
            answer = await parts.store.commit(change)
        except StoreUnavailable:
            left = until - parts.runtime.monotonic()
            if left <= 0:
                raise
            await parts.runtime.sleep(min(delay, left))
            delay = min(delay * 2, _LAST_DELAY_S)
        else:
            if isinstance(answer, Committed) or answer.refused is None or not may_refuse:
                parts.watch.see(parts, answer)
            return answer


async def told_done(parts: Parts, tenant: str, key: EffectKey) -> bool:
    """Whether the outside told, in a signal, that the effect is done."""
    return any(signal.outcome == "done" for signal in await parts.store.signals(tenant, key))


async def record(parts: Parts, held: Held, actor: str, verdict: Verdict) -> Head:
    """Record what became of the attempt that *held* stands for, even while everything is being stopped.

    Where the attempt says "not done" and the outside told "done", that is doubt, for the evidence to settle.

    Raises:
        LeaseLost: Another worker took over; this outcome is kept as evidence (I3).
        OutcomeUnknown: The store, or what seals its contents, stayed away until the lease was gone.
    """
    if held.process != os.getpid():
        raise LeaseLost(held.head.key, held.head.state)  # it is the parent's, who goes on with it
    try:
        return await _record(parts, held, actor, verdict)
    except parts.runtime.stops:
        with suppress(HoldfastError):  # once more: what has happened must not be lost to an impatient end
            await _record(parts, held, actor, verdict)
        raise


async def _record(parts: Parts, held: Held, actor: str, verdict: Verdict) -> Head:
    head = held.head
    while True:
        # Before each try: a signal leaves a note, and what comes between is a conflict.
        verdict = await _weighed(parts, held, verdict)
        change, after = await _sealed(parts, held, head, actor, verdict)
        try:
            answer = await _until_lease_ends(parts, held, change)
        except StoreUnavailable as error:
            why = (
                f"its handler ended ({verdict.event}), but the database did not take the record: {error.why}"
            )
            raise OutcomeUnknown(head.key, why) from error
        if isinstance(answer, Committed):
            parts.bus.ring(head.key)
            return after
        found = answer.found
        if found is None:
            raise StoreInvariant("record an outcome", "the effect's row has vanished", head.key)
        is_ours = (found.owner, found.fence, found.state) == (held.owner, after.fence, after.state)
        if found.audit_hash == after.audit_hash or (is_ours and verdict.event in _OWNERS_WORD):
            return head_of(found)  # our own write; only its answer was lost
        if (found.state, found.fence) != (head.state, head.fence):
            return await offer_evidence(
                parts, found, actor, verdict, attempt=head.attempt, spending=held.bill.told()
            )
        head = head_of(found)  # a note was added meanwhile: the claim is still ours


async def _weighed(parts: Parts, held: Held, verdict: Verdict) -> Verdict:
    """Return *verdict*, or doubt where the outside told the contrary; an attempt speaks for itself only.

    A store that is away is for the record to wait for: it cannot take that either.
    """
    if verdict.event not in _DENIALS or verdict.is_certain:
        return verdict

    def unasked(error: Exception) -> str | None:
        if isinstance(error, StoreUnavailable):
            return f"the database could not be asked: {error.why}"
        return None

    async def told() -> bool:
        return await told_done(parts, held.head.tenant, held.head.key)

    if not await _while_claimed(parts, held, verdict, told, unasked):
        return verdict
    uncertain = None if verdict.retrying is None else verdict.retrying.uncertain
    return replace(verdict, event=Event.DOUBT, retrying=Retrying(uncertain=uncertain))


async def _sealed(parts: Parts, held: Held, head: Head, actor: str, verdict: Verdict) -> tuple[Change, Head]:
    """Plan the record; a codec that fails is given as much time as a store."""

    def unsealed(error: Exception) -> str | None:
        kind = type(error).__qualname__
        return None if parts.codec is None else f"the codec could not seal the record ({kind})"

    async def planned() -> tuple[Change, Head]:
        return plan_move(
            head,
            verdict.event,
            parts.stamp(head.tenant, head.key, actor),
            outcome=verdict.outcome,
            details=verdict.details,
            goes_on=verdict.goes_on,
            retrying=verdict.retrying,
            workflow=verdict.workflow,
            spending=held.bill.told(),
        )

    return await _while_claimed(parts, held, verdict, planned, unsealed)


async def _while_claimed(
    parts: Parts,
    held: Held,
    verdict: Verdict,
    step: Callable[[], Coroutine[Any, Any, T]],
    passing: Callable[[Exception], str | None],
) -> T:
    """Return what *step* gives, trying again until the claim's lease ends.

    Args:
        passing: What to tell of an error that may pass; ``None`` for one that will not.

    Raises:
        OutcomeUnknown: It did not pass.
    """
    delay = _FIRST_DELAY_S
    while True:
        try:
            return await step()
        except Exception as error:
            why = passing(error)
            if why is None:
                raise
            if parts.runtime.monotonic() + delay >= held.live.expires:
                ended = f"its handler ended ({verdict.event}), but {why}"
                raise OutcomeUnknown(held.head.key, ended) from error
        await parts.runtime.sleep(delay)
        delay = min(delay * 2, _LAST_DELAY_S)


async def _until_lease_ends(parts: Parts, held: Held, change: Change) -> Committed | Conflict:
    """Commit, trying again for as long as the claim may still be ours; the heartbeat may extend it."""
    while True:
        until = held.live.expires
        try:
            return await commit_patiently(parts, change, until=until)
        except StoreUnavailable:
            if held.live.expires <= until:
                raise


async def offer_evidence(
    parts: Parts, found: Record, actor: str, verdict: Verdict, *, attempt: int, spending: Spending | None
) -> Head:
    """Offer a late outcome as evidence: it settles doubt, and never overwrites a successor's record.

    Args:
        spending: What the attempt says that it spent: that counts, whatever the outcome is worth.

    Returns:
        Where the effect stands, when the evidence settled its doubt.

    Raises:
        LeaseLost: Something else is on record; the evidence was noted in the audit trail.
    """
    told = None if spending is None else replace(spending, attempt=attempt)
    while True:
        head = head_of(found)
        event = await _weighed_worth(parts, verdict, found, attempt)
        who, stop = f"attempt {attempt} itself", None
        if event is Event.NOTE and verdict.event is Event.SUCCEED and found.state not in DONE:
            # Kept first: a crash between the two must not lose what is proof, whatever a successor comes to.
            await keep_done(parts, found, verdict.outcome, who, actor)
            stop = await refuted(parts, found, who)
        details = _late_details(verdict, event)
        outcome = verdict.outcome
        stamp = parts.stamp(head.tenant, head.key, actor)
        change, after = plan_move(
            head,
            event,
            stamp,
            outcome=None if event is Event.NOTE else outcome,
            details=details,
            workflow=stop,
            spending=told,
        )
        until = parts.runtime.monotonic() + parts.settings.lease_s
        answer = await commit_patiently(parts, change, until=until)
        is_ours = isinstance(answer, Committed)
        if isinstance(answer, Conflict):
            if answer.found is None:
                raise StoreInvariant("keep late evidence", "the effect's row has vanished", head.key)
            is_ours = answer.found.audit_hash == after.audit_hash  # only its answer was lost
            found = found if is_ours else answer.found
        if is_ours:
            parts.bus.ring(head.key)
            if stop is not None:
                tell(parts, found, who)
            if event is Event.NOTE:
                raise LeaseLost(head.key, found.state)
            return after


async def _weighed_worth(parts: Parts, verdict: Verdict, found: Record, attempt: int) -> Event:
    """Return what a late outcome is worth; what the outside told settles doubt before any "not done"."""
    event = _worth(verdict, found, attempt)
    if event is Event.RESOLVE_NOT_DONE and await told_done(parts, found.tenant, found.key):
        return Event.NOTE
    return event


def _late_details(verdict: Verdict, event: Event) -> dict[str, Any]:
    """Return what is noted of a late outcome; in full where it does not become the record."""
    details: dict[str, Any] = {"late": verdict.event, **(verdict.details or {})}
    if event is Event.NOTE:
        for name, text in (("late_result", verdict.outcome.result), ("late_error", verdict.outcome.error)):
            if text is not None:
                details[name] = json.loads(text)
    return details


def _worth(verdict: Verdict, found: Record, attempt: int) -> Event:
    """Say what a late worker's outcome proves about an effect that is in another state by now."""
    event = verdict.event
    if not verdict.is_proof:
        return Event.NOTE
    if event is Event.SUCCEED and found.state in {State.UNKNOWN, State.RETRYABLE}:
        return Event.RESOLVE_DONE  # proof, whatever was believed meanwhile
    if found.state is not State.UNKNOWN:
        return Event.NOTE
    if event in {Event.RELEASE, Event.FAIL} and found.attempt == attempt and not found.uncertain:
        return Event.RESOLVE_NOT_DONE  # it speaks for its own attempt only
    return Event.NOTE
