"""What people did at a console is never written in the open because a codec failed."""

from __future__ import annotations

import pytest

from holdfast import SyncLedger
from holdfast._runtime.deeds import Deed, NoKey, put_on_record
from holdfast._runtime.drive import run_sync
from holdfast.stores.memory import MemoryStore

DEED = Deed(word="pause", workflow_id="order-1", by="ana", facts={"reason": "secret"})


class Failing:
    def __init__(self, error: ValueError) -> None:
        self.error = error

    def seal(self, text: str, *, context: str) -> str:
        raise self.error

    def open(self, text: str, *, context: str) -> str:
        return text


def kept(error: ValueError, store: MemoryStore) -> None:
    ledger = SyncLedger(store, codec=Failing(error))
    run_sync(put_on_record(ledger._engine.parts, "default", DEED))


def test_a_codec_that_fails_writes_nothing() -> None:
    store = MemoryStore(is_test=True)

    with pytest.raises(ValueError, match="the key store is away"):
        kept(ValueError("the key store is away"), store)

    assert store._effects == {}


def test_where_there_are_no_keys_it_is_written_in_the_open() -> None:
    store = MemoryStore(is_test=True)

    kept(NoKey("none here"), store)

    [effect] = store._effects.values()
    assert effect.actor == "ana"
