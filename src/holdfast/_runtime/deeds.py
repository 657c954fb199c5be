"""What people do to workflows, or are refused: an effect of its own each, so that the audit chain has it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from holdfast._core.change import Column, Committed, PlainOutcome
from holdfast._core.declare import make_contract
from holdfast._core.model import JSON, ToolCall
from holdfast._core.plan import plan_insert
from holdfast._core.states import Event
from holdfast._core.value import value
from holdfast._runtime.closing import errand
from holdfast._runtime.parts import Parts
from holdfast._runtime.pipeline import RESERVED, Request, prepare
from holdfast._runtime.record import commit_patiently

PREFIX: Final = f"{RESERVED}person."


@value
class Deed:
    """What somebody did, or was kept from doing.

    Attributes:
        word: What, as the last part of the name of its tool.
        workflow_id: The workflow that it concerns, in whose story it is then told.
        facts: All that there is to say of it, for the record.
        name: Tells it apart from other deeds; under a name that is on record nothing is recorded.
        refused: Why it was not done; empty for what was.
    """

    word: str
    workflow_id: str
    by: str
    facts: Mapping[str, JSON]
    name: str = ""
    refused: str = ""


async def put_on_record(parts: Parts, tenant: str, deed: Deed) -> bool:
    """Put a deed on record, durably; return whether it is a new one.

    It is a read, which nobody undoes, and no rule or guard is asked about it.

    Raises:
        StoreUnavailable: The store stayed away.
    """
    tool = f"{PREFIX}{deed.word}"
    request = Request(
        tenant=tenant,
        actor=deed.by,
        call=ToolCall(
            workflow_id=deed.workflow_id,
            tool=tool,
            args=dict(deed.facts),
            key=deed.name or parts.runtime.token().hex(),
        ),
        contract=make_contract(tool, safety="read", dependency=False),
        handler=None,
        is_own=True,
    )

    async def recorded() -> bool:
        await parts.store.open()
        work = prepare(parts, request)
        said = {"type": "Refused", "message": deed.refused}
        outcome = (
            PlainOutcome(error=json.dumps(said), error_type="Refused")
            if deed.refused
            else PlainOutcome(result="null")
        )
        stamp = parts.stamp(tenant, work.key, deed.by)
        event = Event.DENY if deed.refused else Event.OBSERVE
        details = {"by": deed.by, **deed.facts}
        try:
            change, _ = plan_insert(work.new, event, stamp, outcome=outcome, details=details)
        except NoKey:  # whoever only looks has none, and writes it as the command line does
            stamp = replace(stamp, seal=_in_the_open)
            change, _ = plan_insert(work.new, event, stamp, outcome=outcome, details=details)
        until = parts.runtime.monotonic() + parts.settings.store_patience_s
        return isinstance(await commit_patiently(parts, change, until=until), Committed)

    return await errand(parts, recorded)


class NoKey(ValueError):
    """Raised by what stands for a codec where there are no keys; a codec that fails writes nothing at all."""


def _in_the_open(text: str, column: Column) -> str:
    del column
    return text


def deed_in(tool: str) -> str:
    """Return the word of the deed that an effect of this tool stands for; empty for other tools."""
    return tool.removeprefix(PREFIX) if tool.startswith(PREFIX) else ""
