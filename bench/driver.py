"""Which driver: psycopg 3 or asyncpg, for the two statements that make one guarded call.

    python bench/driver.py [--rounds 8] [--n 300]

A *pair* is a claim (a function call with 25 parameters, one row of 14 columns back, two rows written)
and a record (12 parameters, one row back), each one round trip and one durable commit; a *read* is one row of
14 columns by primary key. Printed per driver and way: wall time per call, the client's own CPU time per call
(process_time, so the server's and the disk's are not in it) and calls per second. All ways take turns in every
round, so that noise of other processes hits each alike; the ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import database
from driver_statements import (
    BATCH,
    CLAIM,
    FIELDS,
    FROM_JSON,
    READ,
    RECORD,
    SCHEMA,
    UNNEST,
    batch_arrays,
    batch_json,
    claim_args,
    new_key,
    numbered,
    percents,
    record_args,
)

BATCHED = 16
BATCHERS = ("asyncpg", "psycopg async, text")


class Psycopg:
    """psycopg 3, statements prepared on first use; *binary* asks for binary results."""

    def __init__(self, dsn: str, *, binary: bool) -> None:
        self.dsn, self.binary = dsn, binary
        self.claim, self.record, self.read = percents(CLAIM, 25), percents(RECORD, 12), percents(READ, 2)
        self.arrays = percents(BATCH.format(source=UNNEST), len(FIELDS))
        self.text = percents(BATCH.format(source=FROM_JSON), 1)

    async def open(self) -> None:
        import psycopg

        self.connection = await psycopg.AsyncConnection.connect(
            self.dsn, autocommit=True, prepare_threshold=0
        )
        self.cursor = self.connection.cursor(binary=self.binary)

    async def close(self) -> None:
        await self.connection.close()

    async def pair(self, key: str) -> None:
        await self.cursor.execute(self.claim, claim_args(key))
        row = await self.cursor.fetchone()
        await self.cursor.execute(self.record, record_args(key, row))
        assert await self.cursor.fetchone()

    async def get(self, key: str) -> None:
        await self.cursor.execute(self.read, ("acme", key))
        assert await self.cursor.fetchone()

    async def batch_arrays(self, keys: list[str]) -> None:
        await self.cursor.execute(self.arrays, batch_arrays(keys))
        assert len(await self.cursor.fetchall()) == len(keys)

    async def batch_json(self, keys: list[str]) -> None:
        await self.cursor.execute(self.text, (batch_json(keys),))
        assert len(await self.cursor.fetchall()) == len(keys)


class PsycopgRaw(Psycopg):
    """psycopg 3 with ``$1`` placeholders: no client-side rewriting of the query."""

    async def open(self) -> None:
        import psycopg

        await super().open()
        self.cursor = psycopg.AsyncRawCursor(self.connection)
        self.claim, self.record, self.read = numbered(CLAIM, 25), numbered(RECORD, 12), numbered(READ, 2)


class PsycopgSync(Psycopg):
    """Blocking psycopg 3, as a synchronous ledger would use it (and as a thread per call could)."""

    async def open(self) -> None:
        import psycopg

        self.sync = psycopg.connect(self.dsn, autocommit=True, prepare_threshold=0)
        self.sync_cursor = psycopg.RawCursor(self.sync)
        self.claim, self.record, self.read = numbered(CLAIM, 25), numbered(RECORD, 12), numbered(READ, 2)

    async def close(self) -> None:
        self.sync.close()

    async def pair(self, key: str) -> None:
        row = self.sync_cursor.execute(self.claim, claim_args(key)).fetchone()
        assert self.sync_cursor.execute(self.record, record_args(key, row)).fetchone()

    async def get(self, key: str) -> None:
        assert self.sync_cursor.execute(self.read, ("acme", key)).fetchone()


class PsycopgThread(PsycopgSync):
    """Blocking psycopg 3 behind one thread per connection: a hop there and back per statement."""

    async def open(self) -> None:
        await super().open()
        self.thread = ThreadPoolExecutor(1)

    async def close(self) -> None:
        self.thread.shutdown()
        await super().close()

    def ask(self, statement: str, args: tuple[Any, ...]) -> Any:
        return self.sync_cursor.execute(statement, args).fetchone()

    async def pair(self, key: str) -> None:
        loop = asyncio.get_running_loop()
        row = await loop.run_in_executor(self.thread, self.ask, self.claim, claim_args(key))
        assert await loop.run_in_executor(self.thread, self.ask, self.record, record_args(key, row))

    async def get(self, key: str) -> None:
        assert await asyncio.get_running_loop().run_in_executor(
            self.thread, self.ask, self.read, ("acme", key)
        )


class Asyncpg:
    """asyncpg with statements prepared once per connection."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    async def open(self) -> None:
        import asyncpg

        self.connection = await asyncpg.connect(self.dsn)
        self.claim = await self.connection.prepare(numbered(CLAIM, 25))
        self.record = await self.connection.prepare(numbered(RECORD, 12))
        self.read = await self.connection.prepare(numbered(READ, 2))
        self.arrays = await self.connection.prepare(numbered(BATCH.format(source=UNNEST), len(FIELDS)))
        self.text = await self.connection.prepare(numbered(BATCH.format(source=FROM_JSON), 1))

    async def close(self) -> None:
        await self.connection.close()

    async def pair(self, key: str) -> None:
        row = await self.claim.fetchrow(*claim_args(key))
        assert await self.record.fetchrow(*record_args(key, row))

    async def get(self, key: str) -> None:
        assert await self.read.fetchrow("acme", key)

    async def batch_arrays(self, keys: list[str]) -> None:
        assert len(await self.arrays.fetch(*batch_arrays(keys))) == len(keys)

    async def batch_json(self, keys: list[str]) -> None:
        assert len(await self.text.fetch(batch_json(keys))) == len(keys)


