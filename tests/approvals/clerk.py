"""A process that asks, answers or calls, and is killed by SIGKILL at the boundary that it is told.

    python clerk.py '{"url": ..., "does": "call", "die": "after claim", "world": "happened.txt"}'

What its handler does in the world is a line in a file outside of it, written by one system call.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from holdfast import Ledger, Settings, ToolCall
from holdfast.errors import HoldfastError
from holdfast.stores.postgres import PostgresStore
from holdfast.stores.sqlite.store import SqliteStore
from holdfast.testing import FaultyStore

TOLD: dict[str, Any] = json.loads(sys.argv[1])
CALL = ToolCall(workflow_id="order-1", tool="charge", args={"amount": 100})


class Deadly:
    """Kills this process at a boundary."""

    async def reach(self, name: str) -> None:
        if name == TOLD.get("die"):
            os.kill(os.getpid(), signal.SIGKILL)


async def charge(amount: int) -> dict[str, int]:
    """The tool."""
    await Deadly().reach("before handler")
    with Path(TOLD["world"]).open("ab", buffering=0) as world:
        world.write(b"%d\n" % amount)
    await Deadly().reach("after handler")
    return {"charged": amount}


async def main() -> object:
    settings = Settings(lease=0.4, renew_every=0.1)
    url: str = TOLD["url"]
    inner: Any = SqliteStore(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite"):
        inner = PostgresStore(url, settings=settings, migrate=True)
    async with Ledger(FaultyStore(inner, Deadly()), settings=settings) as ledger:
        if TOLD["does"] == "approve":
            [asked] = await ledger.approvals()
            return str((await ledger.approve(asked.id, by="ana", digest=asked.digest)).state)
        try:
            wait = TOLD.get("wait")
            return await ledger.run(CALL, charge, requires_approval=True, version="1", wait=wait)
        except HoldfastError as error:
            return type(error).__name__


print(json.dumps(asyncio.run(main())), flush=True)  # noqa: T201 - that is what it is asked for
