"""What a life of a workflow puts on record: its steps in the order of their ends, in few commits."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from holdfast._core.advance import Advanced, ExecutionOp, Leave, Outrun, Progress
from holdfast._core.change import Column
from holdfast._core.execution import ExecutionRecord, Journal, StepKind, StepRecord, StepState
from holdfast._core.identity import read_args, read_result
from holdfast._core.journal import Script
from holdfast._core.model import EffectKey
from holdfast._core.states import WorkflowStatus
from holdfast._runtime.parts import Parts, failure_of
from holdfast._runtime.purses import told_of
from holdfast._runtime.turns import Turns
from holdfast.errors import BudgetExceeded, ExecutionTaken, StoreError, StoreUnavailable, Suspended

_BUFFERED: Final = 20  # ends of effects that may wait for the next commit: their results are on record anyway
_FRESH_S: Final = 0.5  # so old at most is what a life knows of its row when it begins something
_FIRST_DELAY_S: Final = 0.02
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class Writing:
    """The part of a life that puts on record what its code has come to.

    Attributes:
        execution: Its row, as of the last commit.
        broken: Why nothing can be put on record any more.

    Args:
        journal: What is on record of it.
    """

    def __init__(self, parts: Parts, journal: Journal, script: Script, turns: Turns) -> None:
        self.parts = parts
        self.journal = journal
        self.turns = turns
        self.execution: ExecutionRecord = journal.execution
        self.broken: Exception | None = None
        self._script = script
        self._queue: list[StepRecord] = []
        self._fresh_until = parts.runtime.monotonic() + _FRESH_S
        self._heard_of: Counter[str] = Counter(
            step.name
            for step in journal.steps
            if step.kind is StepKind.WAIT and step.state is StepState.SUCCEEDED
        )
        self._latest = max(
            (step.started_at if step.ended_at is None else step.ended_at for step in journal.steps),
            default=_NEVER,
        )

    @property
    def workflow_id(self) -> str:
        """Which workflow it is."""
        return self.execution.workflow_id

    def moment(self, *, after_all: bool = False) -> datetime:
        """Return the time for the journal, in which it never runs back, whichever worker's clock it is by.

        Args:
            after_all: Let it be later than all that is told so far; else it may be the same moment.
        """
        now = self.parts.runtime.now()
        if now < self._latest or (after_all and now == self._latest):
            now = self._latest + timedelta(microseconds=after_all)
        self._latest = now
        return now

    def succeeded(self, step: StepRecord, returned: Any) -> StepRecord:
        """Return *step* ended well, with what it returned.

        Raises:
            NotSerializable: That has no JSON form, or is too large.
        """
        text = read_result(returned, max_bytes=self.parts.settings.max_result_bytes).text
        return self.ended(step, result=self.sealed(text, "result"))

    def failed(self, step: StepRecord, error: BaseException) -> StepRecord:
        """Return *step* ended by an error."""
        return replace(
            step,
            state=StepState.FAILED,
            ended_at=self.moment(after_all=True),
            result=None,
            error=self.sealed(failure_text(error), "error"),
        )

    def ended(self, step: StepRecord, *, result: str | None) -> StepRecord:
        """Return *step* ended well, with what is on record of its result."""
        return replace(
            step,
            state=StepState.SUCCEEDED,
            ended_at=self.moment(),
            result=result,
            error=None,
        )

    async def kept(self, step: StepRecord, *, ends: bool = True, lazily: bool = False) -> StepRecord:
        """Put *step* on record, in the order of ends; return it with its position.

        Args:
            lazily: Its result is on record elsewhere: it may wait for the next commit.
        """
        if ends:
            step = replace(step, position=self._script.end())
            if step.kind is StepKind.WAIT and step.state is StepState.SUCCEEDED:
                self._heard_of[step.name] += 1
        is_own = step.kind is StepKind.STEP and not ends and not self._queue and self.turns.is_free
        self._queue.append(step)
        if is_own:  # that it began is nobody else's: it may be called off with whoever begins it
            await self._written()
            self._unless_broken()
        elif not lazily or len(self._queue) >= _BUFFERED:
            try:
                await self._write()
            except BaseException:
                if step.position is not None:
                    self.turns.forgo(step.position)
                raise
        return step

    async def refreshed(self) -> None:
        """Learn what is on record of the workflow's row, unless that was learnt a moment ago."""
        if self.parts.runtime.monotonic() >= self._fresh_until:
            await self._write()

    async def _write(self) -> None:
        """Write what is not on record yet. Nothing of the code goes on if that cannot be done."""
        await self.turns.whole(self._written)
        self._unless_broken()

    def _unless_broken(self) -> None:
        if self.broken is not None:
            raise Suspended

    async def _written(self) -> None:
        async with self.turns.writing():
            if self.broken is None and (self._queue or self.parts.runtime.monotonic() >= self._fresh_until):
                try:
                    await self.commit(None)
                except (ExecutionTaken, StoreError) as error:
                    self.broken = error
                    self.turns.end()

    async def leave(self, leave: Leave) -> bool:
        """Leave the execution, after what is being written; see :meth:`commit`."""
        async with self.turns.writing():
            was_left = await self.commit(leave)
            if not was_left and self._queue:  # another life is told of it
                await self.commit(None)
            return was_left

    async def commit(self, leave: Leave | None) -> bool:
        """Write what is not on record yet, and leave the execution if that is wanted.

        Returns:
            Whether it was left; ``False`` where there is news that nobody has seen.

        Raises:
            ExecutionTaken: Somebody else works on it: nothing of this is on record.
            StoreUnavailable: Nothing is known.
        """
        parts, batch = self.parts, tuple(self._queue)
        self._queue.clear()
        op = Progress(
            tenant=self.execution.tenant,
            workflow_id=self.workflow_id,
            epoch=self.execution.epoch,
            lease_s=parts.settings.lease_s,
            at=parts.runtime.now(),
            steps=batch,
            leave=leave,
            is_note=leave is None and all(_is_note(step) for step in batch),
            known=self.execution,
        )
        answer = await advance_patiently(parts, op)
        self._fresh_until = parts.runtime.monotonic() + _FRESH_S
        if isinstance(answer, Advanced):
            self.execution = answer.execution
            return True
        found = answer.found
        if found is not None and found.epoch == self.execution.epoch and leave is not None:
            if found.status is leave.to and found.owner == "":
                self.execution = found
                return True  # only the answer to it was lost
            if found.status is WorkflowStatus.RUNNING:
                self._queue[:0] = batch
                return False
        raise ExecutionTaken(self.workflow_id, "" if found is None else found.owner)

    def canonical(self, given: Mapping[str, Any]) -> str:
        """Return the canonical JSON text of arguments.

        Raises:
            NotSerializable: They have no JSON form, or are too large.
        """
        return read_args(given, max_bytes=self.parts.settings.max_args_bytes).canonical

    def sealed(self, text: str, column: Column) -> str:
        """Return *text* as it is put on record."""
        execution = self.execution
        return self.parts.stamp(execution.tenant, place_of(self.workflow_id), execution.actor).seal(
            text, column
        )

    def opened(self, text: str, column: Column, workflow_id: str = "") -> str:
        """Return what is on record in plain, of this workflow or another one."""
        place = place_of(workflow_id or self.workflow_id)
        return self.parts.opened(self.execution.tenant, place, text, column)


