"""``holdfast resume WORKFLOW``: a person who mended the cause lets a stopped workflow go on."""

from __future__ import annotations

from typing import Final

import click

from holdfast.cli.exits import Exit, Refused
from holdfast.cli.fields import workflow_fields
from holdfast.cli.next_step import workflow_steps
from holdfast.cli.output import counted, ndjson, say, tsv
from holdfast.cli.session import Session, examples, opened, session_options

_EXAMPLES: Final = (
    "holdfast resume order-124 --by ops@acme.example --reason 'a new API key is in place'",
    "holdfast resume order-124 --by ops@acme.example --reason 'refunded by hand' --json",
)


@click.command(epilog=examples(*_EXAMPLES))
@click.argument("workflow")
@click.option("--by", required=True, metavar="WHO", help="Who says so.")
@click.option("--reason", required=True, metavar="TEXT", help="What was mended.")
@session_options
@click.pass_obj
def resume(session: Session, workflow: str, by: str, reason: str) -> None:
    """Let a stopped workflow go on.

    A workflow is stopped when its credentials are refused, while it is undone, and when it could not be
    undone wholly: its calls are refused until a person has mended the cause. Audited, in the trail of the
    effect that stopped it. Effects in doubt keep it in review all the same.
    """
    if not by.strip() or not reason.strip():
        raise Refused("--by or --reason is empty", "say who says so, and what was mended")
    with opened(session) as here:
        before = here.ledger.workflow_state(workflow)
        if before is None:
            what = f"nothing is on record of a workflow {workflow!r}"
            raise Refused(what, "check the id and the tenant; see `holdfast workflows`", Exit.NOTHING_FOUND)
        after = here.ledger.resume(workflow, by=by, reason=reason)
    if session.as_json:
        ndjson(workflow_fields(after))
    else:
        tsv((after.workflow_id, after.status))
    if before.stopped is None:
        say("it was not stopped; nothing changed")
    else:
        say(f"it may go on, by {by}: {reason}")
    if after.open_reviews:
        say(f"{counted(after.open_reviews, 'effect')} in doubt: it stays in review")
    for step in workflow_steps(session, after):
        say(f"next: {step}")
