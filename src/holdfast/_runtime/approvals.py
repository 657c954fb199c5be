"""What people do about questions, and what time does: guarded changes, each with its audit entry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from holdfast._core.approval import OPEN, Approval, ApprovalRecord, ApprovalState, Vote
from holdfast._core.approval_text import exact_text, vote_text
from holdfast._core.approving import Refusal, edited, ended, handed_over, lapsed, may_decide, voted
from holdfast._core.change import Committed, PlainOutcome, head_of
from holdfast._core.identity import read_args
from holdfast._core.model import Alert, Record
from holdfast._core.people import Principal, Standing
from holdfast._core.plan import along_with, plan_move
from holdfast._core.states import Event, State
from holdfast._runtime.asking import moving, opened
from holdfast._runtime.granting import tampered
from holdfast._runtime.parts import Parts
from holdfast._runtime.record import commit_patiently
from holdfast.errors import ApprovalNotFound, ApprovalVoid, DecisionRefused, StoreInvariant
from holdfast.ports import ApprovalQuery

_TRIES: Final = 100
_REASON_LENGTH: Final = 2000
CLOCK: Final = "clock"
"""Who writes what nobody but time has done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What somebody says to a question.

    Attributes:
        digest: The fingerprint of what they saw.
        args: The arguments that they approve instead of those that were asked about.
    """

    approves: bool
    digest: str
    reason: str = ""
    args: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """A question as it stands, and the effect that it is about."""

    row: ApprovalRecord
    approval: Approval
    record: Record
    now: datetime


async def place_of(parts: Parts, tenant: str, approval_id: str) -> _Place:
    """Return a question as it stands by now: what time has made of it is put on record first.

    Raises:
        ApprovalNotFound: This tenant has none of that id.
        ApprovalVoid: It is not what this library wrote.
    """
    for _ in range(_TRIES):
        row = await parts.store.approvals.find(tenant, approval_id)
        if row is None:
            raise ApprovalNotFound(approval_id)
        found = await parts.store.find(tenant, row.key)
        if found.record is None:
            raise ApprovalNotFound(approval_id)
        place = _Place(row, opened(parts, row), found.record, found.now)
        later = lapsed(place.approval, found.now)
        if later is None:
            return place
        await settle(parts, place.record, place.approval, later, actor=CLOCK)
    raise StoreInvariant("look at an approval", "it is never left alone", approval_id)


async def decide(parts: Parts, tenant: str, approval_id: str, who: Principal, answer: Answer) -> Approval:
    """Take somebody's answer; return the question as it stands then.

    Raises:
        ApprovalNotFound: This tenant has none of that id.
        ApprovalVoid: It is not what this library wrote. It was withdrawn.
        DecisionRefused: Their answer does not count. That they gave it is on record.
    """
    sent: Approval | None = None
    for _ in range(_TRIES):
        place = await place_of(parts, tenant, approval_id)
        if sent is not None and place.approval.votes == sent.votes:
            return place.approval  # our own write; only its answer was lost
        await _ensure_whole(parts, place, who.id)
        standing = may_decide(
            place.approval,
            who,
            place.now,
            directory=parts.people,
            digest=answer.digest,
            approves=answer.approves,
        )
        if isinstance(standing, Refusal):
            await _note(parts, place, who, "refused", standing)
            raise DecisionRefused(approval_id, standing.code, standing.why)
        before, after = place.approval, _answered(parts, place, who, standing, answer)
        sent = after
        if await settle(parts, place.record, before, after, actor=who.id):
            _tell(parts, after, who)
            return await _uncovered(parts, tenant, replace(after, version=before.version + 1))
    raise StoreInvariant("decide on an approval", "it is never left alone", approval_id)


async def refuse(parts: Parts, tenant: str, approval_id: str, who: Principal, refusal: Refusal) -> None:
    """Put on record that somebody answered whose answer does not count.

    Raises:
        ApprovalNotFound: This tenant has none of that id.
        DecisionRefused: Always else.
    """
    await _note(parts, await place_of(parts, tenant, approval_id), who, "refused", refusal)
    raise DecisionRefused(approval_id, refusal.code, refusal.why)


def _tell(parts: Parts, after: Approval, who: Principal) -> None:
    """Let traces know of a decision, although nothing runs."""
    told = {
        "holdfast.approval": after.id,
        "holdfast.key": after.key,
        "holdfast.workflow_id": after.workflow_id,
        "gen_ai.tool.name": after.tool,
        "holdfast.decision": "approve" if after.votes[-1].approves else "deny",
        "holdfast.approval.state": str(after.state),
        "holdfast.by": who.id,
        "holdfast.method": who.method,
    }
    parts.tracer.decided(after.trace, told)


async def _uncovered(parts: Parts, tenant: str, approval: Approval) -> Approval:
    """Tell of a planted question that somebody said yes to, and take it back: nobody makes that call."""
    if not approval.is_canary or approval.state is not ApprovalState.APPROVED:
        return approval
    message = (
        f"{approval.votes[-1].person} approved the planted question {approval.id}, which was to be denied: "
        f"look at how they decide with `holdfast oversight`"
    )
    parts.alerts.tell(
        Alert(
            code="canary_approved",
            message=message,
            tenant=tenant,
            subject=approval.id,
            workflow_id=approval.workflow_id,
            at=parts.runtime.now(),
        )
    )
    await withdraw(parts, tenant, approval.id, CLOCK, "it was planted to see whether people read")
    return approval


def _answered(parts: Parts, place: _Place, who: Principal, standing: Standing, answer: Answer) -> Approval:
    asked = place.approval
    if answer.args is not None and answer.approves:
        payload = read_args(answer.args, max_bytes=parts.settings.max_args_bytes)
        text = exact_text(payload.plain)
        if text != asked.binding["args"]:
            asked = edited(asked, text, who.id, place.now)
    vote = Vote(
        person=who.id,
        approves=answer.approves,
        stage=asked.stage,
        at=place.now,
        digest=asked.digest,
        reason=answer.reason[:_REASON_LENGTH],
        acts_for=standing.acts_for,
        method=who.method,
        proved_at=who.at,
        mfa=who.mfa,
    )
    if parts.signatures is not None:
        vote = replace(vote, signature=parts.signatures.sign(vote_text(asked, vote)))
    return voted(asked, vote, place.now)


async def hand_over(parts: Parts, tenant: str, approval_id: str, who: Principal, to: str) -> Approval:
    """Let *to* decide in the place of *who*, who may decide; return the question as it stands then.

    Raises:
        DecisionRefused: It is not theirs to hand over, or was handed to them.
    """
    for _ in range(_TRIES):
        place = await place_of(parts, tenant, approval_id)
        await _ensure_whole(parts, place, who.id)
        asked = place.approval
        standing = may_decide(asked, who, place.now, directory=parts.people, digest=asked.digest)
        if isinstance(standing, Standing) and (standing.acts_for or to == who.id):
            standing = Refusal("not_allowed", f"{who.id} cannot hand this over to {to}")
        if isinstance(standing, Standing) and parts.people is not None and parts.people.find(to) is None:
            standing = Refusal("not_allowed", f"{to} is nobody who may decide")
        if isinstance(standing, Refusal):
            await _note(parts, place, who, "refused", standing)
            raise DecisionRefused(approval_id, standing.code, standing.why)
        after = handed_over(asked, who.id, to, place.now).noticed("asked")
        if await settle(parts, place.record, asked, after, actor=who.id):
            return replace(after, version=asked.version + 1)
    raise StoreInvariant("hand over an approval", "it is never left alone", approval_id)


async def withdraw(parts: Parts, tenant: str, approval_id: str, by: str, why: str) -> Approval:
    """Take a question back: it is not asked any more, and its effect is called off.

    Raises:
        DecisionRefused: It has ended already.
    """
    for _ in range(_TRIES):
        place = await place_of(parts, tenant, approval_id)
        asked = place.approval
        if asked.state not in OPEN:
            raise DecisionRefused(approval_id, "ended", f"already {asked.state}")
        after = ended(asked, ApprovalState.WITHDRAWN, why, place.now)
        if await settle(parts, place.record, asked, after, actor=by, event=Event.CANCEL):
            return replace(after, version=asked.version + 1)
    raise StoreInvariant("withdraw an approval", "it is never left alone", approval_id)


async def _ensure_whole(parts: Parts, place: _Place, actor: str) -> None:
    """Refuse to take answers to what somebody has written by hand."""
    problem = await tampered(parts, place.record, place.row)
    if problem:
        await void(parts, place.record, place.approval, problem, place.now, actor=actor)
        raise ApprovalVoid(place.record.key, problem)


async def void(
    parts: Parts, record: Record, approval: Approval, why: str, now: datetime, *, actor: str
) -> None:
    """Withdraw an approval that does not hold; its effect waits on."""
    if approval.state in OPEN:
        after = ended(approval, ApprovalState.WITHDRAWN, why, now)
        await settle(parts, record, approval, after, actor=actor, event=Event.NOTE)


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
    op, details = moving(before, after, stamp, wakes=has_ended)
    details |= _told(before, after)
    outcome = _no(after) if event is Event.DENY else None
    change, _ = plan_move(head_of(record), event, stamp, outcome=outcome, details=details)
    until = parts.runtime.monotonic() + parts.settings.store_patience_s
    answer = await commit_patiently(parts, along_with(change, (op,)), until=until)
    if isinstance(answer, Committed) and has_ended:
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
    if after.ended:
        told["ended"] = after.ended
    return told


def _no(after: Approval) -> PlainOutcome:
    """Return what is recorded of an effect that people said no to, or that nobody said anything to."""
    kind = "ApprovalExpired" if after.state is ApprovalState.EXPIRED else "ApprovalDenied"
    said = {"type": kind, "message": after.ended, "by": after.votes[-1].person if after.votes else ""}
    return PlainOutcome(error=json.dumps(said), error_type=kind)


async def _note(parts: Parts, place: _Place, who: Principal, what: str, refusal: Refusal) -> None:
    """Keep in the audit trail that somebody answered, and why it does not count."""
    record = place.record
    for _ in range(_TRIES):
        stamp = parts.stamp(record.tenant, record.key, who.id)
        details = {
            what: {
                "approval": place.approval.id,
                "by": who.id,
                "method": who.method,
                "kind": refusal.code,
                "why": refusal.why,
            }
        }
        change, _ = plan_move(head_of(record), Event.NOTE, stamp, details=details)
        until = parts.runtime.monotonic() + parts.settings.store_patience_s
        if isinstance(await commit_patiently(parts, change, until=until), Committed):
            return
        found = (await parts.store.find(record.tenant, record.key)).record
        if found is None:
            return
        record = found


async def look_after(parts: Parts, tenant: str, limit: int) -> list[Approval]:
    """Put on record what time has made of questions: reminders, escalations, ends. Each happens once.

    Returns:
        The questions as they stand then.
    """
    now = (await parts.store.find(tenant, _NOBODY)).now
    moved: list[Approval] = []
    for row in await parts.store.approvals.listed(ApprovalQuery(tenant=tenant, due=now, limit=limit)):
        parts.traffic.ensure_open()
        try:
            moved.append((await place_of(parts, tenant, row.id)).approval)
        except (ApprovalNotFound, ApprovalVoid):
            continue
    return moved


_NOBODY: Final[Any] = "v1:" + "0" * 64
