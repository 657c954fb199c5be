"""Is anything wrong? What needs a person, and what went through lately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from holdfast._core.states import State, WorkflowStatus
from holdfast.console.views.workflows import WorkflowRow, of_code, of_effects
from holdfast.ledger import EffectRecord, Halt, Ledger

_MOST: Final = 1000
_NAMED: Final = 5
_HOUR: Final = timedelta(hours=1)
_PARTS: Final = 30
"""So many columns the last hour has."""


@dataclass(frozen=True, slots=True)
class Column:
    """Two minutes of the last hour, by how effects stand that were made in them."""

    made: int
    troubled: int
    x: float
    height: float
    troubled_height: float


@dataclass(frozen=True, slots=True)
class Overview:
    """All that a person has to know first.

    Attributes:
        effects: How many there are in each state.
        in_review: Workflows that wait for a person, the last touched; so is *paused*.
        halts: Who is stopped.
        last_hour: Effects made, over time.
    """

    effects: Mapping[str, int]
    waiting: int
    in_doubt: int
    in_review: tuple[WorkflowRow, ...]
    in_review_count: int
    paused: tuple[WorkflowRow, ...]
    paused_count: int
    halts: tuple[Halt, ...]
    last_hour: tuple[Column, ...]
    made_last_hour: int
    is_all: bool

    @property
    def is_quiet(self) -> bool:
        """Whether nothing needs a person."""
        return not (self.waiting or self.in_doubt or self.in_review_count or self.paused_count or self.halts)


async def overview(ledger: Ledger, now: datetime) -> Overview:
    """Say whether anything is wrong."""
    counts = await ledger.counts()
    reviews = await ledger.workflows(status=WorkflowStatus.NEEDS_REVIEW, limit=_MOST)
    paused = await ledger.executions(is_paused=True, limit=_MOST)
    recent = await ledger.effects(since=now - _HOUR, limit=_MOST)
    return Overview(
        effects={str(state): counts[state] for state in State if counts.get(state)},
        waiting=counts.get(State.WAITING, 0),
        in_doubt=counts.get(State.UNKNOWN, 0),
        in_review=tuple(of_effects(record) for record in reviews[:_NAMED]),
        in_review_count=len(reviews),
        paused=tuple(of_code(execution) for execution in paused[:_NAMED]),
        paused_count=len(paused),
        halts=tuple(await ledger.halts()),
        last_hour=_columns(recent, now),
        made_last_hour=len(recent),
        is_all=len(recent) < _MOST,
    )


_TROUBLE: Final = frozenset({State.UNKNOWN, State.FAILED, State.DENIED})


def _columns(effects: Sequence[EffectRecord], now: datetime) -> tuple[Column, ...]:
    made, troubled = [0] * _PARTS, [0] * _PARTS
    for effect in effects:
        part = min(max(int((effect.created_at - now + _HOUR) / _HOUR * _PARTS), 0), _PARTS - 1)
        made[part] += 1
        troubled[part] += effect.state in _TROUBLE
    most = max(*made, 1)
    return tuple(
        Column(
            made=made[part],
            troubled=troubled[part],
            x=round(100 * part / _PARTS, 2),
            height=round(100 * made[part] / most, 2),
            troubled_height=round(100 * troubled[part] / most, 2),
        )
        for part in range(_PARTS)
    )
