"""Many workflows that wait: what they hold, and how soon the right one goes on after its signal.

One process works, another one enqueues and signals. The time is from the call of ``signal`` to the step after the wait,
in the other process. It shows PER-03: what waits holds no connection and next to no memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import database
import processor
import psycopg
from holdfast_waiter import declared
from results import quantile
from working import tasks

HERE = Path(__file__).parent
TABLES = ("holdfast_execution", "holdfast_step", "holdfast_message")
PATIENCE_S = 1800.0


@dataclass(frozen=True)
class Waiting:
    """What was seen.

    Attributes:
        kib: A worker's resident memory with so many waiting.
        connections: To the database, of the worker and of who signals.
        bytes_each: Tables and indexes, per workflow that waits.
        ms: From each signal to the step after the wait.
    """

    n: int
    kib: dict[int, int]
    connections: dict[int, int]
    bytes_each: float
    ms: tuple[float, ...]

    def at(self, share: float) -> float:
        return quantile(list(self.ms), share)


class Worker:
    """The process that works."""

    def __init__(self, dsn: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, HERE / "holdfast_waiter.py", dsn], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    async def heard(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = await asyncio.to_thread(self.process.stdout.readline)
        if not line:
            message = "the worker has died"
            raise SystemExit(message)
        return json.loads(line)

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)


async def _until_waiting(admin: psycopg.Connection[Any], n: int) -> None:
    query = "SELECT count(*) FROM holdfast_execution WHERE status = 'waiting'"
    until = time.monotonic() + PATIENCE_S
    while admin.execute(query).fetchone() != (n,):
        if time.monotonic() > until:
            message = f"after {PATIENCE_S:g} s not all of {n} workflows wait"
            raise SystemExit(message)
        await asyncio.sleep(0.2)


def _connections(admin: psycopg.Connection[Any]) -> int:
    query = "SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database()"
    row = admin.execute(query).fetchone()
    return 0 if row is None else int(row[0])


def _size(admin: psycopg.Connection[Any]) -> int:
    rows = [
        admin.execute("SELECT pg_total_relation_size(%s::regclass)", [name]).fetchone() for name in TABLES
    ]
    return sum(int(row[0]) for row in rows if row is not None)


async def _signalled(ledger: Any, worker: Worker, names: list[str]) -> list[float]:
    """Signal one after another; in seconds, how soon each went on."""
    found: list[float] = []
    for name in names:
        began = time.monotonic()
        assert await ledger.signal(name, "go", {"yes": True})
        said = await worker.heard()
        if said["after"] != name:
            message = f"{name} was signalled, and {said['after']} went on"
            raise SystemExit(message)
        found.append(said["at"] - began)
    return found


async def _measured(dsn: str, n: int, signals: int) -> Waiting:
    ledger, flow = declared(dsn)
    async with ledger:
        worker = Worker(dsn)
        try:
            await worker.heard()
            with psycopg.connect(dsn, autocommit=True) as admin:
                enqueue: Any = flow
                warm = [f"warm-{i}" for i in range(50)]
                await tasks(16, len(warm), lambda i: enqueue.enqueue(warm[i], name=warm[i]))
                await _until_waiting(admin, len(warm))
                await _signalled(ledger, worker, warm)
                await _until_waiting(admin, 0)
                kib = {0: processor.resident_kib(worker.process.pid)}
                connections, empty = {0: _connections(admin)}, _size(admin)
                await tasks(64, n, lambda i: enqueue.enqueue(f"w-{i}", name=f"w-{i}"))
                await _until_waiting(admin, n)
                kib[n], connections[n] = processor.resident_kib(worker.process.pid), _connections(admin)
                each = (_size(admin) - empty) / n
            chosen = random.Random(7).sample(range(n), signals)
            took = await _signalled(ledger, worker, [f"w-{i}" for i in chosen])
        finally:
            worker.stop()
    return Waiting(n, kib, connections, each, tuple(1e3 * each for each in took))


def measure(url: str, *, n: int, signals: int) -> Waiting:
    """Have *n* workflows wait, and wake *signals* of them, one after another."""
    os.environ.setdefault("PYTHONPATH", os.pathsep.join(sys.path))
    return asyncio.run(_measured(database.fresh_database(url, "bench_waiting"), n, signals))
