"""What a store does for durable executions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from holdfast._core.advance import Advanced, Dequeue, ExecutionOp, HaltExecutions, Outrun
from holdfast._core.execution import ExecutionQuery, ExecutionRecord, Halt, Journal


class ExecutionStore(Protocol):
    """Executions, their journals, and the queues that workers take them from.

    Ending doubt about an effect, and letting its workflow go on, wakes the execution of that workflow in the
    same transaction (:class:`~holdfast._core.change.ReviewWorkflow` with a negative delta, or that resumes).
    The effects of an execution that has not ended are not reaped.
    """

    async def advance(self, op: ExecutionOp) -> Advanced | Outrun:
        """Apply *op* wholly and durably, or not at all; one round trip.

        Raises:
            StoreUnavailable: Nothing is known: it may have been applied.
            StoreInvariant: A constraint refused it; nothing was applied.
        """
        ...

    async def journal(self, tenant: str, workflow_id: str, after: int = 0) -> Journal | None:
        """Return an execution with its steps, their effects' results and its signals, by one query.

        Args:
            after: Without the steps that ended at this position or before.
        """
        ...

    async def dequeue(self, op: Dequeue) -> Sequence[ExecutionRecord]:
        """Take what is due in a queue, in the order of :class:`Dequeue`; one transaction.

        Raises:
            StoreUnavailable: Nothing is known: some may have been taken, by *op*'s owner.
        """
        ...

    async def halt(self, op: HaltExecutions) -> Sequence[str]:
        """Stop an actor's executions, or let them go on; return the workflows that that concerned, sorted."""
        ...

    async def halts(self, tenant: str) -> Sequence[Halt]:
        """Return who is stopped, by actor."""
        ...

    async def executions(self, query: ExecutionQuery) -> Sequence[ExecutionRecord]:
        """Return the executions that *query* asks for, last touched first; by *due*, longest due first."""
        ...
