"""Takes answers that come back through channels: each message once, in the name of whose account it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from holdfast._core.approval import Approval, ApprovalState
from holdfast._core.approving import Refusal
from holdfast._core.declare import make_contract
from holdfast._core.inquiry import LONGEST_QUESTION
from holdfast._core.model import JSON, ToolCall
from holdfast._core.people import Principal
from holdfast._runtime.approvals import Answer, decide, place_of, refuse
from holdfast._runtime.drive import run_sync
from holdfast._runtime.inquiring import request_info
from holdfast._runtime.notice_calls import workflow_of
from holdfast._runtime.parts import Parts
from holdfast._runtime.pipeline import RESERVED, Request, call
from holdfast.errors import DecisionRefused
from holdfast.ports import Handler, Heard, Message

_TOOL: Final = f"{RESERVED}hear"
_CONTRACT: Final = make_contract(_TOOL, safety="idempotent", dependency=False)
_SHOWN: Final = 200
_NOBODYS: Final = "this account is nobody's who may decide"


async def hear(parts: Parts, tenant: str, message: Message) -> Heard:
    """Take an answer; return what became of it, now or when the same message came before.

    Raises:
        ApprovalNotFound: This tenant has none of that id. Nothing was recorded.
        ApprovalVoid: It is not what this library wrote. It was withdrawn.
        PayloadConflict: Another message came under this id, or the account was somebody else's then. Nothing
            changed.
    """
    await place_of(parts, tenant, message.approval)
    who = _principal(parts, message)
    args: dict[str, JSON] = {
        "approval": message.approval,
        "decision": message.decision,
        "digest": message.digest,
        "reason": message.reason,
        "account": message.account,
        "person": "" if who is None else who.id,  # one message is never two people's answer
        "channel": message.kind,
        "barred": message.barred,
    }
    request = Request(
        tenant=tenant,
        actor=_name(message),
        call=ToolCall(
            workflow_id=workflow_of(message.approval),
            tool=_TOOL,
            args=args,
            key=f"{message.kind}/{message.id}",
        ),
        contract=_CONTRACT,
        handler=_taking(parts, tenant, message, who),
        is_own=True,
    )
    receipt = await call(parts, request)
    told: dict[str, Any] = receipt.result
    heard = Heard(state=ApprovalState(told["state"]), by=told["by"], refused=told["refused"], why=told["why"])
    return replace(heard, replayed=receipt.replayed)


def _taking(parts: Parts, tenant: str, message: Message, who: Principal | None) -> Handler:
    async def take(**about: Any) -> Mapping[str, JSON]:
        del about
        return await _taken(parts, tenant, message, who)

    def plainly(**about: Any) -> Mapping[str, JSON]:
        return run_sync(take(**about))

    return plainly if parts.runtime.blocking else take


async def _taken(parts: Parts, tenant: str, message: Message, who: Principal | None) -> dict[str, JSON]:
    by = "" if who is None else who.id
    answer = Answer(approves=message.decision == "approve", digest=message.digest, reason=message.reason)
    try:
        if who is None or message.barred:
            nobody = Principal(id=_name(message), is_human=False, method=message.kind, sees_all=False)
            why = message.barred if who is not None else _NOBODYS
            await refuse(parts, tenant, message.approval, who or nobody, Refusal("not_allowed", why))
            raise AssertionError  # refuse always raises
        if message.decision == "ask":
            after = await request_info(parts, tenant, message.approval, who, message.reason, message.digest)
        else:
            after = await decide(parts, tenant, message.approval, who, answer)
    except DecisionRefused as refused:
        now = (await place_of(parts, tenant, message.approval)).approval
        told: dict[str, JSON] = {"state": now.state, "by": by, "refused": "", "why": ""}
        if _is_known(now, by, message):  # whoever took it first died before that was on record
            return told
        return {**told, "refused": refused.kind, "why": refused.why}
    return {"state": after.state, "by": by, "refused": "", "why": ""}


def _is_known(now: Approval, by: str, message: Message) -> bool:
    """Whether the answer in *message* is on record."""
    if message.decision == "ask":
        said = message.digest, message.reason[:LONGEST_QUESTION]
        return any(
            (one.by, one.method, one.digest, one.question) == (by, message.kind, *said)
            for one in now.requests
        )
    taken = (vote for vote in now.votes if (vote.person, vote.method) == (by, message.kind))
    mine = next(taken, None)
    approves = message.decision == "approve"
    return mine is not None and (mine.approves, mine.digest) == (approves, message.digest)


def _principal(parts: Parts, message: Message) -> Principal | None:
    """Return whose account it is: nobody's, if the directory does not have it, whatever it says."""
    person = None if parts.people is None else parts.people.of_account(message.kind, message.account)
    if person is None:
        return None
    return Principal(
        id=person.id,
        is_human=person.is_human,
        method=message.kind,
        at=message.at,
        sees_all=message.sees_all,
    )


def _name(message: Message) -> str:
    return f"{message.kind}:{ascii(message.account)[1:-1].strip()}"[:_SHOWN]
