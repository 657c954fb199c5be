"""``holdfast console``: the ledger in a browser on this machine; read-only unless ``--act``."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import socket
import sys
from typing import Final
from urllib.parse import quote

import click

from holdfast.cli.app import load_ledger
from holdfast.cli.exits import Exit, Refused
from holdfast.cli.output import say
from holdfast.cli.sealed import NoKeys
from holdfast.cli.session import Session, examples, opened, session_options
from holdfast.ledger import Ledger, SyncLedger

_HERE: Final = "127.0.0.1"


@click.command(
    epilog=examples(
        "holdfast console --port 0", "holdfast console app:ledger --port 0 --act --as dana@acme.example"
    )
)
@click.argument("app", metavar="[APP]", required=False)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any that is free."
)
@click.option("--act", is_flag=True, help="Let who signs in steer workflows and settle doubt.")
@click.option(
    "--as", "name", metavar="NAME", help="Who signs in, for the audit trail; default the user of this system."
)
@session_options
@click.pass_obj
def console(session: Session, app: str | None, port: int, name: str | None, *, act: bool) -> None:
    """Show the ledger in a browser, on this machine only.

    Prints a link that signs in once. With APP (MODULE:LEDGER, or MODULE when it has one ledger) the ledger of
    your code is shown: its codec opens what is sealed, and its tools are there to reconcile and to undo.
    Ends on SIGINT or SIGTERM.
    """
    if app is not None and session.url is not None:
        raise Refused("--url and APP name two ledgers", "leave --url out: the one of APP has its own")
    who = name if name is not None else f"{getpass.getuser()}@{socket.gethostname()}"
    if not who.strip() or not who.isprintable():
        raise Refused("--as names nobody", "give a name for the audit trail")
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for data
        listener = _listener(port)
        with listener:
            if app is None:
                with opened(session, NoKeys()) as here:
                    asyncio.run(_serve(here.ledger, listener, who, act=act))
            else:
                ledger = load_ledger(app, by="holdfast console")
                if session.tenant is not None:
                    ledger = ledger.scoped(tenant=session.tenant)
                asyncio.run(_serve_app(ledger, listener, who, act=act))


def _listener(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HERE, port))
    except OSError as error:
        listener.close()
        what = f"port {port} of this machine cannot be had: {error.strerror}"
        raise Refused(what, "choose another one: --port 0 takes any that is free", Exit.FAILED) from error
    return listener


async def _serve_app(ledger: Ledger | SyncLedger, listener: socket.socket, who: str, *, act: bool) -> None:
    if isinstance(ledger, Ledger):
        async with ledger:
            await _serve(ledger, listener, who, act=act)
    else:
        with ledger:
            await _serve(ledger, listener, who, act=act)


async def _serve(ledger: Ledger | SyncLedger, listener: socket.socket, who: str, *, act: bool) -> None:
    # Only who serves it has to have the extra.
    from holdfast.console import Role, console  # noqa: PLC0415
    from holdfast.console.one_time import OneTimeToken  # noqa: PLC0415
    from holdfast.console.serving import serve  # noqa: PLC0415

    address = f"http://{_HERE}:{listener.getsockname()[1]}"
    roles = set(Role) if act else {Role.VIEWER}
    access = OneTimeToken(
        lambda token: say(f"sign in once: {address}/-/sign-in?token={quote(token)}"), visitor=who, roles=roles
    )

    def ready() -> None:
        say(f"console on {address}, {'with actions' if act else 'read-only'}, as {who}")
        access.announce()

    await serve(console(ledger, access=access), listener, ready)
