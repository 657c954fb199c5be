"""Absurd: each workflow that is worked on at the same time has a client and a connection of its own, which is quicker
than its default, one connection for all."""

import asyncio
import subprocess
import sys
from pathlib import Path

import psycopg
from absurd_sdk import AsyncAbsurd
from working import arguments, body, quietly, serve, tool

QUEUE = "bench"


class Absurd:
    async def open(self, dsn: str, at_once: int) -> None:
        self.dsn = dsn
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_advisory_lock(7)"
            )  # several workers come at once, and one makes the tables
            known = admin.execute("SELECT to_regclass('absurd.queues') IS NOT NULL").fetchone()
            if not known[0]:
                make = [Path(sys.executable).parent / "absurdctl", "init", "-d", dsn]
                subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
                await self._client().create_queue()
        self.clients = [self._client() for _ in range(at_once)]
        self.going: list[asyncio.Task[None]] = []

    def _client(self) -> AsyncAbsurd:
        client = AsyncAbsurd(self.dsn, queue_name=QUEUE)

        @client.register_task("run")
        async def run(params, ctx):
            def step(j, args):
                return ctx.step(f"tool-{j}", lambda: tool(args))

            return await body(params["i"], step)

        return client

    async def enqueue(self, prefix: str, n: int) -> None:
        async def some(client: AsyncAbsurd, first: int) -> None:
            for i in range(first, n, len(self.clients)):
                await client.spawn("run", {"i": i, "prefix": prefix})

        await asyncio.gather(*(some(client, first) for first, client in enumerate(self.clients)))

    async def work(self, prefix: str, n: int) -> None:
        del prefix, n
        self.going = [asyncio.create_task(each.start_worker(poll_interval=0.01)) for each in self.clients]

    async def rest(self) -> None:
        for client in self.clients:
            client.stop_worker()
        await asyncio.gather(*self.going)

    async def count(self, prefix: str) -> int:
        with psycopg.connect(self.dsn, autocommit=True) as admin:
            query = f"SELECT count(*) FROM absurd.t_{QUEUE} WHERE state = 'completed' AND params ->> 'prefix' = %s"
            return admin.execute(query, [prefix]).fetchone()[0]


if __name__ == "__main__":
    options = arguments().parse_args()
    quietly()
    asyncio.run(serve(Absurd(), options.dsn, options.at_once))
