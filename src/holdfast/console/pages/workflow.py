"""Workflow: what happened, in order? And what a person may do about it."""

from __future__ import annotations

from holdfast._core.execution import ENDED
from holdfast.console.asking import OPERATING, Action, Answer, Asked, Deed, Page
from holdfast.console.text import segment
from holdfast.console.views.workflow import workflow_story


async def _build(asked: Asked) -> Answer:
    workflow_id = asked.part("id")
    story = await workflow_story(asked.ledger, workflow_id, asked.exactly)
    return Answer(
        "workflow.html",
        workflow_id,
        {"story": story},
        {"has_ended": story.workflow.is_code and story.workflow.status in ENDED},
    )


def _address(workflow_id: str) -> str:
    return f"/workflows/{segment(workflow_id)}"


async def _cancel(deed: Deed) -> str:
    workflow_id = deed.asked.part("id")
    await deed.ledger.cancel(workflow_id, by=deed.by, reason=deed.told("reason"))
    return _address(workflow_id)


async def _pause(deed: Deed) -> str:
    workflow_id = deed.asked.part("id")
    await deed.ledger.pause(workflow_id, by=deed.by, reason=deed.told("reason"))
    return _address(workflow_id)


async def _resume(deed: Deed) -> str:
    workflow_id = deed.asked.part("id")
    await deed.ledger.resume(workflow_id, by=deed.by, reason=deed.told("reason"))
    return _address(workflow_id)


async def _restart(deed: Deed) -> str:
    workflow_id = deed.asked.part("id")
    await deed.ledger.restart(workflow_id)
    return _address(workflow_id)


async def _fork(deed: Deed) -> str:
    step = deed.told("step")
    to = deed.told("to")
    first = int(step) if step.isascii() and step.isdecimal() else step
    await deed.ledger.fork(deed.asked.part("id"), to, from_step=first)
    return _address(to)


async def _compensate(deed: Deed) -> str:
    workflow_id = deed.asked.part("id")
    await deed.ledger.compensate(workflow_id, reason=deed.told("reason"))
    return _address(workflow_id)


PAGE = Page("workflow", "/workflows/{id}", _build)
ACTIONS = tuple(
    Action(PAGE, word, OPERATING, do)
    for word, do in {
        "cancel": _cancel,
        "pause": _pause,
        "resume": _resume,
        "restart": _restart,
        "fork": _fork,
        "compensate": _compensate,
    }.items()
)
