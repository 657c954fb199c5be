"""``holdfast deny ID``: a person says no, and the agent is told why."""

from __future__ import annotations

from typing import Final

import click

from holdfast.cli.deciding import asked_ledger, finish, person
from holdfast.cli.session import Session, examples, session_options

_EXAMPLES: Final = (
    "holdfast deny 874c4c --by ana --reason 'the customer was refunded already'",
    "holdfast deny 874c4c --by ana --reason 'too much' --app shop:ledger",
)


@click.command(epilog=examples(*_EXAMPLES))
@click.argument("ident", metavar="ID")
@click.option("--by", required=True, metavar="WHO", help="Who says so.")
@click.option("--reason", required=True, metavar="TEXT", help="Why: the agent reads this.")
@click.option("--digest", metavar="SHA256", help="No to this version of the question only.")
@click.option("--app", metavar="MODULE:LEDGER", help="Your ledger, with its people and its rules.")
@session_options
@click.pass_obj
def deny(session: Session, ident: str, by: str, reason: str, digest: str | None, app: str | None) -> None:
    """Say no to a question. Nothing runs; the effect is denied for good, and the agent is told the reason."""
    with asked_ledger(session, app) as ledger:
        asked = ledger.approval(ident)
        finish(session, ledger.deny(asked.id, by=person(by), reason=reason, digest=digest))
