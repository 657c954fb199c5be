"""Doubt: what nobody knows."""

from __future__ import annotations

from holdfast.console.asking import Answer, Asked, Page
from holdfast.console.views.effects import doubts


async def _build(asked: Asked) -> Answer:
    return Answer("doubt.html", "Doubt", {"doubt": await doubts(asked.ledger, asked.exactly)})


PAGE = Page("doubt", "/doubt", _build, title="Doubt", key="d")
