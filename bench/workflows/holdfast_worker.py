"""holdfast: workers take workflows from a queue; ``--called``: tasks of one process call them; ``--tools``: steps that
are effects, each with its claim and its record."""

import asyncio
from typing import Any

from working import arguments, body, quietly, serve, tasks, tool

from holdfast import Ledger, Workflow
from holdfast.engines import Worker


class Holdfast:
    def __init__(self, *, is_called: bool, has_effects: bool) -> None:
        self.is_called, self.has_effects = is_called, has_effects
        self.going: set[asyncio.Task[None]] = set()

    async def open(self, dsn: str, at_once: int) -> None:
        ledger = self.ledger = Ledger(dsn, migrate=True)
        self.at_once = at_once

        @ledger.tool()
        async def charge(customer: str, amount: int) -> dict[str, object]:
            return await tool({"customer": customer, "amount": amount})

        @ledger.workflow
        async def steps(ctx: Workflow, i: int) -> int:
            return await body(i, lambda j, args: ctx.step(f"tool-{j}", tool, args))

        @ledger.workflow
        async def effects(ctx: Workflow, i: int) -> int:
            return await body(i, lambda _, args: charge(**args))

        self.flow = effects if self.has_effects else steps
        await ledger.__aenter__()

    async def enqueue(self, prefix: str, n: int) -> None:
        if not self.is_called:
            await tasks(16, n, lambda i: self.flow.enqueue(f"{prefix}-{i}", i=i))

    async def work(self, prefix: str, n: int) -> None:
        if self.is_called:
            going: Any = tasks(self.at_once, n, lambda i: self.flow.run(f"{prefix}-{i}", i=i))
        else:
            self.worker = Worker(self.ledger, concurrency=self.at_once)
            going = self.worker.run()
        self.going = {asyncio.create_task(going)}

    async def rest(self) -> None:
        if not self.is_called:
            self.worker.stop()
        await asyncio.gather(*self.going)

    async def count(self, prefix: str) -> int:
        rows = await self.ledger.executions(status="succeeded", limit=10_000)
        return sum(row.workflow_id.startswith(f"{prefix}-") for row in rows)


if __name__ == "__main__":
    parser = arguments()
    parser.add_argument("--called", action="store_true")
    parser.add_argument("--tools", action="store_true")
    options = parser.parse_args()
    quietly()
    adapter = Holdfast(is_called=options.called, has_effects=options.tools)
    asyncio.run(serve(adapter, options.dsn, options.at_once))
