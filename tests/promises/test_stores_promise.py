"""STA-05: one meaning on every durable store; a store that forgets says so."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from holdfast import Ledger, Settings, SyncLedger, ToolCall
from holdfast.errors import InvalidTool, InvalidURL
from holdfast.stores.memory import MemoryStore
from holdfast.stores.sqlite.store import SqliteStore
from promises.ledgers import CALL, Calls, Place


@pytest.mark.parametrize("face", [Ledger, SyncLedger])
@pytest.mark.parametrize("url", ["memory://", "sqlite:///:memory:"])
async def test_a_ledger_that_is_not_durable_says_so_when_it_is_opened(
    url: str, face: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """STA-05."""
    place = Place("sync-memory" if face is SyncLedger else "memory", url)
    place._kept = None
    book = place.open()

    with caplog.at_level(logging.WARNING, "holdfast"):
        await book.run(CALL, handler=book.handler(Calls().charge))
        await book.run(CALL, handler=book.handler(Calls().charge))
    await place.close()

    assert [record.message for record in caplog.records if "forgets everything" in record.message] == [
        caplog.records[0].message
    ]


@pytest.mark.parametrize("face", [Ledger, SyncLedger])
@pytest.mark.parametrize("url", ["memory://", "sqlite:///:memory:"])
def test_production_refuses_a_store_that_forgets(
    url: str, face: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STA-05: by the code's settings as by the environment's."""
    with pytest.raises(InvalidURL, match="forgets everything"):
        face(url, settings=Settings(production=True))
    monkeypatch.setenv("HOLDFAST_PRODUCTION", "1")
    with pytest.raises(InvalidURL, match="forgets everything"):
        face(url)


@pytest.mark.parametrize("face", [Ledger, SyncLedger])
def test_production_refuses_dev_mode_and_takes_a_store_that_lasts(
    face: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STA-05."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    face(url, settings=Settings(production=True))
    monkeypatch.setenv("HOLDFAST_CHAOS", "0.1")
    with pytest.raises(InvalidTool, match="production"):
        face(url, settings=Settings(production=True))


def test_stores_say_whether_they_are_durable(tmp_path: Any, postgres_url: str) -> None:
    """STA-05: what a production checklist asks."""
    postgres = Ledger(postgres_url)._engine.parts.store

    assert (MemoryStore().durable, SqliteStore(":memory:").durable) == (False, False)
    assert (SqliteStore(str(tmp_path / "a.db")).durable, postgres.durable) == (True, True)


async def test_creating_a_file_is_told_with_its_absolute_path(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """STA-05: a restart in another directory would not know what was done."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOLDFAST_URL", raising=False)

    with caplog.at_level(logging.WARNING, "holdfast"):
        for _ in range(2):
            async with Ledger() as ledger:
                await ledger.run(ToolCall(workflow_id="w", tool="t"), handler=lambda: None)

    assert [record.message for record in caplog.records] == [
        f"creating a new ledger at {tmp_path}/holdfast.db"
    ]
