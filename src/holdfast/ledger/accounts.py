"""What a ledger tells of its budgets and of what was spent: once, for both of its faces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias, get_args

from holdfast._core.budget import EVERYBODY, Level
from holdfast._core.caps import CapWish
from holdfast._core.duration import Duration, seconds
from holdfast._core.estimate import CostHistory, history_of
from holdfast._core.factors import CostFactors, factors_of
from holdfast._core.model import Record
from holdfast._core.people import Principal
from holdfast._core.states import WorkflowStatus
from holdfast._runtime.caps import change_cap
from holdfast._runtime.closing import errand, keeping_open
from holdfast._runtime.parts import Parts
from holdfast._runtime.pipeline import RESERVED
from holdfast.errors import InvalidCall, LedgerClosed
from holdfast.ledger.records import is_count
from holdfast.ports import AccountQuery, CostBy, CostQuery, CostRow, ExecutionQuery, HoldQuery, Query, Store

SpentBy: TypeAlias = Literal["tool", "model", "agent", "workflow", "tenant", "outcome", "day", "waste"]
"""What costs are told by. The outcome is the state that the effect is in. Waste is why what was spent was for
nothing: ``retried``, ``failed``, ``denied``, ``cancelled``, ``unknown``; empty for what was not."""

_STORED: Final[dict[SpentBy, CostBy]] = {
    "tool": "tool",
    "model": "model",
    "agent": "actor",
    "workflow": "workflow_id",
    "tenant": "outcome",
    "outcome": "outcome",
    "day": "day",
    "waste": "waste",
}
_MOST: Final = 10_000
_SUMMED: Final = (
    "attempts",
    "money",
    "tokens",
    "assumed_money",
    "held_money",
    "wasted_money",
    "wasted_tokens",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """What was spent, in parts. However it is divided, the parts add up to the same.

    Attributes:
        by: What it is divided by.
        workflow_id: Of which workflow; ``None`` for all.
        since: Of attempts that began at or after (aware); *until* of those that began before.
        parts: By name and currency. Money is in micro-units; ``attempts`` counts each retry.
    """

    tenant: str
    by: SpentBy
    workflow_id: str | None
    since: datetime | None
    until: datetime | None
    parts: tuple[CostRow, ...]

    @property
    def totals(self) -> tuple[CostRow, ...]:
        """All parts of a currency together, by currency; attempts that cost no money have an empty one."""
        return summed("", self.parts)


@dataclass(frozen=True, slots=True)
class Accounts:
    """One scope's budgets, and what was spent there."""

    parts: Parts
    tenant: str
    actor: str

    async def _opened(self) -> Store:
        if self.parts.traffic.is_closing:
            raise LedgerClosed
        await self.parts.store.open()
        return self.parts.store

    @keeping_open
    async def budgets(
        self, account: str | None, prefix: str | None, after: Level | None, limit: int
    ) -> list[Level]:
        store = await self._opened()
        query = AccountQuery(
            owner=EVERYBODY,
            account=_text("account", account),
            prefix=_text("prefix", prefix),
            limit=is_count("limit", limit),
        )
        place = None if after is None else (after.account, after.unit, after.per)
        found: list[Level] = []
        if after is None or after.owner == EVERYBODY:
            found += await store.budgets.levels(replace(query, after=place))
            place = None
        if len(found) < limit:
            own = replace(query, owner=self.tenant, after=place, limit=limit - len(found))
            found += await store.budgets.levels(own)
        return found

    @keeping_open
    async def costs(
        self,
        by: SpentBy,
        workflow_id: str | None,
        since: datetime | Duration | None,
        until: datetime | Duration | None,
    ) -> CostReport:
        store = await self._opened()
        if by not in _STORED:
            raise InvalidCall(f"costs by {ascii(by)[:40]}", f"use one of {', '.join(get_args(SpentBy))}")
        query = CostQuery(
            tenant=self.tenant,
            by=_STORED[by],
            workflow_id=_text("workflow_id", workflow_id),
            since=self._moment("since", since),
            until=self._moment("until", until),
        )
        rows: Sequence[CostRow] = await store.budgets.costs(query)
        return CostReport(
            tenant=self.tenant,
            by=by,
            workflow_id=workflow_id,
            since=query.since,
            until=query.until,
            parts=summed(self.tenant, rows) if by == "tenant" else tuple(rows),
        )

    @keeping_open
    async def history(
        self, workflow: str | None, agent: str | None, currency: str, limit: int
    ) -> CostHistory:
        store = await self._opened()
        if workflow is None and agent is None:
            raise InvalidCall("a history of nothing", "name workflow= or agent=")
        functions = None if workflow is None else (_text("workflow", workflow) or "",)
        found: list[str] = []
        for status in (WorkflowStatus.SUCCEEDED, WorkflowStatus.FAILED, WorkflowStatus.CANCELLED):
            query = ExecutionQuery(
                tenant=self.tenant, functions=functions, status=status, limit=is_count("limit", limit)
            )
            ended = await store.executions(query)
            found += [row.workflow_id for row in ended if agent in {None, row.actor}]
        money, tokens = dict.fromkeys(found, 0), dict.fromkeys(found, 0)
        for row in await store.budgets.costs(CostQuery(tenant=self.tenant, by="workflow_id")):
            if row.name in money:
                money[row.name] += row.money if row.currency == currency.lower() else 0
                tokens[row.name] += row.tokens
        return history_of(list(money.values()), list(tokens.values()), currency.upper())

    @keeping_open
    async def factors(self, workflow_id: str) -> CostFactors:
        store = await self._opened()
        name = _text("workflow_id", workflow_id) or ""
        query = HoldQuery(tenant=self.tenant, workflow_id=name, limit=_MOST + 1)
        holds = await store.budgets.holds(query)
        found = await store.effects(Query(tenant=self.tenant, workflow_id=name, limit=_MOST + 1))
        effects = [effect for effect in found[:_MOST] if not effect.tool.startswith(RESERVED)]
        if not holds and not effects:
            what = f"nothing is on record of a workflow {name!r}"
            raise InvalidCall(what, "check the id and the tenant; `holdfast workflows` lists them")
        return factors_of(
            name,
            holds[:_MOST],
            effects,
            {effect.key: self._result(effect) for effect in effects if _has_result(effect)},
            is_whole=max(len(holds), len(found)) <= _MOST,
        )

    async def change_cap(self, who: Any, wish: CapWish) -> Level:
        """Change a cap in the name of a person."""
        principal = who if isinstance(who, Principal) else Principal(id=who)

        async def changed() -> Level:
            await self._opened()
            return await change_cap(self.parts, self.tenant, principal, wish)

        return await errand(self.parts, changed)

    def _result(self, effect: Record) -> str | None:
        if effect.result is None:
            return None
        try:
            return self.parts.opened(effect.tenant, effect.key, effect.result, "result")
        except ValueError:  # sealed with a key that this ledger does not have
            return None

    def _moment(self, name: str, given: datetime | Duration | None) -> datetime | None:
        if given is None or isinstance(given, datetime):
            if given is not None and given.tzinfo is None:
                what = f"{name}= has no time zone"
                raise InvalidCall(what, "pass an aware datetime, or a length of time like '1h'")
            return given
        return self.parts.runtime.now() - timedelta(seconds=seconds(given, name=name))


def summed(name: str, rows: Iterable[CostRow]) -> tuple[CostRow, ...]:
    """Return *rows* added up by currency, each sum under one name."""
    sums: dict[str, dict[str, int]] = {}
    for row in rows:
        known = sums.setdefault(row.currency, dict.fromkeys(_SUMMED, 0))
        for each in _SUMMED:
            known[each] += getattr(row, each)
    return tuple(CostRow(name=name, currency=currency, **sums[currency]) for currency in sorted(sums))


def _has_result(effect: Record) -> bool:
    return effect.result is not None or effect.result_gap is not None


def _text(name: str, given: Any) -> str | None:
    if given is not None and not (isinstance(given, str) and given.isprintable()):
        raise InvalidCall(f"{name}= is no printable text", "give the exact name, or leave it out")
    return given
