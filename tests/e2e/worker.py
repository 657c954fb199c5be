"""A process that makes guarded calls and stops, at the places it is told, until it is told to go on.

    python worker.py '{"url": ..., "face": "async", "stops": ["handler-end"], ...}'

It writes one JSON object per line: ``{"at": place}`` when it stops, ``{"result": ...}`` or ``{"error": ...}``
for each call. A line on its standard input lets it go on. What its handler does in the world is a line in a
file outside of it, written by one system call.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
from typing import Any

from holdfast import Effect, Ledger, Settings, SyncLedger, ToolCall
from holdfast.ports import Store
from holdfast.stores.sqlite.store import SqliteStore

TOLD: dict[str, Any] = json.loads(sys.argv[1])
logging.getLogger("holdfast").setLevel(logging.ERROR)  # what it warns of is what is tested here
SETTINGS = Settings(lease=TOLD["lease"], renew_every=TOLD["renew_every"], drain=0.2)


def tell(**told: Any) -> None:
    os.write(1, (json.dumps(told) + "\n").encode())


def stop(place: str) -> None:
    """Stop here, if that was asked for."""
    if place in TOLD["stops"]:
        tell(at=place)
        if not os.read(0, 16):
            os._exit(3)  # whoever started this process is gone


def gated(kind: type[Any]) -> type[Any]:
    """The same store, with a place to stop before and after each of its commits."""

    class Gated(kind):  # type: ignore[misc]
        commits = 0

        async def commit(self, change: Any) -> Any:
            self.commits += 1
            number = self.commits
            stop(f"before-commit-{number}")
            answer = await super().commit(change)
            stop(f"after-commit-{number}")
            return answer

    return Gated


def store() -> Store:
    url: str = TOLD["url"]
    blocking = TOLD["face"] == "sync"
    if url.startswith("sqlite"):
        return gated(SqliteStore)(url.removeprefix("sqlite:///"), blocking=blocking)
    from holdfast.stores.postgres import BlockingPostgresStore, PostgresStore

    kind = BlockingPostgresStore if blocking else PostgresStore
    return gated(kind)(url, settings=SETTINGS, migrate=True)


def happen(effect: Effect) -> None:
    """Change the world, once: an append by one system call, which no crash can tear."""
    world = os.open(TOLD["world"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(world, f"{effect.idem_key}\n".encode())
    os.close(world)


def charge(amount: int, effect: Effect) -> dict[str, Any]:
    stop("handler-start")
    if effect.tx is not None:
        effect.tx.execute(f"INSERT INTO bookings VALUES ({amount})")
    else:
        happen(effect)
    stop("handler-end")
    return {"charged": amount, "attempt": effect.attempt}


async def charge_async(amount: int, effect: Effect) -> dict[str, Any]:
    return charge(amount, effect)


async def wait_for_ever(amount: int, effect: Effect) -> None:
    stop_async = asyncio.Event()
    tell(at="waiting")
    await stop_async.wait()


def hang(amount: int, effect: Effect) -> None:
    """Blocks its thread and cannot be stopped."""
    tell(at="waiting")
    threading.Event().wait()


HANDLERS = {"charge": charge, "charge_async": charge_async, "wait_for_ever": wait_for_ever, "hang": hang}
CALL = ToolCall(workflow_id="order-123", tool="charge", args={"amount": 100})


def options() -> dict[str, Any]:
    wanted = {"handler": HANDLERS[TOLD["handler"]], "safety": TOLD["safety"]}
    if TOLD["timeout"] is not None:
        wanted["timeout"] = TOLD["timeout"]
    return wanted


def failed(error: Exception) -> None:
    tell(error=type(error).__name__, text=str(error))


async def work_async() -> None:
    stop("start")
    async with Ledger(store(), settings=SETTINGS) as ledger:
        if "ready" in TOLD["stops"]:
            await ledger.effects()
            stop("ready")
        try:
            tell(result=await ledger.run(CALL, **options()))
        except Exception as error:  # noqa: BLE001 - told to whoever started this process
            failed(error)
        stop("end")


def work_sync() -> None:
    stop("start")
    with SyncLedger(store(), settings=SETTINGS) as ledger:
        if "ready" in TOLD["stops"]:
            ledger.effects()
            stop("ready")
        try:
            tell(result=ledger.run(CALL, **options()))
        except Exception as error:  # noqa: BLE001 - told to whoever started this process
            failed(error)
        stop("end")


if __name__ == "__main__":
    if TOLD["face"] == "sync":
        work_sync()
    else:
        asyncio.run(work_async())
