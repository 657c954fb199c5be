"""Changes -> executions of the two functions that write, parameter by parameter."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from holdfast._core.audit import AuditEntry
from holdfast._core.budget import HoldOp, PlaceHold, SettleHold
from holdfast._core.change import (
    Admission,
    AppendAudit,
    ApprovalOp,
    Change,
    InsertEffect,
    MoveApproval,
    MoveEffect,
    Op,
    OpenApproval,
    ReviewWorkflow,
)
from holdfast._core.dependency import DependencyRecord, body_of
from holdfast._core.states import Event
from holdfast.errors import StoreInvariant
from holdfast.ports import Signal
from holdfast.stores.postgres.approvals import writes_of
from holdfast.stores.postgres.holding import (
    HOLD_KINDS,
    LOCK_KINDS,
    SETTLE_KINDS,
    Holding,
    holding,
    locks,
    unpacked,
)

Value = bytes | None
_INSERT: Final = "insert_effect"
_MOVE: Final = "move_effect"
_ASKED: Final = "_asked"
_HELD: Final = "_held"
_LOCK: Final = "lock_budgets"
_COUNTED: Final = frozenset({Event.CLAIM, Event.TAKE_OVER, Event.OBSERVE})

# How each parameter travels: (t)ext, (b)ytea, (a)rrays of text and of (n)umbers in binary, which keeps a NUL
# visible to the database; what we print ourselves (numbers, moments, booleans) as a (l)iteral.
_AUDIT_KINDS: Final = "ltt" + "ll" + "t" + "l" + "t" + "bbbb" + "l"
_PLAIN: Final = {
    _INSERT: "ltttttttttt" + "tltlll" + "ttt" + "lbl" + "tll" + "lttt" + _AUDIT_KINDS,
    _MOVE: "ltttt" + "lbll" + "ttlll" + "ttt" + "llll" + "blt" + "tll" + "lllll" + "tttl" + _AUDIT_KINDS,
}
_KINDS: Final = {
    **_PLAIN,
    f"{_INSERT}{_ASKED}": _PLAIN[_INSERT] + "t",
    f"{_MOVE}{_ASKED}": _PLAIN[_MOVE] + "tl",
    f"{_INSERT}{_HELD}": _PLAIN[_INSERT] + HOLD_KINDS + "l",
    f"{_MOVE}{_HELD}": _PLAIN[_MOVE] + HOLD_KINDS + SETTLE_KINDS + "tll",
    _LOCK: LOCK_KINDS,
}
_FORMATS: Final = {name: [int(kind != "l") for kind in kinds] for name, kinds in _KINDS.items()}


class Sent(Protocol):
    """One execution of a prepared statement, as a connection sends it."""

    statement: str
    values: Any
    alone: bool

    @property
    def operation(self) -> str:
        """What errors call it."""
        ...

    @property
    def formats(self) -> Sequence[int]: ...

    @property
    def key(self) -> tuple[bytes, bytes]: ...

    @property
    def size(self) -> int: ...


@dataclass(slots=True)
class Execution:
    """One execution of a named statement.

    Attributes:
        statement: Its name in queries.sql.
        values: Its parameters as they cross the wire.
        alone: It locks a row of a workflow or an approval as well, so it must not share a transaction:
            batches are sorted by effect, and their locks have one order only while nothing else is locked.
        holding: What it asks of budgets. All that a batch asks is locked before anything else of it.
    """

    statement: str
    values: list[Value]
    alone: bool
    holding: Holding | None = None

    @property
    def operation(self) -> str:
        return "commit a change"

    @property
    def formats(self) -> Sequence[int]:
        """Which parameters are binary."""
        return _FORMATS[self.statement]

    @property
    def key(self) -> tuple[bytes, bytes]:
        """What a batch is sorted by: one order of locks for everybody."""
        return self.values[1] or b"", self.values[2] or b""

    @property
    def size(self) -> int:
        """Its bytes on the wire, roughly."""
        return sum(map(len, filter(None, self.values)))

    def objects(self) -> list[Any]:
        """Return the parameters as a cursor takes them."""
        return [
            value
            if value is None or kind == "b"
            else unpacked(value, kind)
            if kind in "an"
            else value.decode()
            for kind, value in zip(_KINDS[self.statement], self.values, strict=True)
        ]


def batched(executions: Sequence[Sent]) -> tuple[Sequence[Sent], int]:
    """Return what is sent for a batch, and how many answers at its head are to nobody's question.

    Budgets are locked first, in one order for everybody.
    """
    held = [(each.holding, each.key) for each in executions if isinstance(each, Execution) and each.holding]
    if len(executions) == 1 or not held:
        return executions, 0
    first: Sent = Execution(_LOCK, locks(held), alone=False)
    return [first, *executions], 1


def key_of(change: Change) -> tuple[str, str]:
    """Return what a batch is sorted by: one order of locks for everybody."""
    op = change.ops[0]
    if not isinstance(op, InsertEffect | MoveEffect):
        raise StoreInvariant("commit a change", f"it begins with {type(op).__name__}")
    return op.tenant, op.key


def execution(change: Change, now: datetime | None, *, slowly: bool = False) -> Execution:
    """Return what applies *change*.

    Args:
        now: The time by which leases are measured; ``None`` for the database's.
        slowly: Look at all slices of divided budgets, when the first answer was to do so.

    Raises:
        StoreInvariant: It is not one effect's transition, or holds what no database text can hold.
    """
    op, *others = change.ops
    if not isinstance(op, InsertEffect | MoveEffect):
        raise StoreInvariant("commit a change", f"it begins with {type(op).__name__}")
    company = _company(op, others)
    try:
        made = _execution(op, company, now, slowly=slowly)
    except UnicodeEncodeError as error:
        raise StoreInvariant("commit a change", "it holds a lone surrogate", op.key) from error
    except struct.error as error:
        raise StoreInvariant("commit a change", "an amount is beyond all numbers", op.key) from error
    return made


@dataclass(frozen=True, slots=True)
class _Company:
    """What goes along with an effect's op."""

    entry: AuditEntry
    review: ReviewWorkflow | None
    asked: list[ApprovalOp]
    holds: list[HoldOp]


