"""``holdfast resolve KEY``: a person who looked says what happened; audited."""

from __future__ import annotations

import json
from typing import Final

import click

from holdfast._core.model import Done, Evidence, StillUnknown
from holdfast.cli.exits import Refused
from holdfast.cli.fields import effect_fields
from holdfast.cli.lookup import CANDIDATES, demand_key_prefix, only
from holdfast.cli.output import ndjson, say, tsv
from holdfast.cli.session import Session, examples, opened, session_options
from holdfast.errors import NotDone

_EXAMPLES: Final = (
    "holdfast resolve 972bbb --done '{\"id\": \"ch_1\"}' --by ops@acme.example --reason 'in the dashboard'",
    "holdfast resolve 972bbb --not-done --by ops@acme.example --reason 'no such charge'",
)


@click.command(epilog=examples(*_EXAMPLES))
@click.argument("key")
@click.option("--done", metavar="JSON", help="It happened: this is the handler's result.")
@click.option("--not-done", is_flag=True, help="It did not happen: it may be tried again.")
@click.option("--still-unknown", is_flag=True, help="Nobody can tell yet; only the note is kept.")
@click.option("--by", required=True, metavar="WHO", help="Who says so.")
@click.option("--reason", required=True, metavar="TEXT", help="What was seen, and where.")
@session_options
@click.pass_obj
def resolve(
    session: Session, key: str, done: str | None, by: str, reason: str, *, not_done: bool, still_unknown: bool
) -> None:
    """Settle an effect in doubt by a person's word.

    Exactly one of --done, --not-done and --still-unknown. Look first (`holdfast show KEY`): a wrong word
    makes the agent repeat what happened, or never do what did not.
    """
    if not by.strip() or not reason.strip():
        raise Refused("--by or --reason is empty", "say who says so, and what was seen")
    evidence = _evidence(done, not_done=not_done, still_unknown=still_unknown)
    prefix = demand_key_prefix(key)
    with opened(session) as here:
        before = only(here.ledger.effects(key_prefix=prefix, limit=CANDIDATES + 1), key)
        after = here.ledger.resolve(before.key, evidence, by=by, reason=reason)
    if session.as_json:
        ndjson(effect_fields(after))
    else:
        tsv((after.key, after.state))
    say(f"{before.state} -> {after.state}, by {by}: {reason}")


def _evidence(done: str | None, *, not_done: bool, still_unknown: bool) -> Evidence:
    if (done is not None) + not_done + still_unknown != 1:
        what = "one of --done, --not-done and --still-unknown is needed, and only one"
        raise Refused(what, "say what was found")
    if done is None:
        return NotDone() if not_done else StillUnknown()
    try:
        return Done(json.loads(done))
    except (ValueError, RecursionError) as error:
        what = "--done is not JSON"
        raise Refused(what, 'give the handler\'s result, e.g. \'{"id": "ch_1"}\', or null') from error
