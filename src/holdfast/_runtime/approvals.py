"""What people do about questions, and what time does: guarded changes, each with its audit entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, NoReturn

from holdfast._core.approval import OPEN, Approval, ApprovalRecord, ApprovalState, Vote
from holdfast._core.approval_text import exact_text, vote_text
from holdfast._core.approving import (
    Refusal,
    edited,
    ended,
    handed_over,
    lapsed,
    may_decide,
    standing_of,
    voted,
)
from holdfast._core.change import Committed, head_of
from holdfast._core.identity import read_args
from holdfast._core.model import Alert, Record
from holdfast._core.people import Principal, Standing
from holdfast._core.plan import plan_move
from holdfast._core.states import Event
from holdfast._runtime.parts import Parts
from holdfast._runtime.record import commit_patiently
from holdfast._runtime.settling import CLOCK, ensure_whole, read, settle
from holdfast.errors import (
    ApprovalNotFound,
    DecisionRefused,
    StoreInvariant,
)

_TRIES: Final = 100
_REASON_LENGTH: Final = 2000


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
class Place:
    """A question as it stands, and the effect that it is about."""

    row: ApprovalRecord
    approval: Approval
    record: Record
    now: datetime


async def place_of(parts: Parts, tenant: str, approval_id: str) -> Place:
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
        approval = await read(parts, found.record, row, found.now, actor=CLOCK)
        place = Place(row, approval, found.record, found.now)
        later = lapsed(place.approval, found.now)
        if later is None:
            return place
        if not await ensure_whole(parts, place.record, row, approval, found.now, actor=CLOCK):
            continue
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
        before = place.approval
        if not await ensure_whole(parts, place.record, place.row, before, place.now, actor=who.id):
            continue
        standing = may_decide(
            before,
            who,
            place.now,
            directory=parts.people,
            digest=answer.digest,
            approves=answer.approves,
        )
        asked = before
        if isinstance(standing, Standing):
            asked = _as_answered(parts, place, who, answer)
        if asked is not before:  # nobody has answered that one, so its first stage has to be theirs
            standing = standing_of(asked, who, place.now, directory=parts.people, stage=asked.stage)
        if isinstance(standing, Refusal):
            await put_off(parts, place, who, standing)
        after = _answered(parts, asked, who, standing, answer, place.now)
        if after.state is ApprovalState.PENDING and after.stage == asked.stage:
            # Whoever answered the other one has to hear of this one; else what is shown is drawn anew.
            after = after.noticed("asked" if asked is not before else "answered")
        sent = after
        if await settle(parts, place.record, before, after, actor=who.id):
            _tell(parts, after, who)
            return await _uncovered(parts, tenant, replace(after, version=before.version + 1))
    raise StoreInvariant("decide on an approval", "it is never left alone", approval_id)


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


def _as_answered(parts: Parts, place: Place, who: Principal, answer: Answer) -> Approval:
    """Return the question that *answer* is an answer to: it may change the arguments."""
    asked = place.approval
    if answer.args is None or not answer.approves:
        return asked
    payload = read_args(answer.args, max_bytes=parts.settings.max_args_bytes)
    text = exact_text(payload.plain)
    return asked if text == asked.binding["args"] else edited(asked, text, who.id, place.now)


def _answered(
    parts: Parts, asked: Approval, who: Principal, standing: Standing, answer: Answer, now: datetime
) -> Approval:
    vote = Vote(
        person=who.id,
        approves=answer.approves,
        stage=asked.stage,
        at=now,
        digest=asked.digest,
        reason=answer.reason[:_REASON_LENGTH],
        acts_for=standing.acts_for,
        method=who.method,
        proved_at=who.at,
        mfa=who.mfa,
    )
    if parts.signatures is not None:
        vote = replace(vote, signature=parts.signatures.sign(vote_text(asked, vote)))
    return voted(asked, vote, now)


async def hand_over(parts: Parts, tenant: str, approval_id: str, who: Principal, to: str) -> Approval:
    """Let *to* decide in the place of *who*, who may decide; return the question as it stands then.

    Raises:
        DecisionRefused: It is not theirs to hand over, or was handed to them.
    """
    sent: Approval | None = None
    for _ in range(_TRIES):
        place = await place_of(parts, tenant, approval_id)
        asked = place.approval
        if sent is not None and asked.handed == sent.handed:
            return asked  # our own write; only its answer was lost
        if not await ensure_whole(parts, place.record, place.row, asked, place.now, actor=who.id):
            continue
        standing = may_decide(asked, who, place.now, directory=parts.people, digest=asked.digest)
        if isinstance(standing, Standing) and (standing.acts_for or to == who.id):
            standing = Refusal("not_allowed", f"{who.id} cannot hand this over to {to}")
        if isinstance(standing, Standing) and parts.people is not None and parts.people.find(to) is None:
            standing = Refusal("not_allowed", f"{to} is nobody who may decide")
        if isinstance(standing, Refusal):
            await put_off(parts, place, who, standing)
        after = sent = handed_over(asked, who.id, to, place.now).noticed("asked")
        if await settle(parts, place.record, asked, after, actor=who.id):
            return replace(after, version=asked.version + 1)
    raise StoreInvariant("hand over an approval", "it is never left alone", approval_id)


async def withdraw(parts: Parts, tenant: str, approval_id: str, by: str, why: str) -> Approval:
    """Take a question back: it is not asked any more, and its effect is called off.

    Raises:
        DecisionRefused: It has ended already. That somebody tried is on record.
    """
    sent: Approval | None = None
    for _ in range(_TRIES):
        place = await place_of(parts, tenant, approval_id)
        asked = place.approval
        if sent is not None and (asked.state, asked.ended) == (sent.state, sent.ended):
            return asked  # our own write; only its answer was lost
        if asked.state not in OPEN:
            refusal = Refusal("ended", f"already {asked.state}")
            await put_off(parts, place, Principal(id=by), refusal)
        after = sent = ended(asked, ApprovalState.WITHDRAWN, why, place.now)
        if await settle(parts, place.record, asked, after, actor=by, event=Event.CANCEL):
            return replace(after, version=asked.version + 1)
    raise StoreInvariant("withdraw an approval", "it is never left alone", approval_id)


async def put_off(parts: Parts, place: Place, who: Principal, refusal: Refusal) -> NoReturn:
    """Keep in the audit trail that somebody answered, and why it does not count.

    Raises:
        DecisionRefused: Always.
    """
    record = place.record
    for _ in range(_TRIES):
        stamp = parts.stamp(record.tenant, record.key, who.id)
        details = {
            "refused": {
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
            break
        found = (await parts.store.find(record.tenant, record.key)).record
        if found is None:
            break
        record = found
    raise DecisionRefused(place.approval.id, refusal.code, refusal.why)


async def refuse(parts: Parts, tenant: str, approval_id: str, who: Principal, refusal: Refusal) -> NoReturn:
    """Put on record that somebody answered whose answer does not count.

    Raises:
        ApprovalNotFound: This tenant has none of that id.
        DecisionRefused: Always else.
    """
    await put_off(parts, await place_of(parts, tenant, approval_id), who, refusal)
