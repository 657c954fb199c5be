"""Holds what happened outside, and what was asked for, against what the ledger says."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from crowd import Begun
from outside import Outside, by_what
from terms import TICK_S, amount

from holdfast import State, SyncLedger
from holdfast.ledger import Execution

_MANY = 10_000_000
_CANCELLED = {"lost letter": {"cancelled"}, "booking": {"cancelled"}}
_CUT = {"cancelled", "succeeded"}  # what was cancelled while it was under way may have been done by then
_DONE = {State.SUCCEEDED, State.COMPENSATED}
_TRIES = {"price": 1, "flaky": 3, "hopeless": 1}


@dataclass(slots=True)
class Findings:
    """What came of it.

    Attributes:
        violations: What must not be; empty is what all of this is about.
        ended: How many of each kind ended, by how they ended.
        steps: How many steps are on record.
        called: How often functions of steps were called.
        charges: How many charges were made, and how many of these were refunds.
    """

    violations: list[str] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    called: int = 0
    charges: int = 0
    refunds: int = 0


def check(
    begun: Mapping[str, Begun], outside: Outside, ledger: SyncLedger, deaths: Mapping[str, int]
) -> Findings:
    """Judge each workflow, each charge and each step.

    Args:
        deaths: How often each workflow was taken from a worker whose lease had run out.
    """
    found = Findings()
    executions = {each.workflow_id: each for each in ledger.executions(limit=_MANY)}
    children: dict[str, list[Execution]] = defaultdict(list)
    for each in executions.values():
        if each.parent:
            children[each.parent].append(each)
    charges = by_what(outside.charges())
    for workflow_id, one in begun.items():
        execution = executions.pop(workflow_id, None)
        if execution is None:
            found.violations.append(f"{workflow_id}: it was begun, and is not on record")
            continue
        said = _judged(one, execution, charges, children[workflow_id])
        found.violations += [f"{workflow_id}: {what}" for what in said]
        found.ended[f"{one.kind}, {execution.status}"] += 1
    for workflow_id, execution in executions.items():
        if execution.function == "tick":
            found.ended[f"tick, {execution.status}"] += 1
        elif execution.parent in begun:
            found.ended[f"child, {execution.status}"] += 1
        else:
            found.violations.append(f"{workflow_id}: nobody began it")
        parent = begun.get(execution.parent)
        if execution.status not in (_CUT if parent and parent.kind == "cut family" else {"succeeded"}):
            found.violations.append(f"{workflow_id}: it {execution.status}: {execution.error}")
    found.violations += _ticks(each for each in executions.values() if each.function == "tick")
    _judge_effects(outside, ledger, found)
    _judge_steps(outside, deaths, found)
    return found


def _judged(
    one: Begun, execution: Execution, charges: Mapping[str, list[str]], children: list[Execution]
) -> Iterable[str]:
    """Say what is wrong with a workflow that was begun."""
    status, workflow_id = str(execution.status), execution.workflow_id
    if status not in _CANCELLED.get(one.kind, _CUT if one.kind.startswith("cut ") else {"succeeded"}):
        yield f"it is {status} ({execution.pause}, {execution.error or execution.waits_for})"
        return
    made, refunded = charges.get(workflow_id, []), charges.get(f"refund:{workflow_id}", [])
    if len(made) > 1 or len(refunded) > 1:
        yield f"charged {len(made)} times, refunded {len(refunded)} times"
    if status == "cancelled":
        if one.kind == "booking" and len(made) != len(refunded):
            yield f"cancelled, and charged {len(made)} times, refunded {len(refunded)} times"
        return
    expected = _expected(one, made)
    if json.loads(execution.output or "null") != expected:
        yield f"it says {execution.output}, not {json.dumps(expected)}"
    if one.kind.endswith("family"):
        if len(children) != one.given["children"]:
            yield f"it has {len(children)} children, not {one.given['children']}"
        for child in children:
            told = json.loads(child.output or "{}")
            if charges.get(child.workflow_id) != [told.get("charge")]:
                yield f"its child {child.workflow_id} says {told}, charged: {charges.get(child.workflow_id)}"
    if one.delay_s and execution.started_at is not None:
        early_s = one.delay_s - (execution.started_at - execution.created_at).total_seconds()
        if early_s > 0.05:
            yield f"it began {early_s:.2f} s too early"


def _expected(one: Begun, made: list[str]) -> dict[str, Any]:
    """Return what a workflow has to answer."""
    n = one.n
    charge = {"charge": made[0] if made else "a charge"}
    match one.kind:
        case "order" | "later":
            return {"n": n, "amount": amount(n), **charge}
        case "letter":
            return {"n": n, "heard": [{"i": i} for i in range(one.given["replies"])], **charge}
        case "family" | "cut family":
            return {"n": n, "amounts": [amount(n * 10 + each) for each in range(one.given["children"])]}
        case "shaky":
            return {"n": n, "said": "at last, ValueError", **charge}
        case "metered":
            return {"n": n, "amount": amount(n)}
        case _:
            return {"n": n, **charge}


def _ticks(ticks: Iterable[Execution]) -> Iterable[str]:
    """Say which times of the timetable were missed."""
    times = sorted(datetime.fromisoformat(each.workflow_id.partition("@")[2]) for each in ticks)
    for one, other in itertools.pairwise(times):
        if other - one != timedelta(seconds=TICK_S):
            yield f"the timetable has nothing between {one:%H:%M:%S} and {other:%H:%M:%S}"
    if not times:
        yield "the timetable began nothing"


def _judge_effects(outside: Outside, ledger: SyncLedger, found: Findings) -> None:
    made = defaultdict(list)
    for key, what, charge in outside.charges():
        made[f"v1:{key.removeprefix('v1:')}"].append(charge)
        found.charges += 1
        found.refunds += what.startswith("refund:")
    for effect in ledger.effects(limit=_MANY):
        charges = made.pop(str(effect.key), [])
        if effect.state in _DONE and charges == [effect.result["id"]]:
            continue
        if effect.state in _DONE | {State.PENDING, State.UNKNOWN} or charges:
            what = f"{effect.workflow_id}: {effect.tool} is {effect.state}, and was made {len(charges)} times"
            found.violations.append(f"{what}: {effect.key}")
    found.violations += [f"{len(charges)} charges without an effect: {key}" for key, charges in made.items()]
    found.violations += [f"audit: {problem.key}: {problem.what}" for problem in ledger.verify().problems]


def _judge_steps(outside: Outside, deaths: Mapping[str, int], found: Findings) -> None:
    """A function that was called more often than its tries and its workers' deaths explain was repeated."""
    for (workflow_id, step), called in outside.steps().items():
        found.called += called
        allowed = _TRIES[step] + deaths.get(workflow_id, 0)
        if called > allowed:
            found.violations.append(f"{workflow_id}: step {step} was called {called} times, not {allowed}")
