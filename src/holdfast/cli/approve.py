"""``holdfast approve ID``: a person says yes to what they saw, and to nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import IO, Any, Final

import click

from holdfast._core.approval import Approval
from holdfast.cli.deciding import asked_ledger, finish, person
from holdfast.cli.exits import Exit, Refused
from holdfast.cli.output import is_terminal, say, screen_table
from holdfast.cli.question import difference, facts
from holdfast.cli.session import Session, examples, session_options

_EXAMPLES: Final = (
    "holdfast approve 874c4c --by ana --digest SHA256 --reason 'agreed with the customer'",
    "holdfast approve 874c4c --by ana --digest SHA256 --args args.json --app shop:ledger",
)
_TYPED: Final = 6
_WHOLE: Final = 64


@click.command(epilog=examples(*_EXAMPLES))
@click.argument("ident", metavar="ID")
@click.option("--by", required=True, metavar="WHO", help="Who says so.")
@click.option("--digest", metavar="SHA256", help="The whole fingerprint of what was seen.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the record.")
@click.option(
    "--args",
    "changed",
    metavar="FILE",
    type=click.File(encoding="utf-8"),
    help="Approve these arguments instead (a JSON object; - for stdin).",
)
@click.option("--app", metavar="MODULE:LEDGER", help="Your ledger, with its people and its rules.")
@session_options
@click.pass_obj
def approve(
    session: Session,
    ident: str,
    by: str,
    digest: str | None,
    reason: str,
    changed: IO[str] | None,
    app: str | None,
) -> None:
    """Say yes to a question; the call runs once everybody has who must.

    A terminal shows the question and asks. A script has to bring the fingerprint of what somebody saw
    (`holdfast approvals show ID`): an approval without it would be one of anything.
    """
    args = None if changed is None else _read(changed)
    with asked_ledger(session, app) as ledger:
        asked = ledger.approval(ident)
        if digest is None:
            digest = _seen(asked, args)
        finish(session, ledger.approve(asked.id, by=person(by), digest=digest, reason=reason, args=args))


def _seen(asked: Approval, args: Mapping[str, Any] | None) -> str:
    """Show the question and return its fingerprint, once a person has said that they mean this one."""
    if not (is_terminal() and sys.stdin.isatty()):
        what = "nobody can be shown the question here"
        raise Refused(what, "pass --digest with the fingerprint of what was seen", Exit.DENIED)
    screen_table(("", ""), list(facts(asked)))
    if args is not None:
        for text in difference(asked.args, args):
            say(text)
    if asked.chain.risk == "high":
        typed = click.prompt(f"the risk is high: type the first {_TYPED} characters of the SHA-256", err=True)
        if typed != asked.digest[:_TYPED]:
            raise Refused(
                "that is another fingerprint", "read the question again; nothing changed", Exit.DENIED
            )
    elif not click.confirm("approve exactly this, once?", default=False, err=True):
        raise Refused("it was not approved", "say no with `holdfast deny`, or leave it", Exit.DENIED)
    return asked.digest


def _read(given: IO[str]) -> Mapping[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise Refused("--args has a name twice", "give every argument once")
        return found

    try:
        read: object = json.loads(given.read(), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise Refused("--args is not JSON", "give a JSON object of all arguments") from error
    if not isinstance(read, dict):
        raise Refused("--args is no JSON object", "give all arguments by name")
    return read  # pyright: ignore[reportUnknownVariableType]
