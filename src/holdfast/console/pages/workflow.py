"""Workflow: what happened, in order? And what a person may do about it."""

from __future__ import annotations

from holdfast._core.execution import ENDED
from holdfast._core.states import Safety
from holdfast.console.asking import OPERATING, Action, Answer, Asked, Deed, Page
from holdfast.console.recording import done
from holdfast.console.text import segment
from holdfast.console.views.approvals import asked_about
from holdfast.console.views.workflow import workflow_story


async def _build(asked: Asked) -> Answer:
    workflow_id = asked.part("id")
    story = await workflow_story(asked.ledger, workflow_id, asked.exactly)
    asked_people = await asked_about(asked.ledger, asked.visitor, asked.exactly, workflow_id=workflow_id)
    return Answer(
        "workflow.html",
        workflow_id,
        {"story": story, "approvals": asked_people},
        {
            "has_ended": story.workflow.is_code and story.workflow.status in ENDED,
            "may_be_undone": any(effect.safety is not Safety.READ for effect in story.effects),
        },
    )


def _address(workflow_id: str) -> str:
    return f"/workflows/{segment(workflow_id)}"


async def _cancel(deed: Deed) -> str:
    workflow_id, reason = deed.asked.part("id"), deed.told("reason")
    await deed.ledger.cancel(workflow_id, by=deed.by, reason=reason)
    await done(deed, "cancel", workflow_id, reason)
    return _address(workflow_id)


async def _pause(deed: Deed) -> str:
    workflow_id, reason = deed.asked.part("id"), deed.told("reason")
    await deed.ledger.pause(workflow_id, by=deed.by, reason=reason)
    await done(deed, "pause", workflow_id, reason)
    return _address(workflow_id)


async def _resume(deed: Deed) -> str:
    workflow_id, reason = deed.asked.part("id"), deed.told("reason")
    await deed.ledger.resume(workflow_id, by=deed.by, reason=reason)
    await done(deed, "resume", workflow_id, reason)
    return _address(workflow_id)


async def _restart(deed: Deed) -> str:
    workflow_id, reason = deed.asked.part("id"), deed.told("reason")
    await deed.ledger.restart(workflow_id)
    await done(deed, "restart", workflow_id, reason)
    return _address(workflow_id)


async def _fork(deed: Deed) -> str:
    """Let another workflow go on from a step; the stories of both tell of it."""
    step, to, reason = deed.told("step"), deed.told("to"), deed.told("reason")
    first = int(step) if step.isascii() and step.isdecimal() else step
    source = deed.asked.part("id")
    await deed.ledger.fork(source, to, from_step=first)
    await done(deed, "fork", source, reason, step=step, to=to)
    await done(deed, "fork", to, reason, step=step, source=source)
    return _address(to)


async def _compensate(deed: Deed) -> str:
    workflow_id, reason = deed.asked.part("id"), deed.told("reason")
    await deed.ledger.compensate(workflow_id, reason=reason)
    await done(deed, "undo", workflow_id, reason)
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
