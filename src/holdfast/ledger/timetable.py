"""Declares queues and timetables on a ledger."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import tzinfo
from typing import Any, Final, Protocol

from holdfast._core.advance import QueueRule
from holdfast._core.duration import Duration, seconds
from holdfast.errors import InvalidTool
from holdfast.ledger.cron import Cron, checked
from holdfast.ledger.engine import Engine

_RATE: Final = re.compile(r"\s*(\d+)\s*/\s*(\d*\s*[a-z]+)\s*")


class Scheduled(Protocol):
    """A declared workflow, as one that begins by the clock."""

    name: str

    def given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the input by the names of the function's parameters."""
        ...

    async def enqueue_given(self, workflow_id: str, given: Mapping[str, Any]) -> None:
        """Put it into the ledger, for a worker to run."""
        ...


def declare_queue(
    engine: Engine, name: str, concurrency: int | None, per_key: int | None, rate: str | None
) -> None:
    """Declare what holds for a queue; see :meth:`holdfast.Ledger.queue`."""
    if name in engine.shared.rules:
        raise InvalidTool(f"queue {name!r} is declared twice on this ledger", "declare it once")
    starts, rate_s = (None, 1.0) if rate is None else _rate(rate)
    engine.shared.rules[name] = QueueRule(
        name=name,
        concurrency=_limit("concurrency", concurrency),
        per_key=_limit("per_key", per_key),
        rate=starts,
        rate_s=rate_s,
    )


def _limit(name: str, value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise InvalidTool(f"{name}={value!r} is no limit", "give a whole number of at least 1")


def _rate(rate: Any) -> tuple[int, float]:
    found = _RATE.fullmatch(rate) if isinstance(rate, str) else None
    if found is None or int(found[1]) < 1:
        raise InvalidTool(f"rate={rate!r} is no rate", 'give so many per time, e.g. "10/s" or "100/5m"')
    length = found[2].replace(" ", "")
    return int(found[1]), seconds(length if length[0].isdigit() else f"1{length}", name="rate")


def declare_cron(
    engine: Engine,
    workflow: Scheduled,
    expression: str,
    name: str | None,
    zone: tzinfo,
    catch_up: Duration | None,
    given: dict[str, Any],
) -> None:
    """Declare when a workflow begins; see :meth:`holdfast.Ledger.cron`."""
    chosen = name or workflow.name
    if chosen in engine.shared.crons:
        raise InvalidTool(f"timetable {chosen!r} is declared twice on this ledger", "give one another name")
    read = workflow.given((), given)

    async def enqueue(workflow_id: str) -> None:
        await workflow.enqueue_given(workflow_id, read)

    engine.shared.crons[chosen] = Cron(
        name=chosen,
        expression=checked(expression),
        zone=zone,
        catch_up_s=0.0 if catch_up is None else seconds(catch_up, name="catch_up"),
        enqueue=enqueue,
    )
