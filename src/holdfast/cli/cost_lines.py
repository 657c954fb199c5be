"""How a budget and a cost look on the command line."""

from __future__ import annotations

from typing import Any, Final

from holdfast._core.budgeting import COUNTS
from holdfast._core.money import MICROS
from holdfast.cli.output import Line, iso
from holdfast.ledger import Level
from holdfast.ports import CostRow

COST_HEADS: Final = (
    "name",
    "currency",
    "attempts",
    "money",
    "tokens",
    "wasted",
    "wasted tokens",
    "unknown",
    "held",
)
_BAR: Final = 10
_WHOLE: Final = 100


def amount(unit: str, count: int) -> str:
    """Return a count, or money in units: exactly, and with at least two places."""
    if unit in COUNTS or not unit:
        return str(count)
    sign, (whole, rest) = "-" * (count < 0), divmod(abs(count), MICROS)
    places = f"{rest:06d}".rstrip("0")
    return f"{sign}{whole}.{places:0<2}"


def full(level: Level) -> int | None:
    """Return how many hundredths of its cap are used and held, rounded up; ``None`` for no cap at all."""
    return None if level.cap <= 0 else -(-(level.spent + level.held) * _WHOLE // level.cap)


def budget_fields(level: Level) -> dict[str, Any]:
    """Return a budget for programs: money in whole micro-units."""
    return {
        "account": level.account,
        "unit": level.unit,
        "per": level.per,
        "is_shared": not level.owner,
        "used": level.spent,
        "held": level.held,
        "cap": level.cap,
        "left": level.left,
        "percent": full(level),
        "raised": level.raised,
        "window_start": iso(level.window_start) if level.per else None,
    }


def budget_line(level: Level) -> Line:
    """Return a budget as an item of a listing."""
    percent = full(level)
    told = [amount(level.unit, each) for each in (level.spent, level.held, level.cap, level.left)]
    start = (level.account, level.unit, level.per)
    return Line(
        fields=budget_fields(level),
        cells=(*start, *told, "" if percent is None else str(percent), amount(level.unit, level.raised)),
        brief=(*start, *told, _bar(percent)),
    )


def _bar(percent: int | None) -> str:
    if percent is None:
        return "-"
    filled = min(percent * _BAR // _WHOLE, _BAR)
    return f"{'#' * filled}{'.' * (_BAR - filled)} {percent}%"


def cost_fields(row: CostRow) -> dict[str, Any]:
    """Return a cost for programs: money in whole micro-units."""
    return {
        "name": row.name,
        "currency": row.currency,
        "attempts": row.attempts,
        "money": row.money,
        "tokens": row.tokens,
        "wasted_money": row.wasted_money,
        "wasted_tokens": row.wasted_tokens,
        "assumed_money": row.assumed_money,
        "held_money": row.held_money,
    }


def cost_line(row: CostRow) -> Line:
    """Return a cost as an item of a listing."""

    def money(micros: int) -> str:
        return amount(row.currency, micros)

    cells = (
        row.name,
        row.currency,
        str(row.attempts),
        money(row.money),
        str(row.tokens),
        money(row.wasted_money),
        str(row.wasted_tokens),
        money(row.assumed_money),
        money(row.held_money),
    )
    return Line(
        fields=cost_fields(row), cells=cells, brief=(row.name or "-", row.currency or "-", *cells[2:])
    )
