"""Patterns: how everything looks, at one place; the visual test."""

from __future__ import annotations

from holdfast._core.states import State
from holdfast.console.asking import Answer, Asked, Page
from holdfast.console.look import KINDS
from holdfast.console.machine import machine

HOSTILE = {
    "note": "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "link": "https://evil.example/[click](javascript:alert(3))",
    "memo": "invoice \u202egpj.exe\u200b ok",
    "amount_micros": 9007199254740993,
}


async def _build(asked: Asked) -> Answer:
    del asked
    return Answer(
        "patterns.html",
        "Patterns",
        {"states": {kind.__name__: [str(state) for state in kind] for kind in KINDS}, "payload": HOSTILE},
        {"machine": machine([State.PENDING, State.UNKNOWN, State.SUCCEEDED])},
    )


PAGE = Page("patterns", "/-/patterns", _build, is_recorded=False)
