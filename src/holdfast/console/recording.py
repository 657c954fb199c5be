"""What is done at the console, and what is refused there, on the ledger's own record."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from starlette.requests import Request

from holdfast._core.model import JSON
from holdfast._runtime.deeds import Deed as Recorded
from holdfast._runtime.deeds import put_on_record
from holdfast.console.access import Visitor
from holdfast.console.asking import Deed, Stale
from holdfast.console.ledgers import looked
from holdfast.errors import HoldfastError
from holdfast.ledger import Ledger

log: Final = logging.getLogger("holdfast.console")
OWN: Final = "holdfast:console"
"""The workflow that the record of what concerns no single workflow is in."""
_LONGEST: Final = 300
_MOST_A_MINUTE: Final = 10
_MOST_VISITORS: Final = 1000


async def done(deed: Deed, word: str, workflow_id: str, reason: str, **facts: JSON) -> None:
    """Put on record who did something to a workflow, or to all, and why."""
    told = Recorded(word=word, workflow_id=workflow_id, by=deed.by, facts={"reason": reason, **facts})
    try:
        await looked(deed.ledger, lambda engine: put_on_record(engine.parts, engine.tenant, told))
    except HoldfastError as error:
        log.exception("%s of %s by %s is in this log only", word, workflow_id, deed.by)
        raise Stale(f"It was done, but who did it could not be recorded: {error}") from error


@dataclass(slots=True)
class Refusals:
    """What was refused to people who are known here, on record: a few a minute and a person, each once.

    Whoever is nobody leaves no trace but in the log, so that strangers cannot fill a ledger.

    Attributes:
        ledger: Where.
    """

    ledger: Ledger
    _counts: dict[str, int] = field(default_factory=dict[str, int])
    _minute: datetime | None = None

    async def note(self, visitor: Visitor, request: Request, word: str, why: str, now: datetime) -> None:
        """Put a refusal on record, unless this one, or many of theirs, are on record in this minute."""
        minute = now.replace(second=0, microsecond=0)
        address = _shown(str(request.scope["path"]))
        log.warning("refused %s to %s at %s: %s", word, _shown(visitor.id), address, why)
        if not self._may(visitor.id, minute):
            return
        facts: Mapping[str, JSON] = {"action": word, "address": address, "why": _shown(why)}
        told = Recorded(
            word="refused",
            workflow_id=OWN,
            by=visitor.id,
            facts=facts,
            name=f"{minute.isoformat()} {visitor.id} {word} {address}"[:1000],
            refused=_shown(why),
        )
        try:
            await looked(self.ledger, lambda engine: put_on_record(engine.parts, engine.tenant, told))
        except HoldfastError as error:
            log.warning("a refusal is in this log only: %s", error)

    def _may(self, who: str, minute: datetime) -> bool:
        if minute != self._minute:
            self._minute, self._counts = minute, {}
        if len(self._counts) >= _MOST_VISITORS and who not in self._counts:
            return False
        self._counts[who] = self._counts.get(who, 0) + 1
        return self._counts[who] <= _MOST_A_MINUTE


def _shown(text: str) -> str:
    return ascii(text)[1:-1][:_LONGEST]
