"""Budgets that are handed down to what a workflow begins: as text in its row, and as purses again. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from holdfast._core.budget import EVERYBODY
from holdfast._core.budgeting import COUNTS, DEPTH, FAN_OUT, WALL_CLOCK, WORKFLOW, Budget
from holdfast._core.purse import Purse

_MICROS: Final = Decimal(1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shut:
    """A budget that lets nothing more be begun, whatever it costs.

    Attributes:
        unit: ``depth``, ``fan_out`` or ``wall_clock``.
        used: How many generations, children or seconds there are.
        cap: How many there may be.
    """

    account: str
    unit: str
    used: int
    cap: int


def own_purses(purses: Iterable[Purse], started_at: datetime | None, lag: timedelta) -> Iterator[Purse]:
    """Return the purses of a workflow as they hold for its code.

    Args:
        started_at: When somebody first worked on it, by the store's clock.
        lag: How far that is ahead of this process's.
    """
    for purse in purses:
        length_s = purse.budget.wall_clock_s
        if length_s is None or started_at is None:
            yield purse
        else:
            yield replace(purse, until=started_at + timedelta(seconds=length_s), lag=lag)


def joined(purses: Iterable[Purse]) -> tuple[Purse, ...]:
    """Return *purses*, each once: the one that is declared furthest up, where there are several."""
    found: dict[str, Purse] = {}
    for purse in purses:
        name = json.dumps([purse.owner, purse.account, _spec(purse.budget)])
        known = found.setdefault(name, purse)
        if purse.generation > known.generation:
            found[name] = purse
    return tuple(found.values())


def handed_down(purses: Iterable[Purse], tenant: str) -> str:
    """Return what is put on record with a workflow that is begun under *purses*; empty for none."""
    rows = [
        {
            "owner": purse.owner,
            "account": purse.account,
            "generation": purse.generation + 1,
            "until": None if purse.until is None else purse.until.isoformat(),
            **_spec(purse.budget),
        }
        for purse in joined(purses)
        if purse.owner in {EVERYBODY, tenant}
    ]
    return json.dumps(rows, separators=(",", ":")) if rows else ""


def inherited(text: str, lag: timedelta) -> tuple[Purse, ...]:
    """Return what :func:`handed_down` put on record.

    Args:
        lag: How far the store's clock is ahead of this process's.
    """
    rows: list[dict[str, Any]] = json.loads(text) if text else []
    return tuple(
        Purse(
            row["owner"],
            row["account"],
            _budget(row),
            generation=row["generation"],
            until=None if row["until"] is None else datetime.fromisoformat(row["until"]).astimezone(UTC),
            lag=lag,
        )
        for row in rows
    )


def shut(purses: Iterable[Purse], at: datetime) -> Shut | None:
    """Return the budget whose wall clock is over *at* a moment by this process's clock, if there is one."""
    for purse in purses:
        late_s, length_s = purse.late_s(at), purse.budget.wall_clock_s
        if late_s is not None and length_s is not None:
            used, cap = int(length_s + late_s), int(length_s)
            return Shut(account=purse.account, unit=WALL_CLOCK, used=used, cap=cap)
    return None


def too_deep(purses: Iterable[Purse]) -> Shut | None:
    """Return the budget that allows for no further generation, if there is one."""
    for purse in purses:
        depth = purse.budget.depth
        if depth is not None and purse.generation >= depth:
            return Shut(account=purse.account, unit=DEPTH, used=purse.generation, cap=depth)
    return None


def fan_out_of(purses: Iterable[Purse], parent: str) -> int | None:
    """Return how many children of *parent* may be unfinished; ``None`` for any number."""
    account = f"{WORKFLOW}{parent}"
    own = (purse.budget.fan_out for purse in purses if (purse.account, purse.generation) == (account, 0))
    return min((most for most in own if most is not None), default=None)


def crowded(parent: str, used: int, cap: int) -> Shut:
    """Return what says that a workflow has as many unfinished children as it may."""
    return Shut(account=f"{WORKFLOW}{parent}", unit=FAN_OUT, used=used, cap=cap)


def _spec(budget: Budget) -> dict[str, Any]:
    reserve = None if budget.reserve is None else budget.reserve.caps
    plain: dict[str, Any] = {
        "caps": budget.caps,
        "per": budget.per,
        "slices": budget.slices,
        "depth": budget.depth,
        "fan_out": budget.fan_out,
        "wall_clock": budget.wall_clock_s,
        "reserve": reserve,
    }
    return {name: said for name, said in plain.items() if said}


def _budget(row: Mapping[str, Any]) -> Budget:
    reserve = row.get("reserve")
    return Budget(
        **_caps(row.get("caps", {})),
        per=row.get("per", ""),
        slices=row.get("slices", 0),
        depth=row.get("depth"),
        fan_out=row.get("fan_out"),
        wall_clock=row.get("wall_clock"),
        reserve=None if reserve is None else Budget(**_caps(reserve)),
    )


def _caps(caps: Mapping[str, int]) -> dict[str, Any]:
    """Return caps as a budget is given them: money is counted in micro-units, and given in whole ones."""
    money = {unit: Decimal(amount) / _MICROS for unit, amount in caps.items() if unit not in COUNTS}
    return {**{unit: amount for unit, amount in caps.items() if unit in COUNTS}, "money": money}
