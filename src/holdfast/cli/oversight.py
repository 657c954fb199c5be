"""``holdfast oversight``: whether people decide, or merely click."""

from __future__ import annotations

from typing import Any, Final

import click

from holdfast.cli.deciding import asked_ledger
from holdfast.cli.exits import Exit
from holdfast.cli.output import Line, iso, listing, ndjson, say, span
from holdfast.cli.session import Session, examples, session_options
from holdfast.ledger import OversightReport, Reviewer

_HEADS: Final = ("person", "answers", "yes", "no", "changed", "median", "fast", "longest yes", "canaries")
_EXAMPLES: Final = (
    "holdfast oversight",
    "holdfast oversight --since 7d --json",
    "holdfast oversight export --since 30d",
)


@click.group(epilog=examples(*_EXAMPLES), invoke_without_command=True)
@click.option("--since", default="30d", show_default=True, metavar="LENGTH", help="Of what was asked since.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when something should be looked at.")
@session_options
@click.pass_context
def oversight(ctx: click.Context, since: str, *, exit_code: bool) -> None:
    """Say how people decide, and what should be looked at.

    Per person: answers, how many yes and no, how many changed, the median time, how many too fast to be read,
    the longest row of yes, planted questions caught.
    Columns in a pipe: person, answers, yes, no, changed, median (s), fast, longest yes, canaries.
    """
    if ctx.invoked_subcommand is not None:
        return
    session = ctx.ensure_object(Session)
    with asked_ledger(session, None) as ledger:
        found: OversightReport = ledger.oversight(since=since)
    if session.as_json:
        ndjson(_fields(found))
    else:
        listing(_HEADS, [_line(one) for one in found.reviewers], as_json=False)
    say(
        f"{found.asked} asked of {found.calls} calls, {found.approved} approved ({found.edited} changed), "
        f"{found.denied} denied, {found.asked_back} asked back, {found.expired} expired, "
        f"{found.pending} waiting"
    )
    if found.p50_s is not None and found.p95_s is not None:
        say(f"to a decision: half within {span(found.p50_s)}, 95 of 100 within {span(found.p95_s)}")
    for concern in found.concerns:
        say(f"look at this: {concern.person}: {concern.message}")
    if exit_code and found.concerns:
        raise click.exceptions.Exit(Exit.FAILED)


@oversight.command(epilog=examples("holdfast oversight export", "holdfast oversight export --since 90d"))
@click.option(
    "--since", default="30d", show_default=True, metavar="LENGTH", help="Decided of what was asked since."
)
@session_options
@click.pass_obj
def export(session: Session, since: str) -> None:
    """Print the decisions in which people knew better than the agent, one JSON case per line."""
    with asked_ledger(session, None) as ledger:
        cases = ledger.overrides(since=since)
    for case in cases:
        ndjson(case)
    say(f"{len(cases)} cases")


def _fields(found: OversightReport) -> dict[str, Any]:
    return {
        "since": iso(found.since),
        "until": iso(found.until),
        "calls": found.calls,
        "asked": found.asked,
        "escalation_rate": found.escalation_rate,
        "escalated": found.escalated,
        "asked_back": found.asked_back,
        "ask_back_rate": found.ask_back_rate,
        "approved": found.approved,
        "denied": found.denied,
        "edited": found.edited,
        "expired": found.expired,
        "withdrawn": found.withdrawn,
        "approval_rate": found.approval_rate,
        "override_rate": found.override_rate,
        "pending": found.pending,
        "oldest_s": found.oldest_s,
        "p50_s": found.p50_s,
        "p95_s": found.p95_s,
        "reviewers": [_reviewer(one) for one in found.reviewers],
        "concerns": [
            {"code": one.code, "person": one.person, "message": one.message} for one in found.concerns
        ],
    }


def _reviewer(one: Reviewer) -> dict[str, Any]:
    return {
        "person": one.person,
        "answers": one.answers,
        "approved": one.approved,
        "denied": one.denied,
        "edited": one.edited,
        "median_s": one.median_s,
        "fast": one.fast,
        "longest_fast": one.longest_fast,
        "longest_yes": one.longest_yes,
        "canaries": one.canaries,
        "caught": one.caught,
    }


def _line(one: Reviewer) -> Line:
    median = "" if one.median_s is None else f"{one.median_s:.3f}"
    counts = (str(one.answers), str(one.approved), str(one.denied), str(one.edited))
    rest = (str(one.fast), str(one.longest_yes), f"{one.caught} of {one.canaries}")
    shown = "-" if one.median_s is None else span(one.median_s)
    return Line(
        fields=_reviewer(one),
        cells=(one.person, *counts, median, *rest),
        brief=(one.person, *counts, shown, *rest),
    )
