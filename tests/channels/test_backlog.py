"""OBS-25 (approvals): when questions pile up, or one waits for too long, people hear of it once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from channels.asked import Remembering, ask, call, told, with_channels
from holdfast import Ledger, Settings
from holdfast._runtime.alerts import Alerts
from holdfast.errors import InvalidTool
from holdfast.stores.memory import MemoryStore
from holdfast.testing import FakeClock
from holdfast.testing.faults import Crash, Faults, FaultyRuntime, FaultyStore
from holdfast.testing.places import ledger_on
from holdfast.testing.runtime import FakeRuntime, StillRuntime

FEW = Settings(backlog_size=2, backlog_age="1h")


async def test_more_questions_than_allowed_are_one_alert_each_time_that_it_begins(place: Any) -> None:
    """OBS-25: whatever the number of processes that see it."""
    alerts: list[Any] = []
    options: dict[str, Any] = {"settings": FEW, "on_alert": alerts.append}
    async with (
        Ledger(place, migrate=isinstance(place, str), **options) as one,
        Ledger(place, **options) as other,
    ):
        first, second = await ask(one, call(1)), await ask(one, call(2))
        await one.sweep()
        assert alerts == []
        await ask(one, call(3))
        await asyncio.gather(*(ledger.sweep() for ledger in (one, other) * 3))
        await one.sweep()
        assert [alert.code for alert in alerts] == ["review_backlog"]
        await one.deny(first.id, by="ana", reason="no")
        await one.sweep()
        await ask(one, call(4))
        await other.sweep()

        assert [alert.subject for alert in alerts] == ["backlog/1", "backlog/3"]
        assert "2 questions" in alerts[0].message
        assert second.id not in repr(alerts)
        assert (await one.verify()).problems == ()


async def test_a_question_that_waits_for_too_long_is_one_alert() -> None:
    """OBS-25"""
    clock, alerts = FakeClock(), list[Any]()
    ledger = ledger_on(MemoryStore(clock=clock), StillRuntime(clock), settings=FEW)
    with_channels(ledger, alerts=Alerts([alerts.append]))
    await ask(ledger)
    await ledger.sweep()
    clock.advance(3700)
    for _ in range(3):
        await ledger.sweep()
        clock.advance(3700)

    assert [alert.code for alert in alerts] == ["review_backlog"]
    await ledger.close()


async def test_an_alert_whose_process_died_is_told_by_the_next_one() -> None:
    """OBS-25: at least once, under one name."""
    clock, alerts = FakeClock(), list[Any]()
    kept = MemoryStore(clock=clock)
    quiet = with_channels(ledger_on(kept, FakeRuntime(clock), settings=FEW), alerts=Alerts([alerts.append]))
    for amount in range(3):
        await ask(quiet, call(amount))
    faults = Faults("before handler")
    dying = ledger_on(
        FaultyStore(kept, faults), FaultyRuntime(FakeRuntime(clock), faults), settings=FEW, owner="dead"
    )
    with pytest.raises(Crash):
        await dying.sweep()
    assert alerts == []
    clock.advance(60)
    await quiet.sweep()

    assert [alert.code for alert in alerts] == ["review_backlog"]


async def test_a_flood_of_questions_hides_none(place: Any) -> None:
    """Attack 35: all of them are told of, and each is found in the listing, page by page."""
    page, alerts = Remembering(), list[Any]()
    async with Ledger(
        place, channels=[page], on_alert=alerts.append, migrate=isinstance(place, str)
    ) as ledger:
        theirs = await ask(ledger, call(10_000))
        for amount in range(150):
            await ask(ledger, call(amount))
        await told(ledger)
        found, last = list[Any](), None
        while rows := await ledger.approvals(after=last, limit=40):
            found, last = found + rows, rows[-1]

        assert len({one.id for one in found}) == len(found) == 151
        assert found[0].id == theirs.id  # what expires first comes first
        assert {one.approval.id for one in page.tellings} == {one.id for one in found}
        assert [alert.code for alert in alerts] == ["review_backlog"]


@pytest.mark.parametrize(
    "options",
    [{"backlog_size": 0}, {"backlog_age": -1}, {"console_url": "ops.acme"}, {"console_url": "javascript:1"}],
)
def test_a_setting_that_means_nothing_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidTool):
        Settings(**options)
