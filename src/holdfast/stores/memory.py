"""The oracle: the meaning of every op in plain Python. Not durable, and says so."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

from holdfast._core.audit import AuditEntry
from holdfast._core.change import (
    Admission,
    AppendAudit,
    Change,
    Committed,
    Conflict,
    InsertEffect,
    MoveEffect,
    Op,
    ReviewWorkflow,
)
from holdfast._core.dependency import BreakerState, DependencyRecord
from holdfast._core.model import EffectKey, Record
from holdfast._core.states import FINISHED, Event, State, WorkflowStatus
from holdfast.errors import StoreInvariant
from holdfast.ports import Found, FoundDependency, Lease, LocalTransaction, Query, Signal, WorkflowRecord

log = logging.getLogger("holdfast")
_Key = tuple[str, str]


class MemoryStore:
    """A ledger in this process's memory: for tests, and to say what the other stores must mean.

    Args:
        clock: The time by which leases are measured.

    Attributes:
        rows: What the handlers of local effects wrote.
    """

    durable = False
    poll_s = (0.05, 0.1)

    def __init__(
        self, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC), is_test: bool = False
    ) -> None:
        self._clock = clock
        self._effects: dict[_Key, Record] = {}
        self._trails: dict[_Key, list[AuditEntry]] = {}
        self._workflows: dict[_Key, WorkflowRecord] = {}
        self._dependencies: dict[_Key, DependencyRecord] = {}
        self._signals: dict[tuple[str, str, str, str], Signal] = {}
        self.rows: dict[Any, Any] = {}
        self._lock = threading.Lock()  # one change at a time
        self._warned = is_test  # who tests knows that it forgets

    async def open(self) -> None:
        if not self._warned:
            self._warned = True
            log.warning("this ledger lives in memory: it forgets everything when the process ends")

    async def commit(self, change: Change) -> Committed | Conflict:
        return self.apply(change)

    def apply(self, change: Change) -> Committed | Conflict:
        """Apply *change*; blocking."""
        with self._lock:
            now = self._clock()
            undo: list[Callable[[], object]] = []
            for op in change.ops:
                if not self._apply(op, now, undo):
                    for step in reversed(undo):
                        step()
                    return Conflict(op, self._present(op), now)
            return Committed(now)

    def _present(self, op: Op) -> Record | None:
        match op:
            case InsertEffect(tenant=tenant, key=key) | MoveEffect(tenant=tenant, key=key):
                return self._effects.get((tenant, key))
            case _:
                return None

    def _apply(self, op: Op, now: datetime, undo: list[Callable[[], object]]) -> bool:
        match op:
            case InsertEffect(tenant=tenant, key=key):
                if (tenant, key) in self._effects or not self._may_insert(op):
                    return False
                self._effects[tenant, key] = _inserted(op, now)
                undo.append(lambda: self._effects.pop((tenant, key)))
            case MoveEffect(tenant=tenant, key=key):
                record = self._effects.get((tenant, key))
                if record is None or not _guard_holds(op, record, now):
                    return False
                if not self._admits(op.admission, tenant, record.workflow_id):
                    return False
                self._effects[tenant, key] = _moved(op, record, now)
                undo.append(lambda: self._effects.update({(tenant, key): record}))
            case ReviewWorkflow():
                place = (op.tenant, op.workflow_id)
                known = self._workflows.get(place)
                self._review(op)
                undo.append(
                    lambda: self._workflows.update({place: known}) if known else self._workflows.pop(place)
                )
            case AppendAudit(entry):
                trail = self._trails.setdefault((entry.tenant, entry.key), [])
                if entry.seq < 1 or any(known.seq == entry.seq for known in trail):
                    for step in reversed(undo):
                        step()
                    raise StoreInvariant(
                        "append an audit entry", f"entry {entry.seq} is no new one", entry.key
                    )
                trail.append(entry)
            case _:
                assert_never(op)
        return True

    def _admits(self, admission: Admission | None, tenant: str, workflow_id: str) -> bool:
        if admission is None:
            return True
        workflow = self._workflows.get((tenant, workflow_id))
        if admission.obeys and workflow is not None and workflow.stopped is not None:
            return False
        known = (
            None if admission.dependency is None else self._dependencies.get((tenant, admission.dependency))
        )
        return known is None or known.state is BreakerState.CLOSED

    def _may_insert(self, op: InsertEffect) -> bool:
        told = (op.tenant, op.key, "done")
        if op.untold and any((tenant, of, what) == told for tenant, of, _, what in self._signals):
            return False
        return self._admits(op.admission, op.tenant, op.workflow_id)

    def _review(self, op: ReviewWorkflow) -> None:
        known = self._workflows.get((op.tenant, op.workflow_id))
        count = op.delta + (known.open_reviews if known else 0)
        status = known.status if known else WorkflowStatus.RUNNING
        stopped, stopped_by = (known.stopped, known.stopped_by) if known else (None, None)
        if op.stop is not None:
            if op.stop != stopped:  # said again for the same reason, it stays with who said it first
                stopped_by = op.stopped_by
            stopped = op.stop
        elif op.resumes:
            stopped = stopped_by = None
        if count > 0 or stopped is not None:
            status = WorkflowStatus.NEEDS_REVIEW
        elif status is WorkflowStatus.NEEDS_REVIEW:
            status = WorkflowStatus.RUNNING
        self._workflows[op.tenant, op.workflow_id] = WorkflowRecord(
            tenant=op.tenant,
            workflow_id=op.workflow_id,
            status=status,
            open_reviews=max(count, 0),
            updated_at=op.at,
            stopped=stopped,
            stopped_by=stopped_by,
        )

    async def find(self, tenant: str, key: EffectKey) -> Found:
        with self._lock:
            return Found(self._effects.get((tenant, key)), self._clock())

    async def effects(self, query: Query) -> Sequence[Record]:
        with self._lock:
            found = [record for record in self._effects.values() if _matches(query, record)]
        if query.due is None and query.lapsed is None:
            found.sort(key=lambda record: (record.created_at, record.key), reverse=True)
        else:
            found.sort(key=lambda record: (record.not_before or record.created_at, record.key))
        return found[: query.limit]

    async def trail(self, tenant: str, key: EffectKey) -> Sequence[AuditEntry]:
        with self._lock:
            return tuple(self._trails.get((tenant, key), ()))

    async def keys(
        self, tenant: str | None, after: tuple[str, str], limit: int
    ) -> Sequence[tuple[str, EffectKey]]:
        with self._lock:
            known = sorted(self._effects.keys() | self._trails.keys())
        return [(t, EffectKey(k)) for t, k in known if (t, k) > after and tenant in {None, t}][:limit]

    async def workflow(self, tenant: str, workflow_id: str) -> WorkflowRecord | None:
        with self._lock:
            return self._workflows.get((tenant, workflow_id))

    async def workflows(
        self, tenant: str, status: WorkflowStatus | None, limit: int
    ) -> Sequence[WorkflowRecord]:
        with self._lock:
            known = [w for w in self._workflows.values() if w.tenant == tenant and status in {None, w.status}]
        known.sort(key=lambda workflow: (workflow.updated_at, workflow.workflow_id), reverse=True)
        return known[:limit]

    async def dependency(self, tenant: str, name: str) -> FoundDependency:
        with self._lock:
            return FoundDependency(self._dependencies.get((tenant, name)), self._clock())

    async def dependencies(self, tenant: str) -> Sequence[DependencyRecord]:
        with self._lock:
            return [known for (t, _), known in sorted(self._dependencies.items()) if t == tenant]

    async def put_dependency(self, record: DependencyRecord) -> bool:
        with self._lock:
            known = self._dependencies.get((record.tenant, record.name))
            if (0 if known is None else known.version) != record.version - 1:
                return False
            self._dependencies[record.tenant, record.name] = record
            return True

    async def put_signal(self, signal: Signal) -> bool:
        with self._lock:
            place = signal.tenant, signal.subject, signal.id, signal.outcome
            if place in self._signals:
                return False
            self._signals[place] = signal
            return True

    async def signals(self, tenant: str, subject: str) -> Sequence[Signal]:
        with self._lock:
            known = [s for (t, of, *_), s in self._signals.items() if (t, of) == (tenant, subject)]
        return sorted(known, key=lambda signal: (signal.received_at, signal.id, signal.outcome))

    async def counts(self, tenant: str, before: datetime | None = None) -> Mapping[State, int]:
        query = Query(tenant=tenant, before=before)
        with self._lock:
            return Counter(record.state for record in self._effects.values() if _matches(query, record))

    async def reap(self, tenant: str, before: datetime, limit: int) -> int:
        with self._lock:
            kept = self._stoppers(tenant)
            old = sorted(
                (record.updated_at, key)
                for key, record in self._effects.items()
                if record.tenant == tenant
                and record.state in FINISHED
                and record.updated_at < before
                and record.key not in kept
            )
            for _, key in old[:limit]:
                del self._effects[key]
                self._trails.pop(key, None)
            return len(old[:limit])

    async def reap_rest(self, tenant: str, before: datetime, limit: int) -> int:
        with self._lock:
            kept = self._stoppers(tenant)
            past = [
                place
                for place, signal in self._signals.items()
                if signal.tenant == tenant and signal.received_at < before
                if signal.subject not in kept and not self._is_open(place)
            ]
            for place in past[:limit]:
                del self._signals[place]
            idle = [
                place
                for place, of in self._dependencies.items()
                if of.tenant == tenant and of.state is BreakerState.CLOSED and of.updated_at < before
            ]
            for system in idle[:limit]:
                del self._dependencies[system]
            return len(past[:limit]) + len(idle[:limit])

    def _stoppers(self, tenant: str) -> set[str | None]:
        """Return the effects that stopped a workflow which is stopped still: they are kept for a person."""
        return {workflow.stopped_by for workflow in self._workflows.values() if workflow.tenant == tenant}

    def _is_open(self, place: tuple[str, str, str, str]) -> bool:
        """Whether a signal is about unfinished business, for which it may be the only evidence."""
        record = self._effects.get(place[:2])
        return record is not None and record.state not in FINISHED

    async def joining(self, tenant: str, key: EffectKey) -> None:
        """Waiters are in this process: the bus rings for them."""

    def subscribe(self, ring: Callable[[str], None]) -> None:
        """No other process can move an effect."""

    def renewer(self) -> _MemoryRenewer:
        return _MemoryRenewer(self)

    def renew(self, leases: Sequence[Lease], lease_s: float) -> set[Lease]:
        """See :meth:`holdfast.ports.Renewer.renew`."""
        with self._lock:
            until = self._clock() + timedelta(seconds=lease_s)
            held: set[Lease] = set()
            for lease in leases:
                record = self._effects.get((lease.tenant, lease.key))
                if record is not None and record.state is State.PENDING and record.fence == lease.fence:
                    self._effects[lease.tenant, lease.key] = replace(record, lease_until=until)
                    held.add(lease)
            return held

    @asynccontextmanager
    async def local(self) -> AsyncGenerator[LocalTransaction]:
        """Hand out a dict in place of a connection; its items reach :attr:`rows` with the record."""
        yield _MemoryTransaction(self)

    async def close(self) -> None:
        """Keep everything: another ledger in this process may hold the same store."""


class _MemoryRenewer:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def renew(self, leases: Sequence[Lease], lease_s: float) -> set[Lease]:
        return self._store.renew(leases, lease_s)

    def close(self) -> None:
        """Nothing is held."""


class _MemoryTransaction:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.connection: dict[Any, Any] = {}

    @property
    def is_open(self) -> bool:
        return True

    async def commit(self, change: Change) -> Committed | Conflict:
        answer = self._store.apply(change)
        if isinstance(answer, Committed):
            self._store.rows.update(self.connection)
        return answer


def _inserted(op: InsertEffect, now: datetime) -> Record:
    outcome = op.outcome
    return Record(
        tenant=op.tenant,
        key=op.key,
        workflow_id=op.workflow_id,
        tool=op.tool,
        intent=op.intent,
        safety=op.safety,
        fingerprint=op.fingerprint,
        args=op.args,
        call_id=op.call_id,
        actor=op.actor,
        state=op.state,
        fence=1,
        attempt=op.attempt,
        owner=op.owner,
        lease_until=now + timedelta(seconds=op.lease_s),
        deadline_at=None if op.timeout_s is None else now + timedelta(seconds=op.timeout_s),
        result=None if outcome is None else outcome.result,
        result_gap=None if outcome is None else outcome.result_gap,
        error=None if outcome is None else outcome.error,
        created_at=op.at,
        updated_at=op.at,
        observed_at=None if outcome is None else op.at,
        audit_seq=1,
        audit_hash=op.audit_hash,
        external_id=None if outcome is None else outcome.external_id,
        undoes=op.undoes,
    )


def _guard_holds(op: MoveEffect, record: Record, now: datetime) -> bool:
    """I3: state, fence and the end of the audit trail are what the writer saw."""
    return (
        record.state is op.frm
        and record.fence == op.fence
        and record.audit_hash == op.prev
        and (not op.lease_over or record.lease_until <= now)
    )


def _moved(op: MoveEffect, record: Record, now: datetime) -> Record:
    moved = replace(
        record,
        state=op.to,
        fence=record.fence + (op.event is not Event.NOTE),
        attempt=record.attempt + (op.event in {Event.CLAIM, Event.TAKE_OVER, Event.OBSERVE}),
        updated_at=op.at,
        audit_seq=record.audit_seq + 1,
        audit_hash=op.audit_hash,
        joined=record.joined if op.event is Event.NOTE else False,
    )
    if op.owner is not None and op.lease_s is not None:
        moved = replace(
            moved,
            owner=op.owner,
            safety=op.safety or record.safety,
            lease_until=now + timedelta(seconds=op.lease_s),
            deadline_at=None if op.timeout_s is None else now + timedelta(seconds=op.timeout_s),
        )
    if op.event is not Event.NOTE or op.delay_s is not None:
        due = None if op.delay_s is None else now + timedelta(seconds=op.delay_s)
        moved = replace(moved, not_before=due)
    if op.uncertain is not None:
        moved = replace(moved, uncertain=op.uncertain)
    if op.spent is not None:
        moved = replace(moved, spent=op.spent)
    if op.renews:
        moved = replace(moved, retry_from=moved.attempt, retry_since=op.at)
    elif op.unstarted:
        moved = replace(moved, retry_from=moved.retry_from + 1)
    if op.ends_attempt:
        moved = replace(moved, deadline_at=max(record.deadline_at or now, now))
    if op.outcome is not None:
        moved = replace(
            moved,
            result=op.outcome.result,
            result_gap=op.outcome.result_gap,
            error=op.outcome.error,
            observed_at=op.at,
            external_id=moved.external_id if op.outcome.external_id is None else op.outcome.external_id,
        )
    return moved


def _matches(query: Query, record: Record) -> bool:
    return (
        record.tenant == query.tenant
        and query.workflow_id in {None, record.workflow_id}
        and query.tool in {None, record.tool}
        and query.intent in {None, record.intent}
        and query.state in {None, record.state}
        and query.external_id in {None, record.external_id}
        and (query.due is None or record.not_before is None or record.not_before <= query.due)
        and (query.lapsed is None or record.lease_until <= query.lapsed)
        and (query.since is None or record.created_at >= query.since)
        and (query.before is None or record.updated_at < query.before)
        and (query.key_prefix is None or record.key.startswith(query.key_prefix))
    )
