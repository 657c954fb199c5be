"""The command ``holdfast``: imports the one subcommand that is asked for, turns errors into exit codes."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import click

import holdfast
from holdfast.cli.exits import Exit, Refused, exit_for
from holdfast.cli.output import complain
from holdfast.cli.session import Session, session_options
from holdfast.errors import HoldfastError


@dataclass(frozen=True, slots=True)
class Listed:
    """A subcommand before it is imported.

    Attributes:
        module: Where it is; it has the subcommand's name there.
        says: What it is for, in the list of commands.
    """

    module: str
    says: str


COMMANDS: Final = {
    "demo": Listed("holdfast.cli.demo", "Five charges without holdfast, one with it, by kill -9."),
    "migrate": Listed("holdfast.cli.migrate", "Create or upgrade the ledger's tables."),
    "effects": Listed("holdfast.cli.effects", "List effects, newest first."),
    "show": Listed("holdfast.cli.show", "Show an effect and its story, or a workflow."),
    "unknown": Listed("holdfast.cli.unknown", "List effects in doubt, and what settles them."),
    "reconcile": Listed("holdfast.cli.reconcile", "Let the tool's reconciler settle an effect in doubt."),
    "resolve": Listed("holdfast.cli.resolve", "Settle an effect in doubt by a person's word."),
    "signal": Listed("holdfast.cli.signal", "Tell the ledger what the system outside said of an effect."),
    "approvals": Listed("holdfast.cli.approvals", "List what people are asked, or see to one question."),
    "approve": Listed(
        "holdfast.cli.approve", "Say yes to a question; the call runs once everybody has who must."
    ),
    "deny": Listed("holdfast.cli.deny", "Say no to a question."),
    "oversight": Listed("holdfast.cli.oversight", "Say how people decide, and what should be looked at."),
    "sweep": Listed("holdfast.cli.sweep", "Look after what nobody calls for any more."),
    "retry": Listed("holdfast.cli.retry", "Grant an effect a new budget of retries."),
    "workflows": Listed("holdfast.cli.workflows", "List workflows, or see to one."),
    "lint": Listed(
        "holdfast.cli.lint", "Find what workflows do outside of a step: side effects, the clock, the dice."
    ),
    "worker": Listed(
        "holdfast.cli.worker", "Go on with workflows: what is enqueued, what is due, what a dead worker left."
    ),
    "console": Listed("holdfast.cli.console", "Show the ledger in a browser, on this machine only."),
    "resume": Listed("holdfast.cli.resume", "Let a stopped workflow go on."),
    "compensate": Listed("holdfast.cli.compensate", "Undo what a workflow did, and say what stands."),
    "budgets": Listed(
        "holdfast.cli.budgets", "List how full budgets are, see to one, or tell what was spent."
    ),
    "dependencies": Listed("holdfast.cli.dependencies", "List the systems that tools depend on."),
    "policy": Listed("holdfast.cli.policy", "Check, try and replay the rules on which calls are allowed."),
    "audit": Listed("holdfast.cli.audit", "Check the audit trail."),
    "doctor": Listed("holdfast.cli.doctor", "Say whether this ledger is healthy, and what to mend."),
    "reap": Listed("holdfast.cli.reap", "Delete old finished effects."),
}


class Commands(click.Group):
    """A group whose members are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of a first acquaintance."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand."""
        del ctx
        listed = COMMANDS.get(cmd_name)
        if listed is None:
            return None
        command: click.Command = getattr(import_module(listed.module), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, listed.says) for name, listed in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand; an error of ours becomes one line on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except HoldfastError as error:
            complain(_addressed(ctx, str(error)), error.code)
            raise click.exceptions.Exit(exit_for(error)) from error
        except Refused as refused:
            complain(_addressed(ctx, str(refused)), refused.code.slug)
            raise click.exceptions.Exit(refused.code) from refused


_COMMAND: Final = re.compile("`holdfast ([^`]+)`")


def _addressed(ctx: click.Context, text: str) -> str:
    """Return *text* with its commands naming the ledger that this one was about."""
    session = ctx.ensure_object(Session)

    def command(found: re.Match[str]) -> str:
        is_whole = "--app" in found[1] or "--url" in found[1]
        return found[0] if is_whole else f"`{session.command(found[1])}`"

    return _COMMAND.sub(command, text)


_EXITS: Final = "  ".join(f"{code.value} {code.meaning}" for code in Exit)


@click.group(
    cls=Commands,
    epilog=f"Exit codes: {_EXITS}. Data goes to stdout: a table on a terminal, TSV in a pipe, "
    "one JSON object per line with --json. Talk goes to stderr.",
)
@click.version_option(holdfast.__version__, message="holdfast %(version)s")
@session_options
def cli() -> None:
    """Look into a ledger of effects, and settle what is in doubt.

    An ID is an effect's key, the first 6 or more digits of one, or a workflow's id.
    """


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What is recorded may hold characters that this terminal's encoding lacks.
            stream.reconfigure(errors="backslashreplace")
    cli(args, prog_name="holdfast")
