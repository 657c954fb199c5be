"""What one session hands to the next, as its users see it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from holdfast._core.handoff import Handoff
from holdfast._core.notes import Section
from holdfast._runtime.drive import run_sync
from holdfast._runtime.handoffs import Handoffs
from holdfast._runtime.hiding import hiding
from holdfast._runtime.memories import as_name
from holdfast.ledger.engine import Engine


class HandoffBook:
    """One project's hand-off; made by :meth:`holdfast.Ledger.handoff`."""

    def __init__(self, engine: Engine, project: str) -> None:
        self._engine = engine
        self._handoffs = Handoffs(
            parts=engine.parts,
            tenant=engine.tenant,
            actor=engine.actor,
            project=as_name("project", project),
            hiding=hiding(engine.parts, engine.tenant, f"handoff {project}"),
        )

    async def note(
        self,
        *,
        done: Iterable[str] = (),
        in_progress: Iterable[str] = (),
        next: Iterable[str] = (),  # noqa: A002 - as the list is called
        decisions: Iterable[str] = (),
        by: str | None = None,
    ) -> Handoff:
        """Put items into lists; return the hand-off as it is then.

        An item is known by its text and is in one list. It moves forward, from next over in progress to
        done, and never back: the same notes give the same lists, however often, late or out of order.

        Args:
            by: Who notes it; default the ledger's actor.

        Raises:
            NoteTooLarge: An item, or their number, is larger than the settings allow. Nothing was noted.
            StoreUnavailable: The database is away; call again.
        """
        await self._engine.records.opened()
        lists = {
            Section.DONE: done,
            Section.IN_PROGRESS: in_progress,
            Section.NEXT: next,
            Section.DECISIONS: decisions,
        }
        return await self._handoffs.note(lists, by)

    async def read(self) -> Handoff:
        """Return how the project stands; ``.text`` is for the next session's first prompt.

        Raises:
            PayloadSealed: It is sealed, and this ledger cannot open it.
        """
        await self._engine.records.opened()
        return await self._handoffs.read()

    async def is_done(self, item: str) -> bool:
        """Return whether *item* is done."""
        await self._engine.records.opened()
        return await self._handoffs.is_done(item)

    async def forget(self, item: str) -> bool:
        """Delete an item or a decision; return whether there was one. Noted again, it is a new one."""
        await self._engine.records.opened()
        return await self._handoffs.forget(item)

    async def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the hand-off's text to a file, all of it or nothing, in plain; return the file's place.

        Raises:
            OSError: It cannot be written; what was there is as it was.
        """
        await self._engine.records.opened()
        return await self._handoffs.write(path)


class SyncHandoffBook:
    """One project's hand-off; made by :meth:`holdfast.SyncLedger.handoff`."""

    def __init__(self, engine: Engine, project: str) -> None:
        self._book = HandoffBook(engine, project)

    def note(
        self,
        *,
        done: Iterable[str] = (),
        in_progress: Iterable[str] = (),
        next: Iterable[str] = (),  # noqa: A002 - as the list is called
        decisions: Iterable[str] = (),
        by: str | None = None,
    ) -> Handoff:
        """Put items into lists; see :meth:`HandoffBook.note`."""
        return run_sync(
            self._book.note(done=done, in_progress=in_progress, next=next, decisions=decisions, by=by)
        )

    def read(self) -> Handoff:
        """Return how the project stands; see :meth:`HandoffBook.read`."""
        return run_sync(self._book.read())

    def is_done(self, item: str) -> bool:
        """Return whether *item* is done."""
        return run_sync(self._book.is_done(item))

    def forget(self, item: str) -> bool:
        """Delete an item or a decision; see :meth:`HandoffBook.forget`."""
        return run_sync(self._book.forget(item))

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the hand-off's text to a file; see :meth:`HandoffBook.write`."""
        return run_sync(self._book.write(path))
