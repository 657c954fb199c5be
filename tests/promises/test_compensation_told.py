"""CMP-07: what a workflow is stopped for while it is undone, and afterwards."""

from __future__ import annotations

import pytest

from promises.ledgers import Place
from promises.shop import ORDER, Shop


@pytest.mark.parametrize(
    "reason", ["a; stopped before: stopped before: b", "stopped before: b", "; stopped before: b"]
)
async def test_a_reason_for_undoing_is_no_reason_to_stay_stopped(place: Place, reason: str) -> None:
    """CMP-07: whatever words it is made of."""
    shop, book = Shop(), place.open()
    await shop.sells(book, "charge")

    report = await book.compensate(ORDER, reason=reason)

    assert not report.needs_review
    assert [workflow.stopped for workflow in await book.workflows()] == [None]
