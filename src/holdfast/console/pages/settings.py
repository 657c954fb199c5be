"""Settings: what holds here."""

from __future__ import annotations

from holdfast.console.asking import Answer, Asked, Page
from holdfast.console.views.settings import effective


async def _build(asked: Asked) -> Answer:
    return Answer("settings.html", "Settings", {"effective": effective(asked.ledger)})


PAGE = Page("settings", "/settings", _build, title="Settings", key="s", is_recorded=False)
