"""``holdfast reconcile KEY``: the tool's own reconciler looks for evidence."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
from typing import Any

import click

from holdfast._core.states import State
from holdfast._runtime.drive import run_sync
from holdfast.cli.app import load_ledger
from holdfast.cli.exits import Exit, Refused
from holdfast.cli.fields import effect_fields
from holdfast.cli.lookup import CANDIDATES, demand_key_prefix, only
from holdfast.cli.next_step import doubt_of
from holdfast.cli.output import ndjson, say, tsv
from holdfast.cli.session import Session, examples, session_options
from holdfast.ledger import EffectRecord, Ledger, SyncLedger


@click.command(
    epilog=examples(
        "holdfast reconcile 972bbb --app shop:ledger", "holdfast reconcile 972bbb --app shop:ledger --json"
    )
)
@click.argument("key")
@click.option("--app", metavar="MODULE:LEDGER", help="Where your ledger with its declared tools is.")
@session_options
@click.pass_obj
def reconcile(session: Session, key: str, app: str | None) -> None:
    """Let the tool's reconciler settle an effect in doubt.

    The reconciler is part of your code, so your module is imported (from the working directory or the
    Python path) and its ledger is used, with its own URL. Exits with 6 when doubt remains.
    """
    if app is None:
        what = "the reconciler is part of your code, and nothing says where that is"
        raise Refused(what, "pass --app MODULE:LEDGER, or settle it by hand with `holdfast resolve`")
    if session.url is not None:
        raise Refused("--url and --app name two ledgers", "leave --url out: the one of --app has its own")
    prefix = demand_key_prefix(key)
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for our data, not for what your code prints
        ledger = load_ledger(app)
        if session.tenant is not None:
            ledger = ledger.scoped(tenant=session.tenant)
        look = _settle(ledger, prefix, key)
        after, why = run_sync(look) if isinstance(ledger, SyncLedger) else asyncio.run(look)
    if session.as_json:
        ndjson(effect_fields(after))
    else:
        tsv((after.key, after.state))
    if after.state is State.UNKNOWN:
        say(f"still in doubt: {why}")
        raise click.exceptions.Exit(Exit.IN_DOUBT)
    say(f"unknown -> {after.state}")


async def _settle(ledger: Ledger | SyncLedger, prefix: str, key: str) -> tuple[EffectRecord, str]:
    """Reconcile one effect on a ledger of either kind; return it, and why it is in doubt if it is."""
    try:
        found = await _value(ledger.effects(key_prefix=prefix, limit=CANDIDATES + 1))
        before = only(found, key)
        after: EffectRecord = await _value(ledger.reconcile(before.key))
        _, why = doubt_of(after, await _value(ledger.audit(after.key)))
        return after, why
    finally:
        await _value(ledger.close())


async def _value(answer: Any) -> Any:
    """A Ledger's methods are awaited, a SyncLedger's have their answer already."""
    return await answer if inspect.isawaitable(answer) else answer
