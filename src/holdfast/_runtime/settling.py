"""How changes of questions are put on record, and what is done about those that somebody wrote by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from holdfast._core.approval import OPEN, Approval, ApprovalRecord, ApprovalState
from holdfast._core.approving import ended
from holdfast._core.change import Committed, PlainOutcome, head_of
from holdfast._core.model import Record
from holdfast._core.plan import along_with, plan_move
from holdfast._core.states import Event, State
from holdfast._runtime.asking import giving_up, moving, opened
from holdfast._runtime.granting import loose, tampered
from holdfast._runtime.parts import Parts
from holdfast._runtime.record import commit_patiently
from holdfast.errors import ApprovalVoid, PayloadSealed

CLOCK: Final = "clock"
"""Who writes what nobody but time has done."""


async def read(parts: Parts, record: Record, row: ApprovalRecord, now: datetime, *, actor: str) -> Approval:
    """Return the approval in *row*.

    Raises:
        ApprovalVoid: It is not what this library wrote. It was withdrawn.
        PayloadSealed: This ledger cannot open it.
    """
    try:
        return opened(parts, row)
    except PayloadSealed:
        raise
    except (ValueError, KeyError, TypeError) as error:
        why = f"it cannot be read ({type(error).__name__})"
    if row.state in OPEN:
        stamp = parts.stamp(record.tenant, record.key, actor)
        op, details = giving_up(row, replace(stamp, at=now))
        change, _ = plan_move(head_of(record), Event.NOTE, stamp, details={**details, "void": why})
        until = parts.runtime.monotonic() + parts.settings.store_patience_s
        await commit_patiently(parts, along_with(change, (op,)), until=until)
    raise ApprovalVoid(record.key, why)


async def ensure_whole(
    parts: Parts, record: Record, row: ApprovalRecord, approval: Approval, now: datetime, *, actor: str
) -> bool:
    """Refuse to go on with what somebody has written by hand: what is written next would make it ours.

    Returns:
        Whether it can be gone on with; else somebody else went on meanwhile: look at it again.

    Raises:
        ApprovalVoid: It is not what this library wrote. It was withdrawn.
    """
    problem = await tampered(parts, record, row) or loose(approval)
    if not problem:
        return True
    found = (await parts.store.find(record.tenant, record.key)).record
    if found is None or found.audit_hash != record.audit_hash:
        return False  # what was compared is of two moments
    if await parts.store.approvals.find(row.tenant, row.id) != row:
        return False  # so it is
    await void(parts, record, approval, problem, now, actor=actor)
    raise ApprovalVoid(record.key, problem)


async def void(
    parts: Parts, record: Record, approval: Approval, why: str, now: datetime, *, actor: str
) -> None:
    """Withdraw an approval that does not hold; its effect waits on. An ended one is told of."""
    if approval.state in OPEN:
        after = ended(approval, ApprovalState.WITHDRAWN, why, now)
        await settle(parts, record, approval, after, actor=actor, event=Event.NOTE)
        return
    stamp = parts.stamp(record.tenant, record.key, actor)
    details = {"void": why, "of": approval.id}
    change, _ = plan_move(head_of(record), Event.NOTE, stamp, details=details)
    until = parts.runtime.monotonic() + parts.settings.store_patience_s
    await commit_patiently(parts, change, until=until)


async def settle(
    parts: Parts,
    record: Record,
    before: Approval,
    after: Approval,
    *,
    actor: str,
    event: Event | None = None,
) -> bool:
    """Put a change of a question on record with what it means for its effect; whether nobody was quicker.

    Args:
        event: What becomes of the effect; default: it is denied when the question ended with no.
    """
    stamp = parts.stamp(record.tenant, record.key, actor)
    says_no = after.state is ApprovalState.DENIED or (
        after.state is ApprovalState.EXPIRED and before.state is ApprovalState.PENDING
    )
    if event is None:
        event = Event.DENY if says_no and record.state is State.WAITING else Event.NOTE
    if event is Event.CANCEL and record.state is not State.WAITING:
        event = Event.NOTE
    has_ended = before.state is not after.state
    is_news = has_ended or before.requests != after.requests  # whoever waits is asked something
    op, details = moving(before, after, stamp, wakes=has_ended)
    details |= _told(before, after)
    outcome = _no(after) if event is Event.DENY else None
    change, _ = plan_move(head_of(record), event, stamp, outcome=outcome, details=details)
    until = parts.runtime.monotonic() + parts.settings.store_patience_s
    answer = await commit_patiently(parts, along_with(change, (op,)), until=until)
    if isinstance(answer, Committed) and is_news:
        parts.bus.ring(record.key)
    if isinstance(answer, Committed) and after.told + len(after.untold) > before.told + len(before.untold):
        parts.announce(parts, record.tenant, after.id)
    return isinstance(answer, Committed)


def _told(before: Approval, after: Approval) -> dict[str, Any]:
    """Return what the audit entry says of this change in particular: who, how, what they saw, and why."""
    told: dict[str, Any] = {}
    if after.votes and after.votes != before.votes:
        vote = after.votes[-1]
        told["decision"] = {
            "by": vote.person,
            "approves": vote.approves,
            "stage": vote.stage,
            "saw": vote.digest,
            "shown": after.binding.get("shown"),
            "reason": vote.reason,
            "method": vote.method,
            "acts_for": vote.acts_for,
            "mfa": vote.mfa,
        }
    if len(after.edits) > len(before.edits):
        told["edit"] = {"by": after.edits[-1].by, "from": before.digest, "to": after.digest}
    if len(after.handed) > len(before.handed):
        told["handed"] = {"from": after.handed[-1].frm, "to": after.handed[-1].to}
    told |= _inquired(before, after)
    if after.ended:
        told["ended"] = after.ended
    return told


def _inquired(before: Approval, after: Approval) -> dict[str, Any]:
    """Return what the audit entry says of more that people ask for, and of the agent's answer."""
    if before.requests == after.requests:
        return {}
    last = after.requests[-1]
    if len(after.requests) > len(before.requests):
        asked = {
            "by": last.by,
            "number": last.number,
            "saw": last.digest,
            "shown": after.binding.get("shown"),
            "question": last.question,
            "method": last.method,
            "acts_for": last.acts_for,
        }
        return {"info_requested": asked}
    answer = {"number": last.number, "from": before.digest, "to": after.digest, "answer": last.answer}
    return {"info_answered": answer}


def _no(after: Approval) -> PlainOutcome:
    """Return what is recorded of an effect that people said no to, or that nobody said anything to."""
    kind = "ApprovalExpired" if after.state is ApprovalState.EXPIRED else "ApprovalDenied"
    said = {"type": kind, "message": after.ended}
    return PlainOutcome(error=json.dumps(said), error_type=kind)
