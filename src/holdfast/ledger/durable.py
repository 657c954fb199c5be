"""What a ledger does about its workflows: signals, steering, listings, events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from holdfast._core.advance import Dequeue, QueueRule, Steering
from holdfast._core.execution import ExecutionQuery, ExecutionRecord, Halt
from holdfast._core.states import WorkflowStatus
from holdfast._runtime.executions import lived
from holdfast._runtime.flows import Flows
from holdfast._runtime.follow import WorkflowEvent, WorkflowStep, events, steps, steps_in
from holdfast._runtime.parts import Parts
from holdfast._runtime.run import Standing, drive, result
from holdfast._runtime.steer import Whose, fork, halt, halts, restart, send, steer
from holdfast._runtime.writing import place_of
from holdfast.errors import InvalidCall, LedgerClosed, PayloadSealed, WorkflowNotFound
from holdfast.ports import Store

_REASON: Final = 500


@dataclass(frozen=True, slots=True)
class Durable:
    """One scope's workflows.

    Attributes:
        wake: Lets the engine that drives workflows know of one; *wake_all* of many.
    """

    parts: Parts
    tenant: str
    actor: str
    flows: Flows
    wake: Callable[[str, datetime | None], Awaitable[None]]
    wake_all: Callable[[Sequence[str]], Awaitable[None]]
    closed: Callable[[], bool]

    async def _opened(self) -> Store:
        if self.closed():
            raise LedgerClosed
        await self.parts.store.open()
        return self.parts.store

    @property
    def _whose(self) -> Whose:
        return Whose(tenant=self.tenant, actor=self.actor)

    async def signal(self, workflow_id: str, name: str, body: Any, signal_id: str | None) -> bool:
        """Send a workflow a signal."""
        await self._opened()
        is_heard = await send(
            self.parts,
            self._whose,
            _text("workflow_id", workflow_id),
            _text("name", name),
            body,
            None if signal_id is None else _text("signal_id", signal_id),
        )
        if is_heard:
            await self.wake(workflow_id, None)
        return is_heard

    async def steer(self, workflow_id: str, to: Steering, by: str, reason: str) -> ExecutionRecord:
        """Pause, resume or cancel a workflow."""
        await self._opened()
        told = f"{_text('by', by)}: {_text('reason', reason)}"[:_REASON]
        execution = await steer(self.parts, self._whose, _text("workflow_id", workflow_id), to, told)
        if to is not Steering.PAUSE:
            await self.wake(workflow_id, None)
        return self._opened_texts(execution)

    async def restart(self, workflow_id: str) -> ExecutionRecord:
        """Queue a workflow that failed, or was cancelled."""
        store = await self._opened()
        rows = await store.executions(ExecutionQuery(tenant=self.tenant, workflow_id=workflow_id, limit=1))
        if not rows:
            raise WorkflowNotFound(workflow_id)
        execution = await restart(self.parts, self._whose, workflow_id, self._timeout_s(rows[0]))
        await self.wake(workflow_id, None)
        return self._opened_texts(execution)

    def _timeout_s(self, row: ExecutionRecord) -> float | None:
        """Return how long a restarted workflow may take: as declared, or as on record without its code."""
        if row.function in self.flows.names:
            return self.flows.of(row).timeout_s
        return None if row.deadline_at is None else (row.deadline_at - row.created_at).total_seconds()

    async def fork(self, workflow_id: str, to: str, from_step: str | int) -> ExecutionRecord:
        """Queue a new workflow that goes on from a step of another one."""
        await self._opened()
        execution = await fork(self.parts, self._whose, workflow_id, _text("to", to), from_step)
        await self.wake(to, None)
        return self._opened_texts(execution)

    async def halt(self, actor: str | None, by: str, reason: str, *, is_on: bool) -> int:
        """Stop all workflows of an actor, or let them go on."""
        await self._opened()
        told = f"{_text('by', by)}: {_text('reason', reason)}"[:_REASON]
        concerned = await halt(self.parts, self._whose, actor or "", told, is_on=is_on)
        if not is_on:
            await self.wake_all(concerned)
        return len(concerned)

    async def halts(self) -> list[Halt]:
        """Return who is stopped."""
        await self._opened()
        return list(await halts(self.parts, self._whose))

    async def executions(self, query: ExecutionQuery) -> list[ExecutionRecord]:
        """Return executions, their texts in plain where they can be opened."""
        store = await self._opened()
        return [self._opened_texts(row) for row in await store.executions(query)]

    def query(
        self,
        status: str | None,
        workflow: str | None,
        queue: str | None,
        parent: str | None,
        is_paused: bool | None,  # noqa: FBT001 - mirrors the public keyword
        limit: int,
    ) -> ExecutionQuery:
        """Return what asks for the executions of this scope."""
        return ExecutionQuery(
            tenant=self.tenant,
            status=None if status is None else _status(status),
            functions=None if workflow is None else (workflow,),
            queue=queue,
            parent=parent,
            is_paused=is_paused,
            limit=limit,
        )

    async def known(self, workflow_id: str) -> ExecutionRecord | None:
        """Return one execution, if there is one."""
        found = await self.executions(ExecutionQuery(tenant=self.tenant, workflow_id=workflow_id, limit=1))
        return next(iter(found), None)

    async def execution(self, workflow_id: str) -> ExecutionRecord:
        """Return one execution."""
        found = await self.known(workflow_id)
        if found is None:
            raise WorkflowNotFound(workflow_id)
        return found

    async def events(self, workflow_id: str, after: int, *, follows: bool) -> AsyncGenerator[WorkflowEvent]:
        """Tell what happens in a workflow."""
        await self._opened()
        async for event in events(self.parts, self.tenant, workflow_id, after, follows=follows):
            yield event

    async def steps(self, workflow_id: str) -> list[WorkflowStep]:
        """Return the steps of a workflow."""
        await self._opened()
        return await steps(self.parts, self.tenant, workflow_id)

    async def story(self, workflow_id: str) -> tuple[ExecutionRecord, list[WorkflowStep] | None] | None:
        """Return one execution and its steps by one query; no steps when they cannot be opened here."""
        journal = await (await self._opened()).journal(self.tenant, workflow_id)
        if journal is None:
            return None
        execution = self._opened_texts(journal.execution)
        try:
            return execution, steps_in(self.parts, journal)
        except PayloadSealed:
            return execution, None

    async def result(self, workflow_id: str, wait_s: float | None) -> Any:
        """Wait for a workflow's output."""
        await self._opened()
        return await result(self.parts, self.tenant, workflow_id, wait_s)

    async def dequeue(self, rule: QueueRule, limit: int) -> list[ExecutionRecord]:
        """Take what is due in a queue, of the workflows that are declared here."""
        op = Dequeue(
            tenant=self.tenant,
            rule=rule,
            functions=self.flows.names,
            owner=self.parts.next_owner(),
            limit=limit,
            lease_s=self.parts.settings.lease_s,
            at=self.parts.runtime.now(),
        )
        return list(await self.parts.store.dequeue(op))

    async def live(self, execution: ExecutionRecord) -> ExecutionRecord:
        """Go through the code of an execution that was taken; see :func:`lived`."""
        return await lived(self.parts, self.flows, execution)

    async def drive(self, workflow_id: str) -> Standing:
        """Go on with a workflow until it has ended or is put away."""
        await self._opened()
        return await drive(self.parts, self.flows, self.tenant, _text("workflow_id", workflow_id))

    def _opened_texts(self, row: ExecutionRecord) -> ExecutionRecord:
        place = place_of(row.workflow_id)

        def plain(text: str | None, column: Any) -> str | None:
            if text is None:
                return None
            try:
                return self.parts.opened(row.tenant, place, text, column)
            except PayloadSealed:
                return text

        return replace(
            row,
            input=plain(row.input, "args") or "",
            output=plain(row.output, "result"),
            error=plain(row.error, "error"),
        )


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise InvalidCall(f"{name} is no printable text", f"give {name}")
    return value


def _status(status: str) -> WorkflowStatus:
    try:
        return WorkflowStatus(status)
    except ValueError as error:
        known = ", ".join(WorkflowStatus)
        raise InvalidCall(f"no workflow is {status!r}", f"use one of {known}") from error
