"""``holdfast signal SUBJECT OUTCOME``: a person passes on what the system outside said of an effect."""

from __future__ import annotations

import json
from typing import Any, Final, Literal, TypeAlias

import click

from holdfast._core.model import Done, Evidence, StillUnknown
from holdfast._core.states import State
from holdfast.cli.exits import Exit, Refused
from holdfast.cli.fields import effect_fields
from holdfast.cli.lookup import CANDIDATES, key_prefix, only
from holdfast.cli.next_step import doubt_of
from holdfast.cli.output import ndjson, say, tsv
from holdfast.cli.session import Opened, Session, examples, opened, session_options
from holdfast.errors import NotDone
from holdfast.ledger import Observation

OutcomeName: TypeAlias = Literal["done", "not_done", "still_unknown"]
_EXAMPLES: Final = (
    'holdfast signal v1:972bbb done --result \'{"id": "ch_2"}\' --id evt_2',
    'holdfast signal ch_1 still_unknown --evidence \'{"status": "processing"}\'',
)


@click.command(epilog=examples(*_EXAMPLES))
@click.argument("subject")
@click.argument("outcome", type=click.Choice(["done", "not_done", "still_unknown"]))
@click.option("--result", "result_text", metavar="JSON", help="With done: the handler's result.")
@click.option("--evidence", "evidence_text", metavar="JSON", help="What was received; kept as it is.")
@click.option("--id", "signal_id", metavar="ID", help="The signal's own id: the same one counts once.")
@session_options
@click.pass_obj
def signal(
    session: Session,
    subject: str,
    outcome: OutcomeName,
    result_text: str | None,
    evidence_text: str | None,
    signal_id: str | None,
) -> None:
    """Tell the ledger what the system outside said of an effect.

    What a webhook would have told, by hand. SUBJECT is the effect's key (v1: and 6 or more of its digits),
    its idempotency key, or what the system outside calls it. Kept once, and it settles doubt; out of order,
    repeated or late it never moves an effect backwards. Exits with 6 when doubt remains all the same, and
    with 3 when no effect goes by that name.
    """
    told = _outcome(outcome, result_text)
    evidence = None if evidence_text is None else _json("--evidence", evidence_text)
    with opened(session) as here:
        name = _named(here, subject)
        seen = here.ledger.observe(name, told, evidence=evidence, signal_id=signal_id)
        why = _why_in_doubt(here, seen)
    effect = None if seen.effect is None else effect_fields(seen.effect)
    news = "new" if seen.is_new else "known"
    if session.as_json:
        ndjson({"subject": name, "is_new": seen.is_new, "effect": effect})
    else:
        tsv((*(("", "") if seen.effect is None else (seen.effect.key, seen.effect.state)), news))
    if seen.effect is None:
        what = f"no effect goes by the name {name!r}, so nothing moved; the signal is kept"
        raise Refused(what, _hint(name), Exit.NOTHING_FOUND)
    say(f"{'kept' if seen.is_new else 'told before'}; the effect is {seen.effect.state}")
    if why and outcome != "still_unknown":
        say(f"still in doubt: {why}")
        raise click.exceptions.Exit(Exit.IN_DOUBT)


def _outcome(outcome: OutcomeName, result_text: str | None) -> Evidence:
    if outcome == "done":
        return Done(None if result_text is None else _json("--result", result_text))
    if result_text is not None:
        raise Refused(f"--result with {outcome}", "leave it out: only what is done has a result")
    return NotDone() if outcome == "not_done" else StillUnknown()


def _json(option: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{option} is not JSON", 'give a JSON value, e.g. \'{"id": "ch_1"}\'') from error


def _named(here: Opened, subject: str) -> str:
    """Return the name to observe by; bare digits are a name given outside, unless they are a whole key."""
    prefix = key_prefix(subject) if subject.startswith("v1:") else None
    if prefix is None:
        return subject
    return only(here.ledger.effects(key_prefix=prefix, limit=CANDIDATES + 1), subject).key


def _why_in_doubt(here: Opened, seen: Observation) -> str:
    if seen.effect is None or seen.effect.state is not State.UNKNOWN:
        return ""
    _, why = doubt_of(seen.effect, here.ledger.audit(seen.effect.key))
    return why


def _hint(name: str) -> str:
    if key_prefix(name) is not None:
        return f"to mean the key that starts so, write v1:{name}"
    return "check the name and the tenant; see `holdfast effects`"
