"""The commonest slip with a decorator is told, with what to write instead."""

from __future__ import annotations

import pytest

from holdfast import Ledger, SyncLedger
from holdfast.errors import InvalidTool


@pytest.mark.parametrize("kind", [Ledger, SyncLedger])
def test_a_bare_decorator_is_refused_with_what_to_write(kind) -> None:
    ledger = kind("memory://")

    with pytest.raises(
        InvalidTool, match=r"charge was declared by a bare @ledger.tool.*write @ledger.tool\(\)"
    ):

        @ledger.tool
        def charge(amount: int) -> int:
            return amount
