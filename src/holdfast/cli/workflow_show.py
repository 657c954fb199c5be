"""``holdfast workflows show`` and ``events``: a workflow as a timeline, and as it goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from holdfast._core.redact import redact_names
from holdfast.cli.fields import event_fields, execution_fields, step_fields
from holdfast.cli.next_step import execution_steps
from holdfast.cli.output import (
    clock,
    compact,
    is_terminal,
    iso,
    ndjson,
    printable,
    say,
    screen_table,
    span,
    tsv,
)
from holdfast.cli.sealed import NoKeys
from holdfast.cli.session import Session, examples, opened, session_options
from holdfast.ledger import Execution, WorkflowEvent, WorkflowStep

_HEADS: Final = ("#", "what", "name", "state", "after", "took", "", "came to")
_WIDTH: Final = 24
_SHOWN: Final = 60


@click.command(epilog=examples("holdfast workflows show ticket-7", "holdfast workflows show ticket-7 --json"))
@click.argument("workflow")
@session_options
@click.pass_obj
def show(session: Session, workflow: str) -> None:
    """Show a workflow as a timeline: each step, when it began, how long it took, what it came to.

    Payloads are shown without what sits under a telltale name such as `password`, and those that a codec
    sealed as `[sealed]`.
    Columns in a pipe: position, kind, name, state, attempts, started, ended, effect, child, result or error.
    """
    with opened(session, NoKeys()) as here:
        execution = here.ledger.execution(workflow)
        steps = here.ledger.steps(workflow)
    if session.as_json:
        ndjson({**execution_fields(execution), "steps": [step_fields(step) for step in steps]})
    elif is_terminal():
        screen_table(_HEADS, list(_rows(execution, steps)), title=_title(execution))
    else:
        for step in steps:
            tsv(_cells(step))
    say(f"workflow {workflow}: {execution.status}{_why(execution)}")
    for next_step in execution_steps(session, execution):
        say(f"next: {next_step}")


def _title(execution: Execution) -> str:
    begun = f"begun {clock(execution.created_at)} by {execution.actor}"
    return printable(f"{execution.function} (version {execution.version}), {begun}")


def _why(execution: Execution) -> str:
    if execution.pause:
        return f", {execution.pause} ({execution.pause_reason})"
    if execution.waits_for:
        until = "" if execution.wake_at is None else f" until {clock(execution.wake_at)} at the latest"
        return f", it waits for {execution.waits_for}{until}"
    return "" if execution.error is None else f": {execution.error[:300]}"


def _rows(execution: Execution, steps: Sequence[WorkflowStep]) -> Iterator[tuple[str, ...]]:
    begun, now = execution.created_at, datetime.now(UTC)
    ends = [step.ended_at or now for step in steps]
    whole_s = max((max(ends, default=begun) - begun).total_seconds(), 0.001)
    for step, ended in zip(steps, ends, strict=True):
        after, took = step.started_at - begun, ended - step.started_at
        again = f" (try {step.attempts})" if step.attempts > 1 else ""
        yield (
            "" if step.position is None else str(step.position),
            step.kind,
            step.name,
            f"{step.state}{again}",
            span(after.total_seconds()),
            span(took.total_seconds()) + ("" if step.ended_at else " so far"),
            _bar(after, took, whole_s),
            _outcome(step),
        )


def _bar(after: timedelta, took: timedelta, whole_s: float) -> str:
    """Draw when a step ran, within the whole."""
    first = min(int(_WIDTH * max(after.total_seconds(), 0.0) / whole_s), _WIDTH - 1)
    length = max(round(_WIDTH * took.total_seconds() / whole_s), 1)
    return " " * first + "█" * min(length, _WIDTH - first)


def _outcome(step: WorkflowStep) -> str:
    if step.error is not None:
        return f"{step.error.get('type', '')}: {step.error.get('message', '')}"[:_SHOWN]
    if step.position is None:
        return "-" if step.due_at is None else f"due {clock(step.due_at)}"
    return compact(redact_names(step.result))[:_SHOWN]


def _cells(step: WorkflowStep) -> tuple[str, ...]:
    said: Any = step.error if step.error is not None else redact_names(step.result)
    return (
        "" if step.position is None else str(step.position),
        step.kind,
        step.name,
        step.state,
        str(step.attempts),
        iso(step.started_at) or "",
        iso(step.ended_at) or "",
        step.effect or "",
        step.child or "",
        compact(said),
    )


@click.command(
    epilog=examples(
        "holdfast workflows events ticket-7 --no-follow --json",
        "holdfast workflows events ticket-7 --after 12 --no-follow",
    )
)
@click.argument("workflow")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Go on after this offset.")
@click.option("--follow/--no-follow", default=True, help="Wait for what is to come, until it has ended.")
@session_options
@click.pass_obj
def events(session: Session, workflow: str, after: int, *, follow: bool) -> None:
    """Tell what happens in a workflow, each event once and in order.

    Columns in a pipe: offset, kind, name, state, at, result or error.
    """
    with opened(session, NoKeys()) as here:
        for event in here.ledger.events(workflow, after=after, follow=follow):
            _tell(session, event)


def _tell(session: Session, event: WorkflowEvent) -> None:
    if session.as_json:
        ndjson(event_fields(event))
        return
    said: Any = event.error if event.error is not None else redact_names(event.result)
    at = clock(event.at) if is_terminal() else iso(event.at) or ""
    tsv((str(event.offset), event.kind, event.name, event.state, at, compact(said)))