def _is_note(step: StepRecord) -> bool:
    """Whether it need not outlive the machine.

    That a step has begun changes nothing; that an effect has, or what came of it, is on disk before the
    effect's own next commit is: that is a later one of the same database.
    """
    if step.kind is StepKind.EFFECT:
        return step.state is not StepState.FAILED
    return step.kind is StepKind.STEP and step.state is StepState.PENDING


async def advance_patiently(parts: Parts, op: ExecutionOp) -> Advanced | Outrun:
    """Apply *op*, trying again for a while where the store is away.

    Raises:
        StoreUnavailable: It stayed away; the op may or may not have been applied.
    """
    until = parts.runtime.monotonic() + parts.settings.lease_s
    delay = _FIRST_DELAY_S
    while True:
        try:
            return await parts.store.advance(op)
        except StoreUnavailable:
            if parts.runtime.monotonic() + delay >= until:
                raise
            await parts.runtime.sleep(delay)
            delay = min(delay * 2, 1.0)


def place_of(workflow_id: str) -> EffectKey:
    """Return what the payloads of a workflow are sealed to."""
    return EffectKey(f"workflow {workflow_id}")


def failure_text(error: BaseException) -> str:
    """Return what is put on record of an error, as JSON."""
    failure = failure_of(error)
    said: dict[str, Any] = {"type": failure.type, "message": failure.message}
    if isinstance(error, BudgetExceeded):
        said |= {"code": error.code, "budget": told_of(error)}
    return json.dumps(said)
