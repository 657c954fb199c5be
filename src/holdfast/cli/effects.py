"""``holdfast effects``: what the agent did, newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import click

from holdfast._core.duration import Duration, seconds
from holdfast._core.states import State
from holdfast.cli.exits import Refused
from holdfast.cli.fields import effect_fields
from holdfast.cli.output import Line, clock, iso, listing, say
from holdfast.cli.session import Session, examples, opened, session_options
from holdfast.errors import HoldfastError
from holdfast.ledger import EffectRecord

HEADS: Final = ("key", "state", "tool", "workflow", "attempt", "created", "outcome")
_WHEN: Final = "give a length of time like 1h30m or 7d, or a moment like 2026-01-31T09:00:00Z"
SHORT_KEY: Final = 15
"""Length of a key on a terminal: `v1:` and 12 digits, enough to copy as an ID."""


def moment(text: str | None) -> datetime | Duration | None:
    """Read ``--since``: a length of time (``1h``), or a moment in ISO 8601 with its time zone."""
    if text is None:
        return None
    try:
        if "-" not in text:
            seconds(text, name="--since")
            return text
        when = datetime.fromisoformat(text)
    except (ValueError, HoldfastError) as error:
        what = f"--since {text!r} is no moment"
        raise Refused(what, _WHEN) from error
    if when.tzinfo is None:
        raise Refused(f"--since {text!r} names no time zone", _WHEN)
    return when


def outcome(record: EffectRecord) -> str:
    """Return what came of an effect, in a word or two; never a value."""
    if record.result_gap is not None:
        return f"result not recorded: {record.result_gap}"
    return "-" if record.error is None else record.error.type


def line(record: EffectRecord) -> Line:
    """Return an effect as an item of a listing."""
    tail = (str(record.attempt), clock(record.created_at), outcome(record))
    return Line(
        fields=effect_fields(record),
        cells=(
            record.key,
            record.state,
            record.tool,
            record.intent,
            record.workflow_id,
            str(record.attempt),
            iso(record.created_at) or "",
            iso(record.updated_at) or "",
            outcome(record),
        ),
        brief=(record.key[:SHORT_KEY], record.state, record.tool, record.workflow_id, *tail),
    )


@click.command(
    epilog=examples(
        "holdfast effects --since 1h --state unknown", "holdfast effects --intent charge_card --json"
    )
)
@click.option("--workflow", "workflow_id", metavar="ID", help="Of this workflow.")
@click.option("--tool", metavar="NAME", help="Of this tool.")
@click.option("--intent", metavar="NAME", help="With this intent.")
@click.option("--state", type=click.Choice([str(state) for state in State]), help="In this state.")
@click.option("--since", metavar="WHEN", help="Created since: 1h, 7d, or 2026-01-31T09:00:00Z.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@session_options
@click.pass_obj
def effects(
    session: Session,
    workflow_id: str | None,
    tool: str | None,
    intent: str | None,
    state: str | None,
    since: str | None,
    limit: int,
) -> None:
    """List effects, newest first.

    Columns in a pipe: key, state, tool, intent, workflow, attempt, created, updated, outcome.
    """
    with opened(session) as here:
        found = here.ledger.effects(
            workflow_id=workflow_id,
            tool=tool,
            intent=intent,
            state=state,
            since=moment(since),
            limit=limit + 1,
        )
    listing(HEADS, [line(record) for record in found[:limit]], as_json=session.as_json)
    if not found:
        say("no effects match")
    elif len(found) > limit:
        say(f"these are the newest {limit}; there are more: raise --limit, or narrow the search")
