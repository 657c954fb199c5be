"""The store contract, executable. Subclass ``StoreContract``, provide ``store``, run pytest.

A store that passes may be plugged in; one that does not, may not. Our own stores run the same suite, so
the contract cannot drift from what the library relies on::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self, clock: FakeClock) -> MyStore:
            return MyStore(clock=clock)      # empty; leases are measured by *clock*
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Generator
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast._core.audit import AuditEntry
from holdfast._core.change import AppendAudit, Change, Committed, Conflict, PlainOutcome
from holdfast._core.model import Record
from holdfast._core.plan import plan_insert, plan_move
from holdfast._core.states import Event, Safety, State, WorkflowStatus
from holdfast.errors import StoreInvariant
from holdfast.ports import Lease, Store
from holdfast.stores.memory import MemoryStore
from holdfast.testing.conformance.abandoned import AbandonedContract
from holdfast.testing.conformance.approvals import ApprovalContract
from holdfast.testing.conformance.budget_attacks import BudgetAttackContract
from holdfast.testing.conformance.budgets import BudgetContract
from holdfast.testing.conformance.executions import ExecutionContract
from holdfast.testing.conformance.fences import FenceContract
from holdfast.testing.conformance.flows import Flow
from holdfast.testing.conformance.forks import ForkContract
from holdfast.testing.conformance.halts import HaltContract
from holdfast.testing.conformance.inboxes import InboxContract
from holdfast.testing.conformance.journals import JournalContract
from holdfast.testing.conformance.lineages import LineageContract
from holdfast.testing.conformance.listings import ListingContract
from holdfast.testing.conformance.memories import NoteContract
from holdfast.testing.conformance.news import NewsContract
from holdfast.testing.conformance.outside import OutsideContract
from holdfast.testing.conformance.queues import QueueContract
from holdfast.testing.conformance.random_changes import Trial, renewed
from holdfast.testing.conformance.spending import SpendingContract
from holdfast.testing.conformance.steering import SteeringContract
from holdfast.testing.conformance.subject import (
    LEASE_S,
    TENANT,
    TEXTS,
    WORKFLOWS,
    Subject,
    entry_of,
    key_of,
    move_of,
    new_effect,
    stamp,
    with_entry,
)
from holdfast.testing.conformance.views import ViewContract
from holdfast.testing.runtime import FakeClock

DONE: Final = PlainOutcome(result='{"id":1}')
_TRIALS: Final = itertools.count(1)


class StoreContract(
    OutsideContract,
    ExecutionContract,
    FenceContract,
    NewsContract,
    SteeringContract,
    HaltContract,
    QueueContract,
    AbandonedContract,
    ForkContract,
    LineageContract,
    ListingContract,
    JournalContract,
    NoteContract,
    ApprovalContract,
    InboxContract,
    ViewContract,
    BudgetContract,
    BudgetAttackContract,
    SpendingContract,
):
    """Every promise of :class:`holdfast.ports.Store`, one test each."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        """Return the clock that the store measures leases by."""
        return FakeClock()

    @pytest.fixture
    def store(self, clock: FakeClock) -> Store:
        """Return an empty store, not opened yet."""
        raise NotImplementedError

    @pytest.fixture
    def subject(self, store: Store, clock: FakeClock) -> Generator[Subject]:
        """Return the store, opened on an event loop of its own."""
        with asyncio.Runner() as runner:
            runner.run(store.open())
            yield Subject(store, clock, runner.run)
            runner.run(store.close())

    @pytest.fixture
    def flow(self, subject: Subject) -> Flow:
        """Return the store, driven by ops on executions."""
        subject.clock.advance(1.234567)
        return Flow(subject)

    def test_it_says_whether_it_is_durable_and_how_often_to_look(self, subject: Subject) -> None:
        soon, late = subject.store.poll_s

        assert isinstance(subject.store.durable, bool)
        assert 0 < soon <= late

    def test_opening_again_does_nothing(self, subject: Subject) -> None:
        subject.insert()
        before = subject.contents()

        subject.run(subject.store.open())

        assert subject.contents() == before

    def test_closing_again_does_nothing(self, subject: Subject) -> None:
        subject.run(subject.store.close())
        subject.run(subject.store.close())

    def test_an_insert_is_committed_at_the_stores_time(self, subject: Subject) -> None:
        subject.clock.advance(0.000001)
        change, _ = plan_insert(new_effect(0), Event.CLAIM, stamp(subject.clock), owner="a", lease_s=LEASE_S)

        assert subject.commit(change) == Committed(subject.clock())

    def test_a_claimed_effect_is_found_with_every_column(self, subject: Subject) -> None:
        effect = new_effect(0, call_id="call_1", args='{"amount":100}', safety=Safety.IDEMPOTENT)
        subject.clock.advance(1.234567)
        now = subject.clock()

        head = subject.insert(effect=effect, owner="host:1-0", timeout_s=2.5)

        assert subject.find() == Record(
            tenant=TENANT,
            key=effect.key,
            workflow_id=effect.workflow_id,
            tool="charge",
            intent="charge_card",
            safety=Safety.IDEMPOTENT,
            fingerprint=effect.fingerprint,
            args='{"amount":100}',
            call_id="call_1",
            actor="agent",
            state=State.PENDING,
            fence=1,
            attempt=1,
            owner="host:1-0",
            lease_until=now + timedelta(seconds=LEASE_S),
            deadline_at=now + timedelta(seconds=2.5),
            result=None,
            result_gap=None,
            error=None,
            created_at=now,
            updated_at=now,
            observed_at=None,
            audit_seq=1,
            audit_hash=head.audit_hash,
        )

    def test_an_insert_with_an_outcome_is_found_with_it(self, subject: Subject) -> None:
        outcome = PlainOutcome(result="[1]", result_gap="$ is a set", error='{"type":"E","message":""}')

        subject.insert(0, Event.OBSERVE, outcome=outcome)

        record = subject.find()
        assert (record.state, record.attempt, record.observed_at) == (State.SUCCEEDED, 1, subject.clock())
        assert (record.result, record.result_gap, record.error) == ("[1]", "$ is a set", outcome.error)

    def test_a_known_key_is_a_conflict_with_the_effect_that_is_there(self, subject: Subject) -> None:
        subject.insert(owner="first")
        before = subject.contents()
        subject.clock.advance(3)
        other = new_effect(0, args="{}", tool="other")
        change, _ = plan_insert(other, Event.CLAIM, stamp(subject.clock), owner="second", lease_s=LEASE_S)

        answer = subject.commit(change)

        assert answer == Conflict(change.ops[0], subject.find(), subject.clock())
        assert subject.find().owner == "first"
        assert subject.contents() == before

    @pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
    def test_payloads_come_back_to_the_character(self, subject: Subject, text: str) -> None:
        error = PlainOutcome(error=text, error_type="E")
        subject.finished(0, result=text, args=text)
        head = subject.insert(1)
        subject.move(head, Event.DOUBT, outcome=error)

        assert (subject.find(0).args, subject.find(0).result) == (text, text)
        assert subject.find(1).error == text

    @pytest.mark.parametrize(
        ("event", "state"),
        [
            (Event.SUCCEED, State.SUCCEEDED),
            (Event.FAIL, State.FAILED),
            (Event.RELEASE, State.RETRYABLE),
            (Event.DOUBT, State.UNKNOWN),
        ],
    )
    def test_an_outcome_moves_a_claim(self, subject: Subject, event: Event, state: State) -> None:
        claimed = subject.insert()
        before = subject.find()
        subject.clock.advance(4)

        head = subject.move(claimed, event, outcome=PlainOutcome(result="1", error='{"type":"E"}'))

        assert subject.find() == replace(
            before,
            state=state,
            fence=2,
            deadline_at=subject.clock(),
            result="1",
            error='{"type":"E"}',
            updated_at=subject.clock(),
            observed_at=subject.clock(),
            audit_seq=2,
            audit_hash=head.audit_hash,
        )

    def test_a_deadline_that_was_set_is_kept_when_the_handler_ends(self, subject: Subject) -> None:
        claimed = subject.insert(timeout_s=60.0)
        deadline = subject.find().deadline_at
        subject.clock.advance(4)

        subject.move(claimed, Event.DOUBT)

        assert subject.find().deadline_at == deadline

    def test_a_new_claim_has_its_own_owner_lease_and_deadline(self, subject: Subject) -> None:
        released = subject.move(
            subject.insert(timeout_s=60.0), Event.RELEASE, outcome=PlainOutcome(error="1")
        )
        before = subject.find()
        subject.clock.advance(100)

        subject.move(released, Event.CLAIM, owner="second", safety=Safety.READ, lease_s=LEASE_S)

        record = subject.find()
        assert (before.safety, record.safety) == (Safety.UNSAFE, Safety.READ)
        assert (record.owner, record.fence, record.attempt) == ("second", 3, 2)
        assert record.lease_until == subject.clock() + timedelta(seconds=LEASE_S)
        assert record.deadline_at is None
        assert (record.error, record.observed_at) == (before.error, before.observed_at)

    def test_a_note_moves_nothing_but_the_trail(self, subject: Subject) -> None:
        claimed = subject.insert(timeout_s=60.0)
        before = subject.find()
        subject.clock.advance(1)

        head = subject.move(claimed, Event.NOTE, details={"why": "looked"})

        assert subject.find() == replace(
            before, updated_at=subject.clock(), audit_seq=2, audit_hash=head.audit_hash
        )

    @pytest.mark.parametrize("forged", ["fence", "state", "trail"])
    def test_a_stale_move_changes_nothing(self, subject: Subject, forged: str) -> None:
        """I3: state, fence and the end of the audit trail must be what the writer saw."""
        head = subject.move(subject.insert(), Event.DOUBT)
        before = subject.contents()
        change, _ = plan_move(head, Event.RESOLVE_DONE, stamp(subject.clock), outcome=DONE)
        move = move_of(change)
        stale = {
            "fence": replace(move, fence=move.fence - 1),
            "state": replace(move, frm=State.RETRYABLE),
            "trail": replace(move, prev=bytes(32)),
        }[forged]
        entry = replace(entry_of(change), prev=stale.prev)

        answer = subject.commit(Change((stale, *change.ops[1:-1], AppendAudit(entry))))

        assert answer == Conflict(stale, subject.find(), subject.clock())
        assert subject.contents() == before

    def test_a_move_of_an_unknown_effect_finds_nothing(self, subject: Subject) -> None:
        change, _ = plan_move(
            replace(subject.insert(), key=key_of(9)), Event.SUCCEED, stamp(subject.clock), outcome=DONE
        )

        assert subject.commit(change) == Conflict(change.ops[0], None, subject.clock())

    @pytest.mark.parametrize(("waited_s", "taken"), [(LEASE_S - 0.000001, 0), (LEASE_S, 1)])
    def test_a_take_over_needs_a_lease_that_is_over(
        self, subject: Subject, waited_s: float, taken: int
    ) -> None:
        claimed = subject.insert()
        before = subject.contents()
        subject.clock.advance(waited_s)
        change, _ = plan_move(
            claimed, Event.TAKE_OVER, stamp(subject.clock), owner="b", lease_s=LEASE_S, lease_over=True
        )

        answer = subject.commit(change)

        assert isinstance(answer, Committed) == bool(taken)
        assert (subject.contents() == before) != bool(taken)
        assert subject.find().owner == ("b" if taken else "owner-0")

    @pytest.mark.parametrize("event", [Event.SUCCEED, Event.DOUBT])
    def test_a_refused_audit_entry_takes_the_whole_change_with_it(
        self, subject: Subject, event: Event
    ) -> None:
        """I6: no transition without its entry. This one has no number: they begin at 1."""
        claimed = subject.insert()
        before = subject.contents()
        change, _ = plan_move(replace(claimed, audit_seq=-1), event, stamp(subject.clock), outcome=DONE)

        with pytest.raises(StoreInvariant):
            subject.commit(change)

        assert subject.contents() == before

    def test_a_refused_change_fails_alone_among_others(self, subject: Subject) -> None:
        heads = [subject.insert(n) for n in range(5)]
        heads[2] = replace(heads[2], audit_seq=-1)
        changes = [plan_move(head, Event.SUCCEED, stamp(subject.clock), outcome=DONE)[0] for head in heads]

        answers = subject.together(changes)

        assert [type(answer) for answer in answers] == [
            Committed,
            Committed,
            StoreInvariant,
            Committed,
            Committed,
        ]
        assert subject.find(2).state is State.PENDING
        assert {subject.find(n).state for n in (0, 1, 3, 4)} == {State.SUCCEEDED}

    def test_of_many_inserts_of_one_key_exactly_one_wins(self, subject: Subject) -> None:
        changes = [
            plan_insert(new_effect(0), Event.CLAIM, stamp(subject.clock), owner=f"o-{n}", lease_s=LEASE_S)[0]
            for n in range(16)
        ]

        answers = subject.together(changes)

        won = [n for n, answer in enumerate(answers) if isinstance(answer, Committed)]
        assert [f"o-{n}" for n in won] == [subject.find().owner]
        lost = [answer for answer in answers if isinstance(answer, Conflict)]
        assert [answer.found for answer in lost] == [subject.find()] * 15

    def test_of_many_moves_of_one_claim_exactly_one_wins(self, subject: Subject) -> None:
        claimed = subject.insert()
        changes = [
            plan_move(claimed, Event.SUCCEED, stamp(subject.clock), outcome=PlainOutcome(result=str(n)))[0]
            for n in range(16)
        ]

        answers = subject.together(changes)

        won = [n for n, answer in enumerate(answers) if isinstance(answer, Committed)]
        assert [str(n) for n in won] == [subject.find().result]
        assert len(subject.trail()) == 2

    def test_changes_of_many_effects_meet_without_harm(self, subject: Subject) -> None:
        heads = [subject.insert(n) for n in range(40)]
        changes = [plan_move(head, Event.DOUBT, stamp(subject.clock))[0] for head in heads]

        answers = subject.together(changes)

        assert all(isinstance(answer, Committed) for answer in answers)
        assert {record.state for record in subject.effects()} == {State.UNKNOWN}
        assert [_reviews(subject, name)[1] for name in WORKFLOWS] == [20, 20]

    def test_the_trail_is_returned_by_number_and_byte_for_byte(self, subject: Subject) -> None:
        """I6: every transition has its entry, in the same transaction."""
        entries: list[AuditEntry] = []
        change, head = plan_insert(
            new_effect(0), Event.CLAIM, stamp(subject.clock), owner="a", lease_s=LEASE_S
        )
        for event in (Event.NOTE, Event.DOUBT, Event.NOTE, Event.RESOLVE_DONE, None):
            entries.append(entry_of(change))
            subject.commit(change)
            subject.clock.advance(0.000001)
            if event is not None:
                change, head = plan_move(head, event, stamp(subject.clock), details={"why": "ü \0 '\\"})

        assert subject.trail() == tuple(entries)
        assert subject.find().audit_hash == entries[-1].hash

    def test_an_entry_without_body_and_salt_is_kept_as_it_is(self, subject: Subject) -> None:
        change, _ = plan_insert(new_effect(0), Event.ASK, stamp(subject.clock))
        erased = replace(entry_of(change), body=None, salt=None, keyed=True)

        subject.commit(with_entry(change, erased))

        assert subject.trail() == (erased,)

    def test_an_unknown_effect_has_no_trail(self, subject: Subject) -> None:
        assert subject.trail(9) == ()

    def test_doubt_is_counted_into_the_workflow_and_out_of_it(self, subject: Subject) -> None:
        heads = [subject.insert(n) for n in (0, 2)]
        assert subject.run(subject.store.workflow(TENANT, WORKFLOWS[0])) is None

        seen: list[tuple[WorkflowStatus, int]] = []
        for event in (Event.DOUBT, Event.RESOLVE_DONE):
            for at, head in enumerate(heads):
                subject.clock.advance(1)
                heads[at] = subject.move(head, event)
                seen.append(_reviews(subject, WORKFLOWS[0]))

        assert seen == [
            (WorkflowStatus.NEEDS_REVIEW, 1),
            (WorkflowStatus.NEEDS_REVIEW, 2),
            (WorkflowStatus.NEEDS_REVIEW, 1),
            (WorkflowStatus.RUNNING, 0),
        ]

    def test_queries_choose_by_every_filter(self, subject: Subject) -> None:
        """INT-08."""
        subject.insert(0)
        subject.clock.advance(1)
        later = subject.clock()
        subject.finished(1, tool="mail", intent="send_mail")
        subject.clock.advance(1)
        subject.insert(2, Event.DENY)

        def found(**query: Any) -> list[int]:
            keys = [record.key for record in subject.effects(**query)]
            return [n for key in keys for n in range(3) if key == key_of(n)]

        assert found() == [2, 1, 0]
        assert found(workflow_id=WORKFLOWS[0]) == [2, 0]
        assert found(tool="mail") == found(intent="send_mail") == found(state=State.SUCCEEDED) == [1]
        assert found(workflow_id=WORKFLOWS[0], state=State.DENIED) == [2]
        assert found(since=later) == [2, 1]
        assert found(before=later) == [0]
        assert found(workflow_id=WORKFLOWS[0], before=subject.clock()) == [0]
        assert found(key_prefix=key_of(1)[:20]) == [1]
        assert found(limit=2) == [2, 1]
        assert found(tool="nothing") == []

    def test_effects_of_one_moment_have_one_order(self, subject: Subject) -> None:
        for n in range(6):
            subject.insert(n)

        keys = [record.key for record in subject.effects()]

        assert keys == sorted(keys, reverse=True)
        assert [record.key for record in subject.effects(limit=4)] == keys[:4]

    def test_counts_tell_how_many_are_in_each_state(self, subject: Subject) -> None:
        subject.finished(0)
        subject.clock.advance(1)
        subject.finished(1)
        subject.insert(2)

        counts = subject.run(subject.store.counts(TENANT))
        earlier = subject.run(subject.store.counts(TENANT, subject.clock()))

        assert dict(counts) == {State.SUCCEEDED: 2, State.PENDING: 1}
        assert dict(earlier) == {State.SUCCEEDED: 1}

    def test_keys_are_paged_in_order(self, subject: Subject) -> None:
        wanted: list[tuple[str, str]] = []
        for tenant, n in itertools.product(("b", "a"), range(4)):
            subject.insert(effect=new_effect(n, tenant=tenant))
            wanted.append((tenant, key_of(n)))
        wanted.sort()

        def pages(tenant: str | None, size: int) -> list[tuple[str, str]]:
            found: list[tuple[str, str]] = []
            while page := subject.run(subject.store.keys(tenant, found[-1] if found else ("", ""), size)):
                assert len(page) <= size
                found += page
            return found

        assert pages(None, 3) == wanted
        assert pages("b", 3) == [pair for pair in wanted if pair[0] == "b"]
        assert pages("c", 3) == []

    def test_tenants_never_meet(self, subject: Subject) -> None:
        """IDE-11: the same key in two tenants is two effects, in every answer of the store."""
        subject.finished(0)
        mine = subject.contents()
        theirs = subject.insert(effect=new_effect(0, tenant="tenant-2"), owner="theirs")

        subject.move(theirs, Event.DOUBT)
        subject.clock.advance(1)
        reaped = subject.run(subject.store.reap("tenant-3", subject.clock(), 100))

        assert reaped == 0
        assert subject.contents() == mine
        assert subject.find(0, "tenant-2").owner == "theirs"
        assert len(subject.trail(0, "tenant-2")) == 2

    def test_reaping_takes_finished_effects_with_their_trails_and_nothing_else(
        self, subject: Subject
    ) -> None:
        """IDE-20: unfinished business and doubt are for people."""
        events = {
            State.PENDING: None,
            State.RETRYABLE: Event.RELEASE,
            State.UNKNOWN: Event.DOUBT,
            State.SUCCEEDED: Event.SUCCEED,
            State.FAILED: Event.FAIL,
        }
        for n, event in enumerate(events.values()):
            head = subject.insert(n)
            if event is not None:
                subject.move(head, event)
        subject.insert(5, Event.ASK)
        subject.insert(6, Event.DENY)
        subject.clock.advance(1)
        subject.finished(7)
        subject.bystander()

        reaped = subject.run(subject.store.reap(TENANT, subject.clock(), 100))

        assert reaped == 3
        left = {record.state for record in subject.effects()}
        assert left == {State.PENDING, State.RETRYABLE, State.UNKNOWN, State.WAITING, State.SUCCEEDED}
        assert [n for n in range(8) if subject.trail(n)] == [0, 1, 2, 5, 7]

    def test_reaping_takes_no_more_than_it_is_told(self, subject: Subject) -> None:
        for n in range(5):
            subject.finished(n)
        subject.clock.advance(1)
        subject.bystander()

        counts = [subject.run(subject.store.reap(TENANT, subject.clock(), 2)) for _ in range(4)]

        assert counts == [2, 2, 1, 0]

    def test_living_claims_are_renewed_together(self, subject: Subject) -> None:
        heads = [subject.insert(n) for n in range(3)]
        before = [subject.find(n) for n in range(3)]
        subject.clock.advance(7)
        leases = [Lease(TENANT, head.key, head.fence) for head in heads]

        held = renewed(subject.store, leases[:2])

        until = subject.clock() + timedelta(seconds=LEASE_S)
        assert held == set(leases[:2])
        assert [subject.find(n) for n in range(2)] == [replace(r, lease_until=until) for r in before[:2]]
        assert subject.find(2) == before[2]

    def test_what_is_not_held_is_not_renewed(self, subject: Subject) -> None:
        """I3: neither a claim that was taken over, nor one that has its outcome, nor one that never was."""
        lost = subject.insert(0)
        subject.clock.advance(LEASE_S)
        subject.move(lost, Event.TAKE_OVER, owner="b", lease_s=LEASE_S, lease_over=True)
        ended = subject.finished(1)
        before = subject.contents()
        leases = [
            Lease(TENANT, key_of(0), lost.fence),
            Lease(TENANT, key_of(1), ended.fence),
            Lease(TENANT, key_of(2), 1),
            Lease("tenant-2", key_of(0), 2),
        ]

        assert renewed(subject.store, leases) == set()
        assert renewed(subject.store, []) == set()
        assert subject.contents() == before

    def test_a_renewer_renews_again_and_again(self, subject: Subject) -> None:
        head = subject.insert()
        lease = Lease(TENANT, head.key, head.fence)
        renewer = subject.store.renewer()

        for _ in range(5):
            subject.clock.advance(LEASE_S - 1)
            assert renewer.renew([lease], LEASE_S) == {lease}

        renewer.close()
        assert subject.find().lease_until == subject.clock() + timedelta(seconds=LEASE_S)

    def test_joining_changes_nothing_that_a_writer_sees(self, subject: Subject) -> None:
        subject.store.subscribe(list[str]().append)
        claimed = subject.insert()
        before = subject.find()

        subject.run(subject.store.joining(TENANT, key_of(0)))
        subject.run(subject.store.joining(TENANT, key_of(9)))

        assert replace(subject.find(), joined=False) == before
        subject.move(claimed, Event.SUCCEED, outcome=DONE)

    def test_a_local_change_is_committed_with_its_transaction(self, subject: Subject) -> None:
        claimed = subject.insert()
        change, _ = plan_move(claimed, Event.SUCCEED, stamp(subject.clock), outcome=DONE)

        async def commit() -> Committed | Conflict:
            async with subject.store.local() as transaction:
                return await transaction.commit(change)

        assert subject.run(commit()) == Committed(subject.clock())
        assert subject.find().state is State.SUCCEEDED
        assert len(subject.trail()) == 2

    def test_a_local_transaction_that_is_left_is_rolled_back(self, subject: Subject) -> None:
        subject.insert()
        before = subject.contents()

        async def leave() -> None:
            async with subject.store.local() as transaction:
                assert transaction.connection is not None

        subject.run(leave())

        assert subject.contents() == before
        subject.insert(1)

    def test_a_local_conflict_rolls_everything_back(self, subject: Subject) -> None:
        claimed = subject.insert()
        subject.move(claimed, Event.RELEASE)
        before = subject.contents()
        change, _ = plan_move(claimed, Event.SUCCEED, stamp(subject.clock), outcome=DONE)

        async def commit() -> Committed | Conflict:
            async with subject.store.local() as transaction:
                return await transaction.commit(change)

        answer = subject.run(commit())

        assert answer == Conflict(change.ops[0], subject.find(), subject.clock())
        assert subject.contents() == before

    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
            HealthCheck.too_slow,
        ],
    )
    @given(data=st.data())
    def test_random_changes_mean_what_they_mean_to_the_oracle(
        self, subject: Subject, data: st.DataObject
    ) -> None:
        """Answers and contents equal those of the memory store, whatever is tried, stale and forged too."""
        trial = Trial(subject, MemoryStore(clock=subject.clock), f"trial-{next(_TRIALS)}", {})

        trial.begin(data)
        for _ in range(data.draw(st.integers(5, 15), label="steps")):
            trial.step(data)

        trial.contents_agree()


def _reviews(subject: Subject, name: str) -> tuple[WorkflowStatus, int]:
    workflow = subject.run(subject.store.workflow(TENANT, name))
    assert workflow is not None
    assert (workflow.tenant, workflow.workflow_id, workflow.updated_at) == (TENANT, name, subject.clock())
    return workflow.status, workflow.open_reviews
