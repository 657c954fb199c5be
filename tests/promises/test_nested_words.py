"""What a nested effect's handler says of itself says nothing of the effect around it."""

from __future__ import annotations

import pytest

from holdfast import Ledger, NotDone, Permanent, ToolCall
from holdfast.errors import OutcomeUnknown

INNER = ToolCall(workflow_id="order-1", tool="inner")
OUTER = ToolCall(workflow_id="order-1", tool="outer")


@pytest.mark.parametrize("url", ["memory://", "sqlite:///:memory:"])
@pytest.mark.parametrize("word", [NotDone, Permanent])
@pytest.mark.parametrize("safety", ["read", "local", "idempotent", "unsafe"])
async def test_i2_the_word_of_a_nested_effect_proves_nothing_of_the_one_around_it(safety, word, url) -> None:
    """I1, I2: the outer handler has acted already; neither a repetition nor "failed" may follow from the inner's."""
    acted: list[str] = []

    def inner() -> None:
        raise word("nothing to be found")

    async with Ledger(url) as ledger:

        async def outer() -> None:
            acted.append("charged")
            await ledger.run(INNER, inner, safety=safety)

        with pytest.raises(word):
            await ledger.run(OUTER, outer)
        with pytest.raises(OutcomeUnknown):
            await ledger.run(OUTER, outer)

    assert acted == ["charged"]


async def test_i2_a_handlers_own_word_counts_although_a_nested_effect_failed_before() -> None:
    acted: list[str] = []

    def inner() -> None:
        raise NotDone("not found")

    async with Ledger("memory://") as ledger:

        async def outer() -> str:
            acted.append("tried")
            try:
                await ledger.run(INNER, inner, safety="read")
            except NotDone:
                if len(acted) == 1:
                    raise NotDone("so nothing was done at all") from None
            return "done"

        with pytest.raises(NotDone):
            await ledger.run(OUTER, outer)
        assert await ledger.run(OUTER, outer) == "done"
