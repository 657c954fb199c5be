"""``holdfast reconcile KEY``: the tool's own reconciler looks for evidence."""

from __future__ import annotations

import contextlib
import sys

import click

from holdfast._core.states import State
from holdfast.cli.app import answer, app_ledger, completed
from holdfast.cli.exits import Exit
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
    prefix = demand_key_prefix(key)
    by_hand = ", or settle it by hand with `holdfast resolve`"
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for our data, not for what your code prints
        ledger = app_ledger(session, app, what="the reconciler is", instead=by_hand)
        after, why = completed(ledger, _settle(ledger, prefix, key))
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
        found = await answer(ledger.effects(key_prefix=prefix, limit=CANDIDATES + 1))
        before = only(found, key)
        after: EffectRecord = await answer(ledger.reconcile(before.key))
        _, why = doubt_of(after, await answer(ledger.audit(after.key)))
        return after, why
    finally:
        await answer(ledger.close())
