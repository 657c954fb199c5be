"""The control experiment: the same charge as a step of Restate's own, without a ledger."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import restate

from engines.shop import World

world = World(Path(os.environ["SHOP_HOME"]))
bare = restate.Service("bare")


@bare.handler()
async def order(ctx: Any, number: Any) -> str:
    """Charge, in a durable step."""

    async def charge() -> str:
        world.add("charges", number)
        if world.befalls("death-after-charge"):
            os.kill(os.getpid(), signal.SIGKILL)
        if (world.home / "slowness").exists():
            await asyncio.sleep(4)
        return "paid"

    return await ctx.run_typed("charge", charge)


app = restate.app([bare])
