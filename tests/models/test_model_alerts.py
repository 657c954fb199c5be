"""People hear when model calls use up a budget: of money, tokens or steps, each mark once, restarts or not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from holdfast import Alert, Budget
from holdfast.errors import BudgetExceeded
from holdfast.testing import ModelServer
from holdfast.testing.model import says
from models.office import Office
from testing.model_clients import PLAIN, Way

BUDGETS = {
    "usd": Budget(usd="1.001"),
    "tokens": Budget(tokens=101_000),
    "steps": Budget(steps=10),
}
"""Room for ten calls, if all that is held for one were what it uses."""
ANSWER = says("Yes.", usage={"input_tokens": 100, "output_tokens": 10_000})
MARKS = (50, 80, 100)


class Heard:
    """What people were told, and a call in a process of its own."""

    def __init__(self, path: Path, way: Way, unit: str) -> None:
        self.alerts: list[Alert] = []
        self.way, self.path = way, path
        self.options: dict[str, Any] = {"budgets": {"tenant": BUDGETS[unit]}, "on_alert": self.alerts.append}

    async def call(self, server: ModelServer) -> Any:
        office = Office(self.path, self.way, **self.options)
        text = [{"role": "user", "content": "?"}]
        ended = await office.end(server, messages=text, most=10_000, least_output=10_000)
        await quiet(office)
        await office.close()
        return ended

    @property
    def subjects(self) -> list[str]:
        return [alert.subject for alert in self.alerts if alert.code == "budget_threshold"]


async def quiet(office: Office) -> None:
    """Return once nothing goes on beside the callers any more."""
    runtime = office.ledger._engine.parts.runtime
    while not office.way.is_async and (threads := list(runtime._abandoned)):
        await asyncio.to_thread(threads[0].join)
    while office.way.is_async and (tasks := set(runtime._tasks)):
        await asyncio.wait(tasks)


@pytest.mark.parametrize("unit", sorted(BUDGETS))
@pytest.mark.parametrize("way", [PLAIN[0], PLAIN[-1]], ids=str)
async def test_model_calls_that_use_a_budget_up_are_told_of_at_each_mark_once(
    way: Way, unit: str, tmp_path: Path
) -> None:
    """OBS-25, COS-08: over as many processes as calls, and none of them tells a mark again."""
    heard = Heard(tmp_path, way, unit)
    with ModelServer(then=ANSWER) as server:
        ends = [await heard.call(server) for _ in range(14)]

    assert heard.subjects == [f"tenant/{unit}@{mark}%" for mark in MARKS]
    assert len({alert.id for alert in heard.alerts}) == 3
    refused = [each for each in ends if isinstance(each, BudgetExceeded)]
    assert refused
    assert {each.unit for each in refused} == {unit}
    assert len(server.asked) == 14 - len(refused)
