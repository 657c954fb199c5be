"""Does it stay as fast? PER-02 (many replays, many rows) and PER-05 (10^7 rows, lookups, retention).

    .venv/bin/python bench/scale.py [--rows 1000000] [--store postgres|sqlite] [--without-audit]

PER-02: the same calls are replayed 100 times, and again after the ledger has grown to ``--rows`` effects.
PER-05: effects are looked up by key at random; new calls are timed in windows with and without the reaper at work
(which deletes the oldest effects, one day's worth after the other, in a process of its own).
The rows are copies of a real effect, audit entries included. 10^7 effects with their entries need about 25 GB
and half an hour; ``--without-audit`` copies the effects alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bulk
import database

sys.path.insert(0, str(Path(__file__).parent / "adapters"))

from results import quantile

from holdfast import HoldfastError, Ledger, ToolCall

REPLAYED = 200
WINDOW_S = 3.0
WINDOWS = 4


async def charge(customer: str, amount: int) -> dict[str, object]:
    return {"ok": True, "id": f"{customer}-{amount}"}


def call(workflow: str, number: int) -> ToolCall:
    return ToolCall(workflow_id=workflow, tool="charge", args={"customer": f"cus_{number}", "amount": number})


def line(what: str, us: list[float]) -> float:
    """Print one row of figures and return its p50."""
    p50, p95, p99 = (quantile(us, share) for share in (0.5, 0.95, 0.99))
    print(f"{what:58}{len(us):>8}{p50:>10.0f}{p95:>10.0f}{p99:>10.0f}", flush=True)
    return p50


async def replayed(ledger: Ledger, workflow: str, times: int) -> dict[int, list[float]]:
    """Replay the same calls *times* times; durations by the number of the replay."""
    out: dict[int, list[float]] = {}
    order = list(range(REPLAYED))
    for nth in range(1, times + 1):
        random.shuffle(order)
        out[nth] = []
        for number in order:
            began = time.perf_counter_ns()
            await ledger.run(call(workflow, number), handler=charge)
            out[nth].append((time.perf_counter_ns() - began) / 1e3)
    return out


async def looked_up(ledger: Ledger, rows: int, count: int) -> list[float]:
    """Read effects by random keys."""
    us = []
    for _ in range(count):
        key = bulk.bulk_key(random.randrange(rows))
        began = time.perf_counter_ns()
        effect = await ledger.effect(key)
        us.append((time.perf_counter_ns() - began) / 1e3)
        assert effect is not None
    return us


async def new_calls(ledger: Ledger, seconds: float) -> list[float]:
    """Make new calls for a while; one that the store refuses is reported, and its time counts."""
    workflow, us, until, number = uuid.uuid4().hex, [], time.monotonic() + seconds, 0
    while time.monotonic() < until:
        number += 1
        began = time.perf_counter_ns()
        try:
            await ledger.run(call(f"{workflow}-{number // 10}", number), handler=charge)
        except HoldfastError as error:
            print(f"REFUSED: {error.code}: {error}", flush=True)
        us.append((time.perf_counter_ns() - began) / 1e3)
    return us


async def reap_child(url: str) -> None:
    """Delete old effects, those of one day after the other, for as long as told on standard input."""
    loop = asyncio.get_running_loop()
    days = bulk.DAYS + 0.1
    async with Ledger(url) as ledger:
        print("ready", flush=True)
        while seconds := await loop.run_in_executor(None, sys.stdin.readline):
            began, removed = time.monotonic(), 0
            while time.monotonic() < began + float(seconds) and days > 1:
                days -= 1
                removed += (await ledger.reap(older_than=timedelta(days=days))).removed
            print(json.dumps({"removed": removed, "took_s": time.monotonic() - began}), flush=True)


async def reaping(url: str, ledger: Ledger) -> None:
    """Time new calls with and without the reaper, which runs in a process of its own."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--reap", url, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        await windows(child, ledger)
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def windows(child: asyncio.subprocess.Process, ledger: Ledger) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    await child.stdout.readline()
    quiet: list[float] = []
    busy: list[float] = []
    removed, took = 0, 0.0
    for _ in range(WINDOWS):
        quiet += await new_calls(ledger, WINDOW_S)
        child.stdin.write(f"{WINDOW_S}\n".encode())
        busy += await new_calls(ledger, WINDOW_S)
        answer = json.loads(await child.stdout.readline())
        removed, took = removed + answer["removed"], took + answer["took_s"]
    line("new call, reaper idle", quiet)
    line("new call, reaper at work", busy)
    print(f"the reaper deleted {removed:,} effects, {removed / took:,.0f} a second")


def fill(options: argparse.Namespace, dsn: str, template: str) -> None:
    began = time.monotonic()
    filler = bulk.fill_sqlite if options.store == "sqlite" else bulk.fill_postgres
    sizes = filler(dsn, template, options.rows, audit=not options.without_audit)
    shown = ", ".join(f"{name} {size / 1e9:.2f} GB" for name, size in sizes.items())
    print(f"filled with {options.rows:,} effects in {time.monotonic() - began:.0f} s: {shown}", flush=True)


async def measure(options: argparse.Namespace, dsn: str, url: str) -> None:
    print(f"{'microseconds':58}{'calls':>8}{'p50':>10}{'p95':>10}{'p99':>10}")
    async with Ledger(url, migrate=True) as ledger:
        workflow = uuid.uuid4().hex
        template = (await ledger.call(call(workflow, 0), handler=charge)).key
        for number in range(1, REPLAYED):
            await ledger.run(call(workflow, number), handler=charge)
        small = await replayed(ledger, workflow, 100)
        for nth in (1, 2, 10, 100):
            line(f"replay no. {nth}, ledger of {REPLAYED} effects", small[nth])
        line("new call", await new_calls(ledger, WINDOW_S))
    fill(options, dsn, template)
    async with Ledger(url) as ledger:
        line(
            f"lookup by random key, {options.rows:,} effects, cold",
            await looked_up(ledger, options.rows, 2000),
        )
        line(f"lookup by random key, {options.rows:,} effects", await looked_up(ledger, options.rows, 5000))
        large = await replayed(ledger, workflow, 10)
        for nth in (1, 2, 10):
            line(f"replay no. {nth}, ledger of {options.rows:,} effects", large[nth])
        line("new call", await new_calls(ledger, WINDOW_S))
        await reaping(url, ledger)
    flat = quantile(small[100], 0.5) / quantile(small[1], 0.5)
    grown = quantile(large[10], 0.5) / quantile(small[10], 0.5)
    print(
        f"replay p50: the 100th is {flat:.2f} times the 1st; with {options.rows:,} effects {grown:.2f} times"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--store", choices=["postgres", "sqlite"], default="postgres")
    parser.add_argument("--without-audit", action="store_true")
    parser.add_argument("--reap", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reap:
        asyncio.run(reap_child(options.reap))
        return
    print(f"{datetime.now(UTC).date()}, cpus {os.cpu_count()}, load {os.getloadavg()[0]:.2f}")
    if options.store == "sqlite":
        with database.scratch_dir("holdfast-bench-") as folder:
            path = str(folder / "ledger.db")
            asyncio.run(measure(options, path, f"sqlite:///{path}"))
        return
    with database.server() as url:
        dsn = database.fresh_database(url, "bench_scale")
        asyncio.run(measure(options, dsn, dsn))


if __name__ == "__main__":
    main()
