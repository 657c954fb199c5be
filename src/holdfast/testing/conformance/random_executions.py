"""Sequences of ops on executions, timely and stale, for comparing a store with the oracle."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from hypothesis import strategies as st

from holdfast._core.advance import Advanced, ExecutionOp, Leave, Steering, TakeExecution
from holdfast._core.execution import Pause, StepRecord
from holdfast._core.plan import plan_insert, plan_move
from holdfast._core.states import Event, WorkflowStatus
from holdfast.ports import ExecutionQuery, Lease
from holdfast.stores.memory import MemoryStore
from holdfast.testing.conformance.flows import (
    begin,
    dequeue,
    fork,
    halt,
    progress,
    resealed,
    restart,
    send,
    steer,
    step,
    take,
)
from holdfast.testing.conformance.random_changes import renewed
from holdfast.testing.conformance.subject import LEASE_S, Subject, new_effect, stamp

FEW: Final = ("flow-0", "flow-1", "flow-2")
MANY: Final = tuple(f"flow-{n}" for n in range(9))
_OPS: Final = (
    *["begin", "send", "steer"] * 2,
    *["take", "restart", "fork"],
    *["progress"] * 5,
)
ANY: Final = (*_OPS, "dequeue", "renew", "look", "halt", "reap", "doubt")
QUEUEING: Final = (*["begin", "dequeue"] * 6, *["progress"] * 4, "steer", "send", "take", "halt", "look")
_FUNCTIONS: Final = ("mail", "refund")
_QUEUES: Final = ("refunds", "refunds", "other")
_ACTORS: Final = ("agent", "bot")
_TEXTS: Final = st.none() | st.sampled_from(("null", '"ü\\u0000\\ud83d"', "9007199254740993"))
_NO_MORE: Final = 1000
_EFFECTS: Final = itertools.count(1000)


@dataclass(slots=True)
class FlowTrial:
    """One tenant on the store under test and on the oracle.

    Attributes:
        names: Of its executions.
        often: What is done with them; what is named twice is done twice as often.
    """

    subject: Subject
    oracle: MemoryStore
    tenant: str
    names: Sequence[str] = FEW
    often: Sequence[str] = ANY

    def step(self, data: st.DataObject) -> None:
        """Do one random thing to both stores; they must answer alike."""
        self.subject.clock.advance(data.draw(st.sampled_from([0.0, 0.000001, 4.0, LEASE_S]), label="time"))
        match data.draw(st.sampled_from(self.often), label="what"):
            case "renew":
                self._renew(data)
            case "look":
                self._look(data)
            case "dequeue":
                self._dequeue(data)
            case "halt":
                self._halt(data)
            case "reap":
                self._reap()
            case "doubt":
                self._doubt(data)
            case what:
                op = self._op(data, what)
                answer = self.subject.run(self.subject.store.advance(op))
                assert answer == self.subject.run(self.oracle.advance(op))
                if isinstance(op, TakeExecution) and isinstance(answer, Advanced):
                    assert answer.execution.epoch == op.epoch + 1

    def journals_agree(self) -> None:
        """Both stores hold the same."""
        run = self.subject.run
        for name, after in itertools.product(self.names, (0, 3)):
            mine = run(self.subject.store.journal(self.tenant, name, after))
            assert mine == run(self.oracle.journal(self.tenant, name, after))
        assert list(run(self.subject.store.halts(self.tenant))) == list(run(self.oracle.halts(self.tenant)))

    def _name(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(self.names), label="workflow")

    def _moment(self, data: st.DataObject, label: str) -> datetime:
        """Return a moment about now, by somebody's clock."""
        late_s = data.draw(st.sampled_from([0.0, 0.0, -4.0, 9.0]), label=label)
        return self.subject.clock() + timedelta(seconds=late_s)

    def _epoch(self, data: st.DataObject, name: str) -> int:
        """Return the epoch that is on record, now and then another one."""
        known = self.subject.run(self.oracle.journal(self.tenant, name))
        epoch = 0 if known is None else known.execution.epoch
        return epoch + data.draw(st.sampled_from([0, 0, 0, 0, -1, 1]), label="stale")

    def _op(self, data: st.DataObject, what: str) -> ExecutionOp:
        clock, name = self.subject.clock, self._name(data)
        place: dict[str, Any] = {
            "tenant": self.tenant,
            "workflow_id": name,
            "at": self._moment(data, "writer's clock"),
        }
        match what:
            case "begin":
                return begin(clock, **self._wanted(data, name), **place)
            case "take":
                return take(clock, self._epoch(data, name), **place)
            case "send":
                return send(clock, data.draw(st.sampled_from(["m1", "m2", "m10"]), label="message"), **place)
            case "steer":
                to = data.draw(st.sampled_from(Steering), label="steering")
                return steer(clock, to, **place)
            case "restart":
                keep = data.draw(st.integers(0, 12), label="keep")
                deadline_s = data.draw(st.none() | st.just(7.5), label="deadline")
                return restart(clock, self._epoch(data, name), keep, deadline_s=deadline_s, **place)
            case "fork":
                keep, source = data.draw(st.integers(0, 12), label="keep"), self._name(data)
                known = self.subject.run(self.oracle.journal(self.tenant, source))
                if known is None or data.draw(st.booleans(), label="as it is"):
                    return fork(clock, keep=keep, source=source, **place)
                news = known.execution.news - data.draw(st.sampled_from([0, 0, 0, 1]), label="stale")
                own = resealed(known, keep, epoch=self._epoch(data, source), news=news)
                return fork(clock, keep=keep, source=source, resealed=own, **place)
            case _:
                steps = [self._step(data) for _ in range(data.draw(st.integers(0, 3), label="steps"))]
                leave = self._leave(data) if data.draw(st.booleans(), label="leaves") else None
                is_note = data.draw(st.booleans(), label="note")
                epoch = self._epoch(data, name)
                return progress(clock, *steps, epoch=epoch, leave=leave, is_note=is_note, **place)

    def _wanted(self, data: st.DataObject, name: str) -> dict[str, Any]:
        """Return what is wanted of an execution that begins."""
        others = [other for other in self.names if other != name]
        return {
            "owner": data.draw(st.sampled_from(["", "", "a"]), label="owner"),
            "function": data.draw(st.sampled_from(_FUNCTIONS), label="function"),
            "actor": data.draw(st.sampled_from(_ACTORS), label="actor"),
            "queue": data.draw(st.sampled_from(_QUEUES), label="queue"),
            "priority": data.draw(st.integers(-1, 1), label="priority"),
            "limit_key": data.draw(st.sampled_from(["", "k", "l"]), label="key"),
            "parent": data.draw(st.sampled_from(["", *others]), label="parent"),
            "on_failure": data.draw(st.sampled_from(["leave", "compensate"]), label="on failure"),
            "start_at": data.draw(st.sampled_from([None, None, self.subject.clock() + timedelta(seconds=4)])),
            "deadline_s": data.draw(st.sampled_from([None, 2.5]), label="deadline"),
            "purses": data.draw(st.sampled_from(["", '[{"owner":""}]']), label="purses"),
            "fan_out": data.draw(st.sampled_from([None, None, 1, 2]), label="fan-out"),
        }

    def _step(self, data: st.DataObject) -> StepRecord:
        return step(
            self.subject.clock,
            data.draw(st.none() | st.integers(1, 12), label="position"),
            name=data.draw(st.sampled_from(["a", "B", "ä"]), label="name"),
            occurrence=data.draw(st.integers(0, 2), label="occurrence"),
            args=data.draw(_TEXTS, label="args"),
            child=data.draw(st.none() | st.sampled_from(self.names), label="child"),
        )

    def _leave(self, data: st.DataObject) -> Leave:
        due_s = data.draw(st.none() | st.sampled_from([0.0, 4.0, 9.0]), label="due")
        pause = data.draw(st.sampled_from([*[Pause.NO] * 4, Pause.DEAD, Pause.HALT]), label="pause")
        return Leave(
            to=data.draw(st.sampled_from([*WorkflowStatus, *[WorkflowStatus.WAITING] * 6]), label="to"),
            seen=data.draw(st.none() | st.integers(0, 3), label="seen"),
            output=data.draw(_TEXTS, label="output"),
            error=data.draw(_TEXTS, label="error"),
            wake_at=None if due_s is None else self.subject.clock() + timedelta(seconds=due_s),
            waits_for=data.draw(st.sampled_from(["", "a person"]), label="waits for"),
            pause=pause,
            pause_reason="why" if pause else "",
        )

    def _dequeue(self, data: st.DataObject) -> None:
        """Take by a random rule; the answers are in order."""
        limits = st.none() | st.integers(0, 3)
        op = dequeue(
            self.subject.clock,
            data.draw(st.sampled_from([1, 2, 100]), label="limit"),
            tenant=self.tenant,
            name=data.draw(st.sampled_from(_QUEUES), label="queue"),
            functions=tuple(data.draw(st.sampled_from([_FUNCTIONS, _FUNCTIONS[:1], ()]), label="functions")),
            at=self._moment(data, "writer's clock"),
            concurrency=data.draw(limits, label="concurrency"),
            per_key=data.draw(limits, label="per key"),
            rate=data.draw(limits, label="rate"),
            rate_s=data.draw(st.sampled_from([0.000001, 4.0, 2 * LEASE_S]), label="rate_s"),
        )
        taken = list(self.subject.run(self.subject.store.dequeue(op)))
        assert taken == list(self.subject.run(self.oracle.dequeue(op)))

    def _halt(self, data: st.DataObject) -> None:
        op = halt(
            self.subject.clock,
            data.draw(st.sampled_from([*_ACTORS, ""]), label="actor"),
            is_on=data.draw(st.booleans(), label="halts"),
            tenant=self.tenant,
            at=self._moment(data, "writer's clock"),
        )
        concerned = list(self.subject.run(self.subject.store.halt(op)))
        assert concerned == list(self.subject.run(self.oracle.halt(op)))

    def _doubt(self, data: st.DataObject) -> None:
        """Let an effect of one of the executions be in doubt, and no longer."""
        effect = new_effect(next(_EFFECTS), tenant=self.tenant, workflow_id=self._name(data))
        moment = replace(stamp(self.subject.clock), at=self._moment(data, "writer's clock"))
        change, head = plan_insert(effect, Event.CLAIM, moment, owner="a", lease_s=LEASE_S)
        changes = [change]
        for event in (Event.DOUBT, Event.RESOLVE_DONE):
            change, head = plan_move(head, event, moment)
            changes.append(change)
        for change in changes:
            assert self.subject.commit(change) == self.oracle.apply(change)

    def _reap(self) -> None:
        """Forget what is old; which of it goes first is the store's choice, so all of it."""
        before, run = self.subject.clock() - timedelta(seconds=4), self.subject.run
        self.subject.bystander()
        for store in ("reap", "reap_rest"):
            mine, theirs = getattr(self.subject.store, store), getattr(self.oracle, store)
            counts = run(mine(self.tenant, before, _NO_MORE)), run(theirs(self.tenant, before, _NO_MORE))
            assert counts[0] == counts[1]

    def _renew(self, data: st.DataObject) -> None:
        leases = [Lease(self.tenant, name, self._epoch(data, name), is_execution=True) for name in self.names]
        assert renewed(self.subject.store, leases) == self.oracle.renew(leases, LEASE_S)

    def _look(self, data: st.DataObject) -> None:
        functions = data.draw(st.none() | st.lists(st.sampled_from(_FUNCTIONS)), label="functions")
        query = ExecutionQuery(
            tenant=self.tenant,
            workflow_id=data.draw(st.sampled_from([None, None, *self.names[:2]]), label="workflow"),
            status=data.draw(st.none() | st.sampled_from(WorkflowStatus), label="status"),
            functions=None if functions is None else tuple(functions),
            queue=data.draw(st.sampled_from([None, None, *_QUEUES]), label="queue"),
            parent=data.draw(st.sampled_from([None, None, "", *self.names[:2]]), label="parent"),
            is_paused=data.draw(st.sampled_from([None, None, False, True]), label="paused"),
            is_due=data.draw(st.booleans(), label="due"),
            limit=data.draw(st.integers(1, 3), label="limit"),
        )
        mine = list(self.subject.run(self.subject.store.executions(query)))
        assert mine == list(self.subject.run(self.oracle.executions(query)))
