"""Agents are watched on ledgers of both faces and on every kind of store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from agent.scripted import Office
from promises.ledgers import Place

KINDS: Final = ("memory", "sqlite", "postgres", "sync-sqlite", "sync-postgres")


@pytest.fixture(params=KINDS)
async def office(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Office]:
    """Where an agent works: a ledger of one kind, empty at first."""
    kind: str = request.param
    url = (
        request.getfixturevalue("ledger_url")
        if kind.endswith("postgres")
        else f"sqlite:///{tmp_path}/ledger.db"
    )
    place = Place(kind, url)
    yield Office(place)
    await place.close()
