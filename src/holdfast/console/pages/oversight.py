"""Oversight: whether people decide, or merely click."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from holdfast.console.asking import Answer, Asked, Page
from holdfast.console.views.oversight import SINCE, rates, times
from holdfast.ledger import OversightReport

_KEPT: Final = "oversight"


async def _build(asked: Asked) -> Answer:
    since = asked.query.get("since", "")
    since = since if since in SINCE else "30d"
    found = await _report(asked, since)
    return Answer(
        "oversight.html",
        "Oversight",
        {"oversight": found, "rates": rates(found), "times": times(found)},
        {"since": since, "choices": SINCE},
    )


async def _report(asked: Asked, since: str) -> OversightReport:
    """Return the report of this minute: it reads all that was asked, which a tick must not."""
    kept: dict[str, tuple[datetime, OversightReport]] = asked.kept.setdefault(_KEPT, {})
    at, found = kept.get(since, (None, None))
    if found is None or at != asked.now:
        found = await asked.ledger.oversight(since=since)
        kept[since] = (asked.now, found)
    return found


PAGE = Page("oversight", "/oversight", _build, title="Oversight", key="v")
