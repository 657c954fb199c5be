"""CMP-02, CMP-03, CMP-08: whatever the moment of death, what was done is undone once, and nothing is swallowed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from holdfast import Done, Effect, Ledger, NotDone, Permanent, State, StillUnknown, Undone
from holdfast.errors import EffectCancelled, WorkflowStopped
from holdfast.testing import CrashReport, Life, World
from holdfast.testing.places import places

ORDER = "order-123"
UNDOING = {"reserve": "release", "charge": "refund", "mail": "apologise"}

EveryCrash = Callable[..., CrashReport]


class Providers:
    """What the systems outside have on their books: they outlive every process, and know a key that comes again.

    Attributes:
        books: The idempotency keys of what was done, by what it is.
        alerts: The codes that people were told.
    """

    def __init__(self) -> None:
        self.books: defaultdict[str, set[str]] = defaultdict(set)
        self.alerts: list[str] = []


class Order:
    """Three effects, undone in three ways: the provider deduplicates; it can be asked; nobody can know.

    Args:
        names: Which of the three there are.
    """

    def __init__(self, *names: str) -> None:
        self._names = names or ("reserve", "charge", "mail")
        self._providers: defaultdict[str, Providers] = defaultdict(Providers)

    def outside(self, world: World) -> Providers:
        """What is outside of one history."""
        return self._providers[world.tenant]

    def declare(self, ledger: Ledger, world: World) -> list[Any]:
        """Declare the tools of the order, in a process; return them in order."""
        books = self.outside(world).books

        def does(name: str) -> Callable[..., Any]:
            def handler(effect: Effect) -> str:
                world.clock.advance(1)
                world.executed[name] += 1
                books[name].add(effect.idem_key)
                return f"{name}-1"

            return handler

        def release(undone: Undone, effect: Effect) -> str:
            world.executed["release"] += 1
            books["release"].add(effect.idem_key)
            return f"{undone.result} is free again"

        def refund(undone: Undone, effect: Effect) -> str:
            world.executed["refund"] += 1
            world.boundary("refund was sent")
            books["refund"].add(effect.idem_key)
            world.boundary("refund was made")
            return f"{undone.result} is refunded"

        def find_refund(effect: Effect) -> Done | NotDone:
            return Done("found") if effect.idem_key in books["refund"] else NotDone()

        def apologise(undone: Undone) -> str:
            world.executed["apologise"] += 1
            return f"sorry for {undone.result}"

        undoing = {
            "reserve": ledger.tool(name="release", supports_key=True)(release),
            "charge": ledger.tool(name="refund", reconcile=find_refund)(refund),
            "mail": apologise,
        }
        return [
            ledger.tool(name=name, supports_key=True, compensate=undoing[name])(does(name))
            for name in self._names
        ]

    async def sell(self, ledger: Ledger, world: World) -> list[Any]:
        """Do the steps, or what is left of them."""
        tools = self.declare(ledger, world)
        for tool in tools:
            with suppress(WorkflowStopped):  # a process that comes back while the order is being undone
                await tool.run(ORDER)
        return tools

    async def undo(self, ledger: Ledger, world: World) -> Any:
        """Sell, as a process that does not die, unless that was done; then undo, in one that does."""
        if not await ledger.effects():
            world.look(lambda other: self.sell(other, world))
        self.declare(ledger, world)
        return await ledger.compensate(ORDER, reason="sold out")

    async def sell_and_undo(self, ledger: Ledger, world: World) -> Any:
        """Do everything in one process that dies."""
        await self.sell(ledger, world)
        return await ledger.compensate(ORDER, reason="sold out")

    def check(self, world: World, life: Life) -> None:
        """Each thing was undone once, or somebody knows that nobody knows; and her word is enough."""
        report: Any = life.end
        [*others] = [fate for fate in report.effects if fate.fate != "undone"]
        if others:
            [doubt] = others
            assert (doubt.tool, doubt.fate, report.needs_review) == ("mail", "failed", True)
            report = world.look(lambda ledger: self.settle(ledger, world))
        assert [fate.tool for fate in report.undone] == [*reversed(self._names)]
        assert not report.needs_review
        books = self.outside(world).books
        assert {name: len(keys) for name, keys in books.items()} == dict.fromkeys(
            [*self._names, *(UNDOING[name] for name in self._names if name != "mail")], 1
        )
        assert world.executed["apologise"] <= 1
        on_record = {effect.key: effect for effect in world.effects()}
        for fate in report.effects:
            assert on_record[fate.key].state is State.COMPENSATED
            assert on_record[fate.by].undoes == fate.key
        assert len(on_record) == 2 * len(self._names)
        assert world.look(lambda ledger: ledger.workflows(status="needs_review")) == []

    async def settle(self, ledger: Ledger, world: World) -> Any:
        """A person says that the apology was sent, or is sent now; then the same call goes on."""
        self.declare(ledger, world)
        [doubt] = await ledger.effects(state="unknown")
        await ledger.resolve(
            doubt.key, Done("sent by hand"), by="ops@shop.example", reason="asked the customer"
        )
        return await ledger.compensate(ORDER, reason="settled")


def test_no_crash_of_a_workflow_or_of_its_undoing_undoes_anything_twice_or_not_at_all(
    every_crash: EveryCrash, store: str
) -> None:
    """CMP-02, CMP-03: sold and undone in one process that dies at every boundary, the steps' too."""
    order = Order()
    is_quick = store in {"memory", "sqlite"}  # how steps die on PostgreSQL is tried elsewhere

    report = every_crash(order.sell_and_undo if is_quick else order.undo, order.check, store=store)

    assert report.repeated.keys() <= {"reserve", "charge", "mail", "release", "refund"}


