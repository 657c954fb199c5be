"""What people, sweepers and the outside do about effects and workflows: beyond calling and asking."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from holdfast._core.change import Retrying, WorkflowStop, head_of
from holdfast._core.compensation import CompensationReport
from holdfast._core.contract import Contract
from holdfast._core.dependency import BreakerState, DependencyRecord
from holdfast._core.model import Record
from holdfast._core.plan import plan_move
from holdfast._core.states import Event, State, WorkflowStatus
from holdfast._runtime.closing import errand, keeping_open
from holdfast._runtime.compensate import Undoing, compensate
from holdfast._runtime.disturb_signals import Post
from holdfast._runtime.parts import Parts
from holdfast._runtime.record import commit_patiently
from holdfast._runtime.signals import observe, read_outcome
from holdfast._runtime.sweep import SweepReport, sweep
from holdfast.errors import EffectNotFound, InvalidCall
from holdfast.ledger.records import Records, is_count
from holdfast.ledger.views import EffectRecord, effect_record
from holdfast.ports import WorkflowRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What came of a signal.

    Attributes:
        effect: The effect that it is about, as it stands now; ``None`` when none is known by that name. The
            signal is kept all the same.
        is_new: It was not told before.
    """

    effect: EffectRecord | None
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyState:
    """How a system is that tools depend on, as all workers see it.

    Attributes:
        state: ``closed``: calls are sent. ``open``: they are not. ``half_open``: one is, to see how it
            goes; then, to a busy one, ever more.
        retry_at: While not closed: from when a call may be let through (aware, UTC).
        good: Answers within the window that were told so far.
        bad: Faults within the window.
        retries_left: What was left of the budget of retries at *updated_at*.
    """

    name: str
    state: BreakerState
    retry_at: datetime | None
    good: int
    bad: int
    retries_left: float
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Care:
    """One scope's care for what is unfinished.

    Attributes:
        contracts: What is declared of the ledger's tools, by name.
        undoing: How the effects of a tool are undone.
        post: In dev mode: brings signals as the post does that loses its order.
    """

    parts: Parts
    tenant: str
    actor: str
    records: Records
    contracts: Callable[[], Mapping[str, Contract]]
    undoing: Callable[[str], Undoing | None]
    post: Post | None = None

    @keeping_open
    async def observe(self, subject: str, outcome: Any, evidence: Any, signal_id: str | None) -> Observation:
        await self.records.opened()
        told = read_outcome(outcome)

        async def deliver() -> tuple[Record | None, bool]:
            return await observe(
                self.parts,
                self.tenant,
                subject,
                told,
                evidence=evidence,
                signal_id=signal_id,
                actor=self.actor,
                contracts=self.contracts,
            )

        record, is_new = await (deliver() if self.post is None else self.post.bring(deliver))
        return Observation(
            effect=None if record is None else effect_record(self.parts, record), is_new=is_new
        )

    async def sweep(self, limit: int) -> SweepReport:
        async def swept() -> SweepReport:
            await self.records.opened()
            return await sweep(
                self.parts, self.tenant, self.actor, self.contracts, limit=is_count("limit", limit)
            )

        return await errand(self.parts, swept)

    async def compensate(self, workflow_id: str, reason: str) -> CompensationReport:
        """Undo what a workflow did, by a person's word: who names one that did nothing has mistaken it."""
        report = await self.undo(workflow_id, reason)
        if not report.effects:
            what = f"workflow {workflow_id!r} has no effects"
            raise InvalidCall(what, "check the id and the tenant; nothing was undone")
        return report

    async def undo(self, workflow_id: str, reason: str) -> CompensationReport:
        """Undo what a workflow did, if anything."""

        async def undone() -> CompensationReport:
            await self.records.opened()
            return await compensate(
                self.parts,
                self.tenant,
                self.actor,
                _told("workflow_id", workflow_id),
                reason=_told("reason", reason),
                contracts=self.contracts,
                undoing=self.undoing,
            )

        return await errand(self.parts, undone)

    @keeping_open
    async def retry(self, key: str, by: str, reason: str) -> EffectRecord:
        """Grant an effect a new budget of retries, by a person's word."""
        record = await self.records.record(key)
        if record.state is not State.RETRYABLE:
            what = f"effect {record.key!r} is {record.state}, and only what is retryable may be tried again"
            raise InvalidCall(what, _INSTEAD.get(record.state, "use another key to do it once more"))
        details = {"source": "person", "by": _told("by", by)[:200], "reason": _told("reason", reason)[:2000]}
        return effect_record(
            self.parts,
            await self._moved(record, Event.RELEASE, details, retrying=Retrying(renews=True), by=by),
        )

    @keeping_open
    async def resume(self, workflow_id: str, by: str, reason: str) -> WorkflowRecord:
        """Let a stopped workflow go on; noted in the trail of the effect that stopped it."""
        details = {"source": "person", "by": _told("by", by)[:200], "reason": _told("reason", reason)[:2000]}
        workflow = await self.records.workflow(workflow_id)
        if workflow is None:
            what = f"nothing is on record of a workflow {workflow_id!r}"
            raise InvalidCall(what, "check the id and the tenant; `holdfast workflows` lists them")
        if workflow.stopped is not None and workflow.stopped_by is not None:
            record = await self.records.record(workflow.stopped_by)
            await self._moved(record, Event.NOTE, details, workflow=WorkflowStop(reason=None), by=by)
            self.parts.known.stopped.discard((self.tenant, workflow_id))
        return await self.records.workflow(workflow_id) or workflow

    async def _moved(
        self,
        record: Record,
        event: Event,
        details: dict[str, Any],
        *,
        by: str,
        retrying: Retrying | None = None,
        workflow: WorkflowStop | None = None,
    ) -> Record:
        """Apply *event* where the effect still is; notes that come between do no harm."""
        parts = self.parts
        until = parts.runtime.monotonic() + parts.settings.store_patience_s
        while True:
            stamp = parts.stamp(record.tenant, record.key, by)
            change, head = plan_move(
                head_of(record), event, stamp, details=details, retrying=retrying, workflow=workflow
            )
            await commit_patiently(parts, change, until=until)
            found = (await parts.store.find(record.tenant, record.key)).record
            if found is None:
                raise EffectNotFound(record.key)
            is_ours = any(
                entry.hash == head.audit_hash for entry in await parts.store.trail(record.tenant, record.key)
            )
            if is_ours or (event is not Event.NOTE and found.fence != record.fence):
                return found
            record = found

    @keeping_open
    async def workflows(self, status: str | None, limit: int) -> list[WorkflowRecord]:
        store = await self.records.opened()
        wanted = None if status is None else _status(status)
        return list(await store.workflows(self.tenant, wanted, is_count("limit", limit)))

    @keeping_open
    async def dependencies(self) -> list[DependencyState]:
        store = await self.records.opened()
        return [_shown(record) for record in await store.dependencies(self.tenant)]


_INSTEAD = {
    State.UNKNOWN: "it is in doubt: settle it by evidence with `holdfast resolve`",
    State.PENDING: "a worker is at it: wait for its outcome",
    State.WAITING: "a person has to decide on it first",
}


def _shown(record: DependencyRecord) -> DependencyState:
    return DependencyState(
        name=record.name,
        state=record.state,
        retry_at=record.retry_at,
        good=sum(part[1] for part in record.window),
        bad=sum(part[2] for part in record.window),
        retries_left=record.tokens,
        updated_at=record.updated_at,
    )


def _told(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise InvalidCall(f"{name}= is no printable text", f"say {name}=...; nothing changed")
    return value


def _status(name: str) -> WorkflowStatus:
    try:
        return WorkflowStatus(name)
    except ValueError as error:
        raise InvalidCall(
            f"there is no status {name!r}", f"use one of {', '.join(WorkflowStatus)}"
        ) from error
