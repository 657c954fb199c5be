"""What a ledger is made of, and one call on its way through: the values that the stages pass on."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol, TypeAlias

from holdfast._core.audit import AuditEntry
from holdfast._core.budget import PlaceHold
from holdfast._core.change import Column, Committed, Conflict, Head, NewEffect, Stamp
from holdfast._core.contract import Contract
from holdfast._core.fault import Fault
from holdfast._core.identity import Payload
from holdfast._core.model import Effect, EffectKey, Failure, Finding, Receipt, Record, ToolCall, Undone
from holdfast._core.needs import Flexible
from holdfast._core.people import Directory
from holdfast._core.purse import Purse
from holdfast._core.redact import redact_urls
from holdfast._core.value import value
from holdfast._runtime.alerts import Alerts
from holdfast._runtime.bill import Bill
from holdfast._runtime.bus import Bus
from holdfast._runtime.handler import Shape
from holdfast._runtime.heartbeat import Heartbeat, LiveClaim
from holdfast._runtime.known import Known, Lingering
from holdfast._runtime.outages import Outages
from holdfast._runtime.traffic import Patience, Traffic
from holdfast.errors import PayloadSealed
from holdfast.ports import (
    Allow,
    Channel,
    Codec,
    Facts,
    Guard,
    Handler,
    Interceptor,
    Policy,
    Pricer,
    Runtime,
    Signatures,
    Store,
    Verdict,
)
from holdfast.ports.tracing import NoTracer, Tracer
from holdfast.settings import Settings

_MESSAGE_LENGTH: Final = 2000
_ENVELOPE: Final = '{"enc":'


class NoBudget:
    """The default pricer: nothing is reserved."""

    def hold(self, facts: Facts, attempt: int, at: datetime, *, is_spent: bool = False) -> PlaceHold | None:
        """Hold nothing."""
        del facts, attempt, at, is_spent
        return None

    def of_workflow(self, tenant: str, workflow_id: str) -> Sequence[Purse]:
        """Know of no budgets."""
        del tenant, workflow_id
        return ()


class Unwatched:
    """The default watch: nobody is told how full budgets are."""

    def see(self, parts: Parts, answer: Committed | Conflict) -> None:
        """Look away."""

    async def look(self, parts: Parts, tenant: str) -> None:
        """Look away."""


class Watch(Protocol):
    """Tells people when budgets run out (``_runtime/budget_alerts.py``)."""

    def see(self, parts: Parts, answer: Committed | Conflict) -> None:
        """Look at the budgets that a change touched, or that refused it. It waits for nothing."""
        ...

    async def look(self, parts: Parts, tenant: str) -> None:
        """Look at all budgets of *tenant*, and at those that all share."""
        ...


Announce: TypeAlias = "Callable[[Parts, str, str], None]"


def unannounced(parts: Parts, tenant: str, approval_id: str) -> None:
    """Where there are no channels: whoever has some will tell."""
    del parts, tenant, approval_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One ledger's parts. Capabilities are values in slots, asked at their place in the pipeline."""

    store: Store
    runtime: Runtime
    settings: Settings
    bus: Bus
    heartbeat: Heartbeat
    owner: str
    codec: Codec | None = None
    guards: tuple[Guard, ...] = ()
    policy: Policy | None = None
    pricer: Pricer = field(default_factory=NoBudget)
    traffic: Traffic = field(default_factory=Traffic)
    known: Known = field(default_factory=Known)
    alerts: Alerts = field(default_factory=Alerts)
    around: Interceptor | None = None
    tracer: Tracer = field(default_factory=NoTracer)
    people: Directory | None = None
    signatures: Signatures | None = None
    channels: tuple[Channel, ...] = ()
    announce: Announce = unannounced
    """Has people told of a question's notices, soon and beside whoever asked or decided."""
    outages: Outages = field(default_factory=Outages)
    watch: Watch = field(default_factory=Unwatched)
    lingering: Lingering = field(default_factory=Lingering)
    """Effects whose handler threads outlived their timeout in this process: they may still act."""

    def next_owner(self) -> str:
        """Return a name that no other claim has: it tells our own lost answers from another's claim."""
        # Random, not counted: a forked child inherits every counter of its parent.
        return f"{self.owner}:{secrets.token_hex(8)}"

    def stamp(self, tenant: str, key: EffectKey, actor: str) -> Stamp:
        """Return a stamp for the next transition of an effect."""
        codec = self.codec
        if codec is None:
            seal = _as_is
        else:

            def seal(text: str, column: Column) -> str:
                return codec.seal(text, context=_context(tenant, key, column))

        return Stamp(
            actor=actor,
            at=self.runtime.now(),
            salt=self.runtime.token(),
            secret=self.settings.audit_secret,
            seal=seal,
        )

    def opened(self, tenant: str, key: EffectKey, text: str, column: Column) -> str:
        """Return a stored payload in plain.

        Raises:
            PayloadSealed: It is sealed, and this ledger cannot open it.
        """
        if self.codec is not None and not text.startswith(f" {_ENVELOPE}"):
            try:
                return self.codec.open(text, context=_context(tenant, key, column))
            except ValueError as error:
                raise PayloadSealed(key, str(error)) from error
        if text.startswith(_ENVELOPE):
            try:
                sealed: Any = json.loads(text)
            except ValueError as error:
                raise PayloadSealed(key, "its envelope is damaged") from error
            if isinstance(sealed, dict) and set(sealed) == {"enc", "kid", "ct"}:  # pyright: ignore[reportUnknownArgumentType]
                raise PayloadSealed(key, "this ledger has no codec")
        return text[1:] if text.startswith(f" {_ENVELOPE}") else text

    def plain_bodies(self, entries: list[AuditEntry] | tuple[AuditEntry, ...]) -> dict[int, str | None]:
        """Return each entry's decoded body; ``None`` for an erased one."""
        return {
            entry.seq: None
            if entry.body is None
            else self.opened(entry.tenant, entry.key, entry.body, "body")
            for entry in entries
        }


