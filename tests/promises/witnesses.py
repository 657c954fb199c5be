"""An effect in doubt, witnesses that say what a test tells them to, and what a reconciler makes of it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdfast import Effect, NotDone, StillUnknown
from holdfast._core.model import EffectKey

ACTED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EFFECT = Effect(
    key=EffectKey("v1:" + "a" * 64),
    idem_key="a" * 64,
    tenant="default",
    workflow_id="order-123",
    tool="pay",
    intent="pay",
    args={
        "title": "Refund",
        "amount": 100,
        "customer": "c-1",
        "due": "2026-03-02T00:00:00Z",
        "secret": "s3cr3t",
    },
    attempt=1,
    attempted_at=ACTED,
)
UNDATED = replace(EFFECT, attempted_at=None)
CHARGE = {"id": "ch_1", "status": "succeeded"}


class Missing(Exception):
    """What an SDK raises for a 404."""


def after(**passed: float) -> Callable[[], datetime]:
    return lambda: ACTED + timedelta(**passed)


def gives(found: Any) -> Callable[..., Any]:
    return lambda _: found


def raises(error: Exception) -> Callable[..., Any]:
    def function(_: Any) -> Any:
        raise error

    return function


def in_async(function: Callable[..., Any]) -> Callable[..., Any]:
    async def coroutine(given: Any) -> Any:
        await asyncio.sleep(0)
        return function(given)

    return coroutine


def as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


BOTH = pytest.mark.parametrize("kind", [as_it_is, in_async])


async def told(reconciler: Any, effect: Effect = EFFECT) -> Any:
    """What a reconciler says, as something that can be compared: ``NotDone`` is an exception."""
    found = reconciler(effect)
    found = await found if inspect.isawaitable(found) else found
    return NotDone if isinstance(found, NotDone) else found


async def why(reconciler: Any, effect: Effect = EFFECT) -> str:
    found = await told(reconciler, effect)
    assert isinstance(found, StillUnknown), found
    return found.why