WAYS: dict[str, Callable[[str], Any]] = {
    "asyncpg": Asyncpg,
    "psycopg async, binary": lambda dsn: Psycopg(dsn, binary=True),
    "psycopg async, text": lambda dsn: Psycopg(dsn, binary=False),
    "psycopg async, raw": lambda dsn: PsycopgRaw(dsn, binary=False),
    "psycopg in a thread": lambda dsn: PsycopgThread(dsn, binary=False),
    "psycopg blocking": lambda dsn: PsycopgSync(dsn, binary=False),
}


async def timed(calls: list[Callable[[], Awaitable[None]]], tasks: int) -> tuple[list[float], float, float]:
    """Durations (us), CPU per call (us) and calls per second of *calls* spread over *tasks*."""
    spent: list[float] = []

    async def worker(mine: list[Callable[[], Awaitable[None]]]) -> None:
        for call in mine:
            began = time.perf_counter_ns()
            await call()
            spent.append((time.perf_counter_ns() - began) / 1e3)

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker(calls[n::tasks]) for n in range(tasks)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return spent, cpu / len(calls) * 1e6, len(calls) / wall


async def measure(dsn: str, way: str, n: int, tasks: int) -> dict[str, dict[str, float]]:
    lanes = [WAYS[way](dsn) for _ in range(tasks)]
    for lane in lanes:
        await lane.open()
        for _ in range(8):
            await lane.pair(new_key())
    keys = [new_key() for _ in range(n)]
    out = {}
    for what in ("pair", "get"):
        calls = [
            lambda lane=lanes[i % tasks], key=key, what=what: getattr(lane, what)(key)
            for i, key in enumerate(keys)
        ]
        spent, cpu, per_s = await timed(calls, tasks)
        out[what] = {"wall_us": statistics.median(spent), "cpu_us": cpu, "per_s": per_s}
    if tasks == 1 and way in BATCHERS:
        for what in ("batch_arrays", "batch_json"):
            act = getattr(lanes[0], what)
            groups = [[new_key() for _ in range(BATCHED)] for _ in range(max(1, n // BATCHED))]
            spent, cpu, per_s = await timed([lambda group=group, act=act: act(group) for group in groups], 1)
            out[what] = {"wall_us": statistics.median(spent), "cpu_us": cpu, "per_s": per_s * BATCHED}
    for lane in lanes:
        await lane.close()
    return out


async def serve(dsn: str) -> None:
    """Answer one measurement per input line, in a process that lives through all rounds."""
    for line in sys.stdin:
        ask = json.loads(line)
        print(json.dumps(await measure(dsn, ask["way"], ask["n"], ask["tasks"])), flush=True)


TABLES = (
    ("pair", 1, "claim + record, 2 durable commits, 1 task"),
    ("get", 1, "read by key, 1 task"),
    ("pair", 16, "claim + record, 16 tasks on 16 connections"),
    ("get", 16, "read by key, 16 tasks on 16 connections"),
    ("batch_arrays", 1, f"{BATCHED} claims in one statement, an array per column (figures per statement)"),
    ("batch_json", 1, f"{BATCHED} claims in one statement, one JSON parameter (figures per statement)"),
)


def report(samples: dict[tuple[str, int, str], list[dict[str, float]]]) -> None:
    for what, tasks, title in TABLES:
        print(
            f"\n{title}\n{'way':24}{'wall p50 us':>12}{'ratio':>8}{'CPU us':>10}{'ratio':>8}{'calls/s':>10}{'ratio':>8}"
        )
        base = samples["asyncpg", tasks, what]
        for way in WAYS:
            rows = samples.get((way, tasks, what), [])
            line = f"{way:24}"
            for field, width in (("wall_us", 12), ("cpu_us", 10), ("per_s", 10)) if rows else ():
                ratio = statistics.median(a[field] / b[field] for a, b in zip(rows, base, strict=True))
                line += f"{statistics.median(r[field] for r in rows):>{width}.0f}{ratio:>8.2f}"
            if rows:
                print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--n", type=int, default=320)
    parser.add_argument("--serve")
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve))
        return
    import psycopg
    from environments import PARTICIPANTS, interpreter

    with database.server() as url:
        dsn = database.fresh_database(url, "bench_driver")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(SCHEMA)
        print(json.dumps(database.conditions(dsn)))
        samples: dict[tuple[str, int, str], list[dict[str, float]]] = {}
        python = interpreter(PARTICIPANTS[0])  # the floor's, which has both drivers
        command = [python, __file__, "--serve", dsn]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert child.stdin
        assert child.stdout
        for number in range(-1, options.rounds):  # the first round warms up and is not counted
            for tasks in (1, 16):
                for way in list(WAYS) if number % 2 else reversed(WAYS):
                    if tasks > 1 and way == "psycopg blocking":
                        continue  # it blocks the loop: tasks cannot overlap
                    child.stdin.write(json.dumps({"way": way, "n": options.n, "tasks": tasks}) + "\n")
                    child.stdin.flush()
                    for what, row in json.loads(child.stdout.readline()).items():
                        if number >= 0:
                            samples.setdefault((way, tasks, what), []).append(row)
        child.communicate()
    report(samples)


if __name__ == "__main__":
    main()
