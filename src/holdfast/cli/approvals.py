"""``holdfast approvals``: what people are asked, and what became of it."""

from __future__ import annotations

from typing import Final

import click

from holdfast._core.approval import ApprovalState
from holdfast.cli.deciding import asked_ledger, finish, person
from holdfast.cli.exits import Exit
from holdfast.cli.output import is_terminal, listing, ndjson, say, screen_table, tsv
from holdfast.cli.question import HEADS, facts, line, question_fields
from holdfast.cli.session import Session, examples, session_options

_EXAMPLES: Final = (
    "holdfast approvals",
    "holdfast approvals --state denied --since 7d --json",
    "holdfast approvals show 874c4c",
    "holdfast approvals ask-more 874c4c --by ana --question 'which invoice?'",
    "holdfast approvals reassign 874c4c --by ana --to ben --app shop:ledger",
)
_APP: Final = click.option(
    "--app", metavar="MODULE:LEDGER", help="Your ledger, with its people and its rules."
)


@click.group(epilog=examples(*_EXAMPLES), invoke_without_command=True)
@click.option(
    "--state",
    type=click.Choice([*map(str, ApprovalState), "any"]),
    default="pending",
    show_default=True,
    help="In this state.",
)
@click.option("--workflow", "workflow_id", metavar="ID", help="Asked by this workflow.")
@click.option("--since", metavar="LENGTH", help="Asked within this length of time, such as 7d.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@click.option("--exit-code", is_flag=True, help="Exit with 5 when there are any.")
@session_options
@click.pass_context
def approvals(
    ctx: click.Context, state: str, workflow_id: str | None, since: str | None, limit: int, *, exit_code: bool
) -> None:
    """List what people are asked, or see to one question.

    Pending questions come by when they expire; all others newest first.
    Columns in a pipe: approval, state, tool, asked by, why, given, expires.
    """
    if ctx.invoked_subcommand is not None:
        return
    session = ctx.ensure_object(Session)
    wanted = None if state == "any" else state
    with asked_ledger(session, None) as ledger:
        found = ledger.approvals(state=wanted, workflow_id=workflow_id, since=since, limit=limit + 1)
    listing(HEADS, [line(approval) for approval in found[:limit]], as_json=session.as_json)
    if not found:
        say("nobody is asked anything" if state == "pending" else "there are none")
        return
    if len(found) > limit:
        say(f"these are the first {limit}; there are more: raise --limit")
    if state == "pending":
        say(f"look at one: {session.command(f'approvals show {found[0].id}')}")
    if exit_code:
        raise click.exceptions.Exit(Exit.WAITING)


@approvals.command(epilog=examples("holdfast approvals show 874c4c", "holdfast approvals show 874c4c --json"))
@click.argument("ident", metavar="ID")
@session_options
@click.pass_obj
def show(session: Session, ident: str) -> None:
    """Show one question: what is asked, exactly what would be sent, and who has said what.

    ID is an approval's id, or the start of one.
    """
    with asked_ledger(session, None) as ledger:
        found = ledger.approval(ident)
    if session.as_json:
        ndjson(question_fields(found))
    elif is_terminal():
        screen_table(("", ""), list(facts(found)))
    else:
        for name, value in facts(found):
            tsv((name, value))
    if found.state is ApprovalState.PENDING:
        say(f"yes: {session.command(f'approve {found.id} --by YOU --digest {found.digest}')}")
        say(f"no:  {session.command(f'deny {found.id} --by YOU --reason WHY')}")
        if found.owed is None:
            say(f"ask: {session.command(f'approvals ask-more {found.id} --by YOU --question WHAT')}")


@approvals.command(
    name="ask-more",
    epilog=examples(
        "holdfast approvals ask-more 874c4c --by ana --question 'which invoice is this for?'",
        "holdfast approvals ask-more 874c4c --by ana --question 'who has seen it?' --app shop:ledger",
    ),
)
@click.argument("ident", metavar="ID")
@click.option("--by", required=True, metavar="WHO", help="Who asks: somebody who may decide.")
@click.option("--question", required=True, metavar="TEXT", help="What the agent should tell first.")
@click.option("--digest", metavar="SHA256", help="Ask about this version of the question only.")
@_APP
@session_options
@click.pass_obj
def ask_more(
    session: Session, ident: str, by: str, question: str, digest: str | None, app: str | None
) -> None:
    """Ask the agent for more before anybody decides.

    The question stays pending, votes stand, and its time runs on. Once the agent has answered, people are
    shown more, so it has another SHA-256, and votes on what was shown before count no more.
    """
    with asked_ledger(session, app) as ledger:
        finish(session, ledger.request_info(ident, by=person(by), question=question, digest=digest))
    say("the agent owes an answer")


@approvals.command(
    epilog=examples(
        "holdfast approvals reassign 874c4c --by ana --to ben",
        "holdfast approvals reassign 874c4c --by ana --to ben --app shop:ledger",
    )
)
@click.argument("ident", metavar="ID")
@click.option("--by", required=True, metavar="WHO", help="Who was asked.")
@click.option("--to", required=True, metavar="WHO", help="Who decides in their place.")
@_APP
@session_options
@click.pass_obj
def reassign(session: Session, ident: str, by: str, to: str, app: str | None) -> None:
    """Let somebody else decide in one's place. They cannot pass it on."""
    with asked_ledger(session, app) as ledger:
        finish(session, ledger.reassign(ident, by=person(by), to=to))
    say(f"{to} may decide in the place of {by}")


@approvals.command(
    epilog=examples(
        "holdfast approvals withdraw 874c4c --by ops --reason 'asked by mistake'",
        "holdfast approvals withdraw 874c4c --by ops --reason 'sold out' --app shop:ledger",
    )
)
@click.argument("ident", metavar="ID")
@click.option("--by", required=True, metavar="WHO", help="Who takes it back.")
@click.option("--reason", required=True, metavar="TEXT", help="Why.")
@_APP
@session_options
@click.pass_obj
def withdraw(session: Session, ident: str, by: str, reason: str, app: str | None) -> None:
    """Take a question back. Its effect is called off."""
    with asked_ledger(session, app) as ledger:
        finish(session, ledger.withdraw(ident, by=by, reason=reason))
