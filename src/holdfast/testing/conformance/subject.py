"""The store under test, driven from plain functions, and changes to try it with."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeVar

from holdfast._core.approval import ApprovalRecord
from holdfast._core.audit import AuditEntry
from holdfast._core.change import (
    AppendAudit,
    Change,
    Committed,
    Conflict,
    Head,
    MoveEffect,
    NewEffect,
    PlainOutcome,
    Stamp,
)
from holdfast._core.dependency import BreakerState, DependencyRecord
from holdfast._core.model import EffectKey, Fingerprint, Record
from holdfast._core.plan import plan_insert, plan_move
from holdfast._core.states import Event, Safety
from holdfast.errors import StoreInvariant
from holdfast.ports import ApprovalQuery, Query, Signal, Store, WorkflowRecord
from holdfast.testing.runtime import FakeClock

T = TypeVar("T")
TENANT: Final = "tenant-1"
LEASE_S: Final = 10.0
WORKFLOWS: Final = ("order-0", "order-1")
DEPENDENCIES: Final = ("mail", "stripe")
OUTSIDE: Final = ("ch_1", "ch_2")
"""What the system outside calls effects."""
TEXTS: Final = (
    "null",
    '""',
    '"\\u0000"',
    '"\\ud800"',
    '"e\u0301 💳 \u2028 \\\\ \' -- ; \\" %s :name"',
    "-0.0",
    "9007199254740993",
    "1e400",
    '{"b":1,"a":[{"deep":[[],{},null]}]}',
    '"' + "x" * 100_000 + '"',
)
"""JSON texts that must come back as they went in, to the character."""
_SALTS: Final = itertools.count(1)


class Run(Protocol):
    """Drives a coroutine to its end."""

    def __call__(self, coro: Coroutine[Any, Any, T], /) -> T:
        """Return what *coro* returns."""
        ...


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a store holds for one tenant."""

    effects: tuple[Record, ...]
    trails: dict[str, tuple[AuditEntry, ...]]
    workflows: dict[str, WorkflowRecord | None]
    touched: tuple[WorkflowRecord, ...]
    dependencies: tuple[DependencyRecord, ...]
    signals: dict[str, tuple[Signal, ...]]
    approvals: tuple[ApprovalRecord, ...]


def key_of(n: int) -> EffectKey:
    """Return the n-th key."""
    return EffectKey("v1:" + hashlib.sha256(b"key %d" % n).hexdigest())


def new_effect(n: int, *, tenant: str = TENANT, args: str = '{"amount":100}', **columns: Any) -> NewEffect:
    """Return the n-th effect."""
    effect = NewEffect(
        tenant=tenant,
        key=key_of(n),
        fingerprint=Fingerprint(hashlib.sha256(args.encode("utf-8", "surrogatepass")).hexdigest()),
        workflow_id=WORKFLOWS[n % len(WORKFLOWS)],
        tool="charge",
        intent="charge_card",
        safety=Safety.UNSAFE,
        args=args,
        call_id=None,
    )
    return replace(effect, **columns)


def dependency(clock: FakeClock, *, name: str = "stripe", **columns: Any) -> DependencyRecord:
    """Return a dependency as it is on record for the first time."""
    record = DependencyRecord(
        tenant=TENANT,
        name=name,
        version=1,
        state=BreakerState.CLOSED,
        retry_at=None,
        probe="",
        trips=0,
        window=(),
        throttled=0,
        unavailable=0,
        alerted=False,
        tokens=20.0,
        updated_at=clock(),
    )
    return replace(record, **columns)


def signal(clock: FakeClock, name: str = "evt_1", **columns: Any) -> Signal:
    """Return a signal that comes now."""
    plain = Signal(
        tenant=TENANT, subject=OUTSIDE[0], id=name, outcome="done", body='{"id":1}', received_at=clock()
    )
    return replace(plain, **columns)


def stamp(clock: FakeClock) -> Stamp:
    """Return a stamp with a salt that no other has."""
    return Stamp(
        actor="agent", at=clock(), salt=next(_SALTS).to_bytes(16), secret=None, seal=lambda text, _: text
    )


def with_entry(change: Change, entry: AuditEntry) -> Change:
    """Return *change* with another audit entry."""
    return Change((*change.ops[:-1], AppendAudit(entry)))


def entry_of(change: Change) -> AuditEntry:
    """Return the audit entry that *change* appends."""
    [entry] = [op.entry for op in change.ops if isinstance(op, AppendAudit)]
    return entry


