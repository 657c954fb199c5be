"""A process that begins sub-agents, or one that works for them and does not know who began them.

    python lineage_worker.py '{"url": ..., "mode": "lead", "world": ..., "cap": 10, ...}'

``lead`` begins eight, tells what they said, and ends; ``sub`` works until it is told to stop, and waits once, in the
first call of its first sub-agent. A payment is a line in a file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
from typing import Any

from holdfast import Budget, Ledger, Settings, Workflow
from holdfast.engines import Worker
from holdfast.errors import BudgetExceeded

TOLD: dict[str, Any] = json.loads(sys.argv[1])
logging.getLogger("holdfast").setLevel(logging.ERROR)
SETTINGS = Settings(lease=TOLD["lease"], renew_every=TOLD["renew_every"], drain=5, store_patience=30)
AGENTS = 8
GO = threading.Event()


def tell(**told: Any) -> None:
    os.write(1, (json.dumps(told) + "\n").encode())


def paid(who: str) -> None:
    """Change the world by one system call; the first time not before this process is told to."""
    if not GO.is_set():
        tell(at="paying")
        GO.wait()
    world = os.open(TOLD["world"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(world, f"{who} {os.getpid()}\n".encode())
    os.close(world)


def declared(ledger: Ledger) -> Any:
    """A sub-agent: pays three times, and says how often there was room for it, and what was full."""

    @ledger.tool(safety="idempotent", retry=False)
    async def pay(who: str, n: int) -> int:
        paid(who)
        return n

    @ledger.workflow(queue="subs")
    async def sub(ctx: Workflow, who: str) -> list[Any]:
        for n in range(3):
            try:
                await pay(who=who, n=n)
            except BudgetExceeded as refused:
                return [n, refused.account]
        return [3, ""]

    return sub


async def led(ledger: Ledger) -> None:
    """Begin the sub-agents of one run after the other, and tell what they said."""
    sub = declared(ledger)

    @ledger.workflow(queue="leads", budget=Budget(tool_calls=TOLD["cap"]))
    async def lead(ctx: Workflow) -> list[Any]:
        return list(await asyncio.gather(*(ctx.child(sub, who=f"a{n}") for n in range(AGENTS))))

    worker = Worker(ledger, queues=["leads"])
    working = asyncio.create_task(worker.run())
    for run in TOLD["runs"]:
        await lead.enqueue(run)
        tell(said=await lead.result(run))
    worker.stop()
    await working


async def worked(ledger: Ledger) -> None:
    """Work for sub-agents until standard input says that it is enough."""
    declared(ledger)
    worker = Worker(ledger, queues=["subs"], concurrency=2)
    working = asyncio.create_task(worker.run())
    await asyncio.get_running_loop().run_in_executor(None, until_told)
    worker.stop()
    await working
    tell(at="end")


def until_told() -> None:
    """Let go on who pays, by one line, and return when there is another one, or nobody who could write it."""
    os.read(0, 3)
    GO.set()
    os.read(0, 3)


async def main() -> None:
    budgets = {"tenant": Budget(tool_calls=TOLD["tenant_cap"])}
    async with Ledger(TOLD["url"], settings=SETTINGS, budgets=budgets) as ledger:
        await (led if TOLD["mode"] == "lead" else worked)(ledger)


if __name__ == "__main__":
    asyncio.run(main())
