"""The workflows, as the async workers go through them; ``plain_flows`` has the same for the plain ones."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from outside import Outside
from terms import CRON, DEAR, FLAKY, LIMITS, NARROW, TOOL, WORK_S, Trouble, amount

from holdfast import Effect, Ledger, Undone, Workflow
from holdfast.errors import StepFailed


def declare(ledger: Ledger, outside: Outside, *, has_timetable: bool) -> dict[str, Any]:
    """Declare the tools and the workflows; return the workflows by name."""
    for queue, limits in LIMITS.items():
        ledger.queue(queue, **limits)
    trouble = Trouble()

    async def work() -> None:
        await asyncio.sleep(random.uniform(*WORK_S))

    @ledger.tool(name="refund", reconcile=outside.look_up, **TOOL)
    async def refund(undone: Undone, effect: Effect) -> dict[str, Any]:
        await work()
        return outside.charge(effect.idem_key, f"refund:{undone.args['what']}")

    async def charge(what: str, amount: int, effect: Effect) -> dict[str, Any]:
        trouble.before()
        await work()
        made = outside.charge(effect.idem_key, what)
        trouble.after()
        return made

    charged = ledger.tool(name="charge", reconcile=outside.look_up, **TOOL)(charge)
    booked = ledger.tool(name="book", reconcile=outside.look_up, compensate=refund, **TOOL)(charge)

    async def price(workflow_id: str, n: int) -> int:
        outside.begin(workflow_id, "price")
        await work()
        return amount(n)

    async def flaky(workflow_id: str) -> str:
        tried = outside.begin(workflow_id, "flaky")
        await work()
        if tried < 2:
            raise ConnectionResetError("not yet")
        return "at last"

    async def hopeless(workflow_id: str) -> str:
        outside.begin(workflow_id, "hopeless")
        raise ValueError("never")

    @ledger.workflow
    async def order(ctx: Workflow, n: int) -> dict[str, Any]:
        dear = await ctx.step("price", price, ctx.workflow_id, n)
        made = await charged(what=ctx.workflow_id, amount=dear)
        return {"n": n, "amount": dear, "charge": made["id"]}

    @ledger.workflow
    async def nap(ctx: Workflow, n: int, seconds: float) -> dict[str, Any]:
        dear = await ctx.step("price", price, ctx.workflow_id, n)
        await ctx.sleep(seconds)
        made = await charged(what=ctx.workflow_id, amount=dear)
        return {"n": n, "charge": made["id"]}

    @ledger.workflow
    async def letter(ctx: Workflow, n: int, replies: int) -> dict[str, Any]:
        heard = [await ctx.wait_for("reply") for _ in range(replies)]
        made = await charged(what=ctx.workflow_id, amount=amount(n))
        return {"n": n, "heard": heard, "charge": made["id"]}

    @ledger.workflow
    async def family(ctx: Workflow, n: int, children: int) -> dict[str, Any]:
        born = [ctx.child(order, n=n * 10 + each) for each in range(children)]
        grown = await asyncio.gather(*born)
        return {"n": n, "amounts": [each["amount"] for each in grown]}

    @ledger.workflow
    async def shaky(ctx: Workflow, n: int) -> dict[str, Any]:
        said = await ctx.step("flaky", flaky, ctx.workflow_id, retries=FLAKY)
        try:
            await ctx.step("hopeless", hopeless, ctx.workflow_id, retries=0)
        except StepFailed as error:
            said += f", {error.error_type}"
        made = await charged(what=ctx.workflow_id, amount=amount(n))
        return {"n": n, "said": said, "charge": made["id"]}

    @ledger.workflow(queue="narrow", limit_key=lambda given: f"key-{given['n'] % NARROW}")
    async def narrow(ctx: Workflow, n: int) -> dict[str, Any]:
        dear = await ctx.step("price", price, ctx.workflow_id, n)
        made = await charged(what=ctx.workflow_id, amount=dear)
        return {"n": n, "charge": made["id"]}

    @ledger.workflow(queue="metered")
    async def metered(ctx: Workflow, n: int) -> dict[str, Any]:
        return {"n": n, "amount": await ctx.step("price", price, ctx.workflow_id, n)}

    @ledger.workflow(on_failure="compensate")
    async def booking(ctx: Workflow, n: int) -> dict[str, Any]:
        made = await booked(what=ctx.workflow_id, amount=DEAR)
        await ctx.wait_for("never")
        return {"n": n, "charge": made["id"]}

    @ledger.workflow
    async def tick(ctx: Workflow) -> int:
        return await ctx.step("price", price, ctx.workflow_id, 0)

    if has_timetable:
        ledger.cron(tick, CRON, catch_up="1m")
    return {
        each.name: each for each in (order, nap, letter, family, shaky, narrow, metered, booking, tick)
    }
