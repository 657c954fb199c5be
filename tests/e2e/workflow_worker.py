"""A process that goes through a workflow and stops, at the places it is told, until it is told to go on.

    python workflow_worker.py '{"url": ..., "mode": "run", "stops": ["charge-end"], ...}'

``run`` begins the workflow, or goes on with it, and waits for its end; ``work`` is a worker of its queue until the
workflow has ended. Either tells ``{"result": ...}`` then. What happens in the world is a line in a file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from typing import Any

from holdfast import Ledger, Settings, Workflow
from holdfast.engines import Worker

TOLD: dict[str, Any] = json.loads(sys.argv[1])
logging.getLogger("holdfast").setLevel(logging.ERROR)  # what it warns of is what is tested here
SETTINGS = Settings(lease=TOLD["lease"], renew_every=TOLD["renew_every"], drain=5, store_patience=30)


def tell(**told: Any) -> None:
    os.write(1, (json.dumps(told) + "\n").encode())


def stop(place: str) -> None:
    """Stop here, the whole process, if that was asked for."""
    if place in TOLD["stops"]:
        tell(at=place)
        if not os.read(0, 16):
            os._exit(3)  # whoever started this process is gone


def happen(name: str) -> str:
    """Change the world by one system call; return which process did."""
    stop(f"{name}-start")
    world = os.open(TOLD["world"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(world, f"{name} {os.getpid()}\n".encode())
    os.close(world)
    stop(f"{name}-end")
    return name


async def main() -> None:
    async with Ledger(TOLD["url"], settings=SETTINGS) as ledger:

        @ledger.tool()
        async def charge(amount: int) -> dict[str, Any]:
            return {"charged": amount, "by": happen("charge")}

        async def work(name: str) -> str:
            return happen(name)

        @ledger.workflow
        async def order(ctx: Workflow) -> list[Any]:
            first = await ctx.step("first", work, "first")
            return [first, await charge(amount=5), await ctx.step("last", work, "last")]

        await ledger.effects()
        stop("ready")
        if TOLD["mode"] == "run":
            tell(result=await order.run("order-1"))
            return
        worker = Worker(ledger, concurrency=2)
        working = asyncio.create_task(worker.run())
        tell(result=await order.result("order-1"))
        worker.stop()
        await working


if __name__ == "__main__":
    asyncio.run(main())
