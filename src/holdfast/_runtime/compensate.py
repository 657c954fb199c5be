"""Undoes a workflow's effects, newest first, each by another effect; says what stands and what cannot be.

There is no rollback: an undo is an effect of its own, with its own identity, retries and audit, so that it
happens once, whatever dies in between.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from holdfast._core.change import Committed, WorkflowStop, head_of
from holdfast._core.compensation import CompensationReport, EffectFate, Fate
from holdfast._core.contract import Contract
from holdfast._core.model import Alert, EffectKey, Record, ToolCall, Undone
from holdfast._core.plan import plan_move
from holdfast._core.states import Event, State
from holdfast._runtime.endings import anchor_of, known, newest_first
from holdfast._runtime.parts import Parts
from holdfast._runtime.pipeline import Request, call, prepare
from holdfast._runtime.record import commit_patiently, told_done
from holdfast.errors import LedgerClosed, PayloadSealed, StoreError
from holdfast.errors.effects import resume_hint
from holdfast.ports import Handler

_BEING: Final = "being undone: "
_LEFT: Final = "could not be undone wholly: "
_UNDECLARED: Final = "its tool is not declared on this ledger"  # it may well be undone, where it is
_NOT_DONE: Final = frozenset({State.CANCELLED, State.FAILED, State.DENIED})
_EARLIER: Final = "; stopped before: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """How one tool's effects are undone.

    Attributes:
        tool: The name under which the undoing effect is recorded.
        handler: The function that undoes.
        contract: What is declared of it.
    """

    tool: str
    handler: Handler
    contract: Contract


async def compensate(
    parts: Parts,
    tenant: str,
    actor: str,
    workflow_id: str,
    *,
    reason: str,
    contracts: Callable[[], Mapping[str, Contract]],
    undoing: Callable[[str], Undoing | None],
) -> CompensationReport:
    """Undo what *workflow_id* did; call it again to go on where it was interrupted.

    Each undoing effect's key is made of the undone one's and of nothing else, so it happens once, whatever
    its tool is called meanwhile. The workflow is stopped first: nothing new may begin while the old is
    undone. It stays stopped when something needs a person, or when it was stopped for another reason before.
    One that has no effects has nothing to undo: its report is empty.
    """
    work = _Undo(parts, tenant, actor, contracts(), undoing)
    anchor = await anchor_of(parts, tenant, workflow_id)
    if anchor is None:
        return CompensationReport(workflow_id=workflow_id, effects=(), needs_review=False)
    told_why = reason[:300].replace(_EARLIER.strip("; "), "stopped before -")
    await work.stop(anchor, f"{_BEING}{told_why}")
    fates: dict[EffectKey, EffectFate] = {}
    while new := await newest_first(parts, tenant, workflow_id, but=fates):
        for record in new:  # a claim that was on its way at the stop may come to light later
            fates[record.key] = await work.undo(record)
    bad = [fate for fate in fates.values() if fate.fate in {"failed", "unknown"} or fate.why == _UNDECLARED]
    if bad:
        needs_review = True
        told = ", ".join(f"{fate.tool[:60]} {fate.fate}" for fate in bad[:3])
        if await work.stop(anchor, f"{_LEFT}{told}"):
            work.alert(workflow_id, bad)
    else:
        needs_review = not await work.release(anchor)
    return CompensationReport(
        workflow_id=workflow_id, effects=tuple(fates.values()), needs_review=needs_review
    )


def _earlier(stopped: str | None) -> str | None:
    """Return what a workflow is stopped for besides its being undone; ``None`` for nothing."""
    if stopped is not None and stopped.startswith((_BEING, _LEFT)):
        return stopped.partition(_EARLIER)[2] or None
    return stopped


@dataclass(frozen=True, slots=True)
class _Noted:
    """What a workflow is stopped for after a look at it, and whether that was changed."""

    stopped: str | None
    is_news: bool


class _Undo:
    """One pass over a workflow's effects."""

    def __init__(
        self,
        parts: Parts,
        tenant: str,
        actor: str,
        declared: Mapping[str, Contract],
        undoing: Callable[[str], Undoing | None],
    ) -> None:
        self._parts = parts
        self._tenant = tenant
        self._actor = actor
        self._declared = declared
        self._undoing = undoing

    async def undo(self, record: Record) -> EffectFate:
        """See to one effect."""
        self._parts.traffic.ensure_open()
        record = await known(
            self._parts, await self._fresh(record), self._declared.get(record.tool), self._actor
        )
        if record.state in {State.RETRYABLE, State.WAITING} and not record.uncertain:
            record = await self._moved(record, Event.CANCEL, {"why": "its workflow is being undone"})
        if record.state in _NOT_DONE and await told_done(self._parts, record.tenant, record.key):
            why = f"it is {record.state}, but the outside told that it is done"
            return self._fate(record, "unknown", why=why)
        match record.state:
            case State.COMPENSATED:
                return self._fate(record, "undone", by=await self._undone_by(record))
            case State.CANCELLED:
                return self._fate(record, "called_off")
            case State.FAILED | State.DENIED:
                return self._fate(record, "never_happened")
            case State.SUCCEEDED:
                return await self._compensated(record)
            case State.PENDING:
                return self._fate(record, "unknown", why="a worker is at it still")
            case _:
                return self._fate(record, "unknown", why="nobody knows whether it happened")

    async def _compensated(self, record: Record) -> EffectFate:
        how = self._undoing(record.tool)
        if how is None:
            is_known = record.tool in self._declared
            why = "its tool declares no compensation" if is_known else _UNDECLARED
            return self._fate(record, "stands", why=why)
        by: EffectKey | None = None
        try:
            request = self._request(record, how)
            by = prepare(self._parts, request).key
            await call(self._parts, request)
        except Exception as error:
            if isinstance(error, StoreError) and not isinstance(error, PayloadSealed):
                raise  # nothing is known: the same compensation goes on when the store is back
            if self._parts.traffic.is_closed:  # it may have been kept from its next attempt by that alone
                raise LedgerClosed from error
            tried = None if by is None else (await self._parts.store.find(self._tenant, by)).record
            if (
                tried is None or tried.state is not State.SUCCEEDED
            ):  # it is, when only its result was not kept
                by = None if tried is None else by
                return self._fate(record, "failed", by=by, why=self._why(how, tried, error))
        await self._moved(record, Event.COMPENSATE, {"by_effect": by})
        return self._fate(record, "undone", by=by)

    def _why(self, how: Undoing, tried: Record | None, error: Exception) -> str:
        """Say what became of a compensation that did not succeed; the same in every pass."""
        kind = type(error).__qualname__
        if tried is None:
            return f"{how.tool} was not tried ({kind})"
        if tried.error is not None:
            with suppress(ValueError):  # sealed with a key that this ledger does not have
                kind = json.loads(self._parts.opened(tried.tenant, tried.key, tried.error, "error"))["type"]
        return f"{tried.tool} is {tried.state} ({kind})"  # the name under which it is on record

    def _request(self, record: Record, how: Undoing) -> Request:
        opened = self._parts.opened
        args = json.loads(opened(record.tenant, record.key, record.args, "args"))
        result: Any = None
        if record.result is not None:
            result = json.loads(opened(record.tenant, record.key, record.result, "result"))
        undone = Undone(
            key=record.key,
            idem_key=record.key.removeprefix("v1:"),
            workflow_id=record.workflow_id,
            tool=record.tool,
            intent=record.intent,
            args=args,
            result=result,
            external_id=record.external_id,
        )
        return Request(
            tenant=self._tenant,
            actor=self._actor,
            call=ToolCall(
                workflow_id=record.workflow_id,
                tool=how.tool,
                args={"undoes": record.key},
                key=f"undoes {record.key}",
            ),
            contract=how.contract,
            handler=how.handler,
            undone=undone,
        )

    async def _undone_by(self, record: Record) -> EffectKey | None:
        entries = await self._parts.store.trail(record.tenant, record.key)
        told = tuple(entry for entry in entries if entry.event is Event.COMPENSATE)
        with suppress(PayloadSealed):
            bodies = self._parts.plain_bodies(told).values()
            return next((json.loads(body).get("by_effect") for body in bodies if body is not None), None)
        return None

    def _fate(self, record: Record, fate: Fate, *, by: EffectKey | None = None, why: str = "") -> EffectFate:
        contract = self._declared.get(record.tool, Contract())
        return EffectFate(
            key=record.key,
            tool=record.tool,
            intent=record.intent,
            fate=fate,
            reversal=contract.reversal,
            by=by,
            why=why,
            external_id=record.external_id,
        )

    async def _fresh(self, record: Record) -> Record:
        """Return *record* as it is now."""
        return (await self._parts.store.find(record.tenant, record.key)).record or record

    async def stop(self, record: Record, reason: str) -> bool:
        """Stop the workflow, by a note in the trail of one of its effects; return whether that is news."""

        def with_earlier(stopped: str | None) -> str:
            earlier = _earlier(stopped)
            return reason if earlier is None else f"{reason}{_EARLIER}{earlier[:170]}"

        return (await self._noted(record, with_earlier)).is_news

    async def release(self, record: Record) -> bool:
        """Let the workflow go on, unless it is stopped for something else as well; return whether it may."""
        return (await self._noted(record, _earlier)).stopped is None

    async def _noted(self, record: Record, wanted_of: Callable[[str | None], str | None]) -> _Noted:
        """Write what the workflow is stopped for from now on, given what it is stopped for."""
        parts, place = self._parts, (record.tenant, record.workflow_id)
        until = parts.runtime.monotonic() + parts.settings.store_patience_s
        while True:
            record = await self._fresh(
                record
            )  # before the workflow, so that what comes between is a conflict
            workflow = await parts.store.workflow(*place)
            stopped = None if workflow is None else workflow.stopped
            wanted = wanted_of(stopped)
            if wanted == stopped:
                return _Noted(stopped, is_news=False)
            stamp = parts.stamp(record.tenant, record.key, self._actor)
            change, head = plan_move(
                head_of(record),
                Event.NOTE,
                stamp,
                details={"why": wanted or "it was undone"},
                workflow=WorkflowStop(reason=wanted),
            )
            answer = await commit_patiently(parts, change, until=until)
            if wanted is not None:
                parts.known.stopped.add(place)
            if isinstance(answer, Committed) or (await self._fresh(record)).audit_hash == head.audit_hash:
                return _Noted(wanted, is_news=True)

    async def _moved(self, record: Record, event: Event, details: dict[str, Any]) -> Record:
        """Apply *event* if the effect is still where it was seen, whatever notes came between."""
        parts = self._parts
        until = parts.runtime.monotonic() + parts.settings.store_patience_s
        while True:
            stamp = parts.stamp(record.tenant, record.key, self._actor)
            change, head = plan_move(head_of(record), event, stamp, details=details)
            answer = await commit_patiently(parts, change, until=until)
            found = await self._fresh(record)
            if isinstance(answer, Committed) or found.audit_hash == head.audit_hash:
                parts.bus.ring(record.key)
                return found
            if (found.state, found.fence) != (record.state, record.fence):
                return found
            record = found

    def alert(self, workflow_id: str, bad: Sequence[EffectFate]) -> None:
        """Tell people what could not be undone."""
        told = "; ".join(f"{fate.tool}: {fate.why}" for fate in bad[:3])
        message = (
            f"workflow {workflow_id!r} could not be undone wholly ({told}); see `holdfast show "
            f"{shlex.quote(workflow_id)}`, mend it and compensate again, or let it go on with "
            f"{resume_hint(workflow_id)}"
        )
        self._parts.alerts.tell(
            Alert(
                code="compensation_failed",
                message=message,
                tenant=self._tenant,
                subject=bad[0].key,
                workflow_id=workflow_id,
                at=self._parts.runtime.now(),
            )
        )
