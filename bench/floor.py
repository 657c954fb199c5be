"""The floor: what the same durable commits cost with no library in between.

    python bench/floor.py --driver psycopg|asyncpg|sqlite --dsn URL-or-file [--n 500]

prints one JSON line per measurement; ``--serve`` answers slices, as the adapters do. The measurements:

- ``select1``  one round trip
- ``insert``   one row of about 400 bytes: one durable commit
- ``new``      claim and result: INSERT ... ON CONFLICT DO NOTHING RETURNING, then an UPDATE guarded by the state:
               two round trips, two durable commits. The floor of a new guarded call
- ``replay``   state and result of such a row by primary key: one round trip. The floor of a replayed call
- ``concurrent`` ``new`` by W tasks on W connections (SQLite: on its one connection)
- ``batch``    W claims in one statement, then their W results in one: what grouping commits can gain

Statements are prepared, connections are in autocommit, keys are made outside the clock.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).parent / "adapters"))

from protocol import WARM_UP, WARM_UP_SLICE, Runner, Slice, arguments, serve

ARGS = '{"amount":7,"customer":"cus_123456","note":"' + "n" * 80 + '"}'
META = "x" * 180
RESULT = '{"id":"123456-7","ok":true}'

COLUMNS = "op_id, run_id, tool, state, args, meta"
CLAIM = f"INSERT INTO {{table}} ({COLUMNS}) VALUES ({{0}}, {{1}}, 'charge', 'running', {{2}}, {{3}}) ON CONFLICT (op_id) DO NOTHING RETURNING op_id"
FINISH = (
    "UPDATE {table} SET state = 'done', result = {0}, done = {now} WHERE op_id = {1} AND state = 'running'"
)
INSERT = (
    f"INSERT INTO {{table}} ({COLUMNS}, result) VALUES ({{0}}, {{1}}, 'charge', 'done', {{2}}, {{3}}, {{4}})"
)
READ = "SELECT state, result FROM {table} WHERE op_id = {0}"
TABLE = """CREATE TABLE IF NOT EXISTS {table} (op_id text PRIMARY KEY, run_id text NOT NULL, tool text NOT NULL,
  state text NOT NULL, args text NOT NULL, meta text NOT NULL, result text, created {time} NOT NULL DEFAULT {now},
  done {time}){tail}"""
CLAIM_MANY = f"""INSERT INTO {{table}} ({COLUMNS}) SELECT o, 'r-1', 'charge', 'running', a, m
  FROM json_to_recordset({{0}}::json) AS u(o text, a text, m text) ON CONFLICT (op_id) DO NOTHING RETURNING op_id"""
FINISH_MANY = """UPDATE {table} f SET state = 'done', result = u.r, done = now()
  FROM json_to_recordset({0}::json) AS u(o text, r text) WHERE f.op_id = u.o AND f.state = 'running'"""


class Lane(Protocol):
    """One connection; each method is the bare work of one measurement."""

    async def open(self, dsn: str, table: str) -> None: ...

    async def close(self) -> None: ...

    async def select1(self, key: str) -> None: ...

    async def insert(self, key: str) -> None: ...

    async def pair(self, key: str) -> None: ...

    async def read(self, key: str) -> None: ...

    async def batch(self, keys: list[str]) -> None: ...


def statements(table: str, placeholders: list[str], now: str = "now()") -> dict[str, str]:
    named = {"claim": CLAIM, "finish": FINISH, "insert": INSERT, "read": READ}
    named |= {"claim_many": CLAIM_MANY, "finish_many": FINISH_MANY}
    return {name: text.format(*placeholders, table=table, now=now) for name, text in named.items()}


def create(table: str) -> str:
    return TABLE.format(table=table, time="timestamptz", now="now()", tail="")


def rows(keys: list[str]) -> tuple[str, str]:
    """Many claims and their results, each as one JSON parameter: cheaper for psycopg than an array per column."""
    claims = json.dumps([{"o": key, "a": ARGS, "m": META} for key in keys])
    return claims, json.dumps([{"o": key, "r": RESULT} for key in keys])


class Psycopg:
    async def open(self, dsn: str, table: str) -> None:
        import psycopg

        self.connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True, prepare_threshold=0)
        await self.connection.execute(create(table))
        self.cursor = self.connection.cursor()
        self.sql = statements(table, ["%s"] * 5)

    async def close(self) -> None:
        await self.connection.close()

    async def select1(self, _key: str) -> None:
        await self.cursor.execute("SELECT 1")
        await self.cursor.fetchone()

    async def insert(self, key: str) -> None:
        await self.cursor.execute(self.sql["insert"], (key, "r-1", ARGS, META, RESULT))

    async def pair(self, key: str) -> None:
        await self.cursor.execute(self.sql["claim"], (key, "r-1", ARGS, META))
        assert await self.cursor.fetchone()
        await self.cursor.execute(self.sql["finish"], (RESULT, key))

    async def read(self, key: str) -> None:
        await self.cursor.execute(self.sql["read"], (key,))
        assert await self.cursor.fetchone()

    async def batch(self, keys: list[str]) -> None:
        claims, results = rows(keys)
        await self.cursor.execute(self.sql["claim_many"], (claims,))
        assert len(await self.cursor.fetchall()) == len(keys)
        await self.cursor.execute(self.sql["finish_many"], (results,))


class Asyncpg:
    async def open(self, dsn: str, table: str) -> None:
        import asyncpg

        self.connection = await asyncpg.connect(dsn)
        await self.connection.execute(create(table))
        texts = {"select1": "SELECT 1", **statements(table, ["$1", "$2", "$3", "$4", "$5"])}
        self.sql = {name: await self.connection.prepare(text) for name, text in texts.items()}

    async def close(self) -> None:
        await self.connection.close()

    async def select1(self, _key: str) -> None:
        await self.sql["select1"].fetchval()

    async def insert(self, key: str) -> None:
        await self.sql["insert"].fetch(key, "r-1", ARGS, META, RESULT)

    async def pair(self, key: str) -> None:
        assert await self.sql["claim"].fetchrow(key, "r-1", ARGS, META)
        await self.sql["finish"].fetch(RESULT, key)

    async def read(self, key: str) -> None:
        assert await self.sql["read"].fetchrow(key)

    async def batch(self, keys: list[str]) -> None:
        claims, results = rows(keys)
        assert len(await self.sql["claim_many"].fetch(claims)) == len(keys)
        await self.sql["finish_many"].fetch(results)


class Sqlite:
    """The one connection that SQLite's single writer amounts to: WAL, synchronous=FULL, autocommit."""

    async def open(self, dsn: str, table: str) -> None:
        self.connection = sqlite3.connect(dsn, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        now = "(julianday('now'))"
        self.connection.execute(TABLE.format(table=table, time="real", now=now, tail=" WITHOUT ROWID"))
        self.sql = statements(table, ["?"] * 5, now)

    async def close(self) -> None:
        self.connection.close()

    async def select1(self, _key: str) -> None:
        self.connection.execute("SELECT 1").fetchone()

    async def insert(self, key: str) -> None:
        self.connection.execute(self.sql["insert"], (key, "r-1", ARGS, META, RESULT))

    async def pair(self, key: str) -> None:
        assert self.connection.execute(self.sql["claim"], (key, "r-1", ARGS, META)).fetchone()
        self.connection.execute(self.sql["finish"], (RESULT, key))

    async def read(self, key: str) -> None:
        assert self.connection.execute(self.sql["read"], (key,)).fetchone()

    async def batch(self, keys: list[str]) -> None:
        claim = self.sql["claim"].removesuffix(" RETURNING op_id")
        for statement, rows in (
            (claim, [(key, "r-1", ARGS, META) for key in keys]),
            (self.sql["finish"], [(RESULT, key) for key in keys]),
        ):
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany(statement, rows)
            self.connection.execute("COMMIT")


DRIVERS: dict[str, Callable[[], Lane]] = {"psycopg": Psycopg, "asyncpg": Asyncpg, "sqlite": Sqlite}


def keys(count: int) -> list[str]:
    return [uuid.uuid4().hex for _ in range(count)]


async def timed(work: Callable[[Any], Awaitable[None]], items: list[Any], into: list[float]) -> None:
    for item in items:
        began = time.perf_counter_ns()
        await work(item)
        into.append((time.perf_counter_ns() - began) / 1e3)


class FloorRunner(Runner):
    """Slices like an adapter's. A *series* has a table of its own, to be as large as that of its neighbour."""

    def __init__(self, driver: str, dsn: str) -> None:
        self.driver, self.dsn = driver, dsn
        self.made: dict[str, list[str]] = {}
        self.is_warm = False

    async def slice(self, mode: str, number: int, n: int, workers: int, series: str = "0") -> Slice:
        table = f"floor_{self.driver}_{series}"
        wide = mode == "concurrent" and self.driver != "sqlite"
        lanes = [DRIVERS[self.driver]() for _ in range(workers if wide else 1)]
        for lane in lanes:
            await lane.open(self.dsn, table)
        try:
            return await self._measure(lanes, mode, table, n, workers)
        finally:
            for lane in lanes:
                await lane.close()

    async def _measure(self, lanes: list[Lane], mode: str, table: str, n: int, workers: int) -> Slice:
        warm = keys(WARM_UP_SLICE if self.is_warm else WARM_UP)
        self.is_warm = True
        us: list[float] = []
        lane = lanes[0]
        if mode == "concurrent":
            await asyncio.gather(*(timed(each.pair, keys(4), []) for each in lanes))
            shares = [keys(max(1, n // workers)) for _ in range(workers)]
            pairs = [timed(lanes[w % len(lanes)].pair, share, us) for w, share in enumerate(shares)]
            began = time.perf_counter()
            await asyncio.gather(*pairs)
            return Slice(us, time.perf_counter() - began)
        await timed(lane.pair, warm, [])
        work: Callable[[Any], Awaitable[None]] = {"new": lane.pair, "replay": lane.read}.get(mode) or getattr(
            lane, mode
        )
        items: list[Any] = keys(n)
        if mode == "new":
            self.made[table] = items
        if mode == "replay":
            await timed(lane.read, warm, [])
            items = self.made.pop(table)
        if mode == "batch":
            items = [items[at : at + workers] for at in range(0, n, workers)]
        began = time.perf_counter()
        await timed(work, items, us)
        wall = time.perf_counter() - began
        return Slice(us, wall / workers if mode == "batch" else wall)  # per_s counts pairs, not batches


async def report(runner: FloorRunner, n: int) -> None:
    modes = [("select1", 1), ("insert", 1), ("new", 1), ("replay", 1)]
    modes += [("concurrent", 16), ("concurrent", 64), ("batch", 16), ("batch", 64)]
    for mode, workers in modes:
        done = await runner.slice(mode, 0, n, workers)
        print(
            json.dumps({"floor": runner.driver, "mode": mode, "workers": workers, **done.summary()}),
            flush=True,
        )


def main() -> None:
    parser = arguments()
    parser.add_argument("--driver", choices=list(DRIVERS), required=True)
    options = parser.parse_args()
    runner = FloorRunner(options.driver, options.dsn)
    asyncio.run(serve(runner) if options.serve else report(runner, options.n))


if __name__ == "__main__":
    main()