def _context(tenant: str, key: EffectKey, column: Column) -> str:
    return f"{tenant}/{key}/{column}"


def _as_is(text: str, column: Column) -> str:
    del column
    # A leading space tells a payload that looks like a codec's envelope from a real one.
    return f" {text}" if text.startswith(_ENVELOPE) else text


@value
class Work:
    """One call, identified and decided, on its way to an answer.

    Attributes:
        patience: How much longer it waits; shrinks as it does.
        undone: The effect that it compensates. Such a call goes ahead although its workflow is stopped.
        is_own: The library makes it itself: no rule is asked about it, and nobody.
        flexible: What it needs of budgets, where it can do with less.
    """

    tenant: str
    actor: str
    call: ToolCall
    contract: Contract
    handler: Handler | None
    shape: Shape | None
    kwargs: Mapping[str, Any]
    payload: Payload
    new: NewEffect
    facts: Facts
    patience: Patience
    findings: tuple[Finding, ...] = ()
    verdict: Verdict = field(default_factory=Allow)
    undone: Undone | None = None
    is_own: bool = False
    flexible: Flexible | None = None

    @property
    def key(self) -> EffectKey:
        """The effect's key."""
        return self.new.key


@value
class Held:
    """The right to execute: where the effect stands, and the claim that the heartbeat renews.

    Attributes:
        timeout_s: How long the handler may take; ``None`` for as long as it needs.
        probe: The claim's name when it is the one probe of a dependency in trouble; else empty.
        retry_from: So many attempts do not count against the budget of retries.
        since: When that budget began.
        previous_s: The delay before this attempt; 0 when there was none.
        uncertain: An earlier attempt may have acted.
        work: What is executed, where people changed it before they approved it.
        process: Whose claim it is: a child that was forked in its handler has none.
        bill: What its handler says that it spent.
    """

    head: Head
    live: LiveClaim
    owner: str
    timeout_s: float | None = None
    probe: str = ""
    retry_from: int = 0
    since: datetime | None = None
    previous_s: float = 0.0
    uncertain: bool = False
    work: Work | None = None
    process: int = field(default_factory=os.getpid)
    bill: Bill = field(default_factory=Bill)


def effect_of(parts: Parts, record: Record) -> Effect:
    """Return what a reconciler gets to see of a recorded effect."""
    return Effect(
        key=record.key,
        idem_key=record.key.removeprefix("v1:"),
        tenant=record.tenant,
        workflow_id=record.workflow_id,
        tool=record.tool,
        intent=record.intent,
        args=json.loads(parts.opened(record.tenant, record.key, record.args, "args")),
        attempt=record.attempt,
        attempted_at=record.deadline_at or record.lease_until,
        first_attempted_at=record.created_at,
    )


def failure_of(error: BaseException, fault: Fault | None = None) -> Failure:
    """Return what is recorded of an error: its class, the start of its text, and what it was taken for.

    Clients put whole URLs into their errors, and some services take their keys in these.
    """
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - an error that cannot be shown is still an error
        message = "(its text cannot be shown)"
    name, message = type(error).__qualname__, redact_urls(message[: 2 * _MESSAGE_LENGTH])[:_MESSAGE_LENGTH]
    if fault is None or not fault.is_recognised:
        return Failure(type=name, message=message)
    return Failure(type=name, message=message, kind=str(fault.kind), status=fault.status)


def receipt_of(
    parts: Parts,
    record: Record,
    *,
    replayed: bool,
    result: Any,
    findings: tuple[Finding, ...] = (),
    call_id: str | None = None,
) -> Receipt:
    """Return the receipt of a recorded effect."""
    del parts
    return Receipt(
        result=result,
        replayed=replayed,
        observed_at=record.observed_at or record.updated_at,
        key=record.key,
        state=record.state,
        audit_hash=record.audit_hash.hex(),
        workflow_id=record.workflow_id,
        tool=record.tool,
        call_id=call_id,
        findings=findings,
    )
