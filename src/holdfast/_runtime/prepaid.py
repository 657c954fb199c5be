"""Reads that cost: what one may spend is held before it is made, and settled by what it spent.

A read itself holds no claim: it is recorded when it is over, which is too late for money. So what it may
spend is held by an effect of the ledger's own, one for each attempt: two commits more, for such reads only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from holdfast._core.change import Conflict, Head, NewEffect, PlainOutcome, Retrying
from holdfast._core.identity import identify, read_args
from holdfast._core.model import Receipt
from holdfast._core.plan import holding, plan_insert, plan_move
from holdfast._core.states import Event, Safety
from holdfast._runtime.bill import Bill
from holdfast._runtime.budgeting import exceeded
from holdfast._runtime.burial import has_freed_seats
from holdfast._runtime.fall import Fell
from holdfast._runtime.heartbeat import LiveClaim
from holdfast._runtime.parts import Parts, Work
from holdfast._runtime.record import Verdict, commit_patiently, offer_evidence
from holdfast._runtime.stops import NeverStarted
from holdfast.errors import LeaseLost, NotSerializable, StoreInvariant, StoreUnavailable
from holdfast.ports import Lease

log = logging.getLogger("holdfast")
TOOL: Final = "holdfast:read"
_WORKFLOW: Final = "holdfast:reads"
_SEARCHES: Final = 3  # so often seats of the dead are looked for


@dataclass(frozen=True, slots=True)
class Prepaid:
    """What is held for one attempt of a read.

    Attributes:
        head: Where the effect stands that holds it.
    """

    head: Head
    live: LiveClaim
    bill: Bill


def is_prepaid(work: Work) -> bool:
    """Whether what a read may spend is held before it is made."""
    return not work.is_own and work.facts.needs.is_recorded


async def paying(
    parts: Parts, work: Work, made: Callable[[Bill | None], Coroutine[Any, Any, Receipt | Fell]]
) -> Receipt | Fell:
    """Make one attempt of a read with what it may spend held meanwhile, if it may spend anything.

    Args:
        made: Makes it, and takes what its handler says that it spent.

    Raises:
        BudgetExceeded: A budget has no room for it. Nothing ran.
        CurrencyMismatch: It costs money that one of its budgets cannot count. Nothing ran.
        StoreUnavailable: Nothing can be held. Nothing ran.
    """
    held = await _held(parts, work)
    if held is None:
        return await made(None)
    event = Event.FAIL
    try:
        ended = await made(held.bill)
        if isinstance(ended, Receipt):
            event = Event.SUCCEED
    except NeverStarted:
        event = Event.RELEASE
        raise
    except NotSerializable:  # it was read, and can only be told once
        event = Event.SUCCEED
        raise
    finally:
        await _settled(parts, work, held, event)
    return ended


async def _held(parts: Parts, work: Work) -> Prepaid | None:
    """Claim an effect of the ledger's own that holds what the attempt may spend."""
    if not is_prepaid(work):
        return None
    hold = parts.pricer.hold(work.facts, 1, parts.runtime.now())
    if hold is None:
        return None
    new, owner = _new(parts, work), parts.next_owner()
    stamp = parts.stamp(new.tenant, new.key, work.actor)
    change, head = plan_insert(new, Event.CLAIM, stamp, owner=owner, lease_s=parts.settings.lease_s)
    sent_at = parts.runtime.monotonic()
    whole = holding(change, replace(hold, key=new.key, attempt=head.attempt, at=head.at))
    searches = 0
    while True:
        until = parts.runtime.monotonic() + parts.settings.store_patience_s
        answer = await commit_patiently(parts, whole, until=until)
        if not isinstance(answer, Conflict) or _is_ours(answer, head):
            break
        if answer.refused is None:
            raise StoreInvariant("hold what a read may spend", "its new key is taken", new.key)
        searches += 1
        if searches > _SEARCHES or not await has_freed_seats(parts, work, answer.refused, answer.now):
            raise exceeded(answer.refused, work.key)
        sent_at = parts.runtime.monotonic()
    live = parts.heartbeat.add(Lease(head.tenant, head.key, head.fence), claimed_at=sent_at)
    return Prepaid(replace(head, holds=True), live, Bill(work.facts.needs.currency))


def _new(parts: Parts, work: Work) -> NewEffect:
    """Return the effect that holds it: another one for each attempt, and none of the read's workflow."""
    told = {"tool": work.new.tool, "workflow_id": work.new.workflow_id, "key": work.key}
    payload = read_args(told, max_bytes=parts.settings.max_args_bytes)
    name = parts.runtime.token().hex()
    identity = identify(tenant=work.tenant, workflow_id=_WORKFLOW, tool=TOOL, payload=payload, key=name)
    return NewEffect(
        tenant=work.tenant,
        key=identity.key,
        fingerprint=identity.fingerprint,
        workflow_id=_WORKFLOW,
        tool=TOOL,
        intent=TOOL,
        safety=Safety.IDEMPOTENT,
        args=payload.text,
        call_id=None,
    )


def _is_ours(answer: Conflict, head: Head) -> bool:
    """Whether the row in the way is the one that we wrote, and only its answer was lost."""
    return answer.found is not None and answer.found.audit_hash == head.audit_hash


async def _settled(parts: Parts, work: Work, held: Prepaid, event: Event) -> None:
    """Settle what was held. What cannot be settled counts by its bound once the claim is over."""
    parts.heartbeat.drop(held.live)
    told = held.bill.told()
    outcome = PlainOutcome(result="null") if event is Event.SUCCEED else PlainOutcome()
    change, after = plan_move(
        held.head,
        event,
        parts.stamp(held.head.tenant, held.head.key, work.actor),
        outcome=outcome,
        retrying=Retrying(unstarted=event is Event.RELEASE),
        spending=told,
    )
    until = parts.runtime.monotonic() + parts.settings.store_patience_s
    try:
        answer = await commit_patiently(parts, change, until=until)
        if isinstance(answer, Conflict) and not _is_ours(answer, after) and answer.found is not None:
            verdict = Verdict(event=event, outcome=outcome)
            with suppress(LeaseLost):  # what it spent is noted all the same
                await offer_evidence(
                    parts, answer.found, work.actor, verdict, attempt=held.head.attempt, spending=told
                )
    except StoreUnavailable as error:
        log.warning("what a read spent is counted by the most that it may cost (%s)", error.code)
