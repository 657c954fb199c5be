"""``holdfast dependencies``: how the systems are that tools depend on, as all workers see them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import click

from holdfast._core.dependency import BreakerState
from holdfast.cli.exits import Exit
from holdfast.cli.fields import dependency_fields
from holdfast.cli.output import Line, clock, iso, listing, say, span
from holdfast.cli.session import Session, examples, opened, session_options
from holdfast.ledger import DependencyState

_HEADS: Final = ("dependency", "circuit", "until", "good", "bad", "retries left", "updated")


@click.command(epilog=examples("holdfast dependencies", "holdfast dependencies --json"))
@click.option("--exit-code", is_flag=True, help="Exit with 1 when any circuit is not closed.")
@session_options
@click.pass_obj
def dependencies(session: Session, *, exit_code: bool) -> None:
    """List the systems that tools depend on.

    For each: whether its circuit is closed (calls are sent), open (they are not) or half open (one is, to
    see how it goes; of a busy system's then ever more), until when, how its calls went lately, and how many
    retries it has left. All as of the moment when a worker last told.
    Columns in a pipe: dependency, state, until, good, bad, retries left, updated.
    """
    with opened(session) as here:
        found = here.ledger.dependencies()
    listing(_HEADS, [_line(session, one) for one in found], as_json=session.as_json)
    if not found:
        say("no worker has told of any dependency")
    troubled = [one for one in found if one.state is not BreakerState.CLOSED]
    for one in troubled:
        say(f"{one.name}: {_hint(one)}")
    if troubled:
        say("what was not sent stays as it is: the same calls go on, under the same keys, once it answers")
    if troubled and exit_code:
        raise click.exceptions.Exit(Exit.FAILED)


def _hint(dependency: DependencyState) -> str:
    if dependency.state is BreakerState.HALF_OPEN:
        return "calls are let through one by one, to see how it is"
    left_s = 0.0
    if dependency.retry_at is not None:
        left_s = (dependency.retry_at - datetime.now(UTC)).total_seconds()
    if left_s <= 0:
        return "no calls are sent; the next one goes, to see how it is"
    return f"no calls are sent for {span(left_s)}; then one goes, to see how it is"


def _line(session: Session, one: DependencyState) -> Line:
    counts = (str(one.good), str(one.bad), f"{one.retries_left:.1f}")
    return Line(
        fields=dependency_fields(one, tenant=session.tenant_name),
        cells=(one.name, one.state, iso(one.retry_at) or "", *counts, iso(one.updated_at) or ""),
        brief=(one.name, one.state, clock(one.retry_at), *counts, clock(one.updated_at)),
    )
