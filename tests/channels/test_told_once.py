"""HIT-15: whatever the moment of death, people hear of each notice once, through every channel."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from channels.asked import Broken, Mute, Pager, Remembering, acharge, ask, call, charge, told, with_channels
from holdfast import Ledger, Permanent, SyncLedger, Workflow
from holdfast._runtime.telling import tell_all
from holdfast.engines import Worker
from holdfast.errors import ApprovalRequired, NotDone
from holdfast.stores.memory import MemoryStore
from holdfast.testing import FakeClock, World, every_crash
from holdfast.testing.faults import FaultyStore
from holdfast.testing.places import ledger_on
from holdfast.testing.runtime import FakeRuntime, StillRuntime
from holdfast.testing.world import Life


def scenario(known: dict[str, Any]) -> Any:
    """Ask, decide, act, make a round: what a process does that may die anywhere in it."""

    async def asked(ledger: Ledger, world: World) -> Any:
        if known.get("world") is not world:
            known.update(world=world, pager=Pager("pager"))
        with_channels(ledger, known["pager"])
        options: dict[str, Any] = {"requires_approval": True, "safety": "idempotent"}
        try:
            end = await ledger.run(call(), charge, **options)
        except ApprovalRequired as required:
            question = await ledger.approval(required.approval)
            await ledger.approve(required.approval, by="ana", digest=question.digest)
            end = await ledger.run(call(), charge, **options)
        await tell_all(ledger._engine.parts, world.tenant, 10, looks=False)
        return end

    return asked


def test_each_notice_is_told_once_wherever_the_process_dies(store: str, tmp_path: Path) -> None:
    """HIT-15: through a pager, whose messages can be told apart."""
    known: dict[str, Any] = {}

    def check(world: World, life: Life) -> None:
        pager = known["pager"]
        assert life.end == {"charged": 100, "to": "bob"}
        assert len(pager.seen) == len(set(pager.seen)), pager.seen
        if len(world.lives) < 3:  # what the dead held is looked at after their leases
            return
        assert pager.kinds == ["asked", "ended"]
        assert not [one for one in world.look(lambda ledger: ledger.approvals(state=None)) if one.untold]

    report = every_crash(scenario(known), check, store=store, directory=tmp_path)

    assert len(report) > 40


async def test_what_is_told_is_told_in_order_and_with_the_handle_of_the_first(place: Any) -> None:
    page = Remembering()
    async with Ledger(place, channels=[page], migrate=isinstance(place, str)) as ledger:
        question = await ask(ledger)
        await ledger.approve(question.id, by="ana", digest=question.digest)
        await told(ledger)

        assert page.kinds == ["asked", "ended"]
        assert [one.handle for one in page.tellings] == [None, {"number": 0}]
        assert (await ledger.approval(question.id)).untold == ()
        assert (await ledger.verify()).problems == ()


async def test_people_are_told_soon_by_the_process_that_asked(place: Any) -> None:
    """No worker, no sweep: closing lets it finish."""
    page = Remembering()
    async with Ledger(place, channels=[page], migrate=isinstance(place, str)) as ledger:
        await ask(ledger)

    assert page.kinds == ["asked"]


async def test_two_processes_tell_of_a_notice_once(place: Any) -> None:
    pager = Pager("pager")
    async with (
        Ledger(place, migrate=isinstance(place, str)) as quiet,
        Ledger(place, channels=[pager]) as one,
        Ledger(place, channels=[pager]) as other,
    ):
        for amount in range(1, 21):
            await ask(quiet, call(amount))
        await asyncio.gather(*(ledger.sweep() for ledger in (one, other) * 3))

        assert len(pager.seen) == len(set(pager.seen)) == 20
        assert not [each for each in await quiet.approvals() if each.untold]


async def test_a_channel_that_fails_keeps_nobody_from_hearing_through_the_others(place: Any) -> None:
    page, broken = Remembering(), Broken("broken", NotDone("away"))
    async with Ledger(place, channels=[broken, page], migrate=isinstance(place, str)) as ledger:
        question = await ask(ledger)
        await ledger.deny(question.id, by="ana", reason="no")
        await told(ledger)

        assert page.kinds == ["asked", "ended"]
        assert {one.notice.kind for one in broken.tellings} == {"asked"}
        assert len((await ledger.approval(question.id)).untold) == 2


async def test_whoever_asks_or_decides_neither_waits_for_a_channel_nor_hears_of_its_errors(
    place: Any,
) -> None:
    gate, page = asyncio.Event(), Remembering("fast")

    class Slow(Remembering):
        async def tell(self, telling: Any) -> Any:
            await gate.wait()
            return super().tell(telling)

    slow = Slow("slow")
    async with Ledger(place, channels=[slow, page], migrate=isinstance(place, str)) as ledger:
        question = await ask(ledger)
        after = await ledger.approve(question.id, by="ana", digest=question.digest)
        assert after.state == "approved"
        assert slow.tellings == []
        assert await ledger.run(call(), acharge, requires_approval=True) == {"charged": 100, "to": "bob"}
        gate.set()

    assert slow.kinds == ["asked", "ended"]
    assert page.kinds == ["asked", "ended"]


async def test_a_notice_that_will_never_be_told_is_one_alert_and_waits_no_more(place: Any) -> None:
    alerts: list[Any] = []
    broken = Broken("broken", Permanent("no such room"))
    async with Ledger(
        place, channels=[broken], on_alert=alerts.append, migrate=isinstance(place, str)
    ) as ledger:
        question = await ask(ledger)
        await told(ledger)
        await told(ledger)

        assert [alert.code for alert in alerts] == ["notice_lost"]
        assert alerts[0].subject == question.id
        assert (await ledger.approval(question.id)).untold == ()


async def test_what_may_have_been_told_is_not_told_again_without_evidence(place: Any) -> None:
    mute = Mute("mute")
    async with Ledger(place, channels=[mute], migrate=isinstance(place, str)) as ledger:
        await ask(ledger)
        await told(ledger)
        await told(ledger)

    assert len(mute.seen) == 1


async def test_what_ended_long_ago_is_nobodys_news() -> None:
    """The first day of a ledger with channels."""
    clock = FakeClock()
    kept = MemoryStore(clock=clock)
    page = Remembering()
    ledger = ledger_on(kept, StillRuntime(clock))
    question = await ask(ledger)
    await ledger.deny(question.id, by="ana", reason="no")
    clock.advance(2 * 86_400)
    with_channels(ledger, page)

    await ledger.sweep()

    assert page.tellings == []
    assert (await ledger.approval(question.id)).untold == ()
    await ledger.close()


def test_a_sync_ledger_tells_as_well(tmp_path: Path) -> None:
    page = Remembering()
    with SyncLedger(f"sqlite:///{tmp_path}/sync.db", channels=[page]) as ledger:
        try:
            ledger.run(call(), charge, requires_approval=True)
        except ApprovalRequired as required:
            question = ledger.approval(required.approval)
        ledger.approve(question.id, by="ana", digest=question.digest)
        assert ledger.run(call(), charge, requires_approval=True)

    assert page.kinds == ["asked", "ended"]


async def test_an_answer_that_comes_while_something_else_is_written_is_taken() -> None:
    """Row and trail are read one after the other; what is written in between is nobody's tampering."""
    kept = MemoryStore(clock=FakeClock())
    clock = FakeClock()
    meddler = with_channels(ledger_on(kept, FakeRuntime(clock)), Remembering())
    question = await ask(ledger_on(kept, FakeRuntime(clock)))

    class Between:
        def __init__(self) -> None:
            self.is_done = False

        async def reach(self, name: str) -> None:
            if name == "before trail" and not self.is_done:
                self.is_done = True
                await tell_all(meddler._engine.parts, "default", 10)

    between = Between()
    ledger = ledger_on(FaultyStore(kept, between), FakeRuntime(clock), owner="other")
    after = await ledger.approve(question.id, by="ana", digest=question.digest)

    assert between.is_done
    assert after.state == "approved"
    assert {notice.kind for notice in after.untold} == {"ended"}


