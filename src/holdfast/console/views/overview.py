"""Is anything wrong? What needs a person, and what went through lately."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from holdfast._core.execution import Pause
from holdfast._core.states import State, WorkflowStatus
from holdfast.console.ledgers import looked
from holdfast.console.views.budgets import BudgetRow, near_caps
from holdfast.console.views.workflows import WorkflowRow, listed
from holdfast.ledger import Halt, Ledger

_MOST: Final = 200
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
        waiting: How many wait for people; *next_end* is when the first question ends unanswered.
        in_review: Workflows that wait for a person, the last touched; so is *paused*.
        halts: Who is stopped.
        near_caps: Budgets that are filled to four fifths or more, the fullest few.
        last_hour: Effects made, over time.
    """

    effects: Mapping[str, int]
    waiting: int
    next_end: datetime | None
    in_doubt: int
    in_review: tuple[WorkflowRow, ...]
    in_review_count: int
    paused: tuple[WorkflowRow, ...]
    paused_count: int
    halts: tuple[Halt, ...]
    near_caps: tuple[BudgetRow, ...]
    near_cap_count: int
    last_hour: tuple[Column, ...]
    made_last_hour: int

    @property
    def is_quiet(self) -> bool:
        """Whether nothing needs a person."""
        counts = (self.waiting, self.in_doubt, self.in_review_count, self.paused_count, self.near_cap_count)
        return not (any(counts) or self.halts)


async def overview(ledger: Ledger, now: datetime) -> Overview:
    """Say whether anything is wrong."""
    pulse = await looked(ledger, lambda engine: engine.pages.pulse(now - _HOUR, _HOUR / _PARTS))
    counts: Counter[State] = Counter()
    for (state, _), count in pulse.items():
        counts[state] += count
    found = await looked(ledger, lambda engine: engine.pages.attention(_MOST))
    reviews = [listed(row) for row in found.rows if row.status is WorkflowStatus.NEEDS_REVIEW]
    paused = [listed(row) for row in found.rows if row.pause is not Pause.NO]
    waiting = counts[State.WAITING]
    near = await near_caps(ledger)
    return Overview(
        effects={str(state): counts[state] for state in State if counts[state]},
        waiting=waiting,
        next_end=found.next_end if waiting else None,
        in_doubt=counts[State.UNKNOWN],
        in_review=tuple(reviews[:_NAMED]),
        in_review_count=found.in_review,
        paused=tuple(paused[:_NAMED]),
        paused_count=found.paused,
        halts=tuple(await ledger.halts()),
        near_caps=near.rows,
        near_cap_count=near.found,
        last_hour=_columns(pulse),
        made_last_hour=sum(n for (_, part), n in pulse.items() if part is not None),
    )


_TROUBLE: Final = frozenset({State.UNKNOWN, State.FAILED, State.DENIED})


def _columns(pulse: Mapping[tuple[State, int | None], int]) -> tuple[Column, ...]:
    made, troubled = [0] * _PARTS, [0] * _PARTS
    for (state, part), count in pulse.items():
        if part is None:
            continue
        at = min(part, _PARTS - 1)  # what was made after the minute that is told
        made[at] += count
        troubled[at] += count if state in _TROUBLE else 0
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
