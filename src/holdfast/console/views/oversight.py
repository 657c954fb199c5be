"""How people decide: whether they read, or merely click."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from holdfast.ledger import OversightReport

SINCE: Final = ("1d", "7d", "30d", "90d")


@dataclass(frozen=True, slots=True)
class Bar:
    """One length of time in a picture.

    Attributes:
        width: Of the longest, in hundredths.
    """

    what: str
    seconds: float
    width: float


@dataclass(frozen=True, slots=True)
class Rates:
    """The shares that a report tells of, as texts; ``-`` without anything to tell of."""

    escalation: str
    approval: str
    override: str
    ask_back: str


def times(report: OversightReport) -> tuple[Bar, ...]:
    """Return the times that decisions took, to be drawn."""
    told = [("half of all decisions, within", report.p50_s), ("95 of 100 decisions, within", report.p95_s)]
    told += [(f"{one.person}, half of the answers within", one.median_s) for one in report.reviewers]
    known = [(what, seconds) for what, seconds in told if seconds is not None]
    longest = max([seconds for _, seconds in known], default=0.0) or 1.0
    return tuple(Bar(what, seconds, max(round(100 * seconds / longest, 2), 0.5)) for what, seconds in known)


def rates(report: OversightReport) -> Rates:
    """Return the shares that tell whether people are asked too much, or do not read."""
    return Rates(
        escalation=_share(report.escalation_rate),
        approval=_share(report.approval_rate),
        override=_share(report.override_rate),
        ask_back=_share(report.ask_back_rate),
    )


def _share(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.1f} %"
