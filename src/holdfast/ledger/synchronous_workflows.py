"""What a SyncLedger does about durable workflows."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import UTC, tzinfo
from typing import Any, Unpack

from holdfast._core.advance import Steering
from holdfast._core.duration import Duration
from holdfast._core.execution import ExecutionRecord as Execution
from holdfast._core.execution import Halt
from holdfast._core.model import JSON
from holdfast._runtime.drive import run_sync
from holdfast._runtime.follow import WorkflowEvent, WorkflowStep
from holdfast._runtime.run import Standing
from holdfast.ledger.engine import Engine
from holdfast.ledger.synchronous_approvals import SyncApprovals
from holdfast.ledger.timetable import Scheduled, declare_cron, declare_queue
from holdfast.ledger.workflows import WorkflowOptions, durable
from holdfast.ports import WorkflowRecord


class SyncWorkflows(SyncApprovals):
    """The part of a SyncLedger that is about workflows."""

    _engine: Engine

    def workflow(
        self, function: Callable[..., Any] | None = None, /, **options: Unpack[WorkflowOptions]
    ) -> Any:
        """Make a function's run durable: what it has done is on record, and it goes on after any crash.

        The function's first parameter is the context (:class:`SyncWorkflow`), and the others are its input.

        Args:
            options: How it is declared: see :class:`WorkflowOptions`.

        Raises:
            InvalidTool: The function cannot be a workflow of this ledger.
        """
        return durable(self._engine, function, options)

    def queue(
        self,
        name: str,
        *,
        concurrency: int | None = None,
        per_key: int | None = None,
        rate: str | None = None,
    ) -> None:
        """Declare what holds for a queue, over all workers; a queue that is not declared has no limits.

        Args:
            concurrency: So many of its workflows at most are gone through at once; what waits does not count.
            per_key: So many at most of those that share a limit key.
            rate: So many at most are started in a length of time, e.g. ``"10/s"`` or ``"100/5m"``.

        Raises:
            InvalidTool: It is declared already, or a limit is none.
        """
        declare_queue(self._engine, name, concurrency, per_key, rate)

    def cron(
        self,
        workflow: Scheduled,
        expression: str,
        *,
        name: str | None = None,
        zone: tzinfo = UTC,
        catch_up: Duration | None = None,
        **given: Any,
    ) -> None:
        """Begin a workflow by the clock, with the input *given*: once per time, however many workers look.

        Args:
            expression: Five fields of cron, e.g. ``"0 9 * * mon-fri"``; six with seconds first.
            name: Of the timetable; each start's id is made of it. The workflow's own by default.
            zone: By whose clock.
            catch_up: A worker that starts makes good what was missed for so long; nothing by default.

        Raises:
            InvalidTool: The expression cannot be read, or the name is taken.
            MissingExtra: The package that reads it is not installed.
        """
        declare_cron(self._engine, workflow, expression, name, zone, catch_up, given)

    def signal(self, workflow_id: str, name: str, body: JSON = None, *, signal_id: str | None = None) -> bool:
        """Send a workflow a signal, for its ``ctx.wait_for(name)``; it wakes in the same transaction.

        Args:
            signal_id: A signal that comes again under the same id is the same one.

        Returns:
            Whether there is such a workflow that has not ended.
        """
        return run_sync(self._engine.durable.signal(workflow_id, name, body, signal_id))

    def pause(self, workflow_id: str, *, by: str, reason: str) -> Execution:
        """Let nobody go on with a workflow, from its next step on, until it is resumed.

        Raises:
            WorkflowNotFound: Nothing is on record of it.
            InvalidCall: It has ended, or nobody says so.
        """
        return run_sync(self._engine.durable.steer(workflow_id, Steering.PAUSE, by, reason))

    def resume(self, workflow_id: str, *, by: str, reason: str) -> WorkflowRecord:
        """Let a workflow go on that was paused, stopped or put aside as a dead letter.

        What stopped it is noted in the trail of that effect. Effects in doubt keep it in review all the same.

        Raises:
            InvalidCall: Nothing is on record of it, or nobody says so.
        """
        return run_sync(self._engine.resume(workflow_id, by, reason))

    def cancel(self, workflow_id: str, *, by: str, reason: str) -> Execution:
        """End a workflow, and those that it waits for: at once, or at the next step of who works on it.

        One that is declared with ``on_failure="compensate"`` undoes what it did first.

        Raises:
            WorkflowNotFound: Nothing is on record of it.
            InvalidCall: It has ended, or nobody says so.
        """
        return run_sync(self._engine.durable.steer(workflow_id, Steering.CANCEL, by, reason))

    def restart(self, workflow_id: str) -> Execution:
        """Queue a workflow that failed, or was cancelled; it goes on without its last failures.

        Effects keep their keys: what is done is answered from the record.

        Raises:
            WorkflowNotFound: Nothing is on record of it.
            InvalidCall: It has not ended, or it has ended well; or an effect of it has failed for good, and
                would again: fork it.
        """
        return run_sync(self._engine.durable.restart(workflow_id))

    def fork(self, workflow_id: str, to: str, *, from_step: str | int) -> Execution:
        """Queue a new workflow, *to*, that goes on from a step of this one.

        What came before is its record too. What it does from there on are effects of its own.

        Args:
            from_step: The name of the step that is the first to be made again, or its position from 1.

        Raises:
            WorkflowNotFound: Nothing is on record of it.
            WorkflowConflict: *to* is in use.
            InvalidCall: It has no such step.
            PayloadSealed: It is sealed, and this ledger cannot open it.
        """
        return run_sync(self._engine.durable.fork(workflow_id, to, from_step))

    def halt(self, actor: str | None = None, *, by: str, reason: str) -> int:
        """Stop all workflows of an actor, or of the tenant, at their next steps; return how many.

        Those that it begins while it is halted are queued and do not start.
        """
        return run_sync(self._engine.durable.halt(actor, by, reason, is_on=True))

    def unhalt(self, actor: str | None = None, *, by: str, reason: str) -> int:
        """Let the workflows go on that :meth:`halt` stopped; return how many."""
        return run_sync(self._engine.durable.halt(actor, by, reason, is_on=False))

    def halts(self) -> list[Halt]:
        """Return who is halted; the empty actor is everybody."""
        return run_sync(self._engine.durable.halts())

    def execution(self, workflow_id: str) -> Execution:
        """Return how a workflow stands; its input, output and error are JSON text.

        Raises:
            WorkflowNotFound: Nothing is on record of it.
        """
        return run_sync(self._engine.durable.execution(workflow_id))

    def executions(
        self,
        *,
        status: str | None = None,
        workflow: str | None = None,
        queue: str | None = None,
        parent: str | None = None,
        is_paused: bool | None = None,
        limit: int = 100,
    ) -> list[Execution]:
        """Return workflows, last touched first.

        Args:
            workflow: The name of their code.
        """
        durable = self._engine.durable
        query = durable.query(status, workflow, queue, parent, is_paused, limit)
        return run_sync(durable.executions(query))

    def steps(self, workflow_id: str) -> list[WorkflowStep]:
        """Return the steps of a workflow in the order of their ends; those that have not ended come last.

        Raises:
            WorkflowNotFound: Nothing is on record of it.
            PayloadSealed: A payload cannot be opened here.
        """
        return run_sync(self._engine.durable.steps(workflow_id))

    def drive(self, workflow_id: str) -> Standing:
        """Go on with a workflow, if somebody should, until it has ended or is put away; for engines.

        Raises:
            WorkflowNotFound: Nothing is on record of it.
            UnknownWorkflow: Its code is not declared here.
            NonDeterminism: The code does not fit its record.
            StoreUnavailable: Nothing is known; its lease runs out by itself.
        """
        return run_sync(self._engine.durable.drive(workflow_id))

    def workflows(self, *, status: str | None = None, limit: int = 100) -> list[WorkflowRecord]:
        """Return workflows that were ever in doubt or stopped; ``needs_review`` is the queue."""
        return run_sync(self._engine.care.workflows(status, limit))

    def workflow_state(self, workflow_id: str) -> WorkflowRecord | None:
        """Return what is known of a workflow: its status, and how many of its effects are in doubt.

        ``None`` when it is not on record, and none of its effects was ever in doubt.
        """
        return run_sync(self._engine.workflow_state(workflow_id))

    def events(self, workflow_id: str, *, after: int = 0, follow: bool = True) -> Generator[WorkflowEvent]:
        """Tell what happens in a workflow, each event once and in order, until it has ended.

        Args:
            after: Go on after this offset.
            follow: Wait for what is to come, too.

        Raises:
            WorkflowNotFound: Nothing is on record of it.
        """
        events = self._engine.durable.events(workflow_id, after, follows=follow)
        while True:
            try:
                yield run_sync(anext(events))
            except StopAsyncIteration:
                return
