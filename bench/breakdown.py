"""Where the time of a guarded call goes: the client's CPU, the server, the flush, and which code.

    .venv/bin/python bench/breakdown.py [--rounds 6] [--n 300] [--store postgres|sqlite]

The flush (PostgreSQL, lone calls) is what synchronous_commit=on adds to the same calls in a second database where it is off. The client's CPU is
the process's own (process_time). The rest of the wall time is the server's work, the loopback device and wake-ups.
By code: cProfile's own times per call, scaled to the CPU time measured without it; waiting is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import os
import pstats
import statistics
import sys
import time
import uuid
from collections import defaultdict
from pathlib import Path

import database

sys.path.insert(0, str(Path(__file__).parent / "adapters"))

from floor import Psycopg, Sqlite, keys
from holdfast_pg import HoldfastPostgres
from holdfast_sqlite import HoldfastSqlite
from protocol import Adapter, intents

WAITING = ("select.epoll", "select.kqueue", "lock.acquire", "time.sleep")


class FloorPairs:
    """The floor's two commits behind an adapter's face."""

    def __init__(self, lane: Psycopg | Sqlite) -> None:
        self.lane = lane

    async def open(self, dsn: str, workers: int) -> None:
        await self.lane.open(dsn, "floor")
        self.known: dict[str, str] = {}

    async def call(self, workflow: str, i: int, j: int) -> dict[str, object]:
        name = f"{workflow}:{i}:{j}"
        if known := self.known.get(name):
            await self.lane.read(known)
        else:
            self.known[name] = keys(1)[0]
            await self.lane.pair(self.known[name])
        return {}

    async def close(self) -> None:
        await self.lane.close()


async def timed(adapter: Adapter, dsn: str, n: int, tasks: int) -> dict[str, tuple[float, float]]:
    """Wall p50 (of one call; with tasks: per call of the whole) and CPU per call, in microseconds, new and replayed."""
    await adapter.open(dsn, tasks)
    prefixes = [uuid.uuid4().hex for _ in range(tasks)]

    async def worker(prefix: str, count: int, into: list[float]) -> None:
        for workflow, i, j in intents(prefix, count):
            began = time.perf_counter_ns()
            await adapter.call(workflow, i, j)
            into.append((time.perf_counter_ns() - began) / 1e3)

    out = {}
    try:
        for _ in range(2):  # new, then replayed
            await asyncio.gather(*(worker(f"{prefix}-warm", 50, []) for prefix in prefixes))
        for mode in ("new", "replay"):
            us: list[float] = []
            wall, cpu = time.perf_counter(), time.process_time()
            await asyncio.gather(*(worker(prefix, n // tasks, us) for prefix in prefixes))
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            out[mode] = (statistics.median(us) if tasks == 1 else wall / len(us) * 1e6, cpu / len(us) * 1e6)
    finally:
        await adapter.close()
    return out


def place(name: tuple[str, int, str], *, by_function: bool) -> str:
    """The group of code that a profile's entry belongs to."""
    file, _, function = name
    if by_function and not file.startswith("~"):
        return f"{'/'.join(Path(file).parts[-2:])}::{function}"
    if file.startswith("~"):
        return f"builtin: {function.strip('<>').removeprefix('built-in method ').removeprefix('method ')}"
    parts = Path(file).parts
    for root in ("holdfast", "psycopg", "psycopg_pool", "psycopg_binary", "asyncio", "json", "bench"):
        if root in parts:
            within = parts[parts.index(root) :]
            return "/".join(within[:3]) if root == "holdfast" else root
    return Path(file).name


