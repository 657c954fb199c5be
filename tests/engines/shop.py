"""The workflows that are run here: the same file embedded, by a worker, and on Restate."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any, ClassVar

from holdfast import Done, Effect, Ledger, NotDone, Settings
from holdfast.engines.restate import RestateEngine

SETTINGS = Settings(lease=2.0, renew_every=0.5, reconcile_skew=0.1)


class World:
    """Whose money moves: lines in files, so that the dead can be counted, too."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def add(self, what: str, line: str) -> None:
        """Have it happen; at once, whatever becomes of who asked."""
        with (self.home / what).open("a") as file:
            file.write(f"{line}\n")

    def lines(self, what: str) -> list[str]:
        """Return what happened."""
        path = self.home / what
        return path.read_text().splitlines() if path.exists() else []

    def befalls(self, what: str) -> bool:
        """Whether a misfortune that was arranged befalls this call: each does once."""
        try:
            (self.home / what).unlink()
        except FileNotFoundError:
            return False
        return True

    def arrange(self, what: str) -> None:
        """Let a misfortune happen."""
        (self.home / what).touch()


class Shop:
    """A ledger with the shop's tools and its workflows.

    Attributes:
        opened: All of this process, to be closed when a test is over.
    """

    opened: ClassVar[list[Shop]] = []

    def __init__(self, home: Path, url: str, engine: RestateEngine | None = None) -> None:
        self.opened.append(self)
        self.world = world = World(home)
        self.ledger = ledger = Ledger(url, settings=SETTINGS, migrate=True, engine=engine)

        def find_charge(effect: Effect) -> Done | NotDone:
            return Done({"paid": True}) if effect.args["order"] in world.lines("charges") else NotDone()

        @ledger.tool(reconcile=find_charge)
        async def charge(order: str) -> dict[str, Any]:
            world.add("charges", order)
            if world.befalls("death-after-charge"):
                os.kill(os.getpid(), signal.SIGKILL)
            if world.befalls("slowness-after-charge"):
                await asyncio.sleep(4)
            return {"paid": True}

        @ledger.tool()
        async def mail(order: str) -> None:
            world.add("mails", order)

        @ledger.workflow
        async def order(ctx: Any, number: str, *, waits: bool = False, rests_s: float = 0) -> str:
            await ctx.step("plan", world.add, "plans", number)
            paid = await charge(order=number)
            if waits:
                await ctx.wait_for("approved")
            if rests_s:
                await ctx.sleep(rests_s)
            await mail(order=number)
            return f"{number}: paid={paid['paid']}"

        @ledger.workflow
        async def basket(ctx: Any, numbers: list[str]) -> list[str]:
            return [await ctx.child(order, number) for number in numbers]

        self.order = order
        self.basket = basket

    def counts(self) -> tuple[int, int, int]:
        """How often was planned, charged and mailed."""
        return (
            len(self.world.lines("plans")),
            len(self.world.lines("charges")),
            len(self.world.lines("mails")),
        )