DEATHS = (
    "after note",
    "after claim",
    "refund was sent",
    "refund was made",
    "after handler",
    "after succeed",
    "after compensate",
)
"""Where a process that undoes one effect dies with something new on record, or in the world."""


@pytest.mark.parametrize("second", DEATHS)
@pytest.mark.parametrize("first", DEATHS)
def test_nor_does_a_second_death_while_the_undoing_is_gone_on_with(
    first: str, second: str, tmp_path: Path
) -> None:
    """CMP-03: the process that comes back dies as well."""
    order, world = Order("charge"), World(places("memory", tmp_path)())

    for death in (first, second):
        world.live(order.undo, die_at=death)
        world.recover()
    for _ in range(2):
        order.check(world, world.live(order.undo))

    assert world.verify().ok
    assert world.executed["refund"] <= 1 + [life.died_at for life in world.lives].count("refund was sent")


def test_a_failed_compensation_is_told_and_waits_for_a_person_whatever_dies(every_crash: EveryCrash) -> None:
    """CMP-08: never swallowed: not by the death of the process that was about to tell it, either."""
    told: defaultdict[str, list[str]] = defaultdict(list)

    async def scenario(ledger: Ledger, world: World) -> Any:
        def refund(undone: Undone) -> None:
            world.executed["refund"] += 1
            raise Permanent("the account is closed")

        ledger._engine.parts.alerts.listeners.append(lambda alert: told[world.tenant].append(alert.code))
        charge = ledger.tool(name="charge", supports_key=True, compensate=refund)(lambda: "charged")
        with suppress(WorkflowStopped):
            await charge.run(ORDER)
        return await ledger.compensate(ORDER, reason="sold out")

    def check(world: World, life: Life) -> None:
        report: Any = life.end
        [fate] = report.effects
        assert (fate.fate, report.needs_review) == ("failed", True)
        assert world.executed["refund"] <= 1
        [queued] = world.look(lambda ledger: ledger.workflows(status="needs_review"))
        assert queued.stopped == "could not be undone wholly: charge failed"
        assert told[world.tenant]
        assert set(told[world.tenant]) == {"compensation_failed"}

    every_crash(scenario, check)


def test_what_was_left_half_done_is_settled_or_called_off_whatever_dies(every_crash: EveryCrash) -> None:
    """CMP-02, CMP-07: one whose answer was lost has happened; one that was to be tried again never happens."""

    def declare(ledger: Ledger, world: World) -> list[Any]:
        def refund(undone: Undone) -> None:
            world.executed[f"refund of {undone.result}"] = 1  # the same again is the same

        undo = ledger.tool(name="refund", safety="idempotent")(refund)
        lost, closed = ConnectionError("the answer was lost"), NotDone("closed")
        charge = ledger.tool(name="charge", reconcile=lambda effect: FOUND.pop(world.tenant), compensate=undo)
        gift = ledger.tool(name="gift", compensate=undo)
        return [charge(world.tool("charge", raises=lost)), gift(world.tool("gift", raises=closed))]

    async def sell(ledger: Ledger, world: World) -> None:
        FOUND[world.tenant] = StillUnknown("their search is down")
        for tool, error in zip(declare(ledger, world), (ConnectionError, NotDone), strict=True):
            with pytest.raises(error):
                await tool.run(ORDER)

    async def scenario(ledger: Ledger, world: World) -> Any:
        if not world.effects():
            world.look(lambda other: sell(other, world))
        FOUND[world.tenant] = Done("charge-1")
        _, gift = declare(ledger, world)
        report = await ledger.compensate(ORDER, reason="sold out")
        with pytest.raises(EffectCancelled):
            await gift.run(ORDER)
        return report

    def check(world: World, life: Life) -> None:
        report: Any = life.end
        assert {fate.tool: fate.fate for fate in report.effects} == {"gift": "called_off", "charge": "undone"}
        assert world.executed == {"charge": 1, "gift": 1, "refund of charge-1": 1}

    every_crash(scenario, check)


FOUND: dict[str, Done | StillUnknown] = {}
"""What a charge's reconciler finds, by history."""