def _company(op: InsertEffect | MoveEffect, others: Sequence[Op]) -> _Company:
    review: ReviewWorkflow | None = None
    entry: AuditEntry | None = None
    asked: list[ApprovalOp] = []
    holds: list[HoldOp] = []
    for other in others:
        if isinstance(other, AppendAudit) and entry is None and _tells_of(other.entry, op):
            entry = other.entry
        elif isinstance(other, ReviewWorkflow) and review is None and _concerns(other, op):
            review = other
        elif isinstance(other, OpenApproval | MoveApproval) and _is_about(other, op):
            asked.append(other)
        elif isinstance(other, PlaceHold | SettleHold) and _goes_with(other, op, holds):
            holds.append(other)
        else:
            raise StoreInvariant("commit a change", f"no place for its {type(other).__name__}", op.key)
    if entry is None:
        raise StoreInvariant("commit a change", "it has no audit entry (I6)", op.key)
    if isinstance(op, MoveEffect) and op.args is not None and not asked:
        raise StoreInvariant("commit a change", "arguments change with an approval only", op.key)
    if holds and asked and isinstance(op, InsertEffect):
        raise StoreInvariant("commit a change", "who is asked about holds nothing yet", op.key)
    return _Company(entry, review, asked, holds)


def _execution(
    op: InsertEffect | MoveEffect, company: _Company, now: datetime | None, *, slowly: bool
) -> Execution:
    review, asked, entry = company.review, company.asked, _audit(company.entry)
    held = holding(company.holds) if company.holds else None
    alone = slowly or review is not None or bool(asked) or (held is not None and held.is_both)
    if isinstance(op, InsertEffect):
        values = _insert(op, review, _moment(now)) + entry
        if held is not None:
            kept = held.values[: len(HOLD_KINDS)]
            return Execution(_INSERT + _HELD, [*values, *kept, _flag(slowly)], alone, held)
        if not asked:
            return Execution(_INSERT, values, alone)
        return Execution(_INSERT + _ASKED, [*values, writes_of(asked, None)], alone)
    values = _move(op, review, _moment(now)) + entry
    if not asked and held is None:
        return Execution(_MOVE, values, alone)
    wakes = _flag(any(isinstance(each, MoveApproval) and each.wakes for each in asked))
    writes = writes_of(asked, op) if asked else None
    if held is not None:
        return Execution(_MOVE + _HELD, [*values, *held.values, writes, wakes, _flag(slowly)], alone, held)
    return Execution(_MOVE + _ASKED, [*values, writes, wakes], alone)


def _tells_of(entry: AuditEntry, op: InsertEffect | MoveEffect) -> bool:
    return entry.key == op.key and entry.tenant == op.tenant


def _is_about(asked: ApprovalOp, op: InsertEffect | MoveEffect) -> bool:
    of = asked.approval if isinstance(asked, OpenApproval) else asked.after
    is_possible = isinstance(op, MoveEffect) or isinstance(asked, OpenApproval)
    return is_possible and (of.tenant, of.key) == (op.tenant, op.key)


