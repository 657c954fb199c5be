"""``holdfast audit verify``: whether the trail is what it was when it was written."""

from __future__ import annotations

import sys
from typing import Final

import click

from holdfast.cli.exits import Exit
from holdfast.cli.output import Line, counted, listing, ndjson, say
from holdfast.cli.session import Session, examples, opened, session_options

_HEADS: Final = ("key", "entry", "what")


@click.group(epilog=examples("holdfast audit verify", "holdfast audit verify --all-tenants --json"))
def audit() -> None:
    """Check the audit trail."""


@audit.command(epilog=examples("holdfast audit verify", "holdfast audit verify --all-tenants --json"))
@click.option("--all-tenants", is_flag=True, help="Of every tenant.")
@session_options
@click.pass_obj
def verify(session: Session, *, all_tenants: bool) -> None:
    """Check every effect's chain of audit entries, and the effect against its chain.

    Exits with 7 when anything does not fit. With $HOLDFAST_AUDIT_KEY set, keyed entries are checked with the
    key; without it, by their links only. What a chain cannot show is the deletion of a whole effect.
    Columns in a pipe: key, entry (0 for the effect itself), what.
    """
    with opened(session) as here:
        watched = sys.stderr.isatty()
        report = here.ledger.verify(all_tenants=all_tenants, progress=_progress if watched else None)
        if watched:
            _progress(0)
    problems = [{"key": found.key, "seq": found.seq, "what": found.what} for found in report.problems]
    if session.as_json:
        counts = {"chains": report.chains, "entries": report.entries, "unreadable": report.unreadable}
        ndjson({"ok": report.ok, **counts, "problems": problems})
    else:
        rows = [(found.key, str(found.seq), found.what) for found in report.problems]
        listing(_HEADS, [Line(fields={}, cells=row) for row in rows], as_json=False)
    found = counted(len(problems), "problem") if problems else "no problem"
    say(f"checked {counted(report.chains, 'effect')}, {report.entries} audit entries: {found}")
    if report.unreadable:
        sealed = counted(report.unreadable, "effect")
        say(f"{sealed} sealed with a codec: the chains were checked, but not what their entries say")
    if problems:
        say(f"next: keep a copy of the database as it is, then look with `{session.command('show KEY')}`")
        raise click.exceptions.Exit(Exit.BROKEN)


def _progress(count: int) -> None:
    """Say how many effects were checked so far, in place; 0 wipes it away."""
    click.echo(f"\r\x1b[K{f'checked {count} effects ...' if count else ''}", err=True, nl=False)
