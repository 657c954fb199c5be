"""Policy: which rules hold, and what they would say of a call. Rules are changed where they are written."""

from __future__ import annotations

from typing import Any, Final

from holdfast.console.asking import VIEWING, Action, Answer, Asked, Deed, Misread, Page
from holdfast.console.strict import read_object
from holdfast.console.views.policy import Trial, loaded, simulate

_LONGEST: Final = 512


async def _build(asked: Asked) -> Answer:
    return Answer("policy.html", "Policy", {"policy": loaded(asked.ledger)}, {"said": None, "form": {}})


async def _simulate(deed: Deed) -> Answer:
    """Say what the rules say. Nothing is done."""
    asked, form = deed.asked, deed.form
    trial = Trial(
        tool=deed.told("tool")[:_LONGEST],
        args=read_object(deed.told("args"), "arguments"),
        actor=(form.get("actor", "").strip() or "agent")[:_LONGEST],
        workflow_id="simulated",
        confidence=_confidence(form.get("confidence", "").strip()),
        environment=(form.get("environment", "").strip() or "production")[:_LONGEST],
        windows=_windows(form.get("windows", "").strip()),
    )
    said = simulate(asked.ledger, trial, asked.exactly)
    answer = await _build(asked)
    return Answer(
        answer.template, answer.title, {**answer.data, "trial": trial}, {"said": said, "form": form}
    )


def _confidence(text: str) -> float | None:
    if not text:
        return None
    try:
        sure = float(text)
    except ValueError:
        sure = -1.0
    if not 0 <= sure <= 1:
        raise Misread("Confidence is a number from 0 to 1, or left empty.")
    return sure


def _windows(text: str) -> dict[str, int]:
    found: dict[str, Any] = read_object(text, "counts") if text else {}
    if not all(isinstance(one, int) and not isinstance(one, bool) for one in found.values()):
        raise Misread("Counts are whole numbers by their names.")
    return found


PAGE = Page("policy", "/policy", _build, title="Policy", key="y", is_recorded=False)
ACTIONS = (Action(PAGE, "simulate", VIEWING, _simulate),)
