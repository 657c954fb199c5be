"""The part of the store contract that is about journals: steps, listings, leases, and the model of it all."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast._core.advance import Leave
from holdfast._core.execution import StepKind, StepState
from holdfast._core.states import Event, WorkflowStatus
from holdfast.ports import ExecutionQuery, Lease
from holdfast.stores.memory import MemoryStore
from holdfast.testing.conformance.flows import FLOW, Flow, begin, progress, send, step, take
from holdfast.testing.conformance.random_changes import renewed
from holdfast.testing.conformance.random_executions import FlowTrial
from holdfast.testing.conformance.subject import LEASE_S, TENANT, TEXTS, Subject, key_of, new_effect

LEASE: Final = timedelta(seconds=LEASE_S)
MICROSECOND: Final = timedelta(microseconds=1)
STRANGE: Final = (
    "",
    " ",
    "é / e\u0301 💳 \u2028",
    "\\ ' -- ; \" %s :name ${x}",
    "[1,null]",
    "007",
    "\ud7ff\ue000",
)
WAITING: Final = WorkflowStatus.WAITING
_TRIALS: Final = itertools.count(1)


class JournalContract:
    """What :class:`holdfast.ports.Store` promises of journals, one test each.

    Part of ``StoreContract``, which says what its fixtures are.
    """

    def test_a_step_is_found_with_every_column_and_replaced_under_its_place(self, flow: Flow) -> None:
        flow.advance(begin(flow.clock))
        flow.advance(progress(flow.clock, step(flow.clock)))
        flow.clock.advance(1.000001)
        full = step(
            flow.clock,
            1,
            kind=StepKind.WAIT,
            state=StepState.FAILED,
            attempt=3,
            started_at=flow.clock() - LEASE,
            args="[1]",
            result="[2]",
            error="[3]",
            due_at=flow.clock() + MICROSECOND,
            effect=key_of(7),
        )
        places = [
            step(flow.clock, name="Ask"),
            step(flow.clock, fingerprint="f1"),
            step(flow.clock, occurrence=1),
        ]

        flow.advance(progress(flow.clock, step(flow.clock, 9), *places, full))
        first = flow.journal().steps
        flow.advance(progress(flow.clock, step(flow.clock)))

        assert first == (full, places[0], places[2], places[1])
        assert flow.journal().steps == (places[0], step(flow.clock), places[2], places[1])

    @pytest.mark.parametrize("kind", StepKind)
    def test_steps_are_told_in_the_order_of_their_ends(self, flow: Flow, kind: StepKind) -> None:
        """Pending ones last, by name, fingerprint and occurrence: in the order of bytes."""
        flow.advance(begin(flow.clock))
        ended = [step(flow.clock, n, kind=kind, name=f"s{n % 3}", occurrence=n) for n in (10, 2, 9, 1, 11)]
        pending = [
            step(flow.clock, kind=kind, name=name, fingerprint=fingerprint, occurrence=n)
            for name in ("ä", "b", "B", "a")
            for fingerprint in ("f1", "f0")
            for n in (10, 9)
        ]
        flow.advance(progress(flow.clock, *pending, *ended))

        assert [told.position for told in flow.journal().steps[:5]] == [1, 2, 9, 10, 11]
        assert list(flow.journal().steps[5:]) == sorted(pending, key=lambda told: told.place)

    def test_texts_and_names_come_back_to_the_character(self, flow: Flow) -> None:
        for n, text in enumerate((*TEXTS, *STRANGE)):
            name = f"{n} {text[:99]}"
            flow.advance(
                begin(flow.clock, name, input=text, function=text, version=text, actor=text, owner=name)
            )
            kept = step(flow.clock, 1, name=name, fingerprint=name, args=text, result=text, error=text)
            flow.advance(send(flow.clock, name, workflow_id=name, name=name, body=text))
            said = Leave(to=WAITING, output=text, error=text, waits_for=text)
            after = flow.advance(progress(flow.clock, kept, workflow_id=name, leave=said))

            journal = flow.journal(name)
            assert (after.input, after.function, after.version, after.actor) == (text,) * 4
            assert (after.output, after.error, after.waits_for) == (text,) * 3
            assert journal.steps == (kept,)
            assert [(told.name, told.id, told.body) for told in journal.messages] == [(name, name, text)]
            assert flow.names(workflow_id=name) == [name]
            assert name in flow.names(functions=["nobody's", text])

    def test_many_steps_and_large_ones_are_kept_at_once(self, flow: Flow) -> None:
        flow.advance(begin(flow.clock))
        steps = [
            step(flow.clock, n + 1, occurrence=n, result=TEXTS[-1] if n == 7 else str(n)) for n in range(300)
        ]

        flow.advance(progress(flow.clock, *steps))

        assert flow.journal().steps == tuple(steps)

    def test_the_journal_has_the_effects_that_steps_were_answered_from(self, flow: Flow) -> None:
        """As they are on record; one that is gone, or another tenant's, is not among them."""
        subject = flow.subject
        head = subject.finished(0, result=TEXTS[2])
        subject.insert(1)
        subject.insert(2)
        subject.insert(3, effect=new_effect(3, tenant="tenant-2"))
        flow.advance(begin(flow.clock))
        keys = (key_of(0), key_of(1), key_of(3), key_of(9), None, key_of(0))
        flow.advance(
            progress(
                flow.clock, *(step(flow.clock, n + 1, occurrence=n, effect=k) for n, k in enumerate(keys))
            )
        )
        subject.move(subject.insert(4), Event.DOUBT)

        assert head.key == key_of(0)
        assert flow.journal().effects == {key_of(n): subject.find(n) for n in (0, 1)}

    def test_executions_are_listed_last_touched_first(self, flow: Flow) -> None:
        for n in range(5):
            flow.advance(begin(flow.clock, f"flow-{n}", function="mail" if n == 3 else "refund"))
            flow.clock.advance(n % 2)  # some at one moment
        for n in (4, 1, 2):
            flow.advance(progress(flow.clock, workflow_id=f"flow-{n}", leave=Leave(to=WorkflowStatus.FAILED)))
            flow.clock.advance(1)
        running, failed = ["flow-3", "flow-0"], ["flow-2", "flow-1", "flow-4"]

        assert flow.names() == failed + running
        assert flow.names(limit=2) == failed[:2]
        assert flow.names(status=WorkflowStatus.FAILED) == failed
        assert flow.names(status=WorkflowStatus.FAILED, limit=1) == failed[:1]
        assert flow.names(status=WorkflowStatus.RUNNING) == running
        assert flow.names(status=WAITING) == flow.names(functions=[]) == []
        assert flow.names(functions=["mail", "other"]) == ["flow-3"]
        assert flow.names(functions=["refund"], status=WorkflowStatus.FAILED) == failed
        assert flow.names(workflow_id="flow-1") == ["flow-1"]
        assert flow.names(workflow_id="flow-1", status=WorkflowStatus.RUNNING) == []
        assert flow.names(workflow_id="flow-1", functions=["mail"]) == flow.names(workflow_id="flow") == []
        assert flow.listed(workflow_id="flow-1") == [flow.journal("flow-1").execution]

    def test_what_is_due_is_listed_longest_due_first(self, flow: Flow) -> None:
        """To the microsecond: the queued, the waiting whose time has come, and what dead workers left."""
        start = flow.clock()
        left: dict[str, tuple[WorkflowStatus, float | None]] = {
            "w3": (WAITING, 3),
            "r5": (WorkflowStatus.NEEDS_REVIEW, 5),
            "q4": (WorkflowStatus.QUEUED, 4),
            "never": (WAITING, None),
            "done": (WorkflowStatus.SUCCEEDED, 1),
            "lost": (WorkflowStatus.FAILED, 1),
            "off": (WorkflowStatus.CANCELLED, 1),
        }
        for name, (status, due_s) in left.items():
            flow.advance(begin(flow.clock, name))
            said = Leave(to=status, wake_at=None if due_s is None else start + timedelta(seconds=due_s))
            flow.advance(progress(flow.clock, workflow_id=name, leave=said))
        flow.advance(begin(flow.clock, "dead", lease_s=2.0))
        flow.advance(begin(flow.clock, "alive", lease_s=60.0))
        flow.advance(begin(flow.clock, "new", owner="", function="mail"))
        flow.clock.advance(2 - 0.000001)

        found = [flow.names(is_due=True)]
        for moment in (0.000001, 1 - 0.000001, 0.000001, 2):
            flow.clock.advance(moment)
            found.append(flow.names(is_due=True))

        assert found[:4] == [["new"], ["new", "dead"], ["new", "dead"], ["new", "dead", "w3"]]
        assert found[4] == ["new", "dead", "w3", "q4", "r5"]
        assert flow.names(is_due=True, limit=2) == found[4][:2]
        assert flow.names(is_due=True, functions=["mail"]) == ["new"]
        assert flow.names(is_due=True, functions=["refund"], limit=1) == ["dead"]
        assert flow.names(is_due=True, status=WAITING) == ["w3"]
        assert [flow.names(is_due=True, workflow_id=name) for name in ("r5", "alive", "off")] == [
            ["r5"],
            [],
            [],
        ]

    def test_what_a_signal_woke_is_due_at_once(self, flow: Flow) -> None:
        flow.left(WAITING)
        assert flow.names(is_due=True) == []

        flow.advance(send(flow.clock))

        assert flow.names(is_due=True) == [FLOW]

    def test_the_lease_on_an_execution_is_renewed(self, flow: Flow) -> None:
        """I2: from the store's present time on; together with the claims of effects."""
        before = flow.advance(begin(flow.clock))
        head = flow.subject.insert(0)
        leases = [Lease(TENANT, FLOW, 1, is_execution=True), Lease(TENANT, head.key, head.fence)]
        flow.clock.advance(3.5)

        assert renewed(flow.subject.store, leases) == {*leases}
        until = flow.clock() + LEASE
        assert flow.journal().execution == replace(before, lease_until=until)
        assert flow.subject.find(0).lease_until == until
        flow.clock.advance(LEASE_S - 0.000001)
        assert flow.refuses(take(flow.clock, 1))

    def test_an_execution_that_was_lost_or_left_is_not_renewed(self, flow: Flow) -> None:
        """I3."""
        flow.left(WAITING)
        flow.advance(begin(flow.clock, "flow-1"))
        flow.advance(begin(flow.clock, "flow-2"))
        flow.clock.advance(LEASE_S)
        flow.advance(take(flow.clock, 1, "flow-1"))
        journals = [flow.journal(name) for name in (FLOW, "flow-1", "flow-2")]
        flow.clock.advance(1)
        leases = [
            Lease(TENANT, FLOW, 1, is_execution=True),
            Lease(TENANT, "flow-1", 1, is_execution=True),
            Lease("tenant-2", "flow-2", 1, is_execution=True),
            Lease(TENANT, "flow-2", 1),
            Lease(TENANT, "flow-3", 1, is_execution=True),
        ]

        assert renewed(flow.subject.store, leases) == set()
        after = [replace(flow.journal(of.execution.workflow_id), now=of.now) for of in journals]
        assert after == journals

    @pytest.mark.parametrize("is_execution", [False, True])
    def test_an_effect_and_an_execution_of_one_name_are_told_apart(
        self, flow: Flow, *, is_execution: bool
    ) -> None:
        name = key_of(0)
        execution = flow.advance(begin(flow.clock, name))
        flow.subject.insert(0)
        effect = flow.subject.find(0)
        flow.clock.advance(1)
        lease = Lease(TENANT, name, 1, is_execution=is_execution)

        assert renewed(flow.subject.store, [lease]) == {lease}
        assert (flow.journal(name).execution != execution) == is_execution
        assert (flow.subject.find(0) != effect) != is_execution

    def test_tenants_have_executions_of_their_own(self, flow: Flow) -> None:
        """IDE-11."""
        theirs = flow.advance(begin(flow.clock, tenant="tenant-2", owner="", input="2"))
        assert flow.known() is None
        assert flow.names() == flow.names(is_due=True) == flow.names(workflow_id=FLOW) == []
        assert flow.refuses(send(flow.clock))
        assert flow.refuses(take(flow.clock, 0))

        flow.advance(begin(flow.clock))
        flow.advance(progress(flow.clock, step(flow.clock, 1)))
        flow.advance(send(flow.clock))

        journal = flow.journal(tenant="tenant-2")
        assert (journal.execution, journal.steps, journal.messages) == (theirs, (), ())
        flow.advance(send(flow.clock, tenant="tenant-2"))
        assert flow.journal().execution.messages == 1
        query = ExecutionQuery(tenant="tenant-2", is_due=True)
        assert len(flow.subject.run(flow.subject.store.executions(query))) == 1

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
            HealthCheck.too_slow,
        ],
    )
    @given(data=st.data())
    def test_random_ops_mean_what_they_mean_to_the_oracle(
        self, subject: Subject, data: st.DataObject
    ) -> None:
        """Answers, journals and listings equal those of the memory store, stale and untimely ones too."""
        trial = FlowTrial(subject, MemoryStore(clock=subject.clock), f"flows-{next(_TRIALS)}")

        for _ in range(data.draw(st.integers(5, 25), label="steps")):
            trial.step(data)

        trial.journals_agree()