def _goes_with(hold: HoldOp, op: InsertEffect | MoveEffect, before: Sequence[HoldOp]) -> bool:
    """Whether it is about the effect; one of a kind, and what is settled is settled first."""
    is_possible = isinstance(op, MoveEffect) or isinstance(hold, PlaceHold)
    is_in_place = not any(isinstance(each, PlaceHold) or type(each) is type(hold) for each in before)
    return is_possible and is_in_place and (hold.tenant, hold.key) == (op.tenant, op.key)


def _concerns(review: ReviewWorkflow, op: InsertEffect | MoveEffect) -> bool:
    return review.tenant == op.tenant and (isinstance(op, MoveEffect) or review.workflow_id == op.workflow_id)


def _moment(value: datetime | None) -> Value:
    return None if value is None else value.isoformat().encode()


def _text(value: str | None) -> Value:
    return None if value is None else value.encode()


def _number(value: float | None) -> Value:
    return None if value is None else b"%r" % value


def _flag(value: bool) -> bytes:  # noqa: FBT001 - a conversion
    return b"t" if value else b"f"


def _insert(op: InsertEffect, review: ReviewWorkflow | None, now: Value) -> list[Value]:
    outcome = op.outcome
    return [
        now,
        op.tenant.encode(),
        op.key.encode(),
        op.workflow_id.encode(),
        op.tool.encode(),
        op.intent.encode(),
        op.safety.encode(),
        op.fingerprint.encode(),
        op.args.encode(),
        _text(op.call_id),
        op.actor.encode(),
        op.state.encode(),
        _number(op.attempt),
        op.owner.encode(),
        _number(op.lease_s),
        _number(op.timeout_s),
        _flag(outcome is not None),
        None if outcome is None else _text(outcome.result),
        None if outcome is None else _text(outcome.result_gap),
        None if outcome is None else _text(outcome.error),
        _moment(op.at),
        op.audit_hash,
        None if review is None else _number(review.delta),
        *_admission(op.admission),
        _flag(op.untold),
        _text(op.undoes),
        None if outcome is None else _text(outcome.external_id),
        None if review is None else _text(review.stop),
    ]


def _admission(admission: Admission | None) -> tuple[Value, Value, Value]:
    if admission is None:
        return None, b"f", None
    return _text(admission.dependency), _flag(admission.obeys), _number(admission.epoch)


def _move(op: MoveEffect, review: ReviewWorkflow | None, now: Value) -> list[Value]:
    outcome = op.outcome
    return [
        now,
        op.tenant.encode(),
        op.key.encode(),
        op.frm.encode(),
        op.to.encode(),
        _number(op.fence),
        op.prev,
        _flag(op.lease_over),
        _flag(op.owner is not None and op.lease_s is not None),
        _text(op.owner),
        _text(op.safety),
        _number(op.lease_s),
        _number(op.timeout_s),
        _flag(outcome is not None),
        None if outcome is None else _text(outcome.result),
        None if outcome is None else _text(outcome.result_gap),
        None if outcome is None else _text(outcome.error),
        _flag(op.ends_attempt),
        b"0" if op.event is Event.NOTE else b"1",
        b"1" if op.event in _COUNTED else b"0",
        _moment(op.at),
        op.audit_hash,
        None if review is None else _number(review.delta),
        op.workflow_id.encode() if review is None else review.workflow_id.encode(),
        *_admission(op.admission),
        None if op.uncertain is None else _flag(op.uncertain),
        None if op.spent is None else _flag(op.spent),
        _number(op.delay_s),
        _flag(op.renews),
        _flag(op.unstarted),
        None if outcome is None else _text(outcome.external_id),
        None if review is None else _text(review.stop),
        None if review is None else _text(review.stopped_by),
        _flag(review is not None and review.resumes),
    ]


def dependency_values(record: DependencyRecord) -> dict[str, Any]:
    """Return the parameters of ``put_dependency``."""
    return {
        "tenant": record.tenant,
        "name": record.name,
        "version": record.version,
        "state": record.state,
        "retry_at": record.retry_at,
        "body": body_of(record),
        "at": record.updated_at,
    }


def signal_values(signal: Signal) -> dict[str, Any]:
    """Return the parameters of ``put_signal``."""
    return {
        "tenant": signal.tenant,
        "subject": signal.subject,
        "id": signal.id,
        "outcome": signal.outcome,
        "body": signal.body,
        "received_at": signal.received_at,
    }


def _audit(entry: AuditEntry) -> list[Value]:
    return [
        _number(entry.seq),
        entry.event.encode(),
        entry.state.encode(),
        _number(entry.fence),
        _number(entry.attempt),
        entry.actor.encode(),
        _moment(entry.at),
        _text(entry.body),
        entry.salt,
        entry.content_hash,
        entry.prev,
        entry.hash,
        _flag(entry.keyed),
    ]
