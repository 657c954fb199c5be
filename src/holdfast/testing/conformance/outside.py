"""The part of the store contract that is about the world outside: dependencies, signals, retries, stops."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from holdfast._core.change import (
    Admission,
    Change,
    Committed,
    Conflict,
    Head,
    PlainOutcome,
    Retrying,
    WorkflowStop,
)
from holdfast._core.dependency import BreakerState, Dependency, DependencyRecord, new_record
from holdfast._core.plan import plan_insert, plan_move
from holdfast._core.states import Event, State, WorkflowStatus
from holdfast.ports import FoundDependency, WorkflowRecord
from holdfast.testing.conformance.subject import (
    LEASE_S,
    OUTSIDE,
    TENANT,
    WORKFLOWS,
    Subject,
    dependency,
    key_of,
    new_effect,
    signal,
    stamp,
)

STRIPE = Admission(dependency="stripe", obeys=False)
OBEYS = Admission(dependency=None, obeys=True)
BOTH = Admission(dependency="stripe", obeys=True)
STOP = WorkflowStop(reason="401 from stripe")
RESUME = WorkflowStop(reason=None)


def _claim(
    subject: Subject,
    n: int = 0,
    admission: Admission | None = BOTH,
    *,
    untold: bool = False,
    **columns: Any,
) -> Change:
    """Return the insert that claims the n-th effect."""
    change, _ = plan_insert(
        new_effect(n, **columns),
        Event.CLAIM,
        stamp(subject.clock),
        owner="a",
        lease_s=LEASE_S,
        admission=admission,
        untold=untold,
    )
    return change


def _next_claim(
    subject: Subject, head: Head, event: Event = Event.CLAIM, admission: Admission | None = BOTH
) -> Change:
    """Return the move that claims the effect at *head*."""
    is_over = event is Event.TAKE_OVER
    moment = stamp(subject.clock)
    change, _ = plan_move(
        head, event, moment, owner="b", lease_s=LEASE_S, lease_over=is_over, admission=admission
    )
    return change


def _released(subject: Subject, n: int = 0) -> Head:
    return subject.move(subject.insert(n), Event.RELEASE)


def _stop(subject: Subject, n: int = 0) -> Head:
    """Let the n-th effect stop its workflow."""
    return subject.move(subject.insert(n), Event.RELEASE, workflow=STOP)


class OutsideContract:
    """What :class:`holdfast.ports.Store` promises of systems outside, one test each.

    Part of ``StoreContract``, which says what its fixtures are.
    """

    def test_a_claim_is_admitted_where_nothing_is_known_against_it(self, subject: Subject) -> None:
        released = _released(subject, 1)

        assert isinstance(subject.commit(_claim(subject)), Committed)
        assert isinstance(subject.commit(_next_claim(subject, released)), Committed)

    @pytest.mark.parametrize("state", BreakerState)
    def test_a_new_effect_is_claimed_only_while_the_breaker_is_closed(
        self, subject: Subject, state: BreakerState
    ) -> None:
        """RET-16, RET-17: refused with nothing on record, for there is nothing to resume."""
        assert subject.put(dependency(subject.clock, state=state))
        before = subject.contents()
        change = _claim(subject, admission=STRIPE)

        answer = subject.commit(change)

        if state is BreakerState.CLOSED:
            assert answer == Committed(subject.clock())
            assert subject.find().state is State.PENDING
        else:
            assert answer == Conflict(change.ops[0], None, subject.clock())
            assert subject.contents() == before

    @pytest.mark.parametrize("state", BreakerState)
    @pytest.mark.parametrize("event", [Event.CLAIM, Event.TAKE_OVER])
    def test_an_effect_is_claimed_again_only_while_the_breaker_is_closed(
        self, subject: Subject, event: Event, state: BreakerState
    ) -> None:
        """RET-17: what is refused stays as it was, to be resumed under the same key."""
        head = _released(subject) if event is Event.CLAIM else subject.insert()
        subject.clock.advance(LEASE_S)
        assert subject.put(dependency(subject.clock, state=state))
        before = subject.contents()
        change = _next_claim(subject, head, event, STRIPE)

        answer = subject.commit(change)

        if state is BreakerState.CLOSED:
            assert answer == Committed(subject.clock())
            assert subject.find().owner == "b"
        else:
            assert answer == Conflict(change.ops[0], subject.find(), subject.clock())
            assert subject.contents() == before

    def test_a_stopped_workflow_refuses_claims_until_it_may_go_on(self, subject: Subject) -> None:
        """RET-09."""
        again = _released(subject, 2)
        stopper = _stop(subject)
        changes = [_claim(subject, 4, OBEYS), _next_claim(subject, again, admission=OBEYS)]
        before = subject.contents()

        refused = [subject.commit(change) for change in changes]
        unmoved = subject.contents() == before
        subject.move(stopper, Event.NOTE, workflow=RESUME)
        admitted = [subject.commit(change) for change in changes]

        assert refused == [
            Conflict(changes[0].ops[0], None, subject.clock()),
            Conflict(changes[1].ops[0], before.effects[_place(before.effects, 2)], subject.clock()),
        ]
        assert unmoved
        assert all(isinstance(answer, Committed) for answer in admitted)

    def test_only_what_a_claim_names_can_refuse_it(self, subject: Subject) -> None:
        """Not another dependency, another workflow, another tenant's, nor what need not hold."""
        _stop(subject, 0)
        subject.put(dependency(subject.clock, state=BreakerState.OPEN))
        changes = [
            _claim(subject, 2, None),  # of the stopped workflow, but nothing is asked for
            _claim(subject, 6, Admission(dependency="mail", obeys=False)),  # of the stopped workflow as well
            _claim(subject, 1, OBEYS),  # of another workflow
            _claim(subject, 4, BOTH, tenant="tenant-2"),
        ]

        answers = [subject.commit(change) for change in changes]

        assert [type(answer) for answer in answers] == [Committed] * 4

    def test_a_known_key_is_found_before_its_claim_is_refused(self, subject: Subject) -> None:
        """IDE-04: what is on record is answered from it, whatever has become of the dependency."""
        subject.finished(0)
        subject.put(dependency(subject.clock, state=BreakerState.OPEN))
        change = _claim(subject)

        assert subject.commit(change) == Conflict(change.ops[0], subject.find(), subject.clock())

    @pytest.mark.parametrize("outcome", ["done", "not_done", "still_unknown"])
    @pytest.mark.parametrize("untold", [True, False])
    def test_a_new_effect_that_must_be_untold_is_claimed_only_while_nobody_told_that_it_is_done(
        self, subject: Subject, outcome: Any, *, untold: bool
    ) -> None:
        """I1, IDE-27: looked for with the claim, by its very key."""
        for other in ({"subject": key_of(1)}, {"tenant": "tenant-2", "subject": key_of(0)}):
            subject.tell(signal(subject.clock, **other))
        before = subject.tell(signal(subject.clock, subject=key_of(0), outcome=outcome))
        change = _claim(subject, untold=untold)

        answer = subject.commit(change)

        assert before
        if untold and outcome == "done":
            assert answer == Conflict(change.ops[0], None, subject.clock())
        else:
            assert answer == Committed(subject.clock())

    def test_a_refused_claim_fails_alone_among_others(self, subject: Subject) -> None:
        subject.put(dependency(subject.clock, state=BreakerState.OPEN))
        names = ["mail", "stripe", "mail", None]
        changes = [_claim(subject, n, Admission(dependency=name, obeys=True)) for n, name in enumerate(names)]

        answers = subject.together(changes)

        assert [type(answer) for answer in answers] == [Committed, Conflict, Committed, Committed]
        assert sorted(record.key for record in subject.effects()) == sorted(map(key_of, (0, 2, 3)))

    def test_what_an_insert_says_of_the_outside_is_found(self, subject: Subject) -> None:
        """CMP-05, IDE-27: which effect it undoes, and what the system outside calls it."""
        outcome = PlainOutcome(result="1", external_id=OUTSIDE[0])

        subject.insert(0, Event.OBSERVE, outcome=outcome, undoes=key_of(7))
        subject.insert(1)

        record, plain = subject.find(0), subject.find(1)
        assert (record.external_id, record.undoes) == (OUTSIDE[0], key_of(7))
        assert (plain.external_id, plain.undoes, plain.not_before) == (None, None, None)
        assert (plain.uncertain, plain.spent, plain.retry_from, plain.retry_since) == (False, False, 0, None)

    def test_an_external_name_stays_until_another_one_is_told(self, subject: Subject) -> None:
        head = subject.insert()
        seen: list[str | None] = []

        for event, outcome in (
            (Event.RELEASE, PlainOutcome(error="1", external_id=OUTSIDE[0])),
            (Event.CLAIM, None),
            (Event.RELEASE, PlainOutcome(error="2")),
            (Event.NOTE, PlainOutcome(external_id=OUTSIDE[1])),
        ):
            claim = {"owner": "a", "lease_s": LEASE_S} if event is Event.CLAIM else {}
            head = subject.move(head, event, outcome=outcome, **claim)
            seen.append(subject.find().external_id)

        assert seen == [OUTSIDE[0], OUTSIDE[0], OUTSIDE[0], OUTSIDE[1]]

    def test_what_is_known_of_retries_stays_until_it_is_told_otherwise(self, subject: Subject) -> None:
        """RET-11: on record, so that it holds over calls, processes and restarts."""
        head = subject.insert()
        seen: list[tuple[bool, bool]] = []

        for event, retrying in (
            (Event.RELEASE, Retrying(uncertain=True, spent=True)),
            (Event.NOTE, None),
            (Event.NOTE, Retrying(uncertain=False)),
            (Event.NOTE, Retrying(spent=False)),
        ):
            head = subject.move(head, event, retrying=retrying)
            seen.append((subject.find().uncertain, subject.find().spent))

        assert seen == [(True, True), (True, True), (False, True), (False, False)]

    def test_a_delay_is_counted_from_the_stores_time_and_ends_with_the_next_transition(
        self, subject: Subject
    ) -> None:
        """RET-05, RET-13: a note, which moves nothing, leaves it unless it brings one of its own."""
        head = subject.insert()
        released = subject.move(head, Event.RELEASE, retrying=Retrying(delay_s=2.5))
        first = subject.clock() + timedelta(seconds=2.5)
        assert subject.find().not_before == first

        subject.clock.advance(1.000001)
        noted = subject.move(released, Event.NOTE)
        assert subject.find().not_before == first

        later = subject.move(noted, Event.NOTE, retrying=Retrying(delay_s=0.0))
        assert subject.find().not_before == subject.clock()

        subject.move(later, Event.CLAIM, owner="b", lease_s=LEASE_S)
        assert subject.find().not_before is None

    @pytest.mark.parametrize("event", [Event.CLAIM, Event.NOTE])
    def test_a_new_budget_of_retries_begins_with_the_attempts_there_are(
        self, subject: Subject, event: Event
    ) -> None:
        """RET-11: the attempt that begins with it does not count against it, being granted by itself."""
        released = _released(subject)
        before = subject.find()
        subject.clock.advance(3)
        claim = {"owner": "b", "lease_s": LEASE_S} if event is Event.CLAIM else {}

        renewed = subject.move(released, event, retrying=Retrying(spent=True, renews=True), **claim)
        granted = subject.find()
        subject.clock.advance(3)
        subject.move(renewed, Event.NOTE)

        assert (before.attempt, before.retry_from, before.retry_since) == (1, 0, None)
        assert granted.attempt == granted.retry_from == 1 + (event is Event.CLAIM)
        assert granted.retry_since == granted.updated_at
        assert not granted.spent
        kept = subject.find()
        assert (kept.retry_from, kept.retry_since) == (granted.retry_from, granted.retry_since)

    def test_a_claim_under_which_nothing_was_started_counts_against_no_budget(self, subject: Subject) -> None:
        """RET-11: as many attempts are taken off as there were such claims."""
        head = subject.insert()
        for _ in range(2):
            released = subject.move(head, Event.RELEASE, retrying=Retrying(unstarted=True))
            head = subject.move(released, Event.CLAIM, owner="b", lease_s=LEASE_S)
        subject.move(head, Event.RELEASE)

        record = subject.find()
        assert (record.attempt, record.retry_from, record.retry_since) == (3, 2, None)

    def test_a_workflow_is_stopped_by_an_effect_and_goes_on_again(self, subject: Subject) -> None:
        """RET-09, CMP-07: it needs review as long as it is stopped, whatever becomes of its doubts."""
        stopper = subject.move(subject.insert(0), Event.DOUBT, workflow=STOP)
        stopped = subject.workflow()
        subject.clock.advance(1)
        solved = subject.move(stopper, Event.RESOLVE_DONE)
        without_doubt = subject.workflow()
        subject.move(solved, Event.NOTE, workflow=RESUME)

        assert stopped == WorkflowRecord(
            tenant=TENANT,
            workflow_id=WORKFLOWS[0],
            status=WorkflowStatus.NEEDS_REVIEW,
            open_reviews=1,
            updated_at=subject.clock() - timedelta(seconds=1),
            stopped=STOP.reason,
            stopped_by=key_of(0),
        )
        assert without_doubt == replace(stopped, open_reviews=0, updated_at=subject.clock())
        assert subject.workflow() == replace(
            without_doubt, status=WorkflowStatus.RUNNING, stopped=None, stopped_by=None
        )

    def test_a_workflow_that_goes_on_still_needs_review_while_it_is_in_doubt(self, subject: Subject) -> None:
        doubted = subject.move(subject.insert(0), Event.DOUBT, workflow=STOP)

        subject.move(doubted, Event.NOTE, workflow=RESUME)

        record = subject.workflow()
        assert (record.status, record.open_reviews) == (WorkflowStatus.NEEDS_REVIEW, 1)
        assert (record.stopped, record.stopped_by) == (None, None)

    def test_the_last_stop_of_a_workflow_is_the_one_on_record(self, subject: Subject) -> None:
        _stop(subject, 0)

        subject.move(subject.insert(2), Event.RELEASE, workflow=WorkflowStop(reason="a person said so"))

        record = subject.workflow()
        assert (record.stopped, record.stopped_by) == ("a person said so", key_of(2))
        assert (record.status, record.open_reviews) == (WorkflowStatus.NEEDS_REVIEW, 0)

    def test_a_stop_that_is_said_again_stays_with_who_said_it_first(self, subject: Subject) -> None:
        _stop(subject, 0)

        subject.move(subject.insert(2), Event.RELEASE, workflow=STOP)

        record = subject.workflow()
        assert (record.stopped, record.stopped_by) == (STOP.reason, key_of(0))

    def test_workflows_are_listed_last_touched_first(self, subject: Subject) -> None:
        """CMP-07: the queue of what needs review."""
        for n, event in enumerate((Event.DOUBT, Event.RELEASE, Event.DOUBT)):
            effect = new_effect(n, workflow_id=f"w{n}")
            subject.move(subject.insert(n, effect=effect), event, workflow=RESUME)
            subject.clock.advance(n)  # the first two at one moment
        theirs = subject.insert(effect=new_effect(0, tenant="tenant-2"))
        subject.move(theirs, Event.DOUBT)

        def found(status: WorkflowStatus | None, limit: int = 9) -> list[str]:
            listed = subject.run(subject.store.workflows(TENANT, status, limit))
            return [workflow.workflow_id for workflow in listed]

        assert found(None) == ["w2", "w1", "w0"]
        assert found(None, 2) == ["w2", "w1"]
        assert found(WorkflowStatus.NEEDS_REVIEW) == ["w2", "w0"]
        assert found(WorkflowStatus.RUNNING) == ["w1"]
        assert found(WorkflowStatus.FAILED) == []

    def test_an_unknown_dependency_is_answered_with_the_stores_time(self, subject: Subject) -> None:
        subject.clock.advance(0.000001)

        found = subject.run(subject.store.dependency(TENANT, "stripe"))

        assert found == FoundDependency(None, subject.clock())
        assert list(subject.run(subject.store.dependencies(TENANT))) == []

    def test_a_dependency_is_found_as_it_was_written(self, subject: Subject) -> None:
        """RET-15, RET-16: whoever looks sees the same breaker and the same budget."""
        subject.clock.advance(1.234567)
        plain = dependency(subject.clock, name="ü / mail'; --")
        full = replace(
            plain,
            name="stripe",
            state=BreakerState.HALF_OPEN,
            retry_at=subject.clock() + timedelta(seconds=30, microseconds=1),
            probe="host:1-0/7",
            trips=3,
            window=((1_767_225_600, 5, 2), (1_767_225_606, 0, 11)),
            throttled=4,
            unavailable=2,
            alerted=True,
            tokens=12.345678,
        )

        written = [subject.put(full), subject.put(plain)]

        assert written == [True, True]
        for record in (full, plain):
            found = subject.run(subject.store.dependency(TENANT, record.name))
            assert found == FoundDependency(record, subject.clock())

    def test_a_dependency_is_written_only_over_the_version_before(self, subject: Subject) -> None:
        """RET-16: so nobody's count is lost, and of two probes only one is on record."""
        subject.put(dependency(subject.clock, name="mail", version=1, tokens=9.0))
        versions = [2, 1, 1, 3, 2, 2, 1, 3]
        records = [dependency(subject.clock, version=v, trips=n) for n, v in enumerate(versions)]

        written = [subject.put(record) for record in records]

        assert written == [False, True, False, False, True, False, False, True]
        assert _known(subject)[1] == records[-1]
        assert _known(subject)[0].tokens == 9.0

    def test_of_many_writers_of_one_version_exactly_one_wins(self, subject: Subject) -> None:
        """RET-16: exactly one probe."""
        for version in (1, 2):
            records = [dependency(subject.clock, version=version, trips=n) for n in range(16)]

            won = [record for record, wins in zip(records, _put_all(subject, records), strict=True) if wins]

            assert won == _known(subject)

    def test_dependencies_are_listed_by_name_for_each_tenant(self, subject: Subject) -> None:
        """IDE-11: a dependency of the same name is another tenant's own affair."""
        for name in ("stripe", "Mail", "ärger", "mail"):
            subject.put(dependency(subject.clock, name=name))
        theirs = dependency(subject.clock, tenant="tenant-2", state=BreakerState.OPEN)

        assert subject.put(theirs)
        assert [record.name for record in _known(subject)] == ["Mail", "mail", "stripe", "ärger"]
        assert list(subject.run(subject.store.dependencies("tenant-2"))) == [theirs]
        assert _known(subject)[2].state is BreakerState.CLOSED

    def test_a_signal_is_kept_once(self, subject: Subject) -> None:
        """IDE-27: what comes again under the same id, with the same outcome, changes nothing."""
        subject.clock.advance(0.123456)
        first = signal(subject.clock, body='"ü\\u0000"')

        answers = [subject.tell(first), subject.tell(first)]
        subject.clock.advance(1)
        answers.append(subject.tell(signal(subject.clock, body="2")))

        assert answers == [True, False, False]
        assert subject.signals() == [first]

    def test_one_id_for_several_outcomes_names_as_many_signals(self, subject: Subject) -> None:
        """IDE-27: a sender may name what it tells of instead of the telling."""
        told = [signal(subject.clock, outcome=word) for word in ("still_unknown", "not_done", "done")]

        answers = [subject.tell(each) for each in told]

        assert answers == [True, True, True]
        assert subject.signals() == told[::-1]

    def test_of_many_tellers_of_one_signal_exactly_one_is_the_first(self, subject: Subject) -> None:
        """IDE-27."""
        told = [signal(subject.clock, body=str(n)) for n in range(16)]

        async def all_of_them() -> list[bool]:
            return list(await asyncio.gather(*(subject.store.put_signal(each) for each in told)))

        answers = subject.run(all_of_them())

        assert [each for each, is_new in zip(told, answers, strict=True) if is_new] == subject.signals()

    def test_signals_are_told_oldest_first_for_each_subject(self, subject: Subject) -> None:
        """IDE-27, IDE-11: in the order in which they came, whatever order they were kept in."""
        now = subject.clock()
        early, late = now - timedelta(microseconds=1), now + timedelta(seconds=1)
        mine = [
            signal(subject.clock, "c", received_at=late, outcome="not_done"),
            signal(subject.clock, "b", outcome="still_unknown"),
            signal(subject.clock, "a"),
            signal(subject.clock, "d", received_at=early),
        ]
        others = [
            signal(subject.clock, "a", subject=OUTSIDE[1]),
            signal(subject.clock, "a", subject=key_of(0)),
            signal(subject.clock, "a", tenant="tenant-2"),
        ]

        answers = [subject.tell(told) for told in (*mine, *others)]

        assert answers == [True] * 7
        assert [told.id for told in subject.signals()] == ["d", "a", "b", "c"]
        assert subject.signals() == [mine[3], mine[2], mine[1], mine[0]]
        assert [subject.signals(OUTSIDE[1]), subject.signals(key_of(0))] == [[others[0]], [others[1]]]
        assert subject.signals(tenant="tenant-2") == [others[2]]
        assert subject.signals("nobody") == []

    def test_dependencies_that_nobody_called_for_long_are_forgotten(self, subject: Subject) -> None:
        """Names may come from models; a circuit that is open is not forgotten."""
        for n, state in enumerate((BreakerState.CLOSED, BreakerState.OPEN, BreakerState.CLOSED)):
            subject.clock.advance(10)
            retry_at = None if state is BreakerState.CLOSED else subject.clock()
            record = new_record(TENANT, Dependency(f"d{n}"), subject.clock())
            known = replace(
                record, version=1, state=state, retry_at=retry_at, trips=int(retry_at is not None)
            )
            assert subject.run(subject.store.put_dependency(known))
        before = subject.clock()
        assert subject.run(subject.store.reap_rest("tenant-2", before, 9)) == 0
        assert subject.run(subject.store.reap_rest(TENANT, before, 9)) == 1

        assert [d.name for d in subject.run(subject.store.dependencies(TENANT))] == ["d1", "d2"]

    def test_signals_of_what_stopped_a_workflow_stay_as_long_as_that_does(self, subject: Subject) -> None:
        """IDE-20, CMP-07: "done", told of what is on record as failed, is all that a person has to go by."""
        failed = subject.move(subject.insert(), Event.FAIL)
        stopper = subject.move(failed, Event.NOTE, workflow=STOP)
        subject.tell(signal(subject.clock, subject=key_of(0)))
        subject.insert(1)  # the newest entry stays on SQLite
        subject.clock.advance(1)

        def reaped() -> tuple[int, int]:
            before = subject.clock()
            effects = subject.run(subject.store.reap(TENANT, before, 9))
            return effects, subject.run(subject.store.reap_rest(TENANT, before, 9))

        while_stopped = reaped()
        subject.move(stopper, Event.NOTE, workflow=RESUME)
        subject.move(subject.insert(2), Event.RELEASE)
        subject.clock.advance(1)

        assert while_stopped == (0, 0)
        assert reaped() == (1, 1)

    def test_old_signals_are_reaped_and_newer_ones_stay(self, subject: Subject) -> None:
        """IDE-20."""
        old = [signal(subject.clock, f"old-{n}") for n in range(5)]
        theirs = signal(subject.clock, tenant="tenant-2")
        subject.clock.advance(1)
        new = signal(subject.clock, "new")
        for told in (*old, theirs, new):
            subject.tell(told)

        reaped: list[tuple[int, int]] = []
        for limit in (2, 2, 9):
            count = subject.run(subject.store.reap_rest(TENANT, subject.clock(), limit))
            reaped.append((count, len(subject.signals())))

        assert reaped == [(2, 4), (2, 2), (1, 1)]
        assert subject.signals() == [new]
        assert subject.signals(tenant="tenant-2") == [theirs]

    def test_what_stopped_a_workflow_is_kept_as_long_as_it_is_stopped(self, subject: Subject) -> None:
        """RET-09, IDE-20: whoever has to let it go on must be able to see why it was stopped."""
        stopper = subject.move(subject.insert(0), Event.FAIL, workflow=STOP)
        subject.finished(2)
        subject.clock.advance(1)
        subject.bystander()

        counts = [subject.run(subject.store.reap(TENANT, subject.clock(), 9))]
        kept = subject.trail(0)
        subject.move(stopper, Event.NOTE, workflow=RESUME)
        subject.clock.advance(1)
        subject.bystander()
        counts.append(subject.run(subject.store.reap(TENANT, subject.clock(), 9)))

        assert counts == [1, 1]
        assert len(kept) == 2
        assert subject.effects() == []

    def test_effects_are_found_by_what_the_outside_calls_them(self, subject: Subject) -> None:
        """IDE-27: together with every other filter."""
        for n, name in enumerate((OUTSIDE[0], OUTSIDE[1], OUTSIDE[0], OUTSIDE[0])):
            state = Event.RELEASE if n == 3 else Event.SUCCEED
            tool = "mail" if n == 2 else "charge"
            head = subject.insert(n, effect=new_effect(n, tool=tool, intent=tool))
            subject.move(head, state, outcome=PlainOutcome(result="1", external_id=name))
            subject.clock.advance(1)
        subject.insert(4)
        start = subject.clock() - timedelta(seconds=4)

        def found(name: str = OUTSIDE[0], **query: Any) -> list[int]:
            keys = [record.key for record in subject.effects(external_id=name, **query)]
            return [n for key in keys for n in range(5) if key == key_of(n)]

        assert found() == [3, 2, 0]
        assert found(OUTSIDE[1]) == [1]
        assert found("ch_") == []
        assert found(limit=2) == [3, 2]
        assert found(workflow_id=WORKFLOWS[0]) == [2, 0]
        assert found(state=State.RETRYABLE) == [3]
        assert found(state=State.SUCCEEDED) == [2, 0]
        assert found(tool="mail") == found(intent="mail") == [2]
        assert found(since=start + timedelta(seconds=2)) == [3, 2]
        assert found(before=start + timedelta(seconds=2)) == [0]
        assert found(key_prefix=key_of(2)[:20]) == [2]

    @pytest.mark.parametrize("filters", [{}, {"state": State.RETRYABLE}, {"workflow_id": WORKFLOWS[0]}])
    def test_effects_are_found_when_they_are_due(self, subject: Subject, filters: dict[str, Any]) -> None:
        """RET-11: at any time, where nothing was said of it; a moment before it is due, not yet."""
        for n, delay_s in ((0, None), (2, 5.0), (4, 5.000001)):
            subject.move(subject.insert(n), Event.RELEASE, retrying=Retrying(delay_s=delay_s))

        due = subject.clock() + timedelta(seconds=5)
        soon = {record.key for record in subject.effects(due=due, **filters)}
        early = {record.key for record in subject.effects(due=due - timedelta(microseconds=1), **filters)}

        assert soon == {key_of(0), key_of(2)}
        assert early == {key_of(0)}
        assert len(subject.effects(**filters)) == 3

    @pytest.mark.parametrize("filters", [{}, {"state": State.RETRYABLE}, {"workflow_id": WORKFLOWS[0]}])
    def test_what_has_waited_longest_is_listed_first(self, subject: Subject, filters: dict[str, Any]) -> None:
        """IDE-15: by when it is due, else by its age; a limit cuts off what has waited least."""
        for n, delay_s in ((0, 9.0), (2, None), (4, 1.0)):
            subject.move(subject.insert(n), Event.RELEASE, retrying=Retrying(delay_s=delay_s))
            subject.clock.advance(1)
        due = subject.clock() + timedelta(seconds=60)

        found = [record.key for record in subject.effects(due=due, **filters)]
        first = [record.key for record in subject.effects(due=due, limit=2, **filters)]

        assert found == [key_of(2), key_of(4), key_of(0)]
        assert first == found[:2]

    def test_claims_are_found_whose_lease_is_over(self, subject: Subject) -> None:
        """I2: to the microsecond, oldest first; a living claim is not among them."""
        for n in range(3):
            subject.insert(n)
            subject.clock.advance(1)
        over = subject.find(1).lease_until

        found = [record.key for record in subject.effects(state=State.PENDING, lapsed=over)]
        early = [record.key for record in subject.effects(lapsed=over - timedelta(microseconds=1))]

        assert found == [key_of(0), key_of(1)]
        assert early == [key_of(0)]


def _place(records: Sequence[Any], n: int) -> int:
    [place] = [at for at, record in enumerate(records) if record.key == key_of(n)]
    return place


def _known(subject: Subject) -> list[DependencyRecord]:
    return list(subject.run(subject.store.dependencies(TENANT)))


def _put_all(subject: Subject, records: Sequence[DependencyRecord]) -> list[bool]:
    """Write *records* at the same time."""

    async def all_of_them() -> list[bool]:
        return list(await asyncio.gather(*map(subject.store.put_dependency, records)))

    return subject.run(all_of_them())
