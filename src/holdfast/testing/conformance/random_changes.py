"""Sequences of changes, good and forged, for comparing a store with the oracle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

from hypothesis import strategies as st

from holdfast._core.audit import verify
from holdfast._core.change import (
    Admission,
    AppendAudit,
    ApprovalOp,
    Change,
    Committed,
    Head,
    InsertEffect,
    PlainOutcome,
    Retrying,
    WorkflowStop,
)
from holdfast._core.dependency import BreakerState
from holdfast._core.plan import along_with, plan_insert, plan_move
from holdfast._core.states import TRANSITIONS, Event, Safety, State, WorkflowStatus
from holdfast.errors import StoreInvariant
from holdfast.ports import Lease, Query, Store
from holdfast.stores.memory import MemoryStore
from holdfast.testing.conformance.random_questions import Asked
from holdfast.testing.conformance.subject import (
    DEPENDENCIES,
    LEASE_S,
    OUTSIDE,
    WORKFLOWS,
    Subject,
    contents_of,
    dependency,
    entry_of,
    key_of,
    move_of,
    new_effect,
    signal,
    stamp,
)

KEYS: Final = 3
_KEYS: Final = st.sampled_from([0, 0, 0, 1, 2])  # one effect lives longer than the others
_MANY: Final = 1000
_TEXTS: Final = ("null", '{"id":1}', '"ü\\u0000\\ud83d"', "9007199254740993")
# Whole microseconds: what lies between is rounded as each database likes.
_LENGTHS: Final = st.just(0.0) | st.floats(0, 100).map(lambda length_s: round(length_s, 6))
_OUTCOMES: Final = st.builds(
    PlainOutcome,
    result=st.none() | st.sampled_from(_TEXTS),
    result_gap=st.none() | st.just("$ is a set"),
    error=st.none() | st.just('{"type":"E","message":"m"}'),
    error_type=st.none() | st.just("E"),
    external_id=st.none() | st.sampled_from(OUTSIDE),
)
_DEPENDENCIES: Final = st.sampled_from([*DEPENDENCIES, DEPENDENCIES[-1]])
_ADMISSIONS: Final = st.builds(
    Admission, dependency=st.sampled_from([None, *DEPENDENCIES, DEPENDENCIES[-1]]), obeys=st.booleans()
)
_RETRYING: Final = st.builds(
    Retrying,
    uncertain=st.none() | st.booleans(),
    spent=st.none() | st.booleans(),
    delay_s=st.none() | _LENGTHS,
    renews=st.booleans(),
    unstarted=st.booleans(),
)
_STOPS: Final = st.builds(WorkflowStop, reason=st.none() | st.sampled_from(["401", "a person said so"]))
_FIRST: Final = sorted(event for state, event in TRANSITIONS if state is None)
_STEPS: Final = (*["change"] * 8, *["together", "renew", "reap", "look"], *["count"] * 3, *["tell"] * 2)


@dataclass(frozen=True, slots=True)
class Planned:
    """A change, and where its effect stands if it is applied."""

    n: int
    change: Change
    head: Head
    asked: tuple[ApprovalOp, ...] = ()


@dataclass(slots=True)
class Trial:
    """One tenant on the store under test and on the oracle, and the heads that were real once."""

    subject: Subject
    oracle: MemoryStore
    tenant: str
    heads: dict[int, list[Head]]
    asked: Asked = field(init=False)

    def __post_init__(self) -> None:
        self.asked = Asked(self.subject.clock, self.tenant)

    def begin(self, data: st.DataObject) -> None:
        """Let something be known of a dependency, for claims to be refused by."""
        self._count(data)

    def step(self, data: st.DataObject) -> None:
        """Do one random thing to both stores; they must answer alike."""
        self.subject.clock.advance(data.draw(st.sampled_from([0.0, 0.000001, 4.0, LEASE_S]), label="time"))
        match data.draw(st.sampled_from(_STEPS), label="what"):
            case "renew":
                self._renew(data)
            case "reap":
                self._reap(data)
            case "together":
                self._together(data)
            case "look":
                self._look(data)
            case "count":
                self._count(data)
            case "tell":
                self._tell(data)
            case _:
                planned = self._planned(data, data.draw(_KEYS, label="key"))
                self._agree(planned, self.subject.answer(planned.change))

    def contents_agree(self) -> None:
        """Both stores hold the same, and each effect is as its audit trail says (I6)."""
        mine = self.subject.contents(self.tenant)
        assert mine == self.subject.run(contents_of(self.oracle, self.tenant))
        for record in mine.effects:
            trail = mine.trails[record.key]
            assert verify(record, trail, plain={entry.seq: entry.body for entry in trail}, secret=None) == []

    def _agree(self, planned: Planned, answer: object) -> None:
        try:
            expected: object = self.oracle.apply(planned.change)
        except StoreInvariant:
            expected = StoreInvariant
        assert answer == expected
        if isinstance(expected, Committed):
            self.heads.setdefault(planned.n, []).append(planned.head)
            self.asked.keep(planned.n, planned.asked)

    def _together(self, data: st.DataObject) -> None:
        # Their order is the store's choice, so none of them may stop the workflow that another one obeys.
        keys = data.draw(st.lists(st.integers(0, KEYS - 1), min_size=2, unique=True), label="keys")
        planned = [self._planned(data, n, stops=False) for n in keys]
        answers = self.subject.together([one.change for one in planned])
        for one, answer in zip(planned, answers, strict=True):
            self._agree(one, StoreInvariant if isinstance(answer, StoreInvariant) else answer)

    def _renew(self, data: st.DataObject) -> None:
        heads = [head for past in self.heads.values() for head in past]
        if not heads:
            return
        chosen = data.draw(st.lists(st.sampled_from(heads), max_size=4), label="leases")
        leases = [Lease(head.tenant, head.key, head.fence) for head in chosen]
        held = renewed(self.subject.store, leases)
        assert held == self.oracle.renew(leases, LEASE_S)

    def _reap(self, data: st.DataObject) -> None:
        before = self.subject.clock()
        run, store = self.subject.run, self.subject.store
        assert run(store.counts(self.tenant, before)) == run(self.oracle.counts(self.tenant, before))
        if data.draw(st.booleans(), label="reaps"):
            self.subject.bystander()
            # Which ones go first is the store's choice, so all of them.
            count = run(store.reap(self.tenant, before, _MANY))
            assert count == run(self.oracle.reap(self.tenant, before, _MANY))

    def _look(self, data: st.DataObject) -> None:
        """List by a random query."""
        now = self.subject.clock()
        moments = st.none() | st.sampled_from([now - timedelta(seconds=4), now, now + timedelta(seconds=9)])
        query = Query(
            tenant=self.tenant,
            workflow_id=data.draw(st.none() | st.sampled_from(WORKFLOWS), label="workflow"),
            state=data.draw(st.none() | st.sampled_from(State), label="state"),
            key_prefix=data.draw(st.none() | st.just(key_of(0)[:9]), label="prefix"),
            external_id=data.draw(st.none() | st.sampled_from(OUTSIDE), label="outside"),
            due=data.draw(moments, label="due"),
            lapsed=data.draw(moments, label="lapsed"),
            since=data.draw(moments, label="since"),
            before=data.draw(moments, label="before"),
            limit=data.draw(st.integers(1, KEYS), label="limit"),
        )
        status = data.draw(st.none() | st.sampled_from(WorkflowStatus), label="status")
        run, store = self.subject.run, self.subject.store
        assert list(run(store.effects(query))) == list(run(self.oracle.effects(query)))
        self.asked.look(data, self.subject, self.oracle)
        listed = run(store.workflows(self.tenant, status, query.limit))
        assert list(listed) == list(run(self.oracle.workflows(self.tenant, status, query.limit)))

    def _count(self, data: st.DataObject) -> None:
        """Write a dependency, now and then with a version that is not the next one."""
        run, store, now = self.subject.run, self.subject.store, self.subject.clock()
        name = data.draw(_DEPENDENCIES, label="dependency")
        known = run(self.oracle.dependency(self.tenant, name)).record
        version = (0 if known is None else known.version) + 1
        retry_s = data.draw(st.none() | _LENGTHS, label="retry_at")
        record = dependency(
            self.subject.clock,
            tenant=self.tenant,
            name=name,
            version=data.draw(
                st.sampled_from([version, version, version + 1, max(version - 1, 1)]), label="version"
            ),
            state=data.draw(st.sampled_from(BreakerState), label="breaker"),
            retry_at=None if retry_s is None else now + timedelta(seconds=retry_s),
            probe=data.draw(st.sampled_from(["", "host:1-0"]), label="probe"),
            trips=data.draw(st.integers(0, 3), label="trips"),
            window=data.draw(st.sampled_from([(), ((1, 2, 3), (7, 0, 1))]), label="window"),
            tokens=data.draw(_LENGTHS, label="tokens"),
        )
        assert self.subject.put(record) == run(self.oracle.put_dependency(record))
        assert run(store.dependency(self.tenant, name)) == run(self.oracle.dependency(self.tenant, name))

    def _tell(self, data: st.DataObject) -> None:
        """Keep a signal, now and then one that came before."""
        told = signal(
            self.subject.clock,
            data.draw(st.sampled_from(["evt_1", "evt_2", "evt_10"]), label="id"),
            tenant=self.tenant,
            subject=data.draw(st.sampled_from([*OUTSIDE, key_of(0)]), label="subject"),
            outcome=data.draw(st.sampled_from(["done", "not_done", "still_unknown"]), label="evidence"),
            body=data.draw(st.sampled_from(_TEXTS), label="body"),
            received_at=self.subject.clock() - timedelta(seconds=data.draw(_LENGTHS, label="late")),
        )
        assert self.subject.tell(told) == self.subject.run(self.oracle.put_signal(told))

    def _planned(self, data: st.DataObject, n: int, *, stops: bool = True) -> Planned:
        past = self.heads.get(n, [])
        if not past or data.draw(st.integers(0, 5), label="insert") == 0:
            return self._insert(data, n)
        is_newest = data.draw(st.sampled_from([True, True, False]), label="newest")
        head = past[-1] if is_newest else data.draw(st.sampled_from(past))
        events = sorted(event for state, event in TRANSITIONS if state is head.state)
        often = [event for event in events if event in {Event.CLAIM, Event.RELEASE}]
        event = data.draw(st.sampled_from([*often * len(events), *events]), label="event")
        options = _options(data, event)
        if head.state is State.PENDING:
            options["lease_over"] = data.draw(st.booleans(), label="lease_over")
        options["safety"] = data.draw(st.none() | st.sampled_from(Safety), label="safety")
        options["retrying"] = data.draw(st.none() | _RETRYING, label="retrying")
        if stops:
            options["workflow"] = data.draw(st.none() | _STOPS, label="stop")
        change, after = plan_move(_forged(data, head), event, stamp(self.subject.clock), **options)
        if data.draw(st.integers(0, 3), label="forge the guard") == 0:
            change = _with_forged_guard(data, change)
        asked = self.asked.ops(data, n, is_new=False)
        return Planned(n, along_with(change, asked), after, asked)

    def _insert(self, data: st.DataObject, n: int) -> Planned:
        event = data.draw(st.sampled_from(_FIRST), label="first event")
        effect = new_effect(n, tenant=self.tenant, args=data.draw(st.sampled_from(_TEXTS), label="args"))
        options = _options(data, event)
        options["undoes"] = data.draw(st.none() | st.just(key_of(9)), label="undoes")
        change, head = plan_insert(effect, event, stamp(self.subject.clock), **options)
        assert isinstance(change.ops[0], InsertEffect)
        asked = self.asked.ops(data, n, is_new=True)
        return Planned(n, along_with(change, asked), head, asked)


def _with_forged_guard(data: st.DataObject, change: Change) -> Change:
    move, entry = move_of(change), entry_of(change)
    guards: list[Mapping[str, Any]] = [{"fence": move.fence + 1}, {"prev": bytes(32)}, {"frm": State.DENIED}]
    move = replace(move, **data.draw(st.sampled_from(guards), label="guard"))
    return Change((move, *change.ops[1:-1], AppendAudit(replace(entry, prev=move.prev))))


def _forged(data: st.DataObject, head: Head) -> Head:
    """Return *head*, or one whose next audit entry has no number, so that the change is refused."""
    if data.draw(st.integers(0, 5), label="forge the entry") == 0:
        return replace(head, audit_seq=-1)
    return head


def _options(data: st.DataObject, event: Event) -> dict[str, Any]:
    options: dict[str, Any] = {"outcome": data.draw(st.none() | _OUTCOMES, label="outcome")}
    if data.draw(st.sampled_from([True, True, False]), label="admission"):
        options["admission"] = data.draw(_ADMISSIONS, label="admission")
    if event in {Event.CLAIM, Event.TAKE_OVER}:
        options["owner"] = data.draw(st.sampled_from(["a", "b"]), label="owner")
        options["lease_s"] = LEASE_S
        options["timeout_s"] = data.draw(st.sampled_from([None, 3.5]), label="timeout")
    return options


def renewed(store: Store, leases: Sequence[Lease]) -> set[Lease]:
    """Renew *leases* as the heartbeat does, over a connection of its own."""
    renewer = store.renewer()
    try:
        return renewer.renew(leases, LEASE_S)
    finally:
        renewer.close()
