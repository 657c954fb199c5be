"""Effect: did it happen, and how do we know? And how a person settles doubt about it."""

from __future__ import annotations

import hmac
import json
from typing import Any

from holdfast._core.model import Done, Evidence, StillUnknown
from holdfast._core.states import State
from holdfast.console.asking import OPERATING, Action, Answer, Asked, Deed, Misread, Page, Stale
from holdfast.console.machine import machine
from holdfast.console.text import segment
from holdfast.console.views.effects import effect_story
from holdfast.errors import NotDone


async def _build(asked: Asked) -> Answer:
    story = await effect_story(asked.ledger, asked.part("key"), asked.exactly)
    effect = story.effect
    return Answer(
        "effect.html",
        f"{effect.tool} {effect.key}",
        {"effect": effect, "story": story},
        {
            "machine": machine([event.state for event in story.story]),
            "is_done": effect.state in {State.SUCCEEDED, State.COMPENSATED},
            "is_retryable": effect.state is State.RETRYABLE,
        },
    )


async def _seen(deed: Deed) -> str:
    """Return the effect's key, if it is as the visitor saw it.

    Raises:
        Stale: It has moved since.
    """
    key = deed.asked.part("key")
    events = await deed.ledger.audit(key)
    head = events[-1].hash if events else ""
    if not hmac.compare_digest(head.encode(), deed.told("seen").encode()):
        raise Stale("The effect has moved since you opened this page: look again. Nothing was done.")
    return key


def _address(key: str) -> str:
    return f"/effects/{segment(key)}"


async def _resolve(deed: Deed) -> str:
    evidence, reason = _evidence(deed), deed.told("reason")
    key = await _seen(deed)
    await deed.ledger.resolve(key, evidence, by=deed.by, reason=reason)
    return _address(key)


def _evidence(deed: Deed) -> Evidence:
    match deed.told("outcome"):
        case "done":
            return Done(_result(deed.form.get("result", "").strip()))
        case "not_done":
            return NotDone()
        case "still_unknown":
            return StillUnknown(deed.told("reason"))
        case _:
            raise Misread("Say whether it is done. Nothing was done.")


def _result(text: str) -> Any:
    if not text:
        return None
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Misread("The result is no JSON: put texts into quotation marks. Nothing was done.") from error


def _refuse(word: str) -> None:
    raise ValueError(word)


async def _reconcile(deed: Deed) -> str:
    key = await _seen(deed)
    await deed.ledger.reconcile(key)
    return _address(key)


async def _retry(deed: Deed) -> str:
    reason = deed.told("reason")
    key = await _seen(deed)
    await deed.ledger.retry(key, by=deed.by, reason=reason)
    return _address(key)


PAGE = Page("effect", "/effects/{key}", _build)
ACTIONS = (
    Action(PAGE, "resolve", OPERATING, _resolve),
    Action(PAGE, "reconcile", OPERATING, _reconcile),
    Action(PAGE, "retry", OPERATING, _retry),
)
