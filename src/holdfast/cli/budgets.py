"""``holdfast budgets``: how full budgets are, what was spent, and a person's word on a cap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, get_args

import click

from holdfast._core.budget import Per
from holdfast._core.budgeting import COUNTS
from holdfast.cli.cost_lines import COST_HEADS, amount, budget_fields, budget_line, cost_fields, cost_line
from holdfast.cli.deciding import asked_ledger, person
from holdfast.cli.effects import moment
from holdfast.cli.exits import Exit, Refused
from holdfast.cli.output import is_terminal, listing, ndjson, say, screen_table, tsv
from holdfast.cli.session import Session, examples, opened, session_options
from holdfast.ledger import CostFactors, CostReport, Level, SpentBy

HEADS: Final = ("account", "unit", "per", "used", "held", "cap", "left", "full")
_EXAMPLES: Final = (
    "holdfast budgets",
    "holdfast budgets --prefix agent: --json",
    "holdfast budgets show workflow:order-123",
    "holdfast budgets costs --by model --since 1d",
    "holdfast budgets raise tenant usd --add 5.00 --by ana --reason 'month end'",
)
_SHOWN: Final[tuple[SpentBy, ...]] = ("tool", "model", "agent", "outcome", "day", "waste")
_PAGE: Final = 500
_APP: Final = click.option("--app", metavar="MODULE:LEDGER", help="Your ledger, with its people.")


@click.group(epilog=examples(*_EXAMPLES), invoke_without_command=True)
@click.option("--account", metavar="ACCOUNT", help="Of this account only, such as workflow:order-123.")
@click.option("--prefix", metavar="TEXT", help="Of accounts that begin so, such as agent:.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@session_options
@click.pass_context
def budgets(ctx: click.Context, account: str | None, prefix: str | None, limit: int) -> None:
    """List how full budgets are, see to one, or tell what was spent.

    Those that all tenants share come first. A budget is there from the first call that fell under it.
    Money is in units of its currency.
    Columns in a pipe: account, unit, per, used, held, cap, left, percent full, added by people.
    """
    if ctx.invoked_subcommand is not None:
        return
    session = ctx.ensure_object(Session)
    with opened(session) as here:
        found = here.ledger.budgets(account=account, prefix=prefix, limit=limit + 1)
    listing(HEADS, [budget_line(level) for level in found[:limit]], as_json=session.as_json)
    if not found:
        say("no budgets: a ledger has those that it is given, once calls have fallen under them")
    elif len(found) > limit:
        say(f"these are the first {limit}; there are more: raise --limit, or narrow the search")


@budgets.command(
    epilog=examples("holdfast budgets show tenant", "holdfast budgets show workflow:order-123 --json")
)
@click.argument("account")
@session_options
@click.pass_obj
def show(session: Session, account: str) -> None:
    """Show one account: how full its budgets are, what was spent, and why.

    ACCOUNT is global, tenant, agent:ID, workflow:ID or scope:NAME. Of tenant and workflow:ID it is told what
    was spent as well, by tool, model, agent, outcome, day, and how much for nothing; of a workflow also what
    made it cost that. Columns in a pipe: what it is, then those of `budgets` or of `budgets costs`.
    """
    with opened(session) as here:
        levels = here.ledger.budgets(account=account, limit=_PAGE)
        workflow_id = account.removeprefix("workflow:") if account.startswith("workflow:") else None
        reports: list[CostReport] = []
        if workflow_id is not None or account == "tenant":
            reports = [here.ledger.costs(by=by, workflow_id=workflow_id) for by in _SHOWN]
        is_spent = any(report.parts for report in reports)
        factors = here.ledger.cost_factors(workflow_id) if workflow_id and is_spent else None
    if not levels and not is_spent:
        what = f"nothing is on record of a budget {account!r}"
        raise Refused(what, "see `holdfast budgets` for those there are", Exit.NOTHING_FOUND)
    if session.as_json:
        ndjson(
            {
                "account": account,
                "budgets": [budget_fields(level) for level in levels],
                "costs": {report.by: [cost_fields(part) for part in report.parts] for report in reports},
                "factors": None if factors is None else dict(_factors(factors)),
            }
        )
        return
    _tables(levels, reports, factors)


def _tables(levels: Sequence[Level], reports: Sequence[CostReport], factors: CostFactors | None) -> None:
    lines = [budget_line(level) for level in levels]
    if not is_terminal():
        for line in lines:
            tsv(("budget", *line.cells))
        for report in reports:
            for part in report.parts:
                tsv((f"cost by {report.by}", *cost_line(part).cells))
        for name, value in _factors(factors) if factors else ():
            tsv((f"factor {name}", "" if value is None else str(value)))
        return
    if lines:
        screen_table(HEADS, [line.brief or line.cells for line in lines])
    for report in reports:
        rows = [cost_line(part) for part in report.parts]
        if rows:
            screen_table((report.by, *COST_HEADS[1:]), [row.brief or row.cells for row in rows])
    if factors is not None:
        told = ((name.replace("_", " "), value) for name, value in _factors(factors))
        screen_table(("", ""), [(name, "not known" if value is None else str(value)) for name, value in told])


def _factors(found: CostFactors) -> Iterator[tuple[str, Any]]:
    known = [tokens for tokens in found.input_tokens if tokens is not None]
    yield "model_calls", found.model_calls
    yield "input_tokens_first", known[0] if known else None
    yield "input_tokens_last", known[-1] if known else None
    yield "context_growth", found.context_growth
    yield "retries", found.retries
    yield "tool_calls", found.tool_calls
    yield "output_bytes", found.output_bytes
    yield "largest_output", found.largest_output
    yield "largest_tool", found.largest_tool
    yield "rounds", found.rounds
    yield "repeats", found.repeats


@budgets.command(
    epilog=examples(
        "holdfast budgets costs --by model --since 1d",
        "holdfast budgets costs --by waste --workflow order-123 --json",
    )
)
@click.option(
    "--by", type=click.Choice(get_args(SpentBy)), default="tool", show_default=True, help="Divided by this."
)
@click.option("--workflow", "workflow_id", metavar="ID", help="Of this workflow.")
@click.option("--since", metavar="WHEN", help="Begun since: 1h, 7d, or 2026-01-31T09:00:00Z.")
@click.option("--until", metavar="WHEN", help="Begun before.")
@session_options
@click.pass_obj
def costs(
    session: Session, by: SpentBy, workflow_id: str | None, since: str | None, until: str | None
) -> None:
    """Tell what was spent, in parts that add up, and how much of it was for nothing.

    Each attempt counts. What nobody knows counts by its bound, and as wasted: --by waste says why.
    Columns in a pipe: name, currency, attempts, money, tokens, wasted, wasted tokens, unknown, held.
    """
    begin, end = moment(since), moment(until)
    with opened(session) as here:
        found = here.ledger.costs(by=by, workflow_id=workflow_id, since=begin, until=end)
    heads = (by, *COST_HEADS[1:])
    listing(heads, [cost_line(part) for part in found.parts], as_json=session.as_json)
    if not found.parts:
        say("nothing was spent")
    for total in found.totals:
        if total.currency:
            money = amount(total.currency, total.money)
            wasted = amount(total.currency, total.wasted_money)
            say(f"in all {money} {total.currency}, of which {wasted} for nothing")


@budgets.command(
    name="raise",
    epilog=examples(
        "holdfast budgets raise tenant usd --add 5.00 --by ana --reason 'month end'",
        "holdfast budgets raise workflow:order-123 tool_calls --to 20 --by ana --reason 'it is a large one'",
        "holdfast budgets raise agent:bot tokens --per day --add -500 --by ana --reason 'too much'",
    ),
)
@click.argument("account")
@click.argument("unit")
@click.option("--add", metavar="AMOUNT", help="So much more than now; below zero for less.")
@click.option("--to", metavar="AMOUNT", help="So much in all.")
@click.option(
    "--per",
    type=click.Choice([each for each in get_args(Per) if each]),
    help="The budget's window, if it has one.",
)
@click.option("--by", required=True, metavar="WHO", help="Who says so.")
@click.option("--reason", required=True, metavar="TEXT", help="Why.")
@_APP
@session_options
@click.pass_obj
def raise_(
    session: Session,
    account: str,
    unit: str,
    add: str | None,
    to: str | None,
    per: Per | None,
    by: str,
    reason: str,
    app: str | None,
) -> None:
    """Give a budget more, or less, by a person's word; audited.

    It holds at once, for this window and all that come, whatever code declares. With --app the directory of
    people says who may: they need the role `budgets` there. Money is in units of its currency.
    Columns in a pipe: those of `budgets`.
    """
    if not by.strip() or not reason.strip():
        raise Refused("--by or --reason is empty", "say who says so, and why")
    if (add is None) is (to is None):
        raise Refused("one of --add and --to is needed, and only one", "say how much")
    given = (("add", add), ("to", to))
    amounts = {name: _number(name, unit, text) for name, text in given if text is not None}
    with asked_ledger(session, app) as ledger:
        level: Level = ledger.raise_budget(
            account, unit, by=person(by), reason=reason, per=per or "", **amounts
        )
    line = budget_line(level)
    if session.as_json:
        ndjson(line.fields)
    else:
        tsv(line.cells)
    say(f"the cap is {amount(unit, level.cap)} {unit} now, by {by}: {reason}")


def _number(name: str, unit: str, text: str) -> int | Decimal:
    try:
        number = Decimal(text.strip())
    except InvalidOperation as error:
        raise Refused(f"--{name} {text!r} is no number", "give one, such as 5 or 5.00") from error
    if unit not in COUNTS:
        return number
    if not number.is_finite() or number != int(number):
        raise Refused(f"--{name} {text!r} is no whole number of {unit}", "give one, such as 5")
    return int(number)
