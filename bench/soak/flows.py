"""The workflows, as the async workers go through them; ``plain_flows`` has the same for the plain ones."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from outside import Outside
from terms import CRON, DEAR, FLAKY, LIMITS, NARROW, TOOL, WORK_S, Trouble, amount

from holdfast import Effect, Ledger, Undone, Workflow
from holdfast.errors import StepFailed


def declare(ledger: Ledger, outside: Outside, trouble: Trouble, *, has_timetable: bool) -> dict[str, Any]:
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


async def work() -> None:
    """Take a while, so that there is something to interrupt."""
    await asyncio.sleep(random.uniform(*WORK_S))


@dataclass(frozen=True, slots=True)
class Steps:
    """Functions that change nothing, and are counted outside."""

    outside: Outside

    async def price(self, workflow_id: str, n: int) -> int:
        self.outside.begin(workflow_id, "price")
        await work()
        return amount(n)

    async def flaky(self, workflow_id: str) -> str:
        tried = self.outside.begin(workflow_id, "flaky")
        await work()
        if tried < 2:
            raise ConnectionResetError("not yet")
        return "at last"

    async def hopeless(self, workflow_id: str) -> str:
        self.outside.begin(workflow_id, "hopeless")
        raise ValueError("never")


def _tools(
    ledger: Ledger, outside: Outside, trouble: Trouble
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Declare what charges: once without a way back, once with one."""

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

    return (
        ledger.tool(name="charge", reconcile=outside.look_up, **TOOL)(charge),
        ledger.tool(name="book", reconcile=outside.look_up, compensate=refund, **TOOL)(charge),
    )


def _simple(ledger: Ledger, steps: Steps, charge: Callable[..., Any]) -> list[Any]:
    @ledger.workflow
    async def order(ctx: Workflow, n: int) -> dict[str, Any]:
        dear = await ctx.step("price", steps.price, ctx.workflow_id, n)
        made = await charge(what=ctx.workflow_id, amount=dear)
        return {"n": n, "amount": dear, "charge": made["id"]}

    @ledger.workflow
    async def family(ctx: Workflow, n: int, children: int) -> dict[str, Any]:
        born = [ctx.child(order, n=n * 10 + each) for each in range(children)]
        grown = await asyncio.gather(*born)
        return {"n": n, "amounts": [each["amount"] for each in grown]}

    @ledger.workflow
    async def shaky(ctx: Workflow, n: int) -> dict[str, Any]:
        said = await ctx.step("flaky", steps.flaky, ctx.workflow_id, retries=FLAKY)
        try:
            await ctx.step("hopeless", steps.hopeless, ctx.workflow_id, retries=0)
        except StepFailed as error:
            said += f", {error.error_type}"
        made = await charge(what=ctx.workflow_id, amount=amount(n))
        return {"n": n, "said": said, "charge": made["id"]}

    return [order, family, shaky]


def _waiting(ledger: Ledger, steps: Steps, charge: Callable[..., Any], book: Callable[..., Any]) -> list[Any]:
    @ledger.workflow
    async def nap(ctx: Workflow, n: int, seconds: float) -> dict[str, Any]:
        dear = await ctx.step("price", steps.price, ctx.workflow_id, n)
        await ctx.sleep(seconds)
        made = await charge(what=ctx.workflow_id, amount=dear)
        return {"n": n, "charge": made["id"]}

    @ledger.workflow
    async def letter(ctx: Workflow, n: int, replies: int) -> dict[str, Any]:
        heard = [await ctx.wait_for("reply") for _ in range(replies)]
        made = await charge(what=ctx.workflow_id, amount=amount(n))
        return {"n": n, "heard": heard, "charge": made["id"]}

    @ledger.workflow(on_failure="compensate")
    async def booking(ctx: Workflow, n: int) -> dict[str, Any]:
        made = await book(what=ctx.workflow_id, amount=DEAR)
        await ctx.wait_for("never")
        return {"n": n, "charge": made["id"]}

    return [nap, letter, booking]


def _limited(ledger: Ledger, steps: Steps, charge: Callable[..., Any]) -> list[Any]:
    @ledger.workflow(queue="narrow", limit_key=lambda given: f"key-{given['n'] % NARROW}")
    async def narrow(ctx: Workflow, n: int) -> dict[str, Any]:
        dear = await ctx.step("price", steps.price, ctx.workflow_id, n)
        made = await charge(what=ctx.workflow_id, amount=dear)
        return {"n": n, "charge": made["id"]}

    @ledger.workflow(queue="metered")
    async def metered(ctx: Workflow, n: int) -> dict[str, Any]:
        return {"n": n, "amount": await ctx.step("price", steps.price, ctx.workflow_id, n)}

    @ledger.workflow
    async def tick(ctx: Workflow) -> Any:
        return await ctx.step("price", steps.price, ctx.workflow_id, 0)

    return [narrow, metered, tick]
