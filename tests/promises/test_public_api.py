"""INT-13: the public names and signatures are frozen; changing one is a decision, not an accident."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest

from holdfast import Ledger, SyncLedger
from promises.public_surface import FROZEN, MODULES, surface

SURFACE = surface()
WRITE = "python tests/promises/public_surface.py rewrites public_api.json, once the change is agreed upon"


@pytest.mark.parametrize("module", MODULES)
def test_names_and_signatures_are_what_users_rely_on(module: str) -> None:
    """INT-13."""
    frozen = json.loads(FROZEN.read_text(encoding="utf-8"))

    assert SURFACE[module] == frozen[module], WRITE


def test_every_public_class_and_method_says_what_it_does() -> None:
    """INT-13."""
    silent = [
        f"{face.__name__}.{name}"
        for face in (Ledger, SyncLedger)
        for part in face.__mro__[:-1]
        for name, method in vars(part).items()
        if not name.startswith("_") and not (method.__doc__ or "").strip()
    ]

    assert silent == []


def test_the_sync_ledger_has_the_same_signatures_without_await() -> None:
    """INT-13, INT-06."""
    faces = [SURFACE["holdfast"][name]["members"] for name in ("Ledger", "SyncLedger")]
    plain = [{name: told.removeprefix("async ") for name, told in face.items()} for face in faces]
    awaited = {name for name, told in faces[0].items() if told.startswith("async ")}

    assert {name: parameters(told) for name, told in plain[0].items()} == {
        name: parameters(told) for name, told in plain[1].items()
    }
    assert {name: returned(plain[0][name]) for name in awaited} == {
        name: returned(plain[1][name]) for name in awaited
    }
    assert faces[0].keys() - awaited == {
        "begin",
        "budget",
        "cron",
        "events",
        "handoff",
        "memory",
        "model",
        "queue",
        "reserve",
        "scoped",
        "tool",
        "workflow",
    }
    assert not any(told.startswith("async ") for told in faces[1].values())
    assert constructor(Ledger) == constructor(SyncLedger)


def parameters(told: str) -> str:
    """What a method takes; what awaits its functions takes awaited ones."""
    return (told.rpartition(" -> ")[0] or told).replace("Awaitable[T]", "T")


def returned(told: str) -> str:
    return told.rpartition(" -> ")[2]


def constructor(face: Any) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.default, p.annotation) for p in inspect.signature(face).parameters.values()]
