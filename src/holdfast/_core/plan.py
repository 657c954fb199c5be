"""The changes that the pipeline makes: a transition, its audit entry, and what follows for the workflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from holdfast._core.audit import AuditEntry, make_entry, salted
from holdfast._core.budget import HoldOp, PlaceHold, SettleHold
from holdfast._core.change import (
    Admission,
    AppendAudit,
    ApprovalOp,
    Change,
    Head,
    InsertEffect,
    MoveEffect,
    NewEffect,
    Op,
    Outcome,
    PlainOutcome,
    Retrying,
    ReviewWorkflow,
    Stamp,
    WorkflowStop,
)
from holdfast._core.model import EffectKey
from holdfast._core.settling import Spending, holds_after, settlement
from holdfast._core.states import Event, Safety, State, step


def plan_insert(
    effect: NewEffect,
    event: Event,
    stamp: Stamp,
    *,
    owner: str = "",
    lease_s: float = 0.0,
    timeout_s: float | None = None,
    outcome: PlainOutcome | None = None,
    details: Mapping[str, Any] | None = None,
    admission: Admission | None = None,
    untold: bool = False,
    undoes: EffectKey | None = None,
    workflow: WorkflowStop | None = None,
) -> tuple[Change, Head]:
    """Plan the first transition of *effect*; also return where it stands if that is applied."""
    state = step(None, event)
    attempt = 0 if event in {Event.ASK, Event.DENY} else 1
    body: dict[str, Any] = {
        "workflow_id": effect.workflow_id,
        "tool": effect.tool,
        "intent": effect.intent,
        "safety": effect.safety,
        "fingerprint": effect.fingerprint,
        "call_id": effect.call_id,
        "args_sha256": salted(stamp.salt, effect.args).hex(),
        **({"undoes": undoes} if undoes else {}),
        **_outcome_body(outcome, stamp),
        **(details or {}),
    }
    entry = _entry(effect.tenant, effect.key, 1, event, state, 1, attempt, body, b"", stamp)
    insert = InsertEffect(
        tenant=effect.tenant,
        key=effect.key,
        workflow_id=effect.workflow_id,
        tool=effect.tool,
        intent=effect.intent,
        safety=effect.safety,
        fingerprint=effect.fingerprint,
        args=stamp.seal(effect.args, "args"),
        call_id=effect.call_id,
        actor=stamp.actor,
        state=state,
        owner=owner,
        attempt=attempt,
        lease_s=lease_s,
        timeout_s=timeout_s,
        outcome=_sealed(outcome, stamp),
        at=stamp.at,
        audit_hash=entry.hash,
        admission=admission,
        untold=untold,
        undoes=undoes,
    )
    review = _review(effect.tenant, effect.workflow_id, effect.key, 0, workflow, stamp)
    ops: tuple[Op, ...] = (insert, review) if workflow is not None else (insert,)
    head = _head_after(entry, effect.workflow_id)
    return Change((*ops, AppendAudit(entry))), replace(head, holds=False)


_CERTAIN: Final = frozenset({Event.SUCCEED, Event.RESOLVE_DONE, Event.RESOLVE_NOT_DONE, Event.OBSERVE})
"""After these nothing of the past is in doubt."""


def plan_move(
    head: Head,
    event: Event,
    stamp: Stamp,
    *,
    owner: str | None = None,
    safety: Safety | None = None,
    lease_s: float | None = None,
    timeout_s: float | None = None,
    lease_over: bool = False,
    goes_on: bool = False,
    outcome: PlainOutcome | None = None,
    details: Mapping[str, Any] | None = None,
    admission: Admission | None = None,
    retrying: Retrying | None = None,
    workflow: WorkflowStop | None = None,
    args: str | None = None,
    spending: Spending | None = None,
) -> tuple[Change, Head]:
    """Plan the next transition of an effect that stands at *head*; also return where it leads."""
    to, claims = step(head.state, event), event in {Event.CLAIM, Event.TAKE_OVER}
    retrying = retrying or Retrying()
    uncertain, spent = _doubts_after(event, retrying)
    body = {
        **_outcome_body(outcome, stamp),
        **_retry_body(retrying, uncertain=uncertain, spent=spent),
        **(details or {}),
        **({"safety": safety} if claims and safety is not None else {}),
        **({} if args is None else {"args_sha256": salted(stamp.salt, args).hex()}),
    }
    entry = _next_entry(head, event, to, body, stamp)
    move = MoveEffect(
        tenant=head.tenant,
        key=head.key,
        workflow_id=head.workflow_id,
        event=event,
        frm=head.state,
        to=to,
        fence=head.fence,
        prev=head.audit_hash,
        lease_over=lease_over,
        owner=owner if claims else None,
        safety=safety if claims else None,
        lease_s=lease_s if claims else None,
        timeout_s=timeout_s if claims else None,
        outcome=_sealed(outcome, stamp),
        ends_attempt=_is_end(head, event) and not (lease_over or goes_on),
        at=stamp.at,
        audit_hash=entry.hash,
        admission=admission if claims else None,
        uncertain=uncertain,
        spent=spent,
        delay_s=retrying.delay_s,
        renews=retrying.renews,
        unstarted=retrying.unstarted,
        args=None if args is None else stamp.seal(args, "args"),
    )
    settled = settlement(head, event, spending=spending, unstarted=retrying.unstarted, is_over=lease_over)
    return _whole(head, move, settled, workflow, entry, stamp)


def _whole(
    head: Head,
    move: MoveEffect,
    settled: SettleHold | None,
    workflow: WorkflowStop | None,
    entry: AuditEntry,
    stamp: Stamp,
) -> tuple[Change, Head]:
    """Return *move* with all that follows from it, and where it leads."""
    doubts = (move.to is State.UNKNOWN) - (head.state is State.UNKNOWN)
    ops: tuple[Op, ...] = (move,) if settled is None else (move, settled)
    if doubts or workflow is not None:
        ops = (*ops, _review(head.tenant, head.workflow_id, head.key, doubts, workflow, stamp))
    after = replace(_head_after(entry, head.workflow_id), holds=holds_after(head, move.event))
    return Change((*ops, AppendAudit(entry))), after


def _is_end(head: Head, event: Event) -> bool:
    """Whether *event* tells that the handler is at its end."""
    return head.state is State.PENDING and event not in {Event.CLAIM, Event.TAKE_OVER, Event.NOTE}


def _doubts_after(event: Event, retrying: Retrying) -> tuple[bool | None, bool | None]:
    """Return the new values of *uncertain* and *spent*."""
    uncertain = False if event in _CERTAIN else retrying.uncertain
    return uncertain, False if retrying.renews or event is Event.SUCCEED else retrying.spent


def holding(change: Change, hold: PlaceHold) -> Change:
    """Return *change*, a claim, with what its attempt holds: after what an attempt before it settles."""
    before = 2 if len(change.ops) > 1 and isinstance(change.ops[1], SettleHold) else 1
    return Change((*change.ops[:before], hold, *change.ops[before:]))


def along_with(change: Change, ops: Sequence[ApprovalOp | HoldOp]) -> Change:
    """Return *change* with what its effect holds, or with what becomes of the questions about it."""
    return Change((change.ops[0], *ops, *change.ops[1:]))


def _review(
    tenant: str, workflow_id: str, key: EffectKey, delta: int, workflow: WorkflowStop | None, stamp: Stamp
) -> ReviewWorkflow:
    stops = workflow is not None and workflow.reason is not None
    return ReviewWorkflow(
        tenant=tenant,
        workflow_id=workflow_id,
        delta=delta,
        at=stamp.at,
        stop=None if workflow is None else workflow.reason,
        stopped_by=key if stops else None,
        resumes=workflow is not None and not stops,
    )


def _retry_body(retrying: Retrying, *, uncertain: bool | None, spent: bool | None) -> dict[str, Any]:
    """Return what an entry tells of further attempts; what is bound is told whenever it is written."""
    body: dict[str, Any] = {}
    if uncertain is not None:
        body["uncertain"] = uncertain
    if spent is not None:
        body["spent"] = spent
    if retrying.delay_s is not None:
        body["delay_s"] = round(retrying.delay_s, 3)
    if retrying.renews:
        body["renews"] = True
    if retrying.unstarted:
        body["unstarted"] = True
    return body


def _head_after(entry: AuditEntry, workflow_id: str) -> Head:
    return Head(
        tenant=entry.tenant,
        key=entry.key,
        workflow_id=workflow_id,
        state=entry.state,
        fence=entry.fence,
        attempt=entry.attempt,
        audit_seq=entry.seq,
        audit_hash=entry.hash,
        at=entry.at,
    )


def _next_entry(head: Head, event: Event, to: State, body: Mapping[str, Any], stamp: Stamp) -> AuditEntry:
    fence = head.fence + (event is not Event.NOTE)
    attempt = head.attempt + (event in {Event.CLAIM, Event.TAKE_OVER, Event.OBSERVE})
    seq, prev = head.audit_seq + 1, head.audit_hash
    return _entry(head.tenant, head.key, seq, event, to, fence, attempt, body, prev, stamp)


def _entry(
    tenant: str,
    key: EffectKey,
    seq: int,
    event: Event,
    state: State,
    fence: int,
    attempt: int,
    body: Mapping[str, Any],
    prev: bytes,
    stamp: Stamp,
) -> AuditEntry:
    entry = make_entry(
        tenant=tenant,
        key=key,
        seq=seq,
        event=event,
        state=state,
        fence=fence,
        attempt=attempt,
        actor=stamp.actor,
        at=stamp.at,
        body=body,
        salt=stamp.salt,
        prev=prev,
        secret=stamp.secret,
    )
    sealed = None if entry.body is None else stamp.seal(entry.body, "body")
    return entry if sealed is entry.body else replace(entry, body=sealed)


def _outcome_body(outcome: PlainOutcome | None, stamp: Stamp) -> dict[str, Any]:
    """Return what binds an outcome's columns to the trail: an absent one is bound as well."""
    if outcome is None:
        return {}
    body: dict[str, Any] = {
        "result_sha256": None if outcome.result is None else salted(stamp.salt, outcome.result).hex(),
        "error_sha256": None if outcome.error is None else salted(stamp.salt, outcome.error).hex(),
        "result_gap": outcome.result_gap,
    }
    if outcome.error_type is not None:
        body["error_type"] = outcome.error_type
    if outcome.external_id is not None:
        body["external_id"] = outcome.external_id
    return body


def _sealed(outcome: PlainOutcome | None, stamp: Stamp) -> Outcome | None:
    if outcome is None:
        return None
    return Outcome(
        result=None if outcome.result is None else stamp.seal(outcome.result, "result"),
        result_gap=outcome.result_gap,
        error=None if outcome.error is None else stamp.seal(outcome.error, "error"),
        external_id=outcome.external_id,
    )
