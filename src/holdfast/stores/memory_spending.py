"""What people read of budgets and costs in memory: what every store has to tell, in the fewest words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from holdfast._core.budget import EVERYBODY, HoldRecord, HoldState, Level, Taken
from holdfast._core.model import Record
from holdfast._core.spending import Fate, fate_of, filled, is_near
from holdfast.ports.spending import BurnQuery, Fullest, FullestQuery, Place, SpreadBy, SpreadQuery, SpreadRow

_Name = tuple[SpreadBy, str, str]
_Attempt = tuple[HoldRecord, Record | None, Fate]


@dataclass(frozen=True, slots=True)
class Purses:
    """What a store holds of budgets at one moment, of all tenants.

    Attributes:
        levels: In the windows that have begun.
        effects: By tenant and key.
    """

    levels: Sequence[Level]
    holds: Sequence[HoldRecord]
    effects: Mapping[tuple[str, str], Record]


class MemorySpending:
    """See :class:`holdfast.ports.SpendingStore`.

    Args:
        purses: Looks at all that is held and spent.
    """

    def __init__(self, purses: Callable[[], Purses]) -> None:
        self._purses = purses

    async def fullest(self, query: FullestQuery) -> Fullest:
        found = [
            level
            for level in self._purses().levels
            if level.owner in {query.tenant, EVERYBODY} and level.account.startswith(query.prefix)
            if is_near(level) or not query.is_near
        ]
        found.sort(key=_rank)
        page = [level for level in found if query.after is None or _rank(level) > _after(query.after)]
        return Fullest(
            levels=tuple(page[: query.limit]), found=len(found), near=sum(is_near(level) for level in found)
        )

    async def spread(self, query: SpreadQuery) -> Sequence[SpreadRow]:
        attempts = list(_attempts(self._purses(), query))
        groups: dict[_Name, list[_Attempt]] = defaultdict(list)
        for attempt in attempts:
            for by in query.by:
                groups[by, _name(by, attempt), attempt[0].currency].append(attempt)
        named = {name for by in query.by for name in _dearest(groups, by, query.most)}
        parts: dict[tuple[_Name, bool, datetime | None], list[tuple[str, _Attempt]]] = defaultdict(list)
        for (by, name, currency), of in groups.items():
            is_named = (by, name, currency) in named
            for attempt in of:
                at = _step(attempt[0].at, query.step) if by == query.over else None
                shown = (by, name if is_named else "", currency)
                parts[shown, not is_named, at].append((name, attempt))
        return [_row(name, at, of, is_rest=is_rest) for (name, is_rest, at), of in parts.items()]

    async def burnt(self, query: BurnQuery) -> Sequence[tuple[datetime, int]]:
        spent: dict[datetime, int] = defaultdict(int)
        for hold in self._purses().holds:
            is_late = hold.settled_at is not None and hold.settled_at >= query.since
            if query.owner not in {EVERYBODY, hold.tenant} or not is_late or hold.settled_at is None:
                continue
            if hold.at < query.since - timedelta(days=1):
                continue
            for taken in hold.taken:
                place = taken.owner, taken.account, taken.unit, taken.per
                if place == (query.owner, query.account, query.unit, query.per) and not taken.returns:
                    spent[_step(hold.settled_at, query.step)] += _spent(hold, taken)
        return sorted(spent.items())


def _rank(level: Level) -> Place:
    return -filled(level), level.owner, level.account, level.unit, level.per


def _after(place: Place) -> Place:
    return -place[0], *place[1:]


def _attempts(held: Purses, query: SpreadQuery) -> Iterator[_Attempt]:
    for hold in held.holds:
        if hold.tenant != query.tenant or query.workflow_id not in {None, hold.workflow_id}:
            continue
        if (query.since and hold.at < query.since) or (query.until and hold.at >= query.until):
            continue
        effect = held.effects.get((hold.tenant, hold.key))
        known = None if effect is None else (effect.state, effect.attempt)
        yield hold, effect, fate_of(hold.state, hold.attempt, known)


def _name(by: SpreadBy, attempt: _Attempt) -> str:
    hold, effect, fate = attempt
    if by == "fate":
        return fate
    if by == "outcome":
        return "" if effect is None else str(effect.state)
    name: str = getattr(hold, by)
    return name


def _dearest(groups: Mapping[_Name, Sequence[_Attempt]], by: SpreadBy, most: int) -> Iterator[_Name]:
    """Return the names by which most is told, in each currency."""
    of: dict[str, list[_Name]] = defaultdict(list)
    for name in groups:
        if name[0] == by:
            of[name[2]].append(name)
    for names in of.values():
        names.sort(key=lambda name: (-_weight(groups[name])[0], -_weight(groups[name])[1], name[1]))
        yield from names[:most]


def _weight(attempts: Sequence[_Attempt]) -> tuple[int, int]:
    money = sum((hold.spent_money or 0) + _held(hold) for hold, _, _ in attempts)
    return money, sum(hold.spent_tokens or 0 for hold, _, _ in attempts)


def _held(hold: HoldRecord) -> int:
    return hold.money if hold.state == HoldState.HELD else 0


def _row(name: _Name, at: datetime | None, of: Sequence[tuple[str, _Attempt]], *, is_rest: bool) -> SpreadRow:
    def money(fate: Fate) -> int:
        return sum(hold.spent_money or 0 for _, (hold, _, came_to) in of if came_to == fate)

    return SpreadRow(
        by=name[0],
        name=name[1],
        is_rest=is_rest,
        names=len({own for own, _ in of}),
        at=at,
        currency=name[2],
        attempts=len(of),
        money=sum(hold.spent_money or 0 for _, (hold, _, _) in of),
        tokens=sum(hold.spent_tokens or 0 for _, (hold, _, _) in of),
        failed=money("failed"),
        superseded=money("superseded"),
        assumed=money("assumed"),
        held=sum(_held(hold) for _, (hold, _, _) in of),
    )


def _spent(hold: HoldRecord, taken: Taken) -> int:
    if hold.state == HoldState.RELEASED:
        return 0
    if taken.unit == hold.currency:
        return hold.spent_money or 0
    return (hold.spent_tokens or 0) if taken.unit == "tokens" else taken.amount


def _step(at: datetime, step: timedelta) -> datetime:
    """Return when the step of time began that *at* is in."""
    second, wide = int(at.timestamp()), int(step.total_seconds())
    return datetime.fromtimestamp(second - second % wide, UTC)
