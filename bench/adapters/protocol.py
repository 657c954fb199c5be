"""What every adapter speaks: the slices of work in PROTOCOL.md, timed as the caller sees them.

Standard library only: it runs inside each participant's own environment.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CALLS_PER_WORKFLOW = 10
WARM_UP = 200
WARM_UP_SLICE = 32


class Adapter(Protocol):
    """One library, as its own documentation says to use it."""

    async def open(self, dsn: str, workers: int) -> None:
        """Connect as a new client; *workers* tasks will call at the same time. Creates the tables if need be."""

    async def call(self, workflow: str, i: int, j: int) -> dict[str, object]:
        """One guarded tool call; its handler does nothing and returns ``{"ok": true, "id": "<i>-<j>"}``."""

    async def close(self) -> None:
        """Let go of every connection."""


@dataclass(frozen=True)
class Slice:
    """The durations of one slice, in microseconds, and its wall time in seconds."""

    us: list[float]
    wall_s: float

    def summary(self) -> dict[str, float]:
        ordered = sorted(self.us)
        at = [ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.95, 0.99)]
        keys = ("p50_us", "p95_us", "p99_us")
        rounded = {key: round(value, 1) for key, value in zip(keys, at, strict=True)}
        return {"n": len(ordered), **rounded, "per_s": round(len(ordered) / self.wall_s, 1)}


def intents(prefix: str, n: int) -> Iterator[tuple[str, int, int]]:
    """Workflow, i and j of *n* calls, ten calls to a workflow."""
    for k in range(n):
        i, j = divmod(k, CALLS_PER_WORKFLOW)
        yield f"{prefix}-{i}", i, j


async def serial(adapter: Adapter, prefix: str, n: int, into: list[float]) -> None:
    for workflow, i, j in intents(prefix, n):
        began = time.perf_counter_ns()
        result = await adapter.call(workflow, i, j)
        into.append((time.perf_counter_ns() - began) / 1e3)
        if result["id"] != f"{i}-{j}":
            message = f"{workflow}: {result!r} is not the result of call {i}-{j}"
            raise SystemExit(message)


async def parallel(adapter: Adapter, prefix: str, n: int, workers: int) -> Slice:
    us: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(
        *(serial(adapter, f"{prefix}-w{w}", max(1, n // workers), us) for w in range(workers))
    )
    return Slice(us, time.perf_counter() - began)


class Runner:
    """Runs slices against one database; every slice has a new client, opened and warmed up outside the clock."""

    def __init__(self, adapter: Adapter, dsn: str) -> None:
        self.adapter, self.dsn, self.nonce = adapter, dsn, uuid.uuid4().hex[:8]
        self.is_warm = False

    async def slice(self, mode: str, number: int, n: int, workers: int) -> Slice:
        """One slice of ``new``, ``replay`` (of what ``new`` recorded under the same *number*) or ``concurrent``.

        Returns:
            The timed calls; the warm-up is not among them.
        """
        await self.adapter.open(self.dsn, workers if mode == "concurrent" else 1)
        try:
            warm, calls = f"{self.nonce}-warm{number}-{mode}", f"{self.nonce}-{number}"
            n_warm = WARM_UP_SLICE if self.is_warm else WARM_UP
            self.is_warm = True
            if mode == "concurrent":
                await serial(
                    self.adapter, f"{warm}-first", 8, []
                )  # exactly-once breaks when its first calls overlap
                await parallel(self.adapter, warm, n_warm * workers // 4, workers)
                return await parallel(self.adapter, f"{calls}-c{workers}", n, workers)
            await serial(self.adapter, warm, n_warm, [])
            if mode == "replay":  # so that the way through a recorded call is warm too
                await serial(self.adapter, warm, n_warm, [])
            us: list[float] = []
            began = time.perf_counter()
            await serial(self.adapter, calls, n, us)
            return Slice(us, time.perf_counter() - began)
        finally:
            await self.adapter.close()


async def serve(runner: Runner) -> None:
    """Answer one slice per line of standard input: how the interleaved rounds are driven."""
    for line in sys.stdin:
        done = await runner.slice(**json.loads(line))
        print(json.dumps({"us": done.us, "wall_s": done.wall_s}), flush=True)


async def once(runner: Runner, mode: str, n: int, workers: int) -> dict[str, float]:
    if mode == "replay":
        await runner.slice("new", 0, n, 1)
    return (await runner.slice(mode, 0, n, workers)).summary()


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True, help="database URL, or a file's path for SQLite")
    parser.add_argument("--mode", choices=["new", "replay", "concurrent"], default="new")
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--serve", action="store_true", help="answer slices asked for on standard input")
    return parser


def main(adapter: Adapter, options: argparse.Namespace) -> None:
    """Run one slice and print it as a JSON line, or serve slices."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    runner = Runner(adapter, options.dsn)
    if options.serve:
        asyncio.run(serve(runner))
        return
    figures = asyncio.run(once(runner, options.mode, options.n, options.workers))
    workers = options.workers if options.mode == "concurrent" else 1
    print(
        json.dumps({"adapter": Path(sys.argv[0]).stem, "mode": options.mode, "workers": workers, **figures})
    )
