"""What a ledger tells of its approvals, and how people answer them: once, for both of its faces."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from holdfast._core.approval import Approval, ApprovalRecord, ApprovalState
from holdfast._core.call_context import InfoAnswer
from holdfast._core.duration import Duration, seconds
from holdfast._core.inquiry import LONGEST_QUESTION
from holdfast._core.model import EffectKey
from holdfast._core.people import Principal
from holdfast._runtime.approvals import Answer, decide, hand_over, place_of, withdraw
from holdfast._runtime.closing import errand, keeping_open
from holdfast._runtime.hearing import hear
from holdfast._runtime.inquiring import answer_info, request_info
from holdfast._runtime.minding import readable
from holdfast._runtime.parts import Parts
from holdfast.errors import ApprovalNotFound, InvalidCall, LedgerClosed
from holdfast.ledger.records import is_count
from holdfast.ports import ApprovalQuery, Heard, Message, Store

_ID_LENGTH: Final = 128
_DIGEST_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class Questions:
    """One scope's approvals.

    Attributes:
        hint: Lets the engine that drives workflows know that one may go on.
    """

    parts: Parts
    tenant: str
    actor: str
    hint: Callable[[str, datetime | None], Awaitable[None]]

    async def _opened(self) -> Store:
        if self.parts.traffic.is_closing:
            raise LedgerClosed
        await self.parts.store.open()
        return self.parts.store

    @keeping_open
    async def listed(
        self,
        state: str | None,
        workflow_id: str | None,
        key: str | None,
        since: datetime | Duration | None,
        after: Approval | None,
        limit: int,
    ) -> list[Approval]:
        store = await self._opened()
        wanted = None if state is None else _state(state)
        wanted_rows = is_count("limit", limit)
        query = ApprovalQuery(
            tenant=self.tenant,
            state=wanted,
            workflow_id=workflow_id,
            key=None if key is None else EffectKey(key),
            since=self._moment(since),
            after=None if after is None else _place(after, wanted),
            limit=wanted_rows,
        )
        found: list[Approval] = []
        while True:
            rows = list(await store.approvals.listed(query))
            found += await readable(self.parts, rows)
            if len(rows) < query.limit or len(found) == wanted_rows:
                return found
            query = replace(query, after=_place(rows[-1], wanted), limit=wanted_rows - len(found))

    def _moment(self, since: datetime | Duration | None) -> datetime | None:
        if since is None or isinstance(since, datetime):
            if since is not None and since.tzinfo is None:
                raise InvalidCall("since= has no time zone", "pass an aware datetime, or a length of time")
            return since
        return self.parts.runtime.now() - timedelta(seconds=seconds(since, name="since"))

    @keeping_open
    async def counts(self) -> Mapping[ApprovalState, int]:
        store = await self._opened()
        return await store.approvals.counts(self.tenant)

    @keeping_open
    async def found(self, approval_id: str) -> Approval:
        """Return one approval as it stands by now; the start of its id will do."""
        name = await self._named(approval_id)
        return (await place_of(self.parts, self.tenant, name)).approval

    async def _named(self, approval_id: Any) -> str:
        store = await self._opened()
        if not isinstance(approval_id, str) or not approval_id.isalnum() or len(approval_id) > _ID_LENGTH:
            raise ApprovalNotFound(ascii(approval_id)[:80])
        if await store.approvals.find(self.tenant, approval_id) is not None:
            return approval_id
        query = ApprovalQuery(tenant=self.tenant, id_prefix=approval_id, limit=2)
        rows = await store.approvals.listed(query)
        if len(rows) != 1:
            raise ApprovalNotFound(approval_id)
        return rows[0].id

    async def approve(
        self, approval_id: str, by: Any, digest: str, reason: str, args: Mapping[str, Any] | None
    ) -> Approval:
        whole: Any = digest
        if not isinstance(whole, str) or len(whole) != _DIGEST_LENGTH:
            what = f"digest= has {len(whole) if isinstance(whole, str) else 'no'} characters"
            raise InvalidCall(what, "give all 64 of the approval that was shown; nothing changed")
        return await self._answered(
            approval_id, by, Answer(approves=True, digest=digest, reason=_text("reason", reason), args=args)
        )

    async def deny(self, approval_id: str, by: Any, reason: str, digest: str | None) -> Approval:
        said = _text("reason", reason)
        if not said.strip():
            raise InvalidCall("reason= is empty", "say why: the agent is told")
        return await self._answered(approval_id, by, Answer(approves=False, digest=digest or "", reason=said))

    async def request_info(self, approval_id: str, by: Any, question: str, digest: str | None) -> Approval:
        who, said = _principal(by), _text("question", question)
        if not said.strip() or len(said) > LONGEST_QUESTION:
            what = f"question= has {len(said.strip())} characters"
            raise InvalidCall(what, f"ask in 1 to {LONGEST_QUESTION}: the agent reads it")

        async def asked() -> Approval:
            name = await self._named(approval_id)
            return await request_info(self.parts, self.tenant, name, who, said, digest or "")

        return await errand(self.parts, asked)

    async def answer_info(self, approval_id: str, answer: str, to: str | None) -> Approval:
        given = InfoAnswer(to="whatever is owed" if to is None else to, text=answer)

        async def told() -> Approval:
            name = await self._named(approval_id)
            owed = "" if to is None else given.to
            return await answer_info(self.parts, self.tenant, name, self.actor, given.text, owed)

        return await errand(self.parts, told)

    async def _answered(self, approval_id: str, by: Any, answer: Answer) -> Approval:
        who = _principal(by)

        async def decided() -> Approval:
            name = await self._named(approval_id)
            given = answer
            if not answer.approves and not answer.digest:  # no is no, whatever was shown
                row = await self.parts.store.approvals.find(self.tenant, name)
                given = replace(answer, digest="" if row is None else row.digest)
            return await decide(self.parts, self.tenant, name, who, given)

        return await self._told(await errand(self.parts, decided))

    async def hear(self, message: Message) -> Heard:
        async def heard() -> tuple[Heard, str]:
            store = await self._opened()
            answer = await hear(self.parts, self.tenant, message)
            row = await store.approvals.find(self.tenant, message.approval)
            return answer, "" if row is None else row.workflow_id

        answer, workflow_id = await errand(self.parts, heard)
        if workflow_id and answer.state is not ApprovalState.PENDING and not answer.refused:
            await self.hint(workflow_id, None)
        return answer

    async def reassign(self, approval_id: str, by: Any, to: str) -> Approval:
        who, other = _principal(by), _principal(to).id

        async def handed() -> Approval:
            return await hand_over(self.parts, self.tenant, await self._named(approval_id), who, other)

        return await errand(self.parts, handed)

    async def withdraw(self, approval_id: str, by: str, reason: str) -> Approval:
        who, why = _principal(by).id, _text("reason", reason)

        async def withdrawn() -> Approval:
            return await withdraw(self.parts, self.tenant, await self._named(approval_id), who, why)

        return await self._told(await errand(self.parts, withdrawn))

    async def _told(self, approval: Approval) -> Approval:
        if approval.state is not ApprovalState.PENDING:
            await self.hint(approval.workflow_id, None)
        return approval


def _principal(by: Any) -> Principal:
    return by if isinstance(by, Principal) else Principal(id=by)


def _state(name: str) -> ApprovalState:
    try:
        return ApprovalState(name)
    except ValueError:
        what = f"there is no state {name!r} of an approval"
        raise InvalidCall(what, f"use one of {', '.join(ApprovalState)}") from None


def _place(row: Approval | ApprovalRecord, state: ApprovalState | None) -> tuple[datetime, str]:
    at = row.expires_at if state is ApprovalState.PENDING else row.created_at
    return at, row.id


def _text(name: str, given: Any) -> str:
    if not isinstance(given, str):
        raise InvalidCall(f"{name}= is {type(given).__name__}", "give text")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise InvalidCall(f"{name}= has a lone surrogate", "give text that can be encoded") from None
    return given
