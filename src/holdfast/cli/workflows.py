"""``holdfast workflows``: which workflows there are and how they stand, and what to do with one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import click

from holdfast._core.states import WorkflowStatus
from holdfast.cli.exits import Exit
from holdfast.cli.fields import execution_fields, workflow_fields
from holdfast.cli.next_step import execution_steps, workflow_steps
from holdfast.cli.output import Line, iso, listing, say, span
from holdfast.cli.session import Opened, Session, examples, opened, session_options
from holdfast.cli.workflow_show import events, show
from holdfast.cli.workflow_steer import cancel, fork, halt, pause, restart, resume, signal, unhalt
from holdfast.ledger import Execution
from holdfast.ports import WorkflowRecord

_HEADS: Final = ("workflow", "status", "in doubt", "updated", "why it stands still")
_EXAMPLES: Final = (
    "holdfast workflows --status needs_review",
    "holdfast workflows --name support --queue mail --json",
    "holdfast workflows show ticket-7",
    "holdfast workflows cancel ticket-7 --by ops@acme.example --reason 'sent twice'",
)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is on record of one workflow: of its effects, of its code, or of both."""

    of_effects: WorkflowRecord | None
    of_code: Execution | None

    @property
    def workflow_id(self) -> str:
        known = self.of_effects or self.of_code
        return "" if known is None else known.workflow_id

    @property
    def updated_at(self) -> datetime:
        return max(known.updated_at for known in (self.of_effects, self.of_code) if known is not None)

    @property
    def status(self) -> WorkflowStatus:
        if self.of_effects is not None and self.of_effects.status is WorkflowStatus.NEEDS_REVIEW:
            return WorkflowStatus.NEEDS_REVIEW
        known = self.of_code or self.of_effects
        return WorkflowStatus.RUNNING if known is None else known.status

    @property
    def why(self) -> str:
        if self.of_effects is not None and self.of_effects.stopped is not None:
            return self.of_effects.stopped
        execution = self.of_code
        if execution is None:
            return ""
        if execution.pause:
            return f"{execution.pause}: {execution.pause_reason}"
        return f"waits for {execution.waits_for}" if execution.waits_for else ""


@click.group(epilog=examples(*_EXAMPLES), invoke_without_command=True)
@click.option(
    "--status",
    type=click.Choice([str(status) for status in WorkflowStatus]),
    help="With this status; needs_review is the review queue.",
)
@click.option("--name", metavar="CODE", help="Whose code has this name.")
@click.option("--queue", metavar="NAME", help="In this queue.")
@click.option("--parent", metavar="ID", help="Begun by this workflow.")
@click.option("--paused", is_flag=True, help="That nobody may go on with: paused, halted or dead letters.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@click.option("--exit-code", is_flag=True, help="Exit with 5 when any of them needs review.")
@session_options
@click.pass_context
def workflows(
    ctx: click.Context,
    status: str | None,
    name: str | None,
    queue: str | None,
    parent: str | None,
    limit: int,
    *,
    paused: bool,
    exit_code: bool,
) -> None:
    """List workflows, or see to one.

    Last touched first: those that run as code, and those of bare calls that were in doubt or stopped. One
    that needs review waits for a person: an effect of it is in doubt, its calls are refused, or its code does
    not fit its record.
    Columns in a pipe: workflow, status, in doubt, why it stands still, what stopped it, updated.
    """
    if ctx.invoked_subcommand is not None:
        return
    session = ctx.ensure_object(Session)
    is_of_code = name is not None or queue is not None or parent is not None or paused
    with opened(session) as here:
        executions = here.ledger.executions(
            status=status,
            workflow=name,
            queue=queue,
            parent=parent,
            is_paused=True if paused else None,
            limit=limit + 1,
        )
        found = _together(here, executions, status, limit, alone=is_of_code)
    _tell(session, found, limit, status, exit_code=exit_code)


def _together(
    here: Opened, executions: list[Execution], status: str | None, limit: int, *, alone: bool
) -> list[_Known]:
    """Return what is known of each workflow, last touched first."""
    records = [] if alone else here.ledger.workflows(status=status, limit=limit + 1)
    by_id = {record.workflow_id: _Known(record, None) for record in records}
    for execution in executions:
        known = by_id.get(execution.workflow_id)
        by_id[execution.workflow_id] = _Known(None if known is None else known.of_effects, execution)
    found = [known for known in by_id.values() if status is None or known.status == status]
    return sorted(found, key=lambda known: (known.updated_at, known.workflow_id), reverse=True)


def _tell(session: Session, found: list[_Known], limit: int, status: str | None, *, exit_code: bool) -> None:
    listed = found[:limit]
    listing(_HEADS, [_line(session, known) for known in listed], as_json=session.as_json)
    if not found:
        say("there is no such workflow" if status is None else f"no workflow is {status}")
    elif len(found) > limit:
        say(f"these are the {limit} last touched; there are more: raise --limit")
    queue = [known for known in listed if known.status is WorkflowStatus.NEEDS_REVIEW]
    if queue and not session.as_json:
        say("see to one, for example the last touched:")
        for step in _steps(session, queue[0]):
            say(f"  {step}")
    if queue and exit_code:
        raise click.exceptions.Exit(Exit.WAITING)


def _steps(session: Session, known: _Known) -> list[str]:
    of_effects = [] if known.of_effects is None else workflow_steps(session, known.of_effects)
    return of_effects or ([] if known.of_code is None else execution_steps(session, known.of_code))


def _line(session: Session, known: _Known) -> Line:
    effects, age = known.of_effects, datetime.now(UTC) - known.updated_at
    in_doubt = "0" if effects is None else str(effects.open_reviews)
    fields = {} if effects is None else workflow_fields(effects)
    code = {} if known.of_code is None else execution_fields(known.of_code)
    return Line(
        fields={**code, **fields, "status": known.status, "next": _steps(session, known)},
        cells=(
            known.workflow_id,
            known.status,
            in_doubt,
            known.why,
            "" if effects is None else effects.stopped_by or "",
            iso(known.updated_at) or "",
        ),
        brief=(
            known.workflow_id,
            known.status,
            in_doubt,
            f"{span(age.total_seconds())} ago",
            known.why or "-",
        ),
    )


for _command in (show, events, pause, resume, cancel, restart, fork, halt, unhalt, signal):
    workflows.add_command(_command)
