"""What a ledger tells of the people who decide: how they do, what they knew better, and whether they read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from holdfast._core.approval import Approval
from holdfast._core.chain import ANYBODY, Chain
from holdfast._core.change import Committed
from holdfast._core.duration import Duration, seconds
from holdfast._core.model import EffectKey, ToolCall
from holdfast._core.oversight import OversightReport, Vigilance, golden_case, report
from holdfast._core.people import Principal
from holdfast._core.plan import along_with, plan_insert
from holdfast._core.reviews import REVIEW_VERDICTS, ReviewVerdict, SampledCall, golden_case_of
from holdfast._core.states import Event
from holdfast._runtime.asking import live_of, opening, question
from holdfast._runtime.closing import errand, keeping_open
from holdfast._runtime.minding import readable
from holdfast._runtime.parts import Parts
from holdfast._runtime.pipeline import Request, prepare
from holdfast._runtime.record import commit_patiently
from holdfast._runtime.reviewing import review, sampled_calls
from holdfast.errors import InvalidCall, LedgerClosed
from holdfast.ports import ApprovalQuery, Ask, Store

_PAGE: Final = 500
_REASON_LENGTH: Final = 2000


@dataclass(frozen=True, slots=True)
class Oversight:
    """One scope's oversight."""

    parts: Parts
    tenant: str

    async def _opened(self) -> Store:
        if self.parts.traffic.is_closing:
            raise LedgerClosed
        await self.parts.store.open()
        return self.parts.store

    @keeping_open
    async def report(self, since: Duration, vigilance: Vigilance) -> OversightReport:
        store = await self._opened()
        until = self.parts.runtime.now()
        begin = until - timedelta(seconds=seconds(since, name="since"))
        calls = sum((await store.counts(self.tenant, since=begin)).values())
        asked = await self._asked(store, begin)
        reviewed = await sampled_calls(self.parts, self.tenant, begin, is_reviewed=True)
        reviews: list[ReviewVerdict] = [call.verdict for call in reviewed if call.verdict is not None]
        return report(asked, calls=calls, since=begin, until=until, vigilance=vigilance, reviews=reviews)

    @keeping_open
    async def overrides(self, since: Duration) -> list[Mapping[str, Any]]:
        store = await self._opened()
        begin = self.parts.runtime.now() - timedelta(seconds=seconds(since, name="since"))
        cases = [golden_case(approval) for approval in await self._asked(store, begin)]
        reviewed = await sampled_calls(self.parts, self.tenant, begin, is_reviewed=True)
        cases += [golden_case_of(call) for call in reviewed]
        return [case for case in cases if case is not None]

    @keeping_open
    async def sampled(
        self, since: Duration, tool: str | None, *, is_reviewed: bool | None
    ) -> list[SampledCall]:
        await self._opened()
        begin = self.parts.runtime.now() - timedelta(seconds=seconds(since, name="since"))
        return await sampled_calls(self.parts, self.tenant, begin, tool=tool, is_reviewed=is_reviewed)

    async def review(self, key: str, by: Any, verdict: Any, reason: Any) -> SampledCall:
        """Put on record what somebody found who looked at a call afterwards."""
        if verdict not in REVIEW_VERDICTS:
            raise InvalidCall(f"a verdict of {ascii(verdict)[:40]}", "say 'ok' or 'wrong'; nothing changed")
        if not isinstance(reason, str) or len(reason) > _REASON_LENGTH or not reason.strip():
            what = f"reason= is no text of 1 to {_REASON_LENGTH} characters"
            raise InvalidCall(what, "say what was seen; nothing changed")
        who = by if isinstance(by, Principal) else Principal(id=by)

        async def reviewed() -> SampledCall:
            await self._opened()
            return await review(self.parts, self.tenant, EffectKey(str(key)), who, verdict, reason)

        return await errand(self.parts, reviewed)

    async def _asked(self, store: Store, since: datetime) -> list[Approval]:
        found: list[Approval] = []
        query = ApprovalQuery(tenant=self.tenant, since=since, limit=_PAGE)
        while True:
            page = await store.approvals.listed(query)
            found += await readable(self.parts, list(page))
            if len(page) < _PAGE:
                return found
            query = replace(query, after=(page[-1].created_at, page[-1].id))

    async def plant(self, request: Request, chain: Chain | None, reason: str) -> Approval:
        """Ask about a call that nobody makes, and that people ought to deny."""

        async def planted() -> Approval:
            store = await self._opened()
            work = prepare(self.parts, request)
            asks = Ask(reason, chain=chain or ANYBODY)
            now = (await store.find(self.tenant, work.key)).now
            live = await live_of(self.parts, work, asks)
            asked = await question(self.parts, work, asks, live, number=1, now=now)
            asked = replace(asked, is_canary=True)
            stamp = self.parts.stamp(self.tenant, work.key, work.actor)
            op, details = opening(asked, stamp)
            change, _ = plan_insert(work.new, Event.ASK, stamp, details=details)
            until = self.parts.runtime.monotonic() + self.parts.settings.store_patience_s
            answer = await commit_patiently(self.parts, along_with(change, (op,)), until=until)
            if not isinstance(answer, Committed):
                raise InvalidCall(f"effect {work.key!r} is on record", "plant a call that nobody has made")
            self.parts.announce(self.parts, self.tenant, asked.id)
            return asked

        return await errand(self.parts, planted)


def canary(call: Any) -> ToolCall:
    """Return *call* if it can be planted.

    Raises:
        InvalidCall: It is no call of ours.
    """
    if not isinstance(call, ToolCall):
        raise InvalidCall(f"a canary of type {type(call).__name__}", "give a ToolCall")
    return call
