"""The workflows of ``flows`` once more, for plain workers: each goes on with what the other kind began."""

from __future__ import annotations

import random
import time
from typing import Any

from outside import Outside
from terms import CRON, DEAR, FLAKY, LIMITS, NARROW, TOOL, WORK_S, Trouble, amount

from holdfast import Effect, SyncLedger, SyncWorkflow, Undone
from holdfast.errors import StepFailed


def declare(ledger: SyncLedger, outside: Outside, *, has_timetable: bool) -> dict[str, Any]:
    """Declare the tools and the workflows; return the workflows by name."""
    for queue, limits in LIMITS.items():
        ledger.queue(queue, **limits)
    trouble = Trouble()

    def work() -> None:
        time.sleep(random.uniform(*WORK_S))

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

    charged = ledger.tool(name="charge", reconcile=outside.look_up, **TOOL)(charge)
    booked = ledger.tool(name="book", reconcile=outside.look_up, compensate=refund, **TOOL)(charge)

    def price(workflow_id: str, n: int) -> int:
        outside.begin(workflow_id, "price")
        work()
        return amount(n)

    def flaky(workflow_id: str) -> str:
        tried = outside.begin(workflow_id, "flaky")
        work()
        if tried < 2:
            raise ConnectionResetError("not yet")
        return "at last"

    def hopeless(workflow_id: str) -> str:
        outside.begin(workflow_id, "hopeless")
        raise ValueError("never")

    @ledger.workflow
    def order(ctx: SyncWorkflow, n: int) -> dict[str, Any]:
        dear = ctx.step("price", price, ctx.workflow_id, n)
        made = charged(what=ctx.workflow_id, amount=dear)
        return {"n": n, "amount": dear, "charge": made["id"]}

    @ledger.workflow
    def nap(ctx: SyncWorkflow, n: int, seconds: float) -> dict[str, Any]:
        dear = ctx.step("price", price, ctx.workflow_id, n)
        ctx.sleep(seconds)
        made = charged(what=ctx.workflow_id, amount=dear)
        return {"n": n, "charge": made["id"]}

    @ledger.workflow
    def letter(ctx: SyncWorkflow, n: int, replies: int) -> dict[str, Any]:
        heard = [ctx.wait_for("reply") for _ in range(replies)]
        made = charged(what=ctx.workflow_id, amount=amount(n))
        return {"n": n, "heard": heard, "charge": made["id"]}

    @ledger.workflow
    def shaky(ctx: SyncWorkflow, n: int) -> dict[str, Any]:
        said = ctx.step("flaky", flaky, ctx.workflow_id, retries=FLAKY)
        try:
            ctx.step("hopeless", hopeless, ctx.workflow_id, retries=0)
        except StepFailed as error:
            said += f", {error.error_type}"
        made = charged(what=ctx.workflow_id, amount=amount(n))
        return {"n": n, "said": said, "charge": made["id"]}

    @ledger.workflow(queue="narrow", limit_key=lambda given: f"key-{given['n'] % NARROW}")
    def narrow(ctx: SyncWorkflow, n: int) -> dict[str, Any]:
        dear = ctx.step("price", price, ctx.workflow_id, n)
        made = charged(what=ctx.workflow_id, amount=dear)
        return {"n": n, "charge": made["id"]}

    @ledger.workflow(queue="metered")
    def metered(ctx: SyncWorkflow, n: int) -> dict[str, Any]:
        return {"n": n, "amount": ctx.step("price", price, ctx.workflow_id, n)}

    @ledger.workflow(on_failure="compensate")
    def booking(ctx: SyncWorkflow, n: int) -> dict[str, Any]:
        made = booked(what=ctx.workflow_id, amount=DEAR)
        ctx.wait_for("never")
        return {"n": n, "charge": made["id"]}

    @ledger.workflow
    def tick(ctx: SyncWorkflow) -> int:
        return ctx.step("price", price, ctx.workflow_id, 0)

    if has_timetable:
        ledger.cron(tick, CRON, catch_up="1m")
    return {each.name: each for each in (order, nap, letter, shaky, narrow, metered, booking, tick)}
