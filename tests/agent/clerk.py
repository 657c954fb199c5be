"""A process with an agent that charges three cards in one turn and one in the next, and stops where it is told.

    python clerk.py '{"url": ..., "face": "async", "stop": "charged-2", "world": ...}'

It writes ``{"at": place}`` when it stops there, and the agent's answer when it is done. What happens in the
world, a charge or a question to the model, is a line in a file, written by one system call.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from holdfast import Done, Effect, Ledger, NotDone, Settings, SyncLedger
from holdfast.agent import agent
from holdfast.stores.sqlite.store import SqliteStore

SETTINGS = Settings(lease=0.5, renew_every=0.2, reconcile_skew=1e-6, drain=0.2)
ANSWER = "Four cards are charged."


class World:
    """What outlives the processes."""

    def __init__(self, directory: str | Path, stop: str = "") -> None:
        self.directory = Path(directory)
        self._stop = stop

    def note(self, name: str, line: str) -> None:
        """Change the world, once: an append by one system call, which no crash can tear."""
        file = os.open(self.directory / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(file, f"{line}\n".encode())
        os.close(file)

    def lines(self, name: str) -> list[str]:
        """What has happened."""
        path = self.directory / name
        return path.read_text().splitlines() if path.exists() else []

    def reached(self, place: str) -> None:
        """Stop here, if that was asked for, until this process is killed."""
        if place == self._stop:
            os.write(1, (json.dumps({"at": place}) + "\n").encode())
            os.read(0, 16)
            os._exit(3)  # whoever started this process is gone


def declared(ledger: Any, world: World) -> Any:
    """The agent, on a ledger of either face."""

    def find(effect: Effect) -> Done | NotDone:
        return (
            Done(effect.args)
            if f"{effect.idem_key} {effect.args['n']}" in world.lines("charges")
            else NotDone()
        )

    def charge(n: int, effect: Effect) -> dict[str, int]:
        world.note("charges", f"{effect.idem_key} {n}")
        world.reached(f"charged-{n}")
        return {"n": n}

    tool = ledger.tool(reconcile=find)(charge)

    def chat(messages: list[dict[str, Any]], tools: list[Any]) -> Any:
        told = sum(message["role"] == "tool" for message in messages)
        world.note("asked", str(told))
        world.reached(f"asked-{told}")
        if told > 3:
            return ANSWER
        calls = [
            {
                "id": f"call_{n}",
                "type": "function",
                "function": {"name": "charge", "arguments": f'{{"n": {n}}}'},
            }
            for n in ((1, 2, 3) if told == 0 else (4,))
        ]
        return {"role": "assistant", "content": None, "tool_calls": calls}

    if isinstance(ledger, SyncLedger):

        def plain(ctx: Any, task: str) -> str:
            return agent(ctx, chat, task, tools=[tool])

        return ledger.workflow(plain, name="clerk")

    async def coroutine(ctx: Any, task: str) -> str:
        return await agent(ctx, chat, task, tools=[tool])

    return ledger.workflow(coroutine, name="clerk")


def gated(path: str, world: World, *, blocking: bool) -> SqliteStore:
    """A store with a place to stop before and after each time that steps are put on record."""
    counts = iter(range(1, 1000))

    class Gated(SqliteStore):
        async def advance(self, op: Any) -> Any:
            number = next(counts)
            world.reached(f"before-{number}")
            answer = await super().advance(op)
            world.reached(f"after-{number}")
            return answer

    return Gated(path, blocking=blocking)


def main() -> None:
    """Work until the agent is done, or until somebody kills us."""
    told = json.loads(sys.argv[1])
    logging.getLogger("holdfast").setLevel(logging.ERROR)
    world = World(told["world"], told["stop"])
    is_sync = told["face"] == "sync"
    where = told["url"]
    if where.startswith("sqlite"):
        where = gated(where.removeprefix("sqlite:///"), world, blocking=is_sync)

    async def work() -> str:
        async with Ledger(where, settings=SETTINGS, migrate=True) as ledger:
            return await declared(ledger, world).run("order-1", task="charge")

    if is_sync:
        with SyncLedger(where, settings=SETTINGS, migrate=True) as ledger:
            answer = declared(ledger, world).run("order-1", task="charge")
    else:
        answer = asyncio.run(work())
    os.write(1, (json.dumps({"answer": answer}) + "\n").encode())


if __name__ == "__main__":
    main()
