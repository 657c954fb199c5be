"""``holdfast unknown``: what nobody can vouch for, and what settles it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import click

from holdfast._core.states import State
from holdfast.cli.effects import SHORT_KEY
from holdfast.cli.exits import Exit
from holdfast.cli.next_step import doubt_of, is_in_doubt, next_steps
from holdfast.cli.output import Line, iso, listing, say, span
from holdfast.cli.session import Opened, Session, examples, opened, session_options
from holdfast.ledger import EffectRecord

_CLAIMS: Final = 1000  # that are looked at one by one
_HEADS: Final = ("key", "for", "tool", "workflow", "why", "next look")


@click.command(epilog=examples("holdfast unknown", "holdfast unknown --tool stripe.charge --json"))
@click.option("--workflow", "workflow_id", metavar="ID", help="Of this workflow.")
@click.option("--tool", metavar="NAME", help="Of this tool.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@click.option("--exit-code", is_flag=True, help="Exit with 6 when there are any.")
@session_options
@click.pass_obj
def unknown(
    session: Session, workflow_id: str | None, tool: str | None, limit: int, *, exit_code: bool
) -> None:
    """List effects in doubt, and what settles them.

    They may or may not have happened; the ledger repeats none of them until there is evidence. The claims of
    dead workers are among them: nobody has made the same call since.
    A terminal also shows when a sweeper looks for evidence next.
    Columns in a pipe: key, since, tool, workflow, why.
    """
    with opened(session) as here:
        found = _in_doubt(here, workflow_id, tool, limit + 1)
        lines = [_line(here, session, record) for record in found[:limit]]
    listing(_HEADS, lines, as_json=session.as_json)
    if not found:
        say("nothing is in doubt")
        return
    if len(found) > limit:
        say(f"these are the newest {limit}; there are more: raise --limit")
    if not session.as_json:
        say("settle one by evidence, for example the newest:")
        for step in next_steps(session, found[0]):
            say(f"  {step}")
    if exit_code:
        raise click.exceptions.Exit(Exit.IN_DOUBT)


def _in_doubt(here: Opened, workflow_id: str | None, tool: str | None, limit: int) -> list[EffectRecord]:
    """Return what is known to be in doubt, and what will be as soon as somebody looks: newest first."""
    doubtful = here.ledger.effects(workflow_id=workflow_id, tool=tool, state=State.UNKNOWN, limit=limit)
    claimed = here.ledger.effects(workflow_id=workflow_id, tool=tool, state=State.PENDING, limit=_CLAIMS)
    dead = [record for record in claimed if is_in_doubt(record)]
    return sorted((*doubtful, *dead), key=lambda record: record.created_at, reverse=True)[:limit]


def _line(here: Opened, session: Session, record: EffectRecord) -> Line:
    since, why = doubt_of(record, here.ledger.audit(record.key))
    age_s = max((datetime.now(UTC) - since).total_seconds(), 0.0)
    return Line(
        fields={
            "key": record.key,
            "tenant": record.tenant,
            "workflow_id": record.workflow_id,
            "tool": record.tool,
            "intent": record.intent,
            "attempt": record.attempt,
            "since": iso(since),
            "age_s": round(age_s, 3),
            "why": why,
            "next": next_steps(session, record),
            "retry_at": iso(_next_look(record)),
        },
        cells=(record.key, iso(since) or "", record.tool, record.workflow_id, why),
        brief=(record.key[:SHORT_KEY], span(age_s), record.tool, record.workflow_id, why, _due(record)),
    )


def _next_look(record: EffectRecord) -> datetime | None:
    return record.retry_at if record.state is State.UNKNOWN else None


def _due(record: EffectRecord) -> str:
    """Say when a sweeper looks again; at its next pass, unless the last one found nothing."""
    at = _next_look(record)
    left_s = 0.0 if at is None else (at - datetime.now(UTC)).total_seconds()
    return f"in {span(left_s)}" if left_s > 0 else "due"
