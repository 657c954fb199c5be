"""Who decides in the demo: by default the demo itself plays the person."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from holdfast import Approval, Ledger

YOU: Final = "you"
SHOWN_CENTS: Final = 10_000
"""What the customer agreed to."""
_LOOK_S: Final = 0.05


class Person(Protocol):
    """Answers what the agent asks."""

    @property
    def patience_s(self) -> float:
        """How long the agent waits for each answer, in seconds."""
        ...

    async def answer(self, ledger: Ledger, question: Approval) -> None:
        """Say yes or no; return once it is on record."""
        ...


class Played:
    """Says yes to what the customer agreed to, and to nothing else."""

    patience_s = 60.0

    async def answer(self, ledger: Ledger, question: Approval) -> None:
        if question.args["amount_cents"] == SHOWN_CENTS:
            await ledger.approve(question.id, by=YOU, digest=question.digest, reason="as agreed")
        else:
            await ledger.deny(question.id, by=YOU, reason="the customer agreed to 100.00")


async def asked(ledger: Ledger, workflow_id: str) -> Approval:
    """Wait for the question that a workflow asks, and return it."""
    while True:
        found = await ledger.approvals(workflow_id=workflow_id, limit=1)
        if found:
            return found[0]
        await asyncio.sleep(_LOOK_S)