async def profiled(adapter: Adapter, dsn: str, mode: str, n: int, *, by_function: bool) -> dict[str, float]:
    """Own time per call and group of code, as cProfile sees it."""
    await adapter.open(dsn, 1)
    prefix = uuid.uuid4().hex
    calls = list(intents(prefix, n))
    for workflow, i, j in calls if mode == "replay" else intents(f"{prefix}-warm", 100):
        await adapter.call(workflow, i, j)
    profile = cProfile.Profile()
    profile.enable()
    for workflow, i, j in calls:
        await adapter.call(workflow, i, j)
    profile.disable()
    await adapter.close()
    own: dict[str, float] = defaultdict(float)
    for name, (_, _, spent, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        group = place(name, by_function=by_function)
        if not any(word in group for word in WAITING):
            own[group] += spent / n * 1e6
    return own


def show_wall(samples: dict[tuple[str, str, str], list[tuple[float, float]]], tasks: int) -> None:
    what = "wall p50" if tasks == 1 else "wall / call"
    print(f"\n{tasks} task{'s' if tasks > 1 else ''}, microseconds per call")
    print(f"{'':34}{what:>12}{'client CPU':>12}{'flush':>8}{'the rest':>10}")
    for who in dict.fromkeys(name for name, _, _ in samples):
        for mode in ("new", "replay"):
            on = [statistics.median(column) for column in zip(*samples[who, "on", mode], strict=True)]
            wall, cpu = on
            off = samples.get((who, "off", mode))
            flush = max(0.0, wall - statistics.median(w for w, _ in off)) if off else 0.0
            shown = f"{flush:8.0f}" if off else f"{'':8}"
            print(f"{f'{who}, {mode}':34}{wall:12.0f}{cpu:12.0f}{shown}{max(0.0, wall - cpu - flush):10.0f}")


def show_code(own: dict[str, float], cpu: float, mode: str, top: int) -> None:
    total = sum(own.values())
    print(f"\n{mode}: the client's {cpu:.0f} microseconds of CPU by code")
    for group, spent in sorted(own.items(), key=lambda item: -item[1])[:top]:
        print(f"  {spent / total * cpu:6.1f}  {spent / total:5.0%}  {group}")


def run(ours: Adapter, floor: Adapter, dsns: dict[str, str], options: argparse.Namespace) -> None:
    for tasks in (1, 16):
        samples: dict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
        for number in range(options.rounds):
            pairs = [("floor", floor), ("holdfast", ours)]
            for who, adapter in pairs if tasks == 1 and number % 2 else pairs[::-1]:
                if tasks > 1 and who == "floor":
                    continue  # its one connection cannot be shared by tasks
                for flush, dsn in dsns.items() if tasks == 1 else [("on", dsns["on"])]:
                    for mode, pair in asyncio.run(
                        timed(adapter, dsn, options.n * tasks // 4 or 1, tasks)
                    ).items():
                        samples[who, flush, mode].append(pair)
        show_wall(samples, tasks)
        if tasks == 1:
            for mode in ("new", "replay"):
                cpu = statistics.median(c for _, c in samples["holdfast", "on", mode])
                own = asyncio.run(profiled(ours, dsns["on"], mode, options.n, by_function=options.functions))
                show_code(own, cpu, mode, options.top)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--top", type=int, default=16, help="groups of code to show")
    parser.add_argument("--functions", action="store_true", help="by function instead of by file")
    parser.add_argument("--store", choices=["postgres", "sqlite"], default="postgres")
    parser.add_argument("--no-group-commit", action="store_true")
    options = parser.parse_args()
    print(f"cpus {os.cpu_count()}, load {os.getloadavg()[0]:.2f}")
    if options.store == "sqlite":
        with database.scratch_dir("holdfast-bench-") as folder:
            run(HoldfastSqlite(), FloorPairs(Sqlite()), {"on": str(folder / "ledger.db")}, options)
        return
    with database.server() as url:
        dsns = {flush: database.fresh_database(url, f"bench_{flush}") for flush in ("on", "off")}
        database.without_flush(dsns["off"])
        run(HoldfastPostgres(group_commit=not options.no_group_commit), FloorPairs(Psycopg()), dsns, options)


if __name__ == "__main__":
    main()