def move_of(change: Change) -> MoveEffect:
    """Return the move that *change* makes."""
    [move] = [op for op in change.ops if isinstance(op, MoveEffect)]
    return move


class Subject:
    """A store, opened, and the clock that it measures leases by."""

    def __init__(self, store: Store, clock: FakeClock, run: Run) -> None:
        self.store = store
        self.clock = clock
        self.run = run

    def commit(self, change: Change) -> Committed | Conflict:
        """Apply *change*."""
        return self.run(self.store.commit(change))

    def answer(self, change: Change) -> Committed | Conflict | type[StoreInvariant]:
        """Apply *change*; a refusal is an answer as well."""
        try:
            return self.commit(change)
        except StoreInvariant:
            return StoreInvariant

    def insert(
        self, n: int = 0, event: Event = Event.CLAIM, *, effect: NewEffect | None = None, **options: Any
    ) -> Head:
        """Insert the n-th effect; return where it stands."""
        options = {"owner": f"owner-{n}", "lease_s": LEASE_S, **options} if event is Event.CLAIM else options
        change, head = plan_insert(effect or new_effect(n), event, stamp(self.clock), **options)
        assert isinstance(self.commit(change), Committed)
        return head

    def move(self, head: Head, event: Event, **options: Any) -> Head:
        """Move the effect at *head*; return where it stands then."""
        change, after = plan_move(head, event, stamp(self.clock), **options)
        assert isinstance(self.commit(change), Committed)
        return after

    def finished(self, n: int = 0, result: str = '{"id":1}', **columns: Any) -> Head:
        """Insert the n-th effect and let it succeed."""
        head = self.insert(n, effect=new_effect(n, **columns))
        return self.move(head, Event.SUCCEED, outcome=PlainOutcome(result=result))

    def bystander(self) -> None:
        """Let somebody else write last: a store may keep whatever was written last when it reaps."""
        self.insert(effect=new_effect(next(_SALTS), tenant="bystander"))

    def put(self, record: DependencyRecord) -> bool:
        """Write what is known of a dependency."""
        return self.run(self.store.put_dependency(record))

    def tell(self, told: Signal) -> bool:
        """Keep a signal."""
        return self.run(self.store.put_signal(told))

    def signals(self, subject: str = OUTSIDE[0], tenant: str = TENANT) -> list[Signal]:
        """Return what was told of *subject*."""
        return list(self.run(self.store.signals(tenant, subject)))

    def workflow(self, n: int = 0) -> WorkflowRecord:
        """Return the n-th workflow, which must be on record."""
        record = self.run(self.store.workflow(TENANT, WORKFLOWS[n]))
        assert record is not None
        return record

    def find(self, n: int = 0, tenant: str = TENANT) -> Record:
        """Return the n-th effect, which must be there."""
        record = self.run(self.store.find(tenant, key_of(n))).record
        assert record is not None
        return record

    def trail(self, n: int = 0, tenant: str = TENANT) -> tuple[AuditEntry, ...]:
        """Return the n-th effect's audit entries."""
        return tuple(self.run(self.store.trail(tenant, key_of(n))))

    def effects(self, **query: Any) -> list[Record]:
        """Return what a query finds."""
        return list(self.run(self.store.effects(Query(tenant=TENANT, **query))))

    def contents(self, tenant: str = TENANT) -> Contents:
        """Return all that the store holds for a tenant."""
        return self.run(contents_of(self.store, tenant))

    def together(self, changes: Sequence[Change]) -> list[Committed | Conflict | BaseException]:
        """Commit *changes* at the same time; return each one's answer or error."""

        async def all_of_them() -> list[Committed | Conflict | BaseException]:
            commits = (self.store.commit(change) for change in changes)
            return await asyncio.gather(*commits, return_exceptions=True)

        return self.run(all_of_them())


async def contents_of(store: Store, tenant: str) -> Contents:
    """Return all that *store* holds for a tenant."""
    effects = await store.effects(Query(tenant=tenant, limit=1000))
    keys = [key for _, key in await store.keys(tenant, ("", ""), 1000)]
    return Contents(
        tuple(effects),
        {key: tuple(await store.trail(tenant, key)) for key in keys},
        {name: await store.workflow(tenant, name) for name in WORKFLOWS},
        tuple(await store.workflows(tenant, None, 1000)),
        tuple(await store.dependencies(tenant)),
        {subject: tuple(await store.signals(tenant, subject)) for subject in (*OUTSIDE, key_of(0))},
        tuple(await store.approvals.listed(ApprovalQuery(tenant=tenant, limit=1000))),
    )
