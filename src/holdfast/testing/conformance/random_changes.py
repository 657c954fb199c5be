"""Sequences of changes, good and forged, for comparing a store with the oracle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from hypothesis import strategies as st

from holdfast._core.change import (
    AppendAudit,
    Change,
    Committed,
    Head,
    InsertEffect,
    PlainOutcome,
    plan_insert,
    plan_move,
)
from holdfast._core.states import TRANSITIONS, Event, Safety, State
from holdfast.errors import StoreInvariant
from holdfast.ports import Lease, Store
from holdfast.stores.memory import MemoryStore
from holdfast.testing.conformance.subject import (
    LEASE_S,
    Subject,
    contents_of,
    entry_of,
    move_of,
    new_effect,
    stamp,
)

KEYS: Final = 3
_TEXTS: Final = ("null", '{"id":1}', '"ü\\u0000\\ud83d"', "9007199254740993")
_OUTCOMES: Final = st.builds(
    PlainOutcome,
    result=st.none() | st.sampled_from(_TEXTS),
    result_gap=st.none() | st.just("$ is a set"),
    error=st.none() | st.just('{"type":"E","message":"m"}'),
    error_type=st.none() | st.just("E"),
)
_FIRST: Final = sorted(event for state, event in TRANSITIONS if state is None)


@dataclass(frozen=True, slots=True)
class Planned:
    """A change, and where its effect stands if it is applied."""

    n: int
    change: Change
    head: Head


@dataclass(slots=True)
class Trial:
    """One tenant on the store under test and on the oracle, and the heads that were real once."""

    subject: Subject
    oracle: MemoryStore
    tenant: str
    heads: dict[int, list[Head]]

    def step(self, data: st.DataObject) -> None:
        """Do one random thing to both stores; they must answer alike."""
        self.subject.clock.advance(data.draw(st.sampled_from([0.0, 0.000001, 4.0, LEASE_S]), label="time"))
        what = data.draw(st.sampled_from(["change"] * 8 + ["together", "renew", "reap"]), label="what")
        if what == "renew":
            self._renew(data)
        elif what == "reap":
            self._reap(data)
        elif what == "together":
            self._together(data)
        else:
            planned = self._planned(data, data.draw(st.integers(0, KEYS - 1), label="key"))
            self._agree(planned, self.subject.answer(planned.change))

    def contents_agree(self) -> None:
        """Both stores hold the same."""
        mine = self.subject.contents(self.tenant)
        assert mine == self.subject.run(contents_of(self.oracle, self.tenant))

    def _agree(self, planned: Planned, answer: object) -> None:
        try:
            expected: object = self.oracle.apply(planned.change)
        except StoreInvariant:
            expected = StoreInvariant
        assert answer == expected
        if isinstance(expected, Committed):
            self.heads.setdefault(planned.n, []).append(planned.head)

    def _together(self, data: st.DataObject) -> None:
        keys = data.draw(st.lists(st.integers(0, KEYS - 1), min_size=2, unique=True), label="keys")
        planned = [self._planned(data, n) for n in keys]
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
        limit = data.draw(st.integers(1, KEYS), label="limit")
        run, store = self.subject.run, self.subject.store
        assert run(store.counts(self.tenant, before)) == run(self.oracle.counts(self.tenant, before))
        if limit == KEYS:  # which ones go first is the store's choice, so all of them or none
            self.subject.bystander()
            count = run(store.reap(self.tenant, before, limit))
            assert count == run(self.oracle.reap(self.tenant, before, limit))

    def _planned(self, data: st.DataObject, n: int) -> Planned:
        past = self.heads.get(n, [])
        if not past or data.draw(st.integers(0, 5), label="insert") == 0:
            return self._insert(data, n)
        head = past[-1] if data.draw(st.booleans(), label="newest") else data.draw(st.sampled_from(past))
        events = sorted(event for state, event in TRANSITIONS if state is head.state)
        event = data.draw(st.sampled_from(events), label="event")
        options = _options(data, event)
        if head.state is State.PENDING:
            options["lease_over"] = data.draw(st.booleans(), label="lease_over")
        options["safety"] = data.draw(st.none() | st.sampled_from(Safety), label="safety")
        change, after = plan_move(_forged(data, head), event, stamp(self.subject.clock), **options)
        if data.draw(st.integers(0, 3), label="forge the guard") == 0:
            change = _with_forged_guard(data, change)
        return Planned(n, change, after)

    def _insert(self, data: st.DataObject, n: int) -> Planned:
        event = data.draw(st.sampled_from(_FIRST), label="first event")
        effect = new_effect(n, tenant=self.tenant, args=data.draw(st.sampled_from(_TEXTS), label="args"))
        options = _options(data, event)
        change, head = plan_insert(effect, event, stamp(self.subject.clock), **options)
        assert isinstance(change.ops[0], InsertEffect)
        return Planned(n, change, head)


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
