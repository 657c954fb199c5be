"""What is written together: operations as values, and changes that are made of them.

A store applies a :class:`Change` wholly or not at all. Each *guarded* op must touch exactly one row;
where one does not, nothing is applied, and the :class:`Conflict` brings what was found. Ops are ordered by
rank (effect, hold, approval, workflow, audit), so that two changes can never wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from holdfast._core.approval import ApprovalRecord, ApprovalState
from holdfast._core.audit import AuditEntry
from holdfast._core.budget import HoldOp, Level, Refused
from holdfast._core.model import EffectKey, Fingerprint, Record
from holdfast._core.states import Event, Safety, State
from holdfast._core.value import value


@value
class InsertEffect:
    """Put a new effect into the ledger. Guard: its key is new, and the claim is admitted.

    Attributes:
        admission: What else must hold, looked at after the key; nothing more for ``None``.
        untold: The outside must not have told, in a signal, that it is done; looked at after the key as well.
        undoes: The effect that this one compensates.
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
    admission: Admission | None = None
    untold: bool = False
    undoes: EffectKey | None = None


@value
class Admission:
    """What a claim needs besides its effect: a part of the guard, looked at in the same statement.

    Attributes:
        dependency: A system outside whose circuit breaker must be closed; ``None`` when there is none.
        obeys: The workflow must not be stopped.
        epoch: The workflow's execution must be under way under it: whoever lost it claims nothing more.
    """

    dependency: str | None
    obeys: bool
    epoch: int | None = None


@value
class Outcome:
    """The columns that an outcome fills; payloads are sealed JSON text. An absent *external_id* stays."""

    result: str | None = None
    result_gap: str | None = None
    error: str | None = None
    external_id: str | None = None


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
        admission: What else must hold, looked at after the effect's own guard.
        uncertain: The new value of that column; ``None`` leaves it. So does *spent*.
        delay_s: The next attempt, or look, is due so long after the store's *now*; ``None``: at any time, and
            a note then leaves what is there.
        renews: A new budget of retries begins.
        unstarted: The claim that ends started nothing, and counts against no budget.
        args: What is executed instead of what was asked for: people changed it, along with an approval.
    """

    tenant: str
    key: EffectKey
    workflow_id: str
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
    admission: Admission | None = None
    uncertain: bool | None = None
    spent: bool | None = None
    delay_s: float | None = None
    renews: bool = False
    unstarted: bool = False
    args: str | None = None


@value
class ReviewWorkflow:
    """Count an effect into (+1) or out of (-1) its workflow's open reviews; stop it, or let it go on.

    Attributes:
        stop: Why its next calls are refused; ``None`` leaves what is so.
        stopped_by: The effect that stopped it.
        resumes: It may go on.
    """

    tenant: str
    workflow_id: str
    delta: int
    at: datetime
    stop: str | None = None
    stopped_by: EffectKey | None = None
    resumes: bool = False


@value
class OpenApproval:
    """Ask people about the effect. No guard of its own: it goes with a move of the effect (I3)."""

    approval: ApprovalRecord


@value
class MoveApproval:
    """Write an approval anew. Guard: it is in *frm*, at the version before, under *digest* (I4).

    Attributes:
        after: The whole row as it will be.
        digest: The fingerprint on record; the row's own may be another one, when the question was changed.
        unexpired: Guard as well: by the store's clock it is still good.
        wakes: The effect's workflow hears of it.
    """

    after: ApprovalRecord
    frm: ApprovalState
    digest: str
    unexpired: bool = False
    wakes: bool = False


@dataclass(frozen=True, slots=True)
class AppendAudit:
    """Append the transition's audit entry, in the same transaction as the transition (I6)."""

    entry: AuditEntry


Column: TypeAlias = Literal["args", "result", "error", "body", "signal", "binding", "question"]
"""The column that a payload is stored in: part of what its seal authenticates."""

ApprovalOp: TypeAlias = OpenApproval | MoveApproval
Company: TypeAlias = HoldOp | ApprovalOp | ReviewWorkflow | AppendAudit
"""What goes along with an effect's own op."""

Op: TypeAlias = InsertEffect | MoveEffect | Company


@dataclass(frozen=True, slots=True)
class Change:
    """Ops that are applied together or not at all. The first is the guarded one."""

    ops: tuple[Op, ...]


@dataclass(frozen=True, slots=True)
class Committed:
    """The change was applied, durably.

    Attributes:
        now: The store's clock.
        levels: The budgets that it touched, as they are now; those whose slice sufficed are not among them.
    """

    now: datetime
    levels: tuple[Level, ...] = ()


@dataclass(frozen=True, slots=True)
class Conflict:
    """Nothing was applied.

    Attributes:
        op: The change's first op; ``None`` for what was looked up, and refused nothing.
        found: The effect as it is instead; ``None`` when there is none.
        now: The store's clock.
        refused: The budget that a claim did not fit into. A claim that is refused for another reason as well
            may be told either.
    """

    op: Op | None
    found: Record | None
    now: datetime
    refused: Refused | None = None


@value
class Head:
    """Where an effect stands: all that the next change needs to know of it.

    Attributes:
        at: When it got there, by the clock of the process that moved it.
        holds: Whether its attempt holds something of a budget; ``None`` when only the database knows.
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
    holds: bool | None = None


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
    external_id: str | None = None


@value
class Retrying:
    """What an outcome means for further attempts; see :class:`holdfast._core.model.Record`.

    Attributes:
        uncertain: ``None`` leaves what is on record.
        delay_s: When the next attempt or look is due, in seconds from now.
        renews: A new budget of retries begins with this.
        unstarted: Nothing was started under the claim that ends: it counts against no budget.
    """

    uncertain: bool | None = None
    spent: bool | None = None
    delay_s: float | None = None
    renews: bool = False
    unstarted: bool = False


@value
class WorkflowStop:
    """What a transition does to its workflow.

    Attributes:
        reason: Why it is stopped; ``None`` when it is to go on.
    """

    reason: str | None


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
