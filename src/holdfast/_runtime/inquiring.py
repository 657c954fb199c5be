"""People ask for more before they decide, and the agent answers: guarded changes, each with its entry."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from holdfast._core.approval import Approval, InfoRequest
from holdfast._core.approving import Refusal, may_decide
from holdfast._core.inquiry import LONGEST_QUESTION, answered, may_answer, may_request, requested
from holdfast._core.people import Principal
from holdfast._core.visible import visible
from holdfast._runtime.approvals import Place, place_of, put_off
from holdfast._runtime.parts import Parts
from holdfast._runtime.settling import ensure_whole, settle
from holdfast.errors import InformationRequested, StoreInvariant

_TRIES: Final = 100
METHOD: Final = "agent"


async def request_info(
    parts: Parts, tenant: str, approval_id: str, who: Principal, question: str, digest: str
) -> Approval:
    """Let somebody who may decide ask for more; return the question as it stands then: it is pending still.

    Args:
        digest: The fingerprint of what they saw; empty: they ask about it as it is now.

    Raises:
        ApprovalNotFound: This tenant has none of that id.
        ApprovalVoid: It is not what this library wrote. It was withdrawn.
        DecisionRefused: They may not ask, or not now. That they tried is on record.
    """
    sent: InfoRequest | None = None
    for _ in range(_TRIES):
        place = await place_of(parts, tenant, approval_id)
        asked = place.approval
        if sent is not None and _is_on_record(asked, sent):
            return asked  # our own write; only its answer was lost
        if not await ensure_whole(parts, place.record, place.row, asked, place.now, actor=who.id):
            continue
        standing = may_decide(
            asked,
            who,
            place.now,
            directory=parts.people,
            digest=digest or asked.digest,
            approves=False,  # to ask commits to nothing, as a no does
        )
        if not isinstance(standing, Refusal):
            standing = may_request(asked, parts.settings.max_info_requests) or standing
        if isinstance(standing, Refusal):
            await put_off(parts, place, who, standing)
        sent = InfoRequest(
            number=len(asked.requests) + 1,
            by=who.id,
            at=place.now,
            digest=asked.digest,
            question=question[:LONGEST_QUESTION],
            acts_for=standing.acts_for,
            method=who.method,
        )
        after = requested(asked, sent)
        if await settle(parts, place.record, asked, after, actor=who.id):
            return replace(after, version=asked.version + 1)
    raise StoreInvariant("ask for more about an approval", "it is never left alone", approval_id)


def _is_on_record(asked: Approval, request: InfoRequest) -> bool:
    """Whether a request was put on record, answered meanwhile or not."""
    bare = [replace(one, answer="", answered_at=None) for one in asked.requests]
    return request in bare


async def answer_info(parts: Parts, tenant: str, approval_id: str, by: str, text: str, to: str) -> Approval:
    """Put the agent's answer on record, for people to see; return the question as it stands then.

    Args:
        to: The name of what is answered; empty for whatever is owed.

    Raises:
        ApprovalNotFound: This tenant has none of that id.
        ApprovalVoid: It is not what this library wrote. It was withdrawn.
        DecisionRefused: Nothing is owed, or not to this, or not by them. That they tried is on record.
    """
    who = Principal(id=by, is_human=False, method=METHOD)
    sent: Approval | None = None
    for _ in range(_TRIES):
        place = await place_of(parts, tenant, approval_id)
        asked = place.approval
        if sent is not None and asked.requests[: len(sent.requests)] == sent.requests:
            return asked  # our own write; only its answer was lost
        if not await ensure_whole(parts, place.record, place.row, asked, place.now, actor=by):
            continue
        refusal = may_answer(asked, by, to)
        if refusal is not None:
            await put_off(parts, place, who, refusal)
        sent = answered(asked, text, place.now)
        if await settle(parts, place.record, asked, sent, actor=by):
            return replace(sent, version=asked.version + 1)
    raise StoreInvariant("answer what people ask", "it is never left alone", approval_id)


async def answered_along(parts: Parts, place: Place, by: str, text: str, to: str) -> bool:
    """Take the answer that came with the call itself; whether it was one to what is owed.

    An answer to anything else is that of an earlier try of the same call, which was taken then.

    Args:
        place: The question, which was found to be what this library wrote.
    """
    asked = place.approval
    if may_answer(asked, by, to) is not None:
        return False
    # Whoever was quicker is met at the next look.
    await settle(parts, place.record, asked, answered(asked, text, place.now), actor=by)
    return True


def information_requested(approval: Approval, request: InfoRequest) -> InformationRequested:
    """Return what a call meets while an answer is owed."""
    return InformationRequested(
        str(approval.key),
        approval.reason,
        approval.id,
        approval.expires_at,
        visible(request.question),
        request.by,
        approval.name_of(request),
    )
