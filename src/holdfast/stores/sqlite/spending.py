"""What people read of budgets and costs in a SQLite file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from holdfast._core.audit import micros
from holdfast._core.budget import Per, window_start
from holdfast._core.spending import NEAR
from holdfast.ports import BurnQuery, Fullest, FullestQuery, SpreadQuery, SpreadRow
from holdfast.stores.rows import from_micros
from holdfast.stores.spending_rows import after_of, burnt_of, fullest_of, spread_of

_WINDOWS: Final[tuple[Per, ...]] = ("minute", "hour", "day", "month")


class Read(Protocol):
    """Runs a named query."""

    async def __call__(self, name: str, parameters: dict[str, Any], /) -> list[tuple[Any, ...]]: ...


class SqliteSpending:
    """See :class:`holdfast.ports.SpendingStore`.

    Args:
        read: Runs a named query.
        clock: The time by which windows begin.
    """

    def __init__(self, read: Read, clock: Callable[[], datetime]) -> None:
        self._read = read
        self._clock = clock

    async def fullest(self, query: FullestQuery) -> Fullest:
        now = self._clock()
        parameters: dict[str, Any] = {
            "tenant": query.tenant,
            "prefix": query.prefix,
            "near": NEAR,
            "only_near": query.is_near,
            "limit": query.limit,
            **after_of(query),
            **{per: micros(window_start(per, now)) for per in _WINDOWS},
        }
        return fullest_of(await self._read("view_fullest", parameters), now, from_micros)

    async def spread(self, query: SpreadQuery) -> Sequence[SpreadRow]:
        parameters = {
            "tenant": query.tenant,
            "workflow_id": query.workflow_id,
            "since": _maybe(query.since),
            "until": _maybe(query.until),
            "by": json.dumps(query.by),
            "over": query.over,
            "step_s": int(query.step.total_seconds()),
            "most": query.most,
        }
        return [spread_of(row) for row in await self._read("view_spread", parameters)]

    async def burnt(self, query: BurnQuery) -> Sequence[tuple[datetime, int]]:
        parameters = {
            "owner": query.owner,
            "account": query.account,
            "unit": query.unit,
            "per": query.per,
            "since": micros(query.since),
            "step_s": int(query.step.total_seconds()),
        }
        return [burnt_of(row) for row in await self._read("view_burnt", parameters)]


def _maybe(moment: datetime | None) -> int | None:
    return None if moment is None else micros(moment)
