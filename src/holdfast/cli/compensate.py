"""``holdfast compensate WORKFLOW``: undoes a workflow's effects, and reports what stands, piece by piece."""

from __future__ import annotations

import contextlib
import logging
import shlex
import sys
from collections import Counter
from dataclasses import replace
from typing import Final

import click

from holdfast.cli.app import answer, app_ledger, completed
from holdfast.cli.effects import SHORT_KEY
from holdfast.cli.exits import Exit, Refused
from holdfast.cli.fields import fate_fields
from holdfast.cli.output import Line, listing, ndjson, say
from holdfast.cli.session import Session, examples, session_options
from holdfast.ledger import CompensationReport, EffectFate, Ledger, SyncLedger

_MANY: Final = 100_000
_HEADS: Final = ("fate", "tool", "effect", "by", "why", "external id")
_EXAMPLES: Final = (
    "holdfast compensate order-123 --app shop:ledger --reason 'the customer cancelled'",
    "holdfast compensate order-123 --app shop:ledger --reason 'the customer cancelled' --json",
)


@click.command(epilog=examples(*_EXAMPLES))
@click.argument("workflow")
@click.option("--app", metavar="MODULE:LEDGER", help="Where your ledger with its declared tools is.")
@click.option("--reason", required=True, metavar="TEXT", help="Why it is undone.")
@session_options
@click.pass_obj
def compensate(session: Session, workflow: str, app: str | None, reason: str) -> None:
    """Undo what a workflow did, and say what stands.

    Newest first, each effect by its tool's compensation, an effect of its own that happens once: interrupted,
    the same command goes on. The workflow is stopped meanwhile. Exits with 5 when a person has to see to the
    rest: something could not be undone, or nobody knows whether there is anything to undo.
    Columns in a pipe: fate, tool, effect, by, why, external id.
    """
    if not reason.strip():
        raise Refused("--reason is empty", "say why it is undone")
    # What people are alerted of is told below; handlers that the application has set up hear of it as well.
    logging.getLogger("holdfast.alerts").addHandler(logging.NullHandler())
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for our data, not for what your code prints
        ledger = app_ledger(session, app, what="the compensations are")
        report = completed(ledger, _undone(ledger, workflow, reason))
    _show(session, report)
    _say_what_is_left(session, report)
    if report.needs_review:
        raise click.exceptions.Exit(Exit.WAITING)


async def _undone(ledger: Ledger | SyncLedger, workflow: str, reason: str) -> CompensationReport:
    try:
        if await answer(ledger.effects(workflow_id=workflow, limit=1)):
            report: CompensationReport = await answer(ledger.compensate(workflow, reason=reason))
            return report if not report.of("failed") else await _with_tries(ledger, report)
        what = f"workflow {workflow!r} has no effects"
        raise Refused(what, "check the id and the tenant; nothing was undone", Exit.NOTHING_FOUND)
    finally:
        await answer(ledger.close())


async def _with_tries(ledger: Ledger | SyncLedger, report: CompensationReport) -> CompensationReport:
    """Return *report* with the effects that tried to undo what stands: they say why it failed."""
    effects = await answer(ledger.effects(workflow_id=report.workflow_id, limit=_MANY))
    tries = {effect.undoes: effect.key for effect in effects if effect.undoes is not None}
    fates = tuple(replace(fate, by=fate.by or tries.get(fate.key)) for fate in report.effects)
    return replace(report, effects=fates)


def _show(session: Session, report: CompensationReport) -> None:
    if session.as_json:
        ndjson(
            {
                "workflow_id": report.workflow_id,
                "tenant": session.tenant_name,
                "needs_review": report.needs_review,
                "effects": [fate_fields(fate) for fate in report.effects],
            }
        )
    else:
        listing(_HEADS, [_line(fate) for fate in report.effects], as_json=False)
    count = Counter(fate.fate for fate in report.effects)
    told = ", ".join(f"{number} {fate.replace('_', ' ')}" for fate, number in count.items())
    say(f"workflow {report.workflow_id}: {told}")


def _say_what_is_left(session: Session, report: CompensationReport) -> None:
    """Say what a person has to see to, and with which commands."""
    if not report.needs_review:
        return
    name = shlex.quote(report.workflow_id)
    say("it is stopped until a person has seen to the rest; look at")
    for fate in report.of("failed"):
        say(f"  {session.command(f'show {fate.by or fate.key}')}")
    if report.of("unknown"):
        say(f"  {session.command(f'unknown --workflow {name}')}")
    if not report.of("failed", "unknown"):
        say(f"  {session.command(f'effects --workflow {name}')}")
    say("then compensate again, or undo it by hand and let the workflow go on:")
    say(f"  {session.command(f'resume {name} --by YOU --reason WHAT_WAS_MENDED')}")


def _line(fate: EffectFate) -> Line:
    tail = (fate.why, fate.external_id or "")
    return Line(
        fields=fate_fields(fate),
        cells=(fate.fate, fate.tool, fate.key, fate.by or "", *tail),
        brief=(
            fate.fate,
            fate.tool,
            fate.key[:SHORT_KEY],
            (fate.by or "-")[:SHORT_KEY],
            *(cell or "-" for cell in tail),
        ),
    )
