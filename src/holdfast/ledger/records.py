"""What a ledger tells of its effects, and how doubt about them is settled."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from holdfast._core.audit import AuditEntry, Problem, verify
from holdfast._core.change import Column
from holdfast._core.contract import Contract, Reconciler
from holdfast._core.duration import Duration, seconds
from holdfast._core.model import Done, EffectKey, Evidence, Record, StillUnknown
from holdfast._core.states import FINISHED, Event, Safety, State, WorkflowStatus
from holdfast._runtime.closing import keeping_open
from holdfast._runtime.parts import Parts
from holdfast._runtime.reconcile import bury, reconcile, resolve
from holdfast.errors import (
    EffectNotFound,
    InvalidCall,
    InvalidTool,
    LedgerClosed,
    NotDone,
    NotResolvable,
    PayloadSealed,
)
from holdfast.ledger.views import (
    AuditEvent,
    EffectRecord,
    ReapReport,
    VerifyReport,
    audit_event,
    effect_record,
)
from holdfast.ports import Query, Store, WorkflowRecord

_PAGE = 500
_BATCH = 100  # small: on SQLite nobody else writes while a batch is deleted
_MANY = 100_000
_MOST = 2**31 - 1  # what every database takes for a limit
_LOOKS = 20
_KEY = re.compile(r"v1:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Records:
    """One scope's records: queries, evidence, verification, retention.

    Attributes:
        contracts: What is declared of the ledger's tools, by name.
    """

    parts: Parts
    tenant: str
    actor: str
    contracts: Callable[[], Mapping[str, Contract]]

    async def opened(self) -> Store:
        """Return the store, connected."""
        if self.parts.traffic.is_closing:
            raise LedgerClosed
        await self.parts.store.open()
        return self.parts.store

    async def record(self, key: str) -> Record:
        """Return one effect as the store has it."""
        await self.opened()
        if not _is_key(key):
            raise EffectNotFound(ascii(key)[:80])
        found = (await self.parts.store.find(self.tenant, EffectKey(key))).record
        if found is None:
            raise EffectNotFound(key)
        return found

    @keeping_open
    async def effect(self, key: str) -> EffectRecord:
        return effect_record(self.parts, await self.record(key))

    @keeping_open
    async def effects(
        self,
        workflow_id: str | None,
        tool: str | None,
        intent: str | None,
        state: str | None,
        since: datetime | Duration | None,
        limit: int,
        key_prefix: str | None = None,
    ) -> list[EffectRecord]:
        await self.opened()
        _check_filters(workflow_id=workflow_id, tool=tool, intent=intent, key_prefix=key_prefix)
        is_count("limit", limit)
        query = Query(
            tenant=self.tenant,
            workflow_id=workflow_id,
            tool=tool,
            intent=intent,
            state=None if state is None else _state(state),
            key_prefix=key_prefix,
            since=self._moment(since),
            limit=limit,
        )
        return [effect_record(self.parts, record) for record in await self.parts.store.effects(query)]

    def _moment(self, since: datetime | Duration | None) -> datetime | None:
        if since is None or isinstance(since, datetime):
            if since is not None and since.tzinfo is None:
                raise InvalidCall(
                    "since= has no time zone", "pass an aware datetime, or a length of time like '1h'"
                )
            return since
        return self.parts.runtime.now() - timedelta(seconds=seconds(since, name="since"))

    @keeping_open
    async def audit(self, key: str) -> list[AuditEvent]:
        return (await self.story(key))[1]

    @keeping_open
    async def story(self, key: str) -> tuple[EffectRecord, list[AuditEvent]]:
        """Return one effect and its audit entries, by two queries."""
        record = await self.record(key)
        entries = tuple(await self.parts.store.trail(self.tenant, EffectKey(key)))
        told = [audit_event(entry, self._details(entry)) for entry in entries]
        return effect_record(self.parts, record), told

    def _details(self, entry: AuditEntry) -> str | None:
        try:
            return self.parts.plain_bodies((entry,))[entry.seq]
        except PayloadSealed as sealed:
            return json.dumps({"why": f"sealed: {sealed.why}"})

    @keeping_open
    async def verify(
        self, *, all_tenants: bool = False, progress: Callable[[int], None] | None = None
    ) -> VerifyReport:
        """Check every chain of this tenant (or of all); tell *progress* how many so far."""
        store = await self.opened()
        chains = entries = unreadable = 0
        problems: list[Problem] = []
        after = ("", "")
        while page := await store.keys(None if all_tenants else self.tenant, after, _PAGE):
            for tenant, key in page:
                found, is_readable, length = await self._checked(store, tenant, key)
                chains, entries = chains + 1, entries + length
                problems += found
                unreadable += not is_readable
            after = page[-1]
            if progress is not None:
                progress(chains)
        return VerifyReport(chains=chains, entries=entries, unreadable=unreadable, problems=tuple(problems))

    async def _checked(self, store: Store, tenant: str, key: EffectKey) -> tuple[list[Problem], bool, int]:
        """Check one effect; one that moved while it was looked at is looked at again."""
        looks = 0
        while True:
            try:
                before = (await store.find(tenant, key)).record
                trail = tuple(await store.trail(tenant, key))
                record = (await store.find(tenant, key)).record
            except (
                ValueError,
                OverflowError,
                TypeError,
            ) as error:  # nothing that a ledger would have written
                what = f"its rows cannot be read ({type(error).__name__}: {error})"
                return [Problem(key=key, seq=0, what=what)], True, 0
            found, is_readable = self._verify_one(record, trail)
            looks += 1
            if not found or record == before or looks == _LOOKS:
                return found, is_readable, len(trail)

    def _verify_one(self, record: Record | None, trail: tuple[AuditEntry, ...]) -> tuple[list[Problem], bool]:
        """Check one chain; contents that cannot be opened here are left out, and that is said."""
        secret = self.parts.settings.audit_secret
        try:
            plain = self.parts.plain_bodies(trail)
            if record is not None:
                record = self._opened_record(record)
        except PayloadSealed:
            if self.parts.codec is not None:  # the right codec refuses: altered, moved, or of a lost key
                key = trail[0].key if trail else EffectKey("?")
                return [Problem(key=key, seq=0, what="its sealed contents cannot be opened")], False
            return verify(record, trail, plain={}, secret=secret), False
        except ValueError as error:
            key = trail[0].key if trail else EffectKey("?")
            return [Problem(key=key, seq=0, what=f"its contents cannot be read ({error})")], True
        is_readable = all(entry.body is not None for entry in trail)  # erased ones bind the record to nothing
        return verify(record, trail, plain=plain, secret=secret), is_readable

    def _opened_record(self, record: Record) -> Record:
        def opened(text: str | None, column: Column) -> str | None:
            return None if text is None else self.parts.opened(record.tenant, record.key, text, column)

        args = self.parts.opened(record.tenant, record.key, record.args, "args")
        result, error = opened(record.result, "result"), opened(record.error, "error")
        return replace(record, args=args, result=result, error=error)

    @keeping_open
    async def reconcile(self, key: str, reconciler: Reconciler | None) -> EffectRecord:
        if reconciler is not None and not callable(reconciler):
            raise InvalidTool("the reconciler is no function", "give a function of the effect")
        record = await self._in_doubt(key, {Safety.UNSAFE})  # the others are simply executed again
        if record.state is not State.UNKNOWN:
            raise NotResolvable(record.key, record.state)
        declared = self.contracts().get(record.tool, Contract())
        contract = replace(declared, probe=None, reconcile=reconciler) if reconciler else declared
        return effect_record(self.parts, await reconcile(self.parts, record, contract, self.actor))

    @keeping_open
    async def resolve(self, key: str, found: Evidence | type[NotDone], by: str, reason: str) -> EffectRecord:
        given = NotDone() if found is NotDone else found
        if not isinstance(given, Done | NotDone | StillUnknown):
            what = f"evidence of type {type(found).__name__}"
            raise InvalidCall(what, "give Done(result), NotDone() or StillUnknown(why)")
        record = await self._in_doubt(key, {Safety.UNSAFE, Safety.IDEMPOTENT})
        contract = self.contracts().get(record.tool)
        after = await resolve(self.parts, record, given, contract, by=by, reason=reason)
        return effect_record(self.parts, after)

    async def _in_doubt(self, key: str, kinds: Collection[Safety]) -> Record:
        """Return an effect; a dead worker's claim on one of *kinds* is doubt that nobody has recorded yet."""
        record = await self.record(key)
        if record.state is State.PENDING and record.safety in kinds:
            found = await self.parts.store.find(record.tenant, record.key)
            if found.record is not None and found.record.lease_until <= found.now:
                contract = self.contracts().get(record.tool)
                found = await bury(self.parts, found.record, Event.DOUBT, self.actor, contract)
            return found.record or record
        return record

    @keeping_open
    async def workflow(self, workflow_id: str) -> WorkflowRecord | None:
        """Return what is known of a workflow."""
        store = await self.opened()
        _check_filters(workflow_id=workflow_id)
        return await store.workflow(self.tenant, workflow_id)

    @keeping_open
    async def counts(self) -> Mapping[State, int]:
        """Return how many effects are in each state."""
        store = await self.opened()
        return await store.counts(self.tenant)

    @keeping_open
    async def reap(self, older_than: Duration, *, dry_run: bool) -> ReapReport:
        """Delete finished effects that are older, in small transactions."""
        store = await self.opened()
        before = self.parts.runtime.now() - timedelta(seconds=seconds(older_than, name="older_than"))
        removed = 0
        if dry_run:
            old = await store.counts(self.tenant, before)
            removed = sum(count for state, count in old.items() if state in FINISHED)
            removed -= await self._kept_back(before)
        runtime = self.parts.runtime
        started = runtime.monotonic()
        is_more = not dry_run
        while is_more:
            count = await store.reap(self.tenant, before, _BATCH)
            is_more = await store.reap_rest(self.tenant, before, _BATCH) > 0 or count > 0
            removed += count
            await runtime.sleep(runtime.monotonic() - started)  # half of the time belongs to those who work
            started = runtime.monotonic()
        kept: list[EffectKey] = []
        for state in State:
            if state not in FINISHED:
                query = Query(tenant=self.tenant, state=state, before=before, limit=_MANY)
                kept += [record.key for record in await store.effects(query)]
        return ReapReport(removed=removed, kept=tuple(kept))

    async def _kept_back(self, before: datetime) -> int:
        """Count the old finished effects that stay, since the workflow that they stopped is stopped still."""
        store = self.parts.store
        stopped = await store.workflows(self.tenant, WorkflowStatus.NEEDS_REVIEW, _MANY)
        found = [
            (await store.find(self.tenant, key)).record
            for key in {workflow.stopped_by for workflow in stopped}
            if key
        ]
        return sum(r is not None and r.state in FINISHED and r.updated_at < before for r in found)


def _is_key(value: Any) -> bool:
    return isinstance(value, str) and _KEY.fullmatch(value) is not None


def is_count(name: str, value: Any) -> int:
    """Return *value* if it is a count.

    Raises:
        InvalidCall: It is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST:
        raise InvalidCall(f"{name}={value!r} is no count", f"give a whole number from 1 to {_MOST}")
    return value


def _check_filters(**filters: object) -> None:
    for name, value in filters.items():
        if value is not None and not (isinstance(value, str) and value.isprintable()):
            raise InvalidCall(f"{name}= is no printable text", "give the exact name, or leave it out")


def _state(name: str) -> State:
    try:
        return State(name)
    except ValueError as error:
        raise InvalidCall(f"there is no state {name!r}", f"use one of {', '.join(State)}") from error
