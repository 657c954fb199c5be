"""Overview: is anything wrong? And the stop button."""

from __future__ import annotations

from holdfast.console.asking import LETTING_GO, OPERATING, Action, Answer, Asked, Deed, Page
from holdfast.console.views.overview import overview


async def _build(asked: Asked) -> Answer:
    return Answer("overview.html", "Overview", {"overview": await overview(asked.ledger, asked.now)})


async def _stop(deed: Deed) -> str:
    await deed.ledger.halt(deed.form.get("actor", "").strip() or None, by=deed.by, reason=deed.told("reason"))
    return "/"


async def _let_go(deed: Deed) -> str:
    await deed.ledger.unhalt(
        deed.form.get("actor", "").strip() or None, by=deed.by, reason=deed.told("reason")
    )
    return "/"


PAGE = Page("overview", "/", _build, title="Overview", key="o")
ACTIONS = (
    Action(PAGE, "stop", OPERATING, _stop),
    Action(PAGE, "let-go", LETTING_GO, _let_go),
)
