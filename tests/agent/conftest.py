"""Agents are tried on every kind of ledger that a test concerns: two faces, three stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from agent.scripted import Office
from promises.ledgers import Place

KINDS: Final = ("memory", "sqlite", "sync-memory", "sync-sqlite")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kinds(*names): the kinds of ledger that a promise concerns, not all.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that asks for an office gets one of each kind; ``@pytest.mark.kinds(...)`` chooses."""
    if "office" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("kinds")
        metafunc.parametrize("office", KINDS if mark is None else mark.args, indirect=True)


@pytest.fixture
async def office(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Office]:
    """Where an agent works: a ledger of one kind, empty at first."""
    kind: str = request.param
    url = f"sqlite:///{tmp_path}/ledger.db"
    if kind.endswith("postgres"):
        url = request.getfixturevalue("ledger_url")
    place = Place(kind, url)
    yield Office(place)
    await place.close()
