"""What is written together: operations as values, and the changes that the pipeline makes of them.

A store applies a :class:`Change` wholly or not at all. Each *guarded* op must touch exactly one row;
the first that does not is the :class:`Conflict`, and its type tells what happened. Ops are ordered by
rank (effect, workflow, audit), so that two changes can never wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias

from holdfast._core.audit import AuditEntry, make_entry, salted
from holdfast._core.model import EffectKey, Fingerprint, Record
from holdfast._core.states import Event, Safety, State, step
from holdfast._core.value import value


@value
class InsertEffect:
    """Put a new effect into the ledger. Guard: its key is new.

    Attributes:
        lease_s: Length of the claim from the store's *now*; 0 for a row that nobody claims.
        timeout_s: How long the attempt may act; ``None`` when only the lease bounds it.
        observed_at: When its outcome was learnt, for a row that is inserted with one.
    """

    tenant: str
    key: EffectKey
    workflow_id: str
    tool: str
    intent: str
    safety: Safety
    fingerprint: Fingerprint
    args: str
    call_id: str | None
    actor: str
    state: State
    owner: str
    attempt: int
    lease_s: float
    timeout_s: float | None
    outcome: Outcome | None
    at: datetime
    audit_hash: bytes


@value
class Outcome:
    """The columns that an outcome fills; payloads are sealed JSON text."""

    result: str | None = None
    result_gap: str | None = None
    error: str | None = None


@value
class MoveEffect:
    """Move an effect. Guard: it is still in *frm*, at *fence*, with the audit trail ending in *prev* (I3).

    Attributes:
        to: The new state; the fence grows by one unless the event is a note.
        lease_over: Guard as well: the claim has run out by the store's clock.
        owner: The new claim's owner, when this is a claim; else the owner stays.
        safety: What the new claim's handler promises, when this is a claim; else it stays.
        lease_s: Length of the new claim, when this is a claim.
        outcome: What to put into the outcome's columns; ``None`` leaves them.
        ends_attempt: The handler is at its end: a deadline that was left open becomes the store's *now*
            (a later one that was set stays: a request may still be on its way until then).
    """

    tenant: str
    key: EffectKey
    event: Event
    frm: State
    to: State
    fence: int
    prev: bytes
    lease_over: bool
    owner: str | None
    safety: Safety | None
    lease_s: float | None
    timeout_s: float | None
    outcome: Outcome | None
    ends_attempt: bool
    at: datetime
    audit_hash: bytes


@value
class ReviewWorkflow:
    """Count an effect in doubt into (+1) or out of (-1) its workflow's open reviews."""

    tenant: str
    workflow_id: str
    delta: int
    at: datetime


@dataclass(frozen=True, slots=True)
class AppendAudit:
    """Append the transition's audit entry, in the same transaction as the transition (I6)."""

    entry: AuditEntry


Column: TypeAlias = Literal["args", "result", "error", "body"]
"""The column that a payload is stored in: part of what its seal authenticates."""

Op: TypeAlias = InsertEffect | MoveEffect | ReviewWorkflow | AppendAudit


@dataclass(frozen=True, slots=True)
class Change:
    """Ops that are applied together or not at all. The first is the guarded one."""

    ops: tuple[Op, ...]


@dataclass(frozen=True, slots=True)
class Committed:
    """The change was applied, durably.

    Attributes:
        now: The store's clock.
    """

    now: datetime


@dataclass(frozen=True, slots=True)
class Conflict:
    """Nothing was applied.

    Attributes:
        op: The op whose guard did not hold.
        found: The effect as it is instead; ``None`` when there is none.
        now: The store's clock.
    """

    op: Op
    found: Record | None
    now: datetime


@value
class Head:
    """Where an effect stands: all that the next change needs to know of it.

    Attributes:
        at: When it got there, by the clock of the process that moved it.
    """

    tenant: str
    key: EffectKey
    workflow_id: str
    state: State
    fence: int
    attempt: int
    audit_seq: int
    audit_hash: bytes
    at: datetime


@value
class Stamp:
    """Who writes, when, and how payloads are sealed and chained.

    Attributes:
        salt: Fresh random bytes, one value per entry.
        secret: The ledger's audit key, or ``None``.
        seal: Turns plain JSON text into what is stored in a column (a codec's envelope, or the text itself).
    """

    actor: str
    at: datetime
    salt: bytes
    secret: bytes | None
    seal: Callable[[str, Column], str]


@value
class NewEffect:
    """The effect that a call means, before the ledger knows it. Payloads are plain JSON text."""

    tenant: str
    key: EffectKey
    fingerprint: Fingerprint
    workflow_id: str
    tool: str
    intent: str
    safety: Safety
    args: str
    call_id: str | None


@value
class PlainOutcome:
    """An outcome before it is sealed."""

    result: str | None = None
    result_gap: str | None = None
    error: str | None = None
    error_type: str | None = None


def head_of(record: Record) -> Head:
    """Return where *record* stands."""
    return Head(
        tenant=record.tenant,
        key=record.key,
        workflow_id=record.workflow_id,
        state=record.state,
        fence=record.fence,
        attempt=record.attempt,
        audit_seq=record.audit_seq,
        audit_hash=record.audit_hash,
        at=record.updated_at,
    )


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
    )
    return Change((insert, AppendAudit(entry))), _head_after(entry, effect.workflow_id)


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
) -> tuple[Change, Head]:
    """Plan the next transition of an effect that stands at *head*; also return where it leads."""
    to = step(head.state, event)
    claims = event in {Event.CLAIM, Event.TAKE_OVER}
    fence = head.fence + (event is not Event.NOTE)
    attempt = head.attempt + (claims or event is Event.OBSERVE)
    body = {**_outcome_body(outcome, stamp), **(details or {})}
    if claims and safety is not None:
        body["safety"] = safety
    entry = _entry(
        head.tenant, head.key, head.audit_seq + 1, event, to, fence, attempt, body, head.audit_hash, stamp
    )
    move = MoveEffect(
        tenant=head.tenant,
        key=head.key,
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
        ends_attempt=head.state is State.PENDING
        and not claims
        and not (lease_over or goes_on)
        and event is not Event.NOTE,
        at=stamp.at,
        audit_hash=entry.hash,
    )
    doubts = (to is State.UNKNOWN) - (head.state is State.UNKNOWN)
    review = ReviewWorkflow(tenant=head.tenant, workflow_id=head.workflow_id, delta=doubts, at=stamp.at)
    ops: tuple[Op, ...] = (move, review) if doubts else (move,)
    return Change((*ops, AppendAudit(entry))), _head_after(entry, head.workflow_id)


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
    return body


def _sealed(outcome: PlainOutcome | None, stamp: Stamp) -> Outcome | None:
    if outcome is None:
        return None
    return Outcome(
        result=None if outcome.result is None else stamp.seal(outcome.result, "result"),
        result_gap=outcome.result_gap,
        error=None if outcome.error is None else stamp.seal(outcome.error, "error"),
    )
