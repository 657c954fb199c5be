"""``holdfast migrate``: create or upgrade the ledger's tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from holdfast._runtime.drive import run_sync
from holdfast.cli.exits import Exit, Refused
from holdfast.cli.output import Line, listing, say
from holdfast.cli.session import Migrating, Session, examples, file_of, outstanding, session_options, store_of
from holdfast.ledger.urls import without_password
from holdfast.settings import from_environment
from holdfast.stores.migrate import Migration, script

_HEADS: Final = ("migration", "status", "sha256")


@click.command(
    epilog=examples("holdfast migrate", "holdfast migrate --check", "holdfast migrate --sql > upgrade.sql")
)
@click.option("--check", is_flag=True, help="Change nothing; exit with 1 when something is outstanding.")
@click.option("--sql", "as_sql", is_flag=True, help="Change nothing; print the SQL that is outstanding.")
@session_options
@click.pass_obj
def migrate(session: Session, *, check: bool, as_sql: bool) -> None:
    """Create or upgrade the ledger's tables.

    Safe to run again, and by several processes at once. Columns in a pipe: migration, status, sha256.
    """
    if check and as_sql:
        raise Refused("--check and --sql are two questions", "ask one at a time")
    where = without_password(session.effective_url)
    store = store_of(session, from_environment())
    if not isinstance(store, Migrating):
        raise Refused(f"{where} has no tables", "name a SQLite file or a PostgreSQL database with --url")
    try:
        missing = outstanding(store)
        if as_sql:
            dialect = "postgres" if file_of(store) is None else "sqlite"
            click.echo(script(dialect, missing) if missing else "", nl=False)
        elif check:
            _report(session, missing, "outstanding")
        else:
            say(f"migrating {file_of(store) or where} ...")
            ran = run_sync(store.migrate())
            _report(session, [item for item in missing if item.name in ran], "applied")
    finally:
        run_sync(store.close())
    if not missing:
        say(f"{where} is up to date")
    elif check:
        say(f"{len(missing)} outstanding; next: {session.command('migrate')}")
        raise click.exceptions.Exit(Exit.FAILED)


def _report(session: Session, found: Sequence[Migration], status: str) -> None:
    lines = [
        Line(
            fields={"migration": item.name, "status": status, "sha256": item.sha256},
            cells=(item.name, status, item.sha256),
            brief=(item.name, status, item.sha256[:12]),
        )
        for item in found
    ]
    listing(_HEADS, lines, as_json=session.as_json)
