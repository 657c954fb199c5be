"""Retries are tried on every store, under a clock that waiting moves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from desk import Desk
from holdfast.testing.places import places


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """An empty store of each kind, and as many processes over it as a test opens."""
    where = str(request.param)
    if where == "postgres":
        where = f"{request.getfixturevalue('ledger_url')}%20-csynchronous_commit%3Doff"
    desk = Desk(places(where, tmp_path)())
    yield desk
    desk.close()
