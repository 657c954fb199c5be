"""Audit: whether this can be trusted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from holdfast.console.asking import VIEWING, Action, Answer, Asked, Deed, Misread, NotThere, Page, Stale
from holdfast.ledger import VerifyReport

_LAST: Final = "audit.last"
_UNDER_WAY: Final = "audit.under_way"
_MOST: Final = 100
_START: Final = re.compile(r"(?:v1:)?([0-9a-f]{6,64})")


@dataclass(frozen=True, slots=True)
class Verification:
    """One look at all chains, and who wanted it."""

    at: datetime
    by: str
    chains: int
    entries: int
    unreadable: int
    problems: tuple[tuple[str, int, str], ...]
    problem_count: int


async def _build(asked: Asked) -> Answer:
    key = asked.query.get("key", "").strip()
    found: list[tuple[str, str]] = []
    if key:
        start = _START.fullmatch(key)
        if start is None:
            raise Misread("A key begins with 6 or more of its digits, with or without v1: before them.")
        effects = await asked.ledger.effects(key_prefix=f"v1:{start[1]}", limit=_MOST)
        if not effects:
            raise NotThere("no effect has such a key")
        found = [(str(effect.key), effect.tool) for effect in effects]
    return Answer(
        "audit.html",
        "Audit",
        {"last": asked.kept.get(_LAST), "is_under_way": _UNDER_WAY in asked.kept, "found": found},
        {"key": key},
    )


async def _verify(deed: Deed) -> str:
    kept = deed.asked.kept
    if _UNDER_WAY in kept:  # it reads all there is: one at a time
        raise Stale("A verification is under way: look again when it has ended.")
    kept[_UNDER_WAY] = deed.by
    try:
        report = await deed.asked.ledger.verify()
    finally:
        del kept[_UNDER_WAY]
    kept[_LAST] = _verification(deed, report)
    return "/audit"


def _verification(deed: Deed, report: VerifyReport) -> Verification:
    return Verification(
        at=deed.asked.exactly,
        by=deed.by,
        chains=report.chains,
        entries=report.entries,
        unreadable=report.unreadable,
        problems=tuple((str(one.key), one.seq, one.what) for one in report.problems[:_MOST]),
        problem_count=len(report.problems),
    )


PAGE = Page("audit", "/audit", _build, title="Audit", key="u", is_recorded=False)
ACTIONS = (Action(PAGE, "verify", VIEWING, _verify),)
