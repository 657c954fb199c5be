# app.py
import asyncio
import os
import sys

from holdfast import Ledger, Workflow
from holdfast.engines.restate import RestateEngine

ingress = os.environ.get("RESTATE_INGRESS")
ledger = Ledger(engine=RestateEngine(*ingress.split()) if ingress else None)


@ledger.tool()
async def charge(order_id: str, amount: int) -> dict:
    return {"order": order_id, "amount": amount}


async def price(order_id: str) -> int:
    return 100


@ledger.workflow
async def order(ctx: Workflow, order_id: str) -> dict:
    amount = await ctx.step("price", price, order_id)
    await ctx.sleep("1s")
    return await charge(order_id=order_id, amount=amount)


async def main() -> None:
    async with ledger:
        if "--enqueue" in sys.argv:
            await order.enqueue("order-123", "o-123")
            print(await order.result("order-123"))
        else:
            print(await order.run("order-123", "o-123"))


if __name__ == "__main__":
    asyncio.run(main())
