"""``holdfast reap``: retention. Only finished effects are ever deleted."""

from __future__ import annotations

import sys

import click

from holdfast._core.duration import seconds
from holdfast.cli.exits import Refused
from holdfast.cli.output import counted, ndjson, say, tsv
from holdfast.cli.session import Session, examples, opened, session_options


@click.command(
    epilog=examples("holdfast reap --older-than 30d --dry-run", "holdfast reap --older-than 30d --yes")
)
@click.option(
    "--older-than", required=True, metavar="LENGTH", help="Last touched longer ago: 30d, 72h, 1h30m."
)
@click.option("--dry-run", is_flag=True, help="Delete nothing; say what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@session_options
@click.pass_obj
def reap(session: Session, older_than: str, *, dry_run: bool, yes: bool) -> None:
    """Delete old finished effects.

    Those that were last touched longer ago than --older-than go, with their audit trails. A deleted effect
    is forgotten: the same call would run again. So keep them for longer than any caller may retry.
    Unfinished effects and doubt are never deleted: their keys are listed, for a person.
    """
    seconds(older_than, name="--older-than")  # refused before anybody is asked
    with opened(session) as here:
        if not dry_run:
            _confirm(session, older_than, yes=yes)
        report = here.ledger.reap(older_than=older_than, dry_run=dry_run)
    if session.as_json:
        ndjson({"removed": report.removed, "kept": list(report.kept), "dry_run": dry_run})
    else:
        for key in report.kept:
            tsv((key,))
    say(f"{'would delete up to' if dry_run else 'deleted'} {counted(report.removed, 'finished effect')}")
    if report.kept:
        look = session.command("show KEY")
        say(f"kept {counted(len(report.kept), 'unfinished effect')}; look at each with `{look}`")


def _confirm(session: Session, older_than: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(
            "this deletes, and nobody is here to be asked", "pass --yes, or look first with --dry-run"
        )
    what = f"Delete finished effects of tenant {session.tenant_name!r} older than {older_than}, for good?"
    click.confirm(what, abort=True, err=True)
