"""Overview: is anything wrong? And the stop button."""

from __future__ import annotations

from holdfast.console.asking import LETTING_GO, OPERATING, Action, Answer, Asked, Deed, Page
from holdfast.console.recording import OWN, done
from holdfast.console.views.overview import overview


async def _build(asked: Asked) -> Answer:
    return Answer("overview.html", "Overview", {"overview": await overview(asked.ledger, asked.now)})


async def _stop(deed: Deed) -> str:
    actor, reason = deed.form.get("actor", "").strip(), deed.told("reason")
    await deed.ledger.halt(actor or None, by=deed.by, reason=reason)
    await done(deed, "halt", OWN, reason, agent=actor)
    return "/"


async def _let_go(deed: Deed) -> str:
    actor, reason = deed.form.get("actor", "").strip(), deed.told("reason")
    await deed.ledger.unhalt(actor or None, by=deed.by, reason=reason)
    await done(deed, "unhalt", OWN, reason, agent=actor)
    return "/"


PAGE = Page("overview", "/", _build, title="Overview", key="o")
ACTIONS = (
    Action(PAGE, "stop", OPERATING, _stop),
    Action(PAGE, "let-go", LETTING_GO, _let_go),
)
