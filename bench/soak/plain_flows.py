"""The workflows of ``flows`` once more, for plain workers: each kind goes on with what the other began."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from outside import Outside
from terms import CRON, DEAR, FLAKY, LIMITS, NARROW, TOOL, WORK_S, Trouble, amount

from holdfast import Effect, SyncLedger, SyncWorkflow, Undone
from holdfast.errors import StepFailed


def declare(ledger: SyncLedger, outside: Outside, trouble: Trouble, *, has_timetable: bool) -> dict[str, Any]:
    """Declare the tools and the workflows; return the workflows by name."""
    for queue, limits in LIMITS.items():
        ledger.queue(queue, **limits)
    charge, book = _tools(ledger, outside, trouble)
    steps = Steps(outside)
    made = [*_simple(ledger, steps, charge), *_waiting(ledger, steps, charge, book)]
    flows = {each.name: each for each in (*made, *_limited(ledger, steps, charge))}
    if has_timetable:
        ledger.cron(flows["tick"], CRON, catch_up="1m")
    return flows


def work() -> None:
    """Take a while, so that there is something to interrupt."""
    time.sleep(random.uniform(*WORK_S))


@dataclass(frozen=True, slots=True)
class Steps:
    """Functions that change nothing, and are counted outside."""

    outside: Outside

    def price(self, workflow_id: str, n: int) -> int:
        self.outside.begin(workflow_id, "price")
        work()
        return amount(n)

    def flaky(self, workflow_id: str) -> str:
        tried = self.outside.begin(workflow_id, "flaky")
        work()
        if tried < 2:
            raise ConnectionResetError("not yet")
        return "at last"

    def hopeless(self, workflow_id: str) -> str:
        self.outside.begin(workflow_id, "hopeless")
        raise ValueError("never")


def _tools(
    ledger: SyncLedger, outside: Outside, trouble: Trouble
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Declare what charges: once without a way back, once with one."""

    @ledger.tool(name="refund", reconcile=outside.look_up, **TOOL)
    def refund(undone: Undone, effect: Effect) -> dict[str, Any]:
        work()
        return outside.charge(effect.idem_key, f"refund:{undone.args['what']}")

    def charge(what: str, amount: int, effect: Effect) -> dict[str, Any]:
        trouble.before()
        work()
        made = outside.charge(effect.idem_key, what)
        trouble.after()
        return made

    return (
        ledger.tool(name="charge", reconcile=outside.look_up, **TOOL)(charge),
        ledger.tool(name="book", reconcile=outside.look_up, compensate=refund, **TOOL)(charge),
    )


def _simple(ledger: SyncLedger, steps: Steps, charge: Callable[..., Any]) -> list[Any]:
    @ledger.workflow
    def order(ctx: SyncWorkflow, n: int) -> dict[str, Any]:
        dear = ctx.step("price", steps.price, ctx.workflow_id, n)
        made = charge(what=ctx.workflow_id, amount=dear)
        return {"n": n, "amount": dear, "charge": made["id"]}

    @ledger.workflow
    def shaky(ctx: SyncWorkflow, n: int) -> dict[str, Any]:
        said = ctx.step("flaky", steps.flaky, ctx.workflow_id, retries=FLAKY)
        try:
            ctx.step("hopeless", steps.hopeless, ctx.workflow_id, retries=0)
        except StepFailed as error:
            said += f", {error.error_type}"
        made = charge(what=ctx.workflow_id, amount=amount(n))
        return {"n": n, "said": said, "charge": made["id"]}

    return [order, shaky]


def _waiting(
    ledger: SyncLedger, steps: Steps, charge: Callable[..., Any], book: Callable[..., Any]
) -> list[Any]:
    @ledger.workflow
    def nap(ctx: SyncWorkflow, n: int, seconds: float) -> dict[str, Any]:
        dear = ctx.step("price", steps.price, ctx.workflow_id, n)
        ctx.sleep(seconds)
        made = charge(what=ctx.workflow_id, amount=dear)
        return {"n": n, "charge": made["id"]}

    @ledger.workflow
    def letter(ctx: SyncWorkflow, n: int, replies: int) -> dict[str, Any]:
        heard = [ctx.wait_for("reply") for _ in range(replies)]
        made = charge(what=ctx.workflow_id, amount=amount(n))
        return {"n": n, "heard": heard, "charge": made["id"]}

    @ledger.workflow(on_failure="compensate")
    def booking(ctx: SyncWorkflow, n: int) -> dict[str, Any]:
        made = book(what=ctx.workflow_id, amount=DEAR)
        ctx.wait_for("never")
        return {"n": n, "charge": made["id"]}

    return [nap, letter, booking]


def _limited(ledger: SyncLedger, steps: Steps, charge: Callable[..., Any]) -> list[Any]:
    @ledger.workflow(queue="narrow", limit_key=lambda given: f"key-{given['n'] % NARROW}")
    def narrow(ctx: SyncWorkflow, n: int) -> dict[str, Any]:
        dear = ctx.step("price", steps.price, ctx.workflow_id, n)
        made = charge(what=ctx.workflow_id, amount=dear)
        return {"n": n, "charge": made["id"]}

    @ledger.workflow(queue="metered")
    def metered(ctx: SyncWorkflow, n: int) -> dict[str, Any]:
        return {"n": n, "amount": ctx.step("price", steps.price, ctx.workflow_id, n)}

    @ledger.workflow
    def tick(ctx: SyncWorkflow) -> Any:
        return ctx.step("price", steps.price, ctx.workflow_id, 0)

    return [narrow, metered, tick]
