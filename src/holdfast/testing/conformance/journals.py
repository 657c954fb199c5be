"""The part of the store contract that is about journals: steps, effects, children; and the model of all."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast._core.advance import Leave, Steering
from holdfast._core.execution import StepKind, StepState
from holdfast._core.states import Event, WorkflowStatus
from holdfast.ports import ExecutionQuery
from holdfast.stores.memory import MemoryStore
from holdfast.testing.conformance.flows import FLOW, Flow, begin, progress, send, steer, step, take
from holdfast.testing.conformance.random_executions import MANY, QUEUEING, FlowTrial
from holdfast.testing.conformance.subject import LEASE_S, TEXTS, Subject, key_of, new_effect

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
_TRYING: Final = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.differing_executors,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


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
            child="order-9",
        )
        places = [
            step(flow.clock, name="Ask"),
            step(flow.clock, fingerprint="f1"),
            step(flow.clock, occurrence=1),
        ]

        flow.advance(progress(flow.clock, step(flow.clock, attempt=2)))
        assert flow.journal().steps == (step(flow.clock, attempt=2),)
        flow.advance(progress(flow.clock, step(flow.clock, 9), *places, full))

        assert flow.journal().steps == (full, places[0], places[2], places[1])

    def test_a_step_that_has_ended_is_not_replaced_by_one_that_has_not(self, flow: Flow) -> None:
        """DUR-05: a note that its writer gave up, and sent again, may come after the end: that stays."""
        flow.advance(begin(flow.clock))
        others = step(flow.clock, 1, name="Ask"), step(flow.clock, name="Tell")
        flow.advance(progress(flow.clock, *others))
        flow.advance(progress(flow.clock, ended := step(flow.clock, 2)))

        flow.advance(progress(flow.clock, step(flow.clock), is_note=True, known=flow.row()))
        flow.advance(progress(flow.clock, step(flow.clock), step(flow.clock, name="Ask"), is_note=True))

        assert flow.journal().steps == (others[0], ended, others[1])

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
                begin(
                    flow.clock,
                    name,
                    **dict.fromkeys(
                        ("input", "function", "version", "actor", "queue", "limit_key", "parent"), text
                    ),
                    trace=text,
                    owner=name,
                )
            )
            flow.advance(steer(flow.clock, Steering.PAUSE, name, reason=text))
            kept = step(
                flow.clock, name=name, fingerprint=name, args=text, result=text, error=text, child=text
            )
            flow.advance(send(flow.clock, name, workflow_id=name, name=name, body=text))
            said = Leave(to=WAITING, output=text, error=text, waits_for=text)
            after = flow.advance(progress(flow.clock, kept, workflow_id=name, leave=said))

            journal = flow.journal(name)
            assert (after.input, after.function, after.version, after.actor) == (text,) * 4
            assert (after.queue, after.limit_key, after.parent, after.trace) == (text,) * 4
            assert (after.output, after.error, after.waits_for, after.pause_reason) == (text,) * 4
            assert journal.steps == (kept,)
            assert [(told.name, told.id, told.body) for told in journal.messages] == [(name, name, text)]
            assert flow.names(workflow_id=name) == [name]
            assert name in flow.names(functions=["nobody's", text])
            assert name in flow.names(queue=text, parent=text)

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

    def test_the_journal_has_the_children_that_pending_steps_wait_for(self, flow: Flow) -> None:
        """As they are; one that is not there, or another tenant's, is not among them."""
        flow.advance(begin(flow.clock))
        flow.advance(begin(flow.clock, "theirs", tenant="tenant-2"))
        for name in ("open", "ended", "answered", "nobody's"):
            flow.advance(begin(flow.clock, name, parent=FLOW))
        leave = Leave(to=WorkflowStatus.SUCCEEDED, output="1")
        for name in ("ended", "answered"):
            flow.advance(progress(flow.clock, workflow_id=name, leave=leave))
        names = ("open", "ended", "theirs", "not there", FLOW, "open", None)
        pending = [
            step(flow.clock, kind=StepKind.CHILD, occurrence=n, child=name) for n, name in enumerate(names)
        ]
        flow.advance(
            progress(flow.clock, *pending, step(flow.clock, 1, kind=StepKind.CHILD, child="answered"))
        )

        journal = flow.journal()

        assert journal.children == {name: flow.row(name) for name in ("open", "ended", FLOW)}
        assert flow.journal("open").children == {}
        assert flow.journal(after=9).children == journal.children

    def test_a_journal_is_read_from_where_one_knows_it(self, flow: Flow) -> None:
        """Without the steps that ended by then, and the effects that they were answered from."""
        subject = flow.subject
        for n in range(3):
            subject.finished(n)
        flow.advance(begin(flow.clock))
        ended = [step(flow.clock, n + 1, occurrence=n, effect=key_of(n)) for n in range(3)]
        pending = step(flow.clock, name="z", effect=key_of(0))
        flow.advance(progress(flow.clock, *ended))
        flow.advance(send(flow.clock))
        whole = flow.journal()

        later = [flow.journal(after=after) for after in (0, 1, 3, 99)]
        flow.advance(progress(flow.clock, pending))

        assert later[0] == whole
        assert [journal.steps for journal in later] == [tuple(ended[n:]) for n in (0, 1, 3, 3)]
        assert [sorted(journal.effects) for journal in later] == [
            sorted(key_of(n) for n in range(first, 3)) for first in (0, 1, 3, 3)
        ]
        assert [journal.messages for journal in later] == [whole.messages] * 4
        assert flow.journal(after=3).steps == (pending,)
        assert flow.journal(after=3).effects == {key_of(0): subject.find(0)}
        assert flow.known("nobody", after=3) is None

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
        assert flow.row().news == 1
        query = ExecutionQuery(tenant="tenant-2", is_due=True)
        assert len(flow.subject.run(flow.subject.store.executions(query))) == 1

    @_TRYING
    @given(data=st.data())
    def test_random_ops_mean_what_they_mean_to_the_oracle(
        self, subject: Subject, data: st.DataObject
    ) -> None:
        """Answers, journals and listings equal those of the memory store, stale and untimely ones too."""
        trial = FlowTrial(subject, MemoryStore(clock=subject.clock), f"flows-{next(_TRIALS)}")

        for _ in range(data.draw(st.integers(5, 30), label="steps")):
            trial.step(data)

        trial.journals_agree()

    @_TRYING
    @given(data=st.data())
    def test_random_workers_are_given_what_the_oracle_gives_them(
        self, subject: Subject, data: st.DataObject
    ) -> None:
        """By any rule, whatever else is done meanwhile."""
        oracle = MemoryStore(clock=subject.clock)
        trial = FlowTrial(subject, oracle, f"queues-{next(_TRIALS)}", MANY, QUEUEING)

        for _ in range(data.draw(st.integers(10, 40), label="steps")):
            trial.step(data)

        trial.journals_agree()
