"""What every adapter speaks: a process that works off workflows of ten steps, and says when each has ended.

Standard library only: it runs inside each participant's own environment. Commands come as JSON lines on standard input;
each is answered by one line, but for ``work``, which is answered by a line per workflow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
import warnings
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

STEPS = 10


class Adapter(Protocol):
    """One library, as its own documentation says to use it."""

    async def open(self, dsn: str, at_once: int) -> None:
        """Connect; be ready to work on *at_once* workflows at the same time. Create the tables if need be."""

    async def enqueue(self, prefix: str, n: int) -> None:
        """Put *n* workflows, ``<prefix>-<i>``, where workers find them."""

    async def work(self, prefix: str, n: int) -> None:
        """Begin to work on what there is. Returns at once."""

    async def rest(self) -> None:
        """Take nothing more."""

    async def count(self, prefix: str) -> int:
        """How many of *prefix* are on record as ended well."""


async def tool(args: dict[str, Any]) -> dict[str, object]:
    """The function that every step calls: it does nothing."""
    return {"ok": True, "id": f"{args['customer'].removeprefix('cus_')}-{args['amount']}"}


async def body(i: int, step: Callable[[int, dict[str, Any]], Awaitable[Any]]) -> int:
    """The workflow: ten steps, one after another, every result checked."""
    for j in range(STEPS):
        result = await step(j, {"customer": f"cus_{i}", "amount": j})
        if result["id"] != f"{i}-{j}":
            message = f"{result!r} is not the result of step {i}-{j}"
            raise SystemExit(message)
    say(ended=time.monotonic())
    return STEPS


def say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def tasks(at_once: int, n: int, one: Callable[[int], Awaitable[Any]]) -> None:
    """Have *at_once* tasks do *n* things, each the next one that nobody does."""
    left = iter(range(n))

    async def some() -> None:
        for i in left:
            await one(i)

    await asyncio.gather(*(some() for _ in range(at_once)))


async def _obey(adapter: Adapter, told: dict[str, Any]) -> None:
    do = told.pop("do")
    if do == "enqueue":
        await adapter.enqueue(**told)
        say(done=do)
    elif do == "work":
        await adapter.work(**told)
    elif do == "rest":
        await adapter.rest()
        say(done=do)
    else:
        say(count=await adapter.count(**told))


async def serve(adapter: Adapter, dsn: str, at_once: int) -> None:
    await adapter.open(dsn, at_once)
    say(done="open")
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        await _obey(adapter, json.loads(line))


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--at-once", type=int, default=1)
    return parser


def quietly() -> None:
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
