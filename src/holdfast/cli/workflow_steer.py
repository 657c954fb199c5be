"""``holdfast workflows pause``, ``cancel``, ``restart`` ...: what a person wants of a workflow."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from holdfast.cli.exits import Refused
from holdfast.cli.fields import execution_fields, workflow_fields
from holdfast.cli.next_step import execution_steps
from holdfast.cli.output import counted, ndjson, say, tsv
from holdfast.cli.session import Session, examples, opened, session_options
from holdfast.errors import WorkflowNotFound
from holdfast.ledger import Execution

F = TypeVar("F", bound=Callable[..., Any])
_BY: Final = "--by ops@acme.example"


def _person(function: F) -> F:
    function = click.option("--reason", required=True, metavar="TEXT", help="What for.")(function)
    return click.option("--by", required=True, metavar="WHO", help="Who says so.")(function)


def _told(session: Session, execution: Execution, said: str) -> None:
    if session.as_json:
        ndjson(execution_fields(execution))
    else:
        tsv((execution.workflow_id, execution.status))
    say(said)
    for step in execution_steps(session, execution):
        say(f"next: {step}")


def _refuse_unsaid(by: str, reason: str) -> None:
    if not by.strip() or not reason.strip():
        raise Refused("--by or --reason is empty", "say who says so, and what for")
    if not (by.isprintable() and reason.isprintable()):
        raise Refused("--by or --reason is no printable text", "write it on one line")


@click.command(
    epilog=examples(
        f"holdfast workflows pause ticket-7 {_BY} --reason 'looking into it'",
        f"holdfast workflows pause ticket-7 {_BY} --reason 'a customer asked for it' --json",
    )
)
@click.argument("workflow")
@_person
@session_options
@click.pass_obj
def pause(session: Session, workflow: str, by: str, reason: str) -> None:
    """Let nobody go on with a workflow, from its next step on, until it is resumed."""
    _refuse_unsaid(by, reason)
    with opened(session) as here:
        execution = here.ledger.pause(workflow, by=by, reason=reason)
    _told(session, execution, f"nobody goes on with it, by {by}: {reason}")


@click.command(
    epilog=examples(
        f"holdfast workflows resume ticket-7 {_BY} --reason 'it is clear now'",
        f"holdfast workflows resume ticket-7 {_BY} --reason 'the worker has more memory' --json",
    )
)
@click.argument("workflow")
@_person
@session_options
@click.pass_obj
def resume(session: Session, workflow: str, by: str, reason: str) -> None:
    """Let a workflow go on that was paused, stopped or put aside as a dead letter."""
    _refuse_unsaid(by, reason)
    with opened(session) as here:
        if here.ledger.workflow_state(workflow) is None:
            raise WorkflowNotFound(workflow)
        state = here.ledger.resume(workflow, by=by, reason=reason)
        try:
            execution = here.ledger.execution(workflow)
        except WorkflowNotFound:  # bare calls have no code
            ndjson(workflow_fields(state)) if session.as_json else tsv((workflow, state.status))
            return
    _told(session, execution, f"it may go on, by {by}: {reason}")


@click.command(
    epilog=examples(
        f"holdfast workflows cancel ticket-7 {_BY} --reason 'sent twice'",
        f"holdfast workflows cancel ticket-7 {_BY} --reason 'the customer left' --json",
    )
)
@click.argument("workflow")
@_person
@session_options
@click.pass_obj
def cancel(session: Session, workflow: str, by: str, reason: str) -> None:
    """End a workflow, and those that it waits for: at once, or at the next step of who works on it.

    One that is declared with on_failure="compensate" undoes what it did first; that takes a worker.
    """
    _refuse_unsaid(by, reason)
    with opened(session) as here:
        execution = here.ledger.cancel(workflow, by=by, reason=reason)
    is_ended = execution.ended_at is not None
    _told(session, execution, "it is cancelled" if is_ended else "it is to end: a worker sees to that")


@click.command(
    epilog=examples("holdfast workflows restart ticket-7", "holdfast workflows restart ticket-7 --json")
)
@click.argument("workflow")
@session_options
@click.pass_obj
def restart(session: Session, workflow: str) -> None:
    """Queue a workflow that failed, or was cancelled: it goes on without its last failures.

    Effects keep their keys: what is done is answered from the record.
    """
    with opened(session) as here:
        execution = here.ledger.restart(workflow)
    _told(session, execution, "it is queued, and goes on from its record")


@click.command(
    epilog=examples(
        "holdfast workflows fork ticket-7 ticket-7-again --from-step answer",
        "holdfast workflows fork ticket-7 ticket-7-again --from-step 2 --json",
    )
)
@click.argument("workflow")
@click.argument("to", metavar="NEW")
@click.option(
    "--from-step",
    required=True,
    metavar="STEP",
    help="The first step to be made again: its name, or its position in the timeline.",
)
@session_options
@click.pass_obj
def fork(session: Session, workflow: str, to: str, from_step: str) -> None:
    """Queue a new workflow that goes on from a step of this one.

    What came before is its record too; what it does from there on are effects of its own.
    """
    step: str | int = int(from_step) if from_step.isdecimal() else from_step
    with opened(session) as here:
        execution = here.ledger.fork(workflow, to, from_step=step)
    _told(session, execution, f"it is queued, and goes on from step {from_step}")


@click.command(
    epilog=examples(
        f"holdfast workflows halt --actor agent-7 {_BY} --reason 'it loops'",
        f"holdfast workflows halt {_BY} --reason 'something is wrong everywhere'",
    )
)
@click.option("--actor", metavar="NAME", help="Whose; everybody's of the tenant when left out.")
@_person
@session_options
@click.pass_obj
def halt(session: Session, actor: str | None, by: str, reason: str) -> None:
    """Stop all workflows of an actor, or of the tenant, at their next steps.

    Those that are begun while it is halted are queued and do not start.
    """
    _refuse_unsaid(by, reason)
    with opened(session) as here:
        count = here.ledger.halt(actor, by=by, reason=reason)
    _told_of_halt(session, actor, count, "stopped")


@click.command(
    epilog=examples(
        f"holdfast workflows unhalt --actor agent-7 {_BY} --reason 'mended'",
        f"holdfast workflows unhalt {_BY} --reason 'all is well again'",
    )
)
@click.option("--actor", metavar="NAME", help="Whose; everybody's of the tenant when left out.")
@_person
@session_options
@click.pass_obj
def unhalt(session: Session, actor: str | None, by: str, reason: str) -> None:
    """Let the workflows go on that `halt` stopped."""
    _refuse_unsaid(by, reason)
    with opened(session) as here:
        count = here.ledger.unhalt(actor, by=by, reason=reason)
    _told_of_halt(session, actor, count, "may go on")


def _told_of_halt(session: Session, actor: str | None, count: int, what: str) -> None:
    if session.as_json:
        ndjson({"actor": actor, "workflows": count, "what": what})
    else:
        tsv((actor or "", str(count)))
    say(f"{counted(count, 'workflow')} {what}{'' if actor is None else f' ({actor})'}")


@click.command(
    epilog=examples(
        """holdfast workflows signal ticket-7 replied '{"text": "yes"}' --id mail-991""",
        "holdfast workflows signal ticket-7 approved",
    )
)
@click.argument("workflow")
@click.argument("name")
@click.argument("body", required=False)
@click.option("--id", "signal_id", metavar="ID", help="A signal that comes again under it is the same one.")
@session_options
@click.pass_obj
def signal(session: Session, workflow: str, name: str, body: str | None, signal_id: str | None) -> None:
    """Send a workflow a signal, with a JSON value as its BODY."""
    try:
        read = None if body is None else json.loads(body)
    except ValueError as error:
        fix = """quote it for the shell, e.g. '{"text": "yes"}'"""
        raise Refused(f"BODY is no JSON ({error})", fix) from error
    with opened(session) as here:
        is_heard = here.ledger.signal(workflow, name, read, signal_id=signal_id)
        execution = here.ledger.execution(workflow)
    _told(session, execution, "it will hear of it" if is_heard else "it has ended: nobody hears of it")
