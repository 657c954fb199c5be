"""One life of a workflow: its code runs from the beginning, answered from the record where there is one."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Final, NoReturn, TypeAlias

from holdfast._core.execution import (
    Journal,
    Message,
    Pause,
    StepKind,
    StepRecord,
    StepState,
)
from holdfast._core.journal import Asked, Script
from holdfast._core.value import value
from holdfast._runtime import context
from holdfast._runtime.parts import Parts
from holdfast._runtime.purses import refusal_of
from holdfast._runtime.turns import Turns
from holdfast._runtime.writing import Writing
from holdfast.errors import (
    InvalidCall,
    StepFailed,
    Suspended,
    WorkflowFailed,
)

Perform: TypeAlias = Callable[[StepRecord], Coroutine[Any, Any, StepRecord]]
PAST_ALL_STEPS: Final = 2**62
"""After this there is nothing in a journal: whoever asks so wants the rest of it."""


@value
class Waits:
    """What a branch of the code waits for.

    Attributes:
        due_at: When it is to be looked at again; ``None``: when something happens.
        is_review: It is a person's turn.
    """

    name: str
    due_at: datetime | None = None
    is_review: bool = False


class Life(Writing):
    """One life of one workflow.

    Attributes:
        waiting: What its branches wait for, by step.
        seen: How much news its journal tells of.
        counts: What is counted for the code of this life, from its beginning: each life comes to the same.

    Args:
        journal: What is on record of it.
    """

    def __init__(self, parts: Parts, journal: Journal, script: Script, turns: Turns) -> None:
        super().__init__(parts, journal, script, turns)
        self.waiting: dict[tuple[str, str, int], Waits] = {}
        self.seen = journal.execution.news
        self.counts: dict[type, Any] = {}
        self._clock = journal.now - parts.runtime.now()

    @property
    def is_live(self) -> bool:
        """Whether the code comes to a place where it never was: nothing that it began there is on record."""
        return self._script.is_live

    def is_of(self, tenant: str, workflow_id: str) -> bool:
        """Whether a call that names *workflow_id*, or none, belongs to it."""
        return tenant == self.execution.tenant and workflow_id in {"", self.workflow_id}

    def now(self) -> datetime:
        """Return the store's time, by which waits are over."""
        return self.parts.runtime.now() + self._clock

    def left_s(self) -> float | None:
        """Return how long the workflow may take yet; ``None``: as long as it takes."""
        deadline_at = self.execution.deadline_at
        return None if deadline_at is None else (deadline_at - self.now()).total_seconds()

    # What the code asks for. The identity is made when it asks, not when it waits for the answer.

    def asked(self, kind: StepKind, name: str, args: str, function: str = "") -> Asked:
        """Find what is on record of the next step of that name and those arguments.

        Raises:
            InvalidCall: The workflow's code does not run here: it was left, or this is inside of a step.
            Suspended: It is put away.
        """
        running: object = context.life.get()
        if running is not self:
            what = f"the context of workflow {self.workflow_id!r} is used where its code does not run"
            raise InvalidCall(what, "ask in the workflow's own function, not inside of a step, and not later")
        branch = self.turns.branch()
        return self._script.asked(kind, name, args=args, function=function, branch=branch)

    async def answered(self, asked: Asked, perform: Perform) -> Any:
        """Return the answer to what was asked: of the record, or what *perform* makes of it now."""
        with self.turns.asking():
            step = asked.recorded
            if step is None or step.position is None:
                await self.turns.live()
                await self.go_on()
                step = await self.kept(await perform(self.begun(asked)))
            await self.turns.take(step.position or 0)
            return self._told(step)

    def _told(self, step: StepRecord) -> Any:
        if step.state is not StepState.FAILED:
            return None if step.result is None else json.loads(self.opened(step.result, "result"))
        said: Any = json.loads(self.opened(step.error or "{}", "error"))
        kind, message = said.get("type", ""), said.get("message", "")
        refused = refusal_of(said)
        if refused is not None and step.child is None:
            raise refused
        if step.kind is StepKind.WAIT:
            raise TimeoutError(message)
        if step.kind is StepKind.CHILD:
            raise WorkflowFailed(step.child or "", kind, message) from refused
        raise StepFailed(step.name, kind, message, step.attempt)

    def begun(self, asked: Asked) -> StepRecord:
        """Return the record of a step that has not ended."""
        if asked.recorded is not None:
            return asked.recorded
        return StepRecord(
            name=asked.name,
            occurrence=asked.occurrence,
            kind=asked.kind,
            fingerprint=asked.fingerprint,
            state=StepState.PENDING,
            position=None,
            attempt=0,
            started_at=self.moment(),
            args=self.sealed(asked.args, "args"),
        )

    async def go_on(self) -> None:
        """Begin nothing more when somebody wants the workflow to stop, or its time is over."""
        row, left_s = self.execution, self.left_s()
        is_late = left_s is not None and left_s <= 0
        if is_late or row.is_cancelled or row.pause is not Pause.NO or self.parts.traffic.is_leaving:
            await self.turns.park()

    async def look(self) -> None:
        """Learn what people want of the workflow, unless that was learnt a moment ago."""
        await self.refreshed()
        await self.go_on()

    async def parked(self, step: StepRecord, waits: Waits) -> NoReturn:
        """Wait for what is not there yet; never returns."""
        self.waiting[step.place] = waits
        try:
            await self.turns.park()
        except Suspended:
            raise
        except BaseException:  # the branch was called off: nobody waits for this any more
            self.waiting.pop(step.place, None)
            raise
        raise Suspended  # whoever is parked is put away

    def message(self, name: str) -> Message | None:
        """Return the first signal of that name that no wait has had yet."""
        named = [message for message in self.journal.messages if message.name == name]
        return named[self._heard_of[name]] if self._heard_of[name] < len(named) else None
