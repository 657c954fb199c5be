"""CMP-07, CMP-08: what people are told of an undoing, and how often."""

from __future__ import annotations

import pytest

from holdfast import Alert, Permanent
from promises.ledgers import Place
from promises.shop import ORDER, Shop

CLOSED = Permanent("the account is closed")


async def test_what_could_not_be_undone_is_told_once_however_often_undoing_is_tried(place: Place) -> None:
    """CMP-08: the same thing is left, for the same reason."""
    shop, alerts = Shop(), list[Alert]()
    book = place.open(on_alert=alerts.append)
    await shop.sells(book, "charge", charge=shop.undoes("charge", CLOSED))

    for _ in range(3):
        await book.compensate(ORDER, reason="sold out")

    assert [alert.code for alert in alerts] == ["compensation_failed"]


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
