"""``holdfast oversight``: whether people decide, or merely click."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import click

from holdfast._core.reviews import REVIEW_VERDICTS
from holdfast.cli.deciding import asked_ledger, person
from holdfast.cli.effects import SHORT_KEY
from holdfast.cli.exits import Exit
from holdfast.cli.lookup import CANDIDATES, demand_key_prefix, only
from holdfast.cli.output import Line, iso, listing, ndjson, say, span, tsv
from holdfast.cli.session import Session, examples, session_options
from holdfast.ledger import OversightReport, Reviewer, SampledCall

_HEADS: Final = ("person", "answers", "yes", "no", "changed", "median", "fast", "longest yes", "canaries")
_EXAMPLES: Final = (
    "holdfast oversight",
    "holdfast oversight --since 7d --json",
    "holdfast oversight export --since 30d",
    "holdfast oversight sampled --open",
)
_SAMPLED_HEADS: Final = ("key", "tool", "workflow", "state", "verdict", "by", "rule", "made at")
_APP: Final = click.option(
    "--app", metavar="MODULE:LEDGER", help="Your ledger, with its people and its keys."
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
    if found.reviewed:
        say(f"looked at afterwards: {found.reviewed}, {found.wrong} wrong")
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


@oversight.command(
    epilog=examples("holdfast oversight sampled", "holdfast oversight sampled --open --since 30d --json")
)
@click.option("--since", default="7d", show_default=True, metavar="LENGTH", help="Made since.")
@click.option("--tool", help="Calls of this tool only.")
@click.option("--open", "is_open", is_flag=True, help="Only those that nobody has looked at.")
@_APP
@session_options
@click.pass_obj
def sampled(session: Session, since: str, tool: str | None, app: str | None, *, is_open: bool) -> None:
    """List the calls that rules let pass and that are drawn for people to look at, newest first.

    Columns in a pipe: key, tool, workflow, state, verdict (ok, wrong, or empty), by, rule, made at.
    """
    with asked_ledger(session, app) as ledger:
        found: list[SampledCall] = ledger.sampled(since=since, tool=tool, reviewed=False if is_open else None)
    listing(_SAMPLED_HEADS, [_sampled_line(call) for call in found], as_json=session.as_json)
    for name, calls in sorted(Counter(call.tool for call in found).items()):
        looked = [call.verdict for call in found if call.tool == name and call.verdict]
        say(f"{name}: {calls} drawn, {len(looked)} looked at, {looked.count('wrong')} wrong")
    if not found:
        say("none: a policy draws some by `sample:`, see `holdfast policy check`")


@oversight.command(
    epilog=examples(
        "holdfast oversight review v1:874c4c --verdict ok --by ana --reason 'the invoice is there'",
        "holdfast oversight review 874c4c --verdict wrong --by ana --reason 'paid twice' --app shop:ledger",
    )
)
@click.argument("key")
@click.option(
    "--verdict", required=True, type=click.Choice(REVIEW_VERDICTS), help="Was it right to let it pass?"
)
@click.option("--by", required=True, metavar="WHO", help="Who has looked.")
@click.option("--reason", required=True, metavar="TEXT", help="What was seen.")
@_APP
@session_options
@click.pass_obj
def review(session: Session, key: str, verdict: str, by: str, reason: str, app: str | None) -> None:
    """Say of a drawn call, after it was made, whether it was right to let it pass.

    It changes nothing of the call, and stands in its audit trail. A wrong one counts as an override, and is a
    case of `holdfast oversight export`. Columns in a pipe: key, verdict.
    """
    prefix = demand_key_prefix(key)
    with asked_ledger(session, app) as ledger:
        effect = only(ledger.effects(key_prefix=prefix, limit=CANDIDATES + 1), key)
        call: SampledCall = ledger.review(effect.key, by=person(by), verdict=verdict, reason=reason)
    if session.as_json:
        ndjson(_sampled_fields(call))
    else:
        tsv((call.key, call.verdict or ""))
    say(f"{call.tool} in {call.workflow_id}: {call.verdict}, by {by}: {reason}")


def _sampled_fields(call: SampledCall) -> dict[str, Any]:
    return {
        "key": call.key,
        "tool": call.tool,
        "workflow_id": call.workflow_id,
        "actor": call.actor,
        "state": call.state,
        "args": call.args,
        "at": iso(call.at),
        "rule": call.rule,
        "policy": call.policy,
        "verdict": call.verdict,
        "reviews": [
            {
                "by": one.by,
                "verdict": one.verdict,
                "reason": one.reason,
                "at": iso(one.at),
                "method": one.method,
            }
            for one in call.reviews
        ],
    }


def _sampled_line(call: SampledCall) -> Line:
    by = call.reviews[-1].by if call.reviews else ""
    rest = (
        call.tool,
        call.workflow_id,
        str(call.state),
        call.verdict or "",
        by,
        call.rule,
        iso(call.at) or "",
    )
    return Line(fields=_sampled_fields(call), cells=(call.key, *rest), brief=(call.key[:SHORT_KEY], *rest))


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
        "reviewed": found.reviewed,
        "wrong": found.wrong,
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
