"""What both stores do with executions; how they ask the database is theirs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from holdfast._core.advance import Advanced, Dequeue, ExecutionOp, HaltExecutions, Outrun, Progress
from holdfast._core.change import Committed, Conflict
from holdfast._core.execution import ExecutionQuery, ExecutionRecord, Halt, Journal
from holdfast.stores.postgres.executions import (
    advanced_in,
    bells_in,
    checked,
    executions_in,
    executions_of,
    journal_in,
    kept_in,
    statement,
    step_alone,
)
from holdfast.stores.postgres.moving import Move, Numbered, look, move
from holdfast.stores.postgres.queues import dequeue_of, dequeued_in, halt_of
from holdfast.stores.postgres.wire import Woke
from holdfast.stores.rows import halt_of as halt_in
from holdfast.stores.rows import in_utc


class Executing(ABC):
    """See :class:`holdfast.ports.ExecutionStore`, and :meth:`holdfast.ports.Store.subscribe`."""

    def __init__(self, clock: Callable[[], datetime] | None, prepared: Mapping[str, Numbered]) -> None:
        self._clock = clock
        self._prepared = prepared
        self._rings: list[Callable[[str], None]] = []

    @abstractmethod
    async def _ask(self, names: Sequence[str], values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run statements in one transaction and one round trip; return the rows of the last."""

    @abstractmethod
    async def _move(self, move: Move) -> list[tuple[Any, ...]]:
        """Run a prepared statement in a transaction, of its own or with others; return its rows."""

    @abstractmethod
    async def _listen(self) -> None:
        """Have a listener, and wait until it listens."""

    def _now(self) -> datetime | None:
        return None if self._clock is None else self._clock()

    def subscribe(self, ring: Callable[[str], None]) -> None:
        self._rings.append(ring)

    def _moved(self, bell: str) -> None:
        for ring in tuple(self._rings):
            ring(bell)

    def _heard(self, answer: Committed | Conflict) -> Committed | Conflict:
        """Ring for a change that has woken an execution; return what the port knows of it."""
        if not isinstance(answer, Woke):
            return answer
        self._moved(answer.bell)
        return Committed(answer.now, answer.levels)

    async def advance(self, op: ExecutionOp) -> Advanced | Outrun:
        answer: Advanced | Outrun | None = None
        rows: Sequence[Sequence[Any]] = ()
        if isinstance(op, Progress) and (values := step_alone(op, self._now())) is not None:
            answer = kept_in(op, await self._move(move(op, "keep_step", self._prepared["keep_step"], values)))
            if answer is not None:
                return answer
        while answer is None:
            name, values = statement(op, self._now())
            known = self._prepared.get(name)
            if known is None:
                rows = await self._ask((name,), checked(name, values))
            else:
                rows = await self._move(move(op, name, known, values))
            answer = advanced_in(op, rows)
        for bell in bells_in(rows):
            self._moved(bell)
        return answer

    async def journal(self, tenant: str, workflow_id: str, after: int = 0) -> Journal | None:
        values = {"tenant": tenant, "workflow_id": workflow_id, "after": after}
        return journal_in(await self._look("get_journal", values, workflow_id), self._now())

    async def dequeue(self, op: Dequeue) -> Sequence[ExecutionRecord]:
        await self._listen()  # before it looks: what comes after that rings
        names, values = dequeue_of(op, self._now())
        if names == ("dequeue",):
            return dequeued_in(await self._look("dequeue", values, op.rule.name))
        return dequeued_in(await self._ask(names, values))

    async def _look(self, name: str, values: Mapping[str, Any], subject: str) -> list[tuple[Any, ...]]:
        return await self._move(look(name, self._prepared[name], values, subject))

    async def halt(self, op: HaltExecutions) -> Sequence[str]:
        [(concerned, bells)] = await self._ask(*halt_of(op, self._now()))
        for bell in bells:
            self._moved(bell)
        return tuple(concerned)

    async def halts(self, tenant: str) -> Sequence[Halt]:
        rows = await self._ask(("list_halts",), {"tenant": tenant})
        return [halt_in(row, in_utc) for row in rows]

    async def executions(self, query: ExecutionQuery) -> Sequence[ExecutionRecord]:
        name, values = executions_of(query, self._now())
        return executions_in(await self._ask((name,), values))
