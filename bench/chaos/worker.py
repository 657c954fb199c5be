"""A worker process: makes the charges that it reads from stdin, several at once, and says how each ended.

    python worker.py '{"url": ..., "face": "sync", "at_once": 8, "urls": {...}}'

Says when it is ready. One order number per line comes in; one JSON object per line goes out. It may be killed at
any moment.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
from queue import SimpleQueue
from typing import Any

from charges import SETTINGS, Charge, declare, declare_async

from holdfast import Ledger, SyncLedger
from holdfast.errors import EffectFailed

logging.getLogger("holdfast").setLevel(logging.CRITICAL)  # trouble is what this is about; the check will tell


def tell(**told: Any) -> None:
    os.write(1, (json.dumps(told) + "\n").encode())  # one system call: a kill cannot tear it


def ended(order: int, error: Exception | None) -> None:
    said = "done" if error is None else type(error).__name__
    tell(order=order, said=said, spent=isinstance(error, EffectFailed) and error.spent)


def work_sync(told: dict[str, Any]) -> None:
    orders: SimpleQueue[int | None] = SimpleQueue()
    with SyncLedger(told["url"], settings=SETTINGS) as ledger:
        close = declare(ledger, told["urls"])

        def serve() -> None:
            while (order := orders.get()) is not None:
                try:
                    ledger.run(Charge(order).call)
                except Exception as error:
                    ended(order, error)
                else:
                    ended(order, None)

        threads = [threading.Thread(target=serve) for _ in range(told["at_once"])]
        for thread in threads:
            thread.start()
        tell(ready=True)
        for line in sys.stdin:
            orders.put(int(line))
        for _ in threads:
            orders.put(None)
        for thread in threads:
            thread.join()
        close()


async def work_async(told: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    orders: asyncio.Queue[int | None] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(orders.put_nowait, int(line))
        for _ in range(told["at_once"]):
            loop.call_soon_threadsafe(orders.put_nowait, None)

    async with Ledger(told["url"], settings=SETTINGS) as ledger:
        close = declare_async(ledger, told["urls"])

        async def serve() -> None:
            while (order := await orders.get()) is not None:
                try:
                    await ledger.run(Charge(order).call)
                except Exception as error:
                    ended(order, error)
                else:
                    ended(order, None)

        threading.Thread(target=read, daemon=True).start()
        tell(ready=True)
        await asyncio.gather(*(serve() for _ in range(told["at_once"])))
        await close()


if __name__ == "__main__":
    TOLD: dict[str, Any] = json.loads(sys.argv[1])
    if TOLD["face"] == "sync":
        work_sync(TOLD)
    else:
        asyncio.run(work_async(TOLD))
