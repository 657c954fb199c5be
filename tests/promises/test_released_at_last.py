"""What a closed ledger opens once more, for what ends late, it gives back."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from holdfast import Done
from holdfast.errors import OutcomeUnknown
from promises.ledgers import CALL, HASTY, PATIENCE_S, Place

pytestmark = pytest.mark.kinds("sync-sqlite", "sqlite")


def connections(book: Any) -> list[str]:
    return list(book.ledger._engine.parts.store.database._connections)


async def test_what_a_handler_brings_after_its_ledger_was_closed_leaves_no_connection_open(
    place: Place,
) -> None:
    """STA-13, I4: it is on record, and nothing is held for it any longer."""
    book, other = place.open(settings=HASTY), place.open(settings=HASTY)
    leave = threading.Event()

    def slow(**_: Any) -> dict[str, int]:
        leave.wait(PATIENCE_S)
        return {"id": 1}

    with pytest.raises(OutcomeUnknown):
        await book.run(CALL, slow, timeout=0.05)
    await book.close(drain=0.05)
    leave.set()
    async with asyncio.timeout(PATIENCE_S):
        while (await other.effects())[0].state != "succeeded":
            await asyncio.sleep(0.01)
        while connections(book):
            await asyncio.sleep(0.01)


@pytest.mark.kinds("sqlite")
async def test_a_signal_that_is_on_its_way_as_its_ledger_closes_leaves_no_connection_open(
    place: Place,
) -> None:
    """STA-13, IDE-27: it is kept, whoever is closed meanwhile."""
    book, other = place.open(settings=HASTY), place.open(settings=HASTY)
    await book.effects()
    told = asyncio.create_task(book.observe("pi_1", Done(), signal_id="evt_1"))
    await asyncio.sleep(0)

    await book.close(drain=0.05)
    await told
    async with asyncio.timeout(PATIENCE_S):
        while connections(book):
            await asyncio.sleep(0.01)

    assert not (await other.observe("pi_1", Done(), signal_id="evt_1")).is_new
