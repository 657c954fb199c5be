"""DBOS: workers take workflows from a queue, or (``--called``) tasks of one process call them, which is quicker."""

import asyncio
import os
from typing import Any

from dbos import DBOS, SetWorkflowID
from working import arguments, body, quietly, serve, tasks, tool

QUEUE = "bench"


@DBOS.step()
async def step(args: dict[str, Any]) -> dict[str, object]:
    return await tool(args)


@DBOS.workflow()
async def run(i: int) -> int:
    return await body(i, lambda _, args: step(args))


class Dbos:
    """A queue with no room is one that waits for the clock; room is given to it, and taken, in its own row."""

    def __init__(self, *, is_called: bool, poll_s: float) -> None:
        self.is_called, self.poll_s = is_called, poll_s

    async def open(self, dsn: str, at_once: int) -> None:
        self.at_once = at_once
        config: dict[str, Any] = {"name": "bench", "system_database_url": dsn, "log_level": "CRITICAL"}
        # Its default is 20 and more for each process; 16 of those are more than the server takes.
        config["db_engine_kwargs"] = {"pool_size": at_once + 2, "max_overflow": 0}
        DBOS(config={**config, "executor_id": f"bench-{os.getpid()}", "application_version": "1"})
        await asyncio.to_thread(DBOS.launch)
        self.queue = await DBOS.register_queue_async(
            QUEUE, worker_concurrency=0, polling_interval_sec=self.poll_s
        )

    async def _called(self, prefix: str, i: int) -> None:
        with SetWorkflowID(f"{prefix}-{i}"):
            await run(i)

    async def _enqueued(self, prefix: str, i: int) -> None:
        with SetWorkflowID(f"{prefix}-{i}"):
            await DBOS.enqueue_workflow_async(QUEUE, run, i)

    async def enqueue(self, prefix: str, n: int) -> None:
        if not self.is_called:
            await tasks(8, n, lambda i: self._enqueued(prefix, i))

    async def work(self, prefix: str, n: int) -> None:
        if self.is_called:
            self.going = asyncio.create_task(tasks(self.at_once, n, lambda i: self._called(prefix, i)))
        else:
            await self.queue.set_worker_concurrency_async(self.at_once)

    async def rest(self) -> None:
        if self.is_called:
            await self.going
        else:
            await self.queue.set_worker_concurrency_async(0)

    async def count(self, prefix: str) -> int:
        found = await DBOS.list_workflows_async(
            workflow_id_prefix=f"{prefix}-", status="SUCCESS", limit=10_000
        )
        return len(found)


async def main(options: Any) -> None:
    await serve(Dbos(is_called=options.called, poll_s=options.poll_s), options.dsn, options.at_once)
    os._exit(0)  # its threads would take their time


if __name__ == "__main__":
    parser = arguments()
    parser.add_argument("--called", action="store_true")
    parser.add_argument(
        "--poll-s", type=float, default=0.02, help="the default is a second: a worker would idle"
    )
    quietly()
    asyncio.run(main(parser.parse_args()))
