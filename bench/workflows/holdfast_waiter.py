"""A worker whose workflows wait for a signal, and say when they have gone on by a step."""

import asyncio
import sys
import time

from working import quietly, say

from holdfast import Ledger, Workflow
from holdfast.engines import Worker


def declared(dsn: str) -> tuple[Ledger, object]:
    """The ledger, and its workflow; who signals declares it as well."""
    ledger = Ledger(dsn, migrate=True)

    async def after(name: str) -> str:
        say(after=name, at=time.monotonic())
        return name

    @ledger.workflow
    async def waits(ctx: Workflow, name: str) -> str:
        await ctx.wait_for("go")
        return await ctx.step("after", after, name)

    return ledger, waits


async def main(dsn: str) -> None:
    ledger, _ = declared(dsn)
    async with ledger:
        worker = Worker(ledger, concurrency=10)
        working = asyncio.create_task(worker.run())
        say(done="open")
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline):
            pass
        worker.stop()
        await working


if __name__ == "__main__":
    quietly()
    asyncio.run(main(sys.argv[1]))
