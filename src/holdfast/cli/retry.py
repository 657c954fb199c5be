"""``holdfast retry KEY``: a person grants an effect whose retries are used up, or far away, a new budget."""

from __future__ import annotations

from typing import Final

import click

from holdfast._core.states import State
from holdfast.cli.exits import Exit, Refused, exit_of
from holdfast.cli.fields import effect_fields
from holdfast.cli.lookup import CANDIDATES, demand_key_prefix, only
from holdfast.cli.output import ndjson, say, tsv
from holdfast.cli.session import Session, examples, opened, session_options
from holdfast.errors import InvalidCall

_EXAMPLES: Final = (
    "holdfast retry e785e3 --by ops@acme.example --reason 'the provider is back'",
    "holdfast retry e785e3 --by ops@acme.example --reason 'the provider is back' --json",
)


@click.command(epilog=examples(*_EXAMPLES))
@click.argument("key")
@click.option("--by", required=True, metavar="WHO", help="Who says so.")
@click.option("--reason", required=True, metavar="TEXT", help="What has changed, so that it may go well now.")
@session_options
@click.pass_obj
def retry(session: Session, key: str, by: str, reason: str) -> None:
    """Grant an effect a new budget of retries.

    For an effect that is `retryable`: its retries are used up, or its next attempt is far away. Nothing
    runs here: the next call of it tries again, at once. Audited.
    """
    if not by.strip() or not reason.strip():
        raise Refused("--by or --reason is empty", "say who says so, and what has changed")
    prefix = demand_key_prefix(key)
    with opened(session) as here:
        before = only(here.ledger.effects(key_prefix=prefix, limit=CANDIDATES + 1), key)
        try:
            after = here.ledger.retry(before.key, by=by, reason=reason)
        except InvalidCall as error:
            if before.state is State.RETRYABLE:
                raise
            raise Refused(error.what, error.fix, max(exit_of([before.state]), Exit.DENIED)) from error
    if session.as_json:
        ndjson(effect_fields(after))
    else:
        tsv((after.key, after.state))
    say(f"a new budget of retries, by {by}: {reason}")
    say("next: make the same call again; nothing ran here")
