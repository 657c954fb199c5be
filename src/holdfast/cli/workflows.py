"""``holdfast workflows``: which workflows a person has to look at, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import click

from holdfast._core.states import WorkflowStatus
from holdfast.cli.exits import Exit
from holdfast.cli.fields import workflow_fields
from holdfast.cli.next_step import workflow_steps
from holdfast.cli.output import Line, iso, listing, say, span
from holdfast.cli.session import Session, examples, opened, session_options
from holdfast.ports import WorkflowRecord

_HEADS: Final = ("workflow", "status", "in doubt", "updated", "why it is stopped")


@click.command(
    epilog=examples("holdfast workflows --status needs_review", "holdfast workflows --limit 10 --json")
)
@click.option(
    "--status",
    type=click.Choice([str(status) for status in WorkflowStatus]),
    help="With this status; needs_review is the review queue.",
)
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@click.option("--exit-code", is_flag=True, help="Exit with 5 when any of them needs review.")
@session_options
@click.pass_obj
def workflows(session: Session, status: str | None, limit: int, *, exit_code: bool) -> None:
    """List workflows that were in doubt or stopped.

    Last touched first. One that needs review waits for a person: an effect of it is in doubt, or it was
    stopped, and its calls are refused until somebody lets it go on.
    Columns in a pipe: workflow, status, in doubt, why it is stopped, what stopped it, updated.
    """
    with opened(session) as here:
        found = here.ledger.workflows(status=status, limit=limit + 1)
    listed = found[:limit]
    listing(_HEADS, [_line(session, workflow) for workflow in listed], as_json=session.as_json)
    if not found:
        say("no workflow was in doubt or stopped" if status is None else f"no workflow is {status}")
    elif len(found) > limit:
        say(f"these are the {limit} last touched; there are more: raise --limit")
    queue = [workflow for workflow in listed if workflow.status is WorkflowStatus.NEEDS_REVIEW]
    if queue and not session.as_json:
        say("see to one, for example the last touched:")
        for step in workflow_steps(session, queue[0]):
            say(f"  {step}")
    if queue and exit_code:
        raise click.exceptions.Exit(Exit.WAITING)


def _line(session: Session, workflow: WorkflowRecord) -> Line:
    open_reviews, age = str(workflow.open_reviews), datetime.now(UTC) - workflow.updated_at
    return Line(
        fields={**workflow_fields(workflow), "next": workflow_steps(session, workflow)},
        cells=(
            workflow.workflow_id,
            workflow.status,
            open_reviews,
            workflow.stopped or "",
            workflow.stopped_by or "",
            iso(workflow.updated_at) or "",
        ),
        brief=(
            workflow.workflow_id,
            workflow.status,
            open_reviews,
            f"{span(age.total_seconds())} ago",
            workflow.stopped or "-",
        ),
    )
