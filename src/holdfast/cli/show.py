"""``holdfast show ID``: one effect with its story, or a workflow with its effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Final

import click

from holdfast.cli import effects as listed
from holdfast.cli.difference import show_differences
from holdfast.cli.exits import Exit, Refused, exit_of
from holdfast.cli.fields import effect_fields
from holdfast.cli.lookup import CANDIDATES, key_prefix, only
from holdfast.cli.next_step import workflow_steps
from holdfast.cli.output import listing, ndjson, say
from holdfast.cli.session import Opened, Session, examples, opened, session_options
from holdfast.cli.story import show_story
from holdfast.errors import EffectNotFound
from holdfast.ledger import EffectRecord
from holdfast.ports import WorkflowRecord

_EXAMPLES: Final = (
    "holdfast show order-123",
    "holdfast show 620fc6 --json",
    "holdfast show 620fc6 --diff args.json",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A workflow and its newest effects.

    Attributes:
        known: ``None`` when nothing was recorded about the workflow itself.
        is_all: Whether there are no older effects.
    """

    workflow_id: str
    known: WorkflowRecord | None
    effects: list[EffectRecord]
    is_all: bool

    @property
    def is_stopped(self) -> bool:
        """Whether its calls are refused."""
        return self.known is not None and self.known.stopped is not None


@click.command(epilog=examples(*_EXAMPLES))
@click.argument("ident", metavar="ID")
@click.option(
    "--diff",
    "payload",
    metavar="FILE",
    type=click.File(encoding="utf-8"),
    help="Compare these arguments (a JSON object; - for stdin) with the recorded ones.",
)
@click.option("--exit-code", is_flag=True, help="Exit with the code of the state: see the reference.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="At most so many of a workflow.",
)
@session_options
@click.pass_obj
def show(session: Session, ident: str, payload: IO[str] | None, limit: int, *, exit_code: bool) -> None:
    """Show an effect and its story, or a workflow.

    ID is an effect's key, the first 6 or more digits of one, or a workflow's id (which wins).
    Arguments and results are shown without what sits under a telltale name such as `password`.
    """
    with opened(session) as here:
        found = _find(here, ident, limit)
        records = found.effects if isinstance(found, Workflow) else [found]
        if payload is not None:
            show_differences(_single(records, ident), payload, as_json=session.as_json)
        elif isinstance(found, Workflow):
            _show_workflow(session, found)
        else:
            show_story(here, session, found)
    stopped = isinstance(found, Workflow) and found.is_stopped
    code = exit_of([record.state for record in records], stopped=stopped)
    raise click.exceptions.Exit(code if exit_code else Exit.DONE)


def _find(here: Opened, ident: str, limit: int) -> Workflow | EffectRecord:
    if not ident.startswith("v1:"):
        found = here.ledger.effects(workflow_id=ident, limit=limit + 1)
        known = here.ledger.workflow_state(ident)
        if found or known is not None:
            return Workflow(
                workflow_id=ident,
                known=known,
                effects=found[:limit],
                is_all=len(found) <= limit,
            )
    prefix = key_prefix(ident)
    if prefix is None:
        raise EffectNotFound(ident)
    return only(here.ledger.effects(key_prefix=prefix, limit=CANDIDATES + 1), ident)


def _single(records: list[EffectRecord], ident: str) -> EffectRecord:
    if len(records) != 1:
        raise Refused(f"workflow {ident!r} has {len(records)} effects", "name one by its key to compare")
    return records[0]


def _show_workflow(session: Session, found: Workflow) -> None:
    known = found.known
    status, open_reviews, stopped = (
        (None, 0, None) if known is None else (known.status, known.open_reviews, known.stopped)
    )
    if session.as_json:
        ndjson(
            {
                "workflow_id": found.workflow_id,
                "tenant": session.tenant_name,
                "status": status,
                "open_reviews": open_reviews,
                "effects": [effect_fields(record) for record in found.effects],
                "stopped": stopped,
                "stopped_by": None if known is None else known.stopped_by,
            }
        )
    else:
        listing(listed.HEADS, [listed.line(record) for record in found.effects], as_json=False)
    say(f"workflow {found.workflow_id}: {status or 'no status recorded'}, {open_reviews} in doubt")
    if stopped is not None:
        say(f"it is stopped: {stopped}")
    for step in [] if known is None else workflow_steps(session, known):
        say(f"next: {step}")
    if not found.is_all:
        say(f"these are the newest {len(found.effects)} effects; there are more: raise --limit")
