"""Changes as the pipeline plans them, for tests that speak to a store."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime

from holdfast._core.change import Change, Head, NewEffect, PlainOutcome, Stamp
from holdfast._core.model import EffectKey, Fingerprint
from holdfast._core.plan import plan_insert, plan_move
from holdfast._core.states import Event, Safety

DONE = PlainOutcome(result='{"ok":true}')


def stamp() -> Stamp:
    return Stamp(actor="a", at=datetime.now(UTC), salt=os.urandom(16), secret=None, seal=lambda text, _: text)


def claim(name: str, *, workflow: str = "w", args: str = "{}") -> tuple[Change, Head]:
    digest = hashlib.sha256(name.encode()).hexdigest()
    new = NewEffect(
        tenant="t",
        key=EffectKey(f"v1:{digest}"),
        fingerprint=Fingerprint(digest),
        workflow_id=workflow,
        tool="charge",
        intent="charge",
        safety=Safety.UNSAFE,
        args=args,
        call_id=None,
    )
    return plan_insert(new, Event.CLAIM, stamp(), owner=name, lease_s=10)


def record(head: Head, event: Event = Event.SUCCEED) -> Change:
    return plan_move(head, event, stamp(), outcome=DONE)[0]
