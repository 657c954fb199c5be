"""Workers: who works, and whether anybody is gone."""

from __future__ import annotations

from holdfast.console.asking import Answer, Asked, Page
from holdfast.console.views.workers import workers


async def _build(asked: Asked) -> Answer:
    return Answer("workers.html", "Workers", {"workers": await workers(asked.ledger, asked.exactly)})


PAGE = Page("workers", "/workers", _build, title="Workers", key="k")
