"""People change a cap: an effect of the ledger's own, once, in the audit chain; so is whoever may not.

The changes of one budget are numbered, and each is an effect of that number: of two people one makes it. What
somebody began and died over is gone through with before the next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from holdfast._core.budget import Level
from holdfast._core.caps import CapWish, why_not_theirs
from holdfast._core.declare import make_contract
from holdfast._core.model import JSON, Record, ToolCall
from holdfast._core.people import Principal
from holdfast._core.states import FINISHED
from holdfast._runtime import context
from holdfast._runtime.deeds import PREFIX, Deed, put_on_record
from holdfast._runtime.drive import run_sync
from holdfast._runtime.parts import Parts
from holdfast._runtime.pipeline import RESERVED, Request, call
from holdfast.errors import (
    CapConflict,
    CapRefused,
    EffectFailed,
    InProgress,
    InvalidCall,
    PayloadConflict,
    Permanent,
    StoreUnavailable,
)
from holdfast.ports import AccountQuery, CapChange, Query

_WORD: Final = "raise_budget"
_TOOL: Final = f"{PREFIX}{_WORD}"
_CONTRACT: Final = make_contract(_TOOL, safety="idempotent", dependency=False)
_LATEST: Final = 50
_REST_S: Final = 0.05


class _Changed(Permanent):
    """The cap is not what it was when the change was asked for."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a budget is, and in which story its changes are told."""

    owner: str
    wish: CapWish

    @property
    def story(self) -> str:
        wish = self.wish
        return f"{RESERVED}budget/{wish.account}/{wish.unit}/{wish.per}"


async def change_cap(parts: Parts, tenant: str, who: Principal, wish: CapWish) -> Level:
    """Change a cap in the name of a person; return the budget as it is then.

    Raises:
        CapRefused: It is not for them, or an agent's code asks for it. It is on record that they tried.
        CapConflict: Somebody else changes it, or has done so meanwhile.
        InvalidCall: Nobody has used such a budget, or the cap would be none.
        StoreUnavailable: The database is away.
    """
    place = _Place(wish.owner(tenant), wish)
    why = _from_within() or why_not_theirs(wish, who, parts.people, parts.runtime.now())
    if why:
        deed = Deed(
            word=f"{_WORD}.refused", workflow_id=place.story, by=who.id, facts=wish.facts, refused=why
        )
        await put_on_record(parts, tenant, deed)
        raise CapRefused(wish.account, wish.unit, who.id, why)
    latest, number = await _latest(parts, tenant, place)
    if latest is not None and latest.state not in FINISHED:
        begun = _args(parts, latest)
        level = await _made(parts, tenant, place, begun, may_be_written=True)
        if _is_same(begun, who, wish):
            return level
    level = await _level(parts, place)
    change: dict[str, JSON] = {"was": level.raised, "raised": wish.raised(level)}
    facts = {"by": who.id, "method": who.method, **wish.facts, "number": number + 1, **change}
    return await _made(parts, tenant, place, facts)


def _from_within() -> str:
    """Say what of an agent's the current code is a part of: there nobody speaks for people."""
    if context.executing.get():
        return "it was asked for from within a tool, and what agents run speaks for nobody"
    if context.life.get() is not None or context.holding.get() is not None:
        return "it was asked for from within a workflow, and what agents run speaks for nobody"
    return ""


async def _latest(parts: Parts, tenant: str, place: _Place) -> tuple[Record | None, int]:
    """Return the last change of that budget, and its number; 0 when there was none."""
    query = Query(tenant=tenant, workflow_id=place.story, tool=_TOOL, limit=_LATEST)
    found: list[tuple[int, Record]] = []
    for record in await parts.store.effects(query):
        number = _args(parts, record).get("number")
        if isinstance(number, int):
            found.append((number, record))
    if not found:
        return None, 0
    number, record = max(found, key=lambda each: each[0])
    return record, number


def _args(parts: Parts, record: Record) -> dict[str, JSON]:
    told: dict[str, JSON] = json.loads(parts.opened(record.tenant, record.key, record.args, "args"))
    return told


def _is_same(begun: dict[str, JSON], who: Principal, wish: CapWish) -> bool:
    """Whether somebody asks again for what they began."""
    return {"by": who.id, **wish.facts}.items() <= begun.items()


async def _level(parts: Parts, place: _Place) -> Level:
    wish = place.wish
    query = AccountQuery(owner=place.owner, account=wish.account)
    for level in await parts.store.budgets.levels(query):
        if (level.unit, level.per) == (wish.unit, wish.per):
            return level
    window = f" per {wish.per}" if wish.per else ""
    what = f"there is no budget {wish.account}/{wish.unit}{window}, or nothing has used it yet"
    raise InvalidCall(what, "see `holdfast budgets` for those there are; nothing changed")


async def _made(
    parts: Parts, tenant: str, place: _Place, facts: dict[str, JSON], *, may_be_written: bool = False
) -> Level:
    """Make a change, once whatever happens on the way; return the budget as it is then.

    Args:
        may_be_written: Somebody began it, and may have come as far as that.
    """
    request = Request(
        tenant=tenant,
        actor=str(facts["by"]),
        call=ToolCall(workflow_id=place.story, tool=_TOOL, args=facts, key=str(facts["number"])),
        contract=_CONTRACT,
        handler=_handler(parts, _writing(parts, place, facts, may_be_written=may_be_written)),
        is_own=True,
    )
    try:
        await call(parts, request)
    except (_Changed, EffectFailed, InProgress, PayloadConflict):
        level = await _level(parts, place)
        wish = place.wish
        raise CapConflict(wish.account, wish.unit, wish.per, level.cap, level.raised) from None
    return await _level(parts, place)


def _writing(
    parts: Parts, place: _Place, facts: dict[str, JSON], *, may_be_written: bool
) -> Callable[[], Coroutine[Any, Any, dict[str, JSON]]]:
    was, raised = int(str(facts["was"])), int(str(facts["raised"]))

    async def write() -> dict[str, JSON]:
        nonlocal may_be_written
        until = parts.runtime.monotonic() + parts.settings.store_patience_s
        while True:
            try:
                level = await _level(parts, place)
                is_ours = may_be_written and level.raised == raised
                written = level if is_ours else await parts.store.budgets.put_cap(_change(level, was, raised))
            except StoreUnavailable as error:
                may_be_written = True
                if error.lasts or parts.runtime.monotonic() >= until:
                    raise
                await parts.runtime.sleep(_REST_S)
                continue
            if written is None:
                raise _Changed(f"people had added {level.raised} by then, and not {was}")
            return {"cap": written.cap, "raised": written.raised}

    def _change(level: Level, was: int, raised: int) -> CapChange:
        return CapChange(
            owner=level.owner,
            account=level.account,
            unit=level.unit,
            per=level.per,
            cap=level.cap - level.raised,
            was=was,
            raised=raised,
            at=parts.runtime.now(),
        )

    return write


def _handler(parts: Parts, write: Callable[[], Coroutine[Any, Any, dict[str, JSON]]]) -> Callable[..., Any]:
    def blocking(**about: Any) -> dict[str, JSON]:
        del about
        return run_sync(write())

    async def waiting(**about: Any) -> dict[str, JSON]:
        del about
        return await write()

    return blocking if parts.runtime.blocking else waiting
