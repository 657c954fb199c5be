"""``holdfast doctor``: whether this ledger is healthy, and what is to be mended."""

from __future__ import annotations

from collections import Counter
from typing import Final

import click

from holdfast.cli.checks import Check, Level, checks
from holdfast.cli.client_retries import app_checks
from holdfast.cli.exits import Exit
from holdfast.cli.output import Line, counted, listing, say
from holdfast.cli.session import Session, examples, session_options

_HEADS: Final = ("check", "", "what was found")


@click.command(
    epilog=examples("holdfast doctor", "holdfast doctor --json", "holdfast doctor --app shop:ledger")
)
@click.option("--app", metavar="MODULE:LEDGER", help="Look at the clients that its tools use, too.")
@session_options
@click.pass_obj
def doctor(session: Session, app: str | None) -> None:
    """Say whether this ledger is healthy, and what to mend.

    Shows the effective settings and where each came from, then looks at the ledger; creates nothing and
    changes nothing. With --app your module is imported, and clients of your tools that retry by themselves
    are warned of. Exits with 1 when a check fails. Columns in a pipe: check, level, says, fix.
    """
    found = list(checks(session))
    if app is not None:
        found += app_checks(app)
    listing(_HEADS, [_line(check) for check in found], as_json=session.as_json)
    count = Counter(check.level for check in found)
    warnings = counted(count[Level.WARN], "warning")
    say(f"{count[Level.OK]} ok, {warnings}, {count[Level.FAIL]} failed")
    if count[Level.FAIL]:
        raise click.exceptions.Exit(Exit.FAILED)


def _line(check: Check) -> Line:
    told = f"{check.says}; {check.fix}" if check.fix else check.says
    return Line(
        fields={"check": check.name, "level": check.level, "says": check.says, "fix": check.fix or None},
        cells=(check.name, check.level, check.says, check.fix),
        brief=(check.name, check.level, told),
    )
