"""All questions that wait, as this console last saw them: only what changed since is read again."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from holdfast._core.approval import Approval, ApprovalState
from holdfast.console.ledgers import looked
from holdfast.ledger import Ledger

MOST: Final = 50_000
_MOST_KINDS: Final = 1000
_AT_ONCE: Final = 200
"""So many are taken in before others on this event loop have their turn."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One question that waits, without its arguments.

    Attributes:
        kind: Questions of one kind may be decided by the same people, as far as they have not ended.
    """

    id: str
    version: int
    actor: str
    expires_at: datetime
    kind: int


@dataclass(slots=True)
class Queue:
    """The questions that wait, what ends first first.

    What it depends on whether a visitor may decide is the same for most of them, so it is asked once a kind.
    """

    _version: str = ""
    _all: list[Waiting] = field(default_factory=list[Waiting])
    _agents: Mapping[str, int] = field(default_factory=dict[str, int])
    _known: dict[str, Waiting] = field(default_factory=dict[str, Waiting])
    _kinds: dict[tuple[Any, ...], int] = field(default_factory=dict[tuple[Any, ...], int])
    _examples: list[Approval] = field(default_factory=list[Approval])
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def look(self, ledger: Ledger, version: str) -> None:
        """Take in what is new; two queries, or none when nothing was written since.

        Args:
            version: What the ledger told of its newest change before.
        """
        async with self._looking:
            if version and version == self._version:
                return
            heads = await looked(ledger, lambda engine: engine.pages.waiting(MOST))
            gone = self._known.keys() - {name for name, _ in heads}
            for name in gone:
                del self._known[name]
            if len(self._examples) > 2 * len(self._known) + _MOST_KINDS:  # most are of what has ended
                self._known, self._kinds, self._examples = {}, {}, []
            new = [name for name, number in heads if not self._is_known(name, number)]
            if new:
                await self._take_in(await looked(ledger, lambda engine: engine.pages.questions(new)))
            self._all = [self._known[name] for name, _ in heads if name in self._known]
            self._agents = dict(Counter(one.actor for one in self._all).most_common())
            self._version = version

    def _is_known(self, name: str, version: int) -> bool:
        known = self._known.get(name)
        return known is not None and known.version == version

    async def _take_in(self, found: Sequence[Approval]) -> None:
        for number, one in enumerate(found):
            if one.state is ApprovalState.PENDING:
                self._known[one.id] = Waiting(one.id, one.version, one.actor, one.expires_at, self._kind(one))
            else:
                self._known.pop(one.id, None)
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)

    def _kind(self, one: Approval) -> int:
        told = str(one.binding.get("on_behalf_of") or "")
        amount = one.amount if one.asks.limited else None
        facts = one.actor, told, one.chain, one.stage, one.votes, one.handed, one.is_escalated, amount
        kind = self._kinds.get(facts)
        if kind is None:
            kind = self._kinds[facts] = len(self._examples)
            self._examples.append(
                replace(one, binding={"actor": one.actor, "on_behalf_of": told, "args": "{}"}, shown={})
            )
        return kind

    def all(self) -> Sequence[Waiting]:
        """Return them, what ends first first."""
        return self._all

    def by_agent(self) -> Mapping[str, int]:
        """Count them by who asked, most first."""
        return self._agents

    def whose(self, is_theirs: Callable[[Approval], bool], now: datetime) -> list[Waiting]:
        """Return those that somebody may decide on.

        Args:
            is_theirs: Asked of one question of each kind.
        """
        answers: dict[int, bool] = {}
        found: list[Waiting] = []
        in_time = bisect_right(self._all, now, key=lambda one: one.expires_at)
        for one in self._all[in_time:]:
            answer = answers.get(one.kind)
            if answer is None:
                example = replace(self._examples[one.kind], expires_at=one.expires_at)
                answer = answers[one.kind] = is_theirs(example)
            if answer:
                found.append(one)
        return found
