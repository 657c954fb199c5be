"""``holdfast demo``: what a customer pays whose agent is killed in the middle of the charge."""

from __future__ import annotations

import asyncio
import json

import click

from holdfast.cli.exits import Exit, Refused
from holdfast.cli.session import Session, examples


@click.command("demo", epilog=examples("holdfast demo", "holdfast demo --json"))
@click.option("--url", metavar="URL", help="Play on this ledger instead of a new SQLite file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the play.")
@click.option("--console", "in_browser", is_flag=True, help="Decide in the console what the agent asks.")
@click.pass_context
def demo(ctx: click.Context, url: str | None, *, as_json: bool, in_browser: bool) -> None:
    """Kill an agent in the middle of a charge and start it again.

    First without holdfast, then with it, then with an answer that gets lost; at last it asks a person for 100
    and tries 10,000. Real processes, a real payments service on this machine, the real openai SDK against a
    scripted model; nothing leaves the loopback interface. Exits with 0 only when the customer paid 5 times,
    once, once, and once 100.
    """
    # Imported here, so that `holdfast demo --help` is quick and needs no asyncio subprocesses.
    from rich.console import Console  # noqa: PLC0415

    from holdfast.demo.crew import DemoFailed  # noqa: PLC0415
    from holdfast.demo.screen import Screen  # noqa: PLC0415
    from holdfast.demo.theatre import perform  # noqa: PLC0415

    session = ctx.find_object(Session) or Session()  # what stood before the subcommand counts as well
    if session.tenant is not None:
        raise Refused(f"the demo cannot play for tenant {session.tenant!r}", "leave --tenant out")
    as_json = as_json or session.as_json
    try:
        screen = Screen(Console(quiet=as_json, highlight=False))
        person = None
        if in_browser:
            from holdfast.cli.demo_console import AtTheConsole  # noqa: PLC0415 - it takes the console's extra

            person = AtTheConsole()
        evening = asyncio.run(perform(url if url is not None else session.url, screen, person))
    except DemoFailed as error:
        raise click.ClickException(f"the demo stopped: {error}") from error
    if as_json:
        click.echo(json.dumps(evening.summary()))
    if evening.differences:
        raise click.exceptions.Exit(Exit.FAILED)
