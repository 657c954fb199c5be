"""A store that tells a test how often it is asked, and is otherwise the real one."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from holdfast import Settings
from holdfast.ledger.urls import open_store
from holdfast.ports import Found
from promises.ledgers import PATIENCE_S, Place


class Watched:
    """The store of *place*, with its ``find`` counted. Everything else passes through untouched."""

    def __init__(self, place: Place) -> None:
        self._real = open_store(place.where, Settings(), blocking=place.is_sync, migrate=True)
        self._counted = threading.Condition()
        self.finds = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def find(self, tenant: str, key: Any) -> Found:
        found = await self._real.find(tenant, key)
        with self._counted:
            self.finds += 1
            self._counted.notify_all()
        return found

    async def found(self, times: int) -> None:
        """Return once somebody has looked *times* times."""

        def wait() -> bool:
            with self._counted:
                return self._counted.wait_for(lambda: self.finds >= times, PATIENCE_S)

        assert await asyncio.to_thread(wait)
