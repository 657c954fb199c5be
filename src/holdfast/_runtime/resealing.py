"""What a fork takes over of a record that a codec has sealed: each text is bound to its workflow."""

from __future__ import annotations

from dataclasses import replace

from holdfast._core.advance import Resealed
from holdfast._core.change import Column
from holdfast._core.execution import Journal, StepRecord
from holdfast._runtime.parts import Parts
from holdfast._runtime.writing import place_of


def resealed(parts: Parts, journal: Journal, keep: int, workflow_id: str) -> Resealed:
    """Return the texts of *journal*, up to the step that ended at *keep*, as *workflow_id* has them.

    Raises:
        PayloadSealed: One of them cannot be opened here.
    """
    source = journal.execution
    stamp = parts.stamp(source.tenant, place_of(workflow_id), source.actor)

    def moved(text: str, column: Column) -> str:
        return stamp.seal(parts.opened(source.tenant, place_of(source.workflow_id), text, column), column)

    def of(step: StepRecord) -> StepRecord:
        return replace(
            step,
            args=None if step.args is None else moved(step.args, "args"),
            result=None if step.result is None else moved(step.result, "result"),
            error=None if step.error is None else moved(step.error, "error"),
        )

    return Resealed(
        epoch=source.epoch,
        news=source.news,
        input=moved(source.input, "args"),
        steps=tuple(
            of(step) for step in journal.steps if step.position is not None and step.position <= keep
        ),
        messages=tuple(replace(each, body=moved(each.body, "body")) for each in journal.messages),
    )