async def test_a_worker_tells_of_what_nobody_else_told_of(place: Any) -> None:
    """HIT-15: whoever asked has no channels, or is dead."""
    page = Remembering()
    heard = asyncio.Event()
    ordinary = page.tell
    loop = asyncio.get_running_loop()

    def tell(telling: Any) -> Any:
        loop.call_soon_threadsafe(heard.set)
        return ordinary(telling)

    page.tell = tell  # type: ignore[method-assign]
    async with Ledger(place, migrate=isinstance(place, str)) as quiet, Ledger(place, channels=[page]) as one:

        @one.workflow()
        async def nothing(ctx: Workflow) -> None:
            del ctx

        question = await ask(quiet)
        worker = Worker(one)
        working = asyncio.create_task(worker.run())
        await asyncio.wait_for(heard.wait(), 60)
        worker.stop()
        await working
        await told(one)

        assert page.kinds == ["asked"]
        assert (await quiet.approval(question.id)).untold == ()


async def test_asking_succeeds_where_nothing_can_be_begun_aside() -> None:
    """No threads are left, or no loop: a round tells later."""

    class Exhausted(StillRuntime):
        def aside(self, work: Any) -> None:
            raise RuntimeError

    clock, page = FakeClock(), Remembering()
    ledger = with_channels(ledger_on(MemoryStore(clock=clock), Exhausted(clock)), page)
    await ask(ledger)
    assert page.tellings == []
    await ledger.sweep()

    assert page.kinds == ["asked"]
    await ledger.close()
