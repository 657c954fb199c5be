"""Keeps the lists that one session hands to the next."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from holdfast._core.handoff import Handoff, HandoffItem, named
from holdfast._core.notes import ORDER, ItemRecord, Section, first_places, identity_text
from holdfast._core.value import value
from holdfast._runtime.hiding import Hiding
from holdfast._runtime.memories import as_json, as_name
from holdfast._runtime.parts import Parts
from holdfast._runtime.stops import HandlerTimeout
from holdfast.errors import InvalidCall, NoteTooLarge


@value
class Handoffs:
    """One project's hand-off."""

    parts: Parts
    tenant: str
    actor: str
    project: str
    hiding: Hiding

    async def note(self, lists: Mapping[Section, Iterable[str]], by: str | None) -> Handoff:
        """Put items into lists; see :meth:`holdfast.ledger.HandoffBook.note`."""
        author = self.actor if by is None else as_name("by", by)
        given = {section: _texts(section, texts) for section, texts in lists.items()}
        known = {item.id for item in await self._items()}
        now = self.parts.runtime.now()
        items: list[ItemRecord] = []
        for section, texts in given.items():
            for text in texts:
                name = self._id(section, text, known)
                items.append(
                    ItemRecord(
                        id=name,
                        section=section,
                        rank=ORDER.index(section) if section in ORDER else 0,
                        number=len(items),
                        body=self.hiding.seal(name, self._body(text, author), "body"),
                        created_at=now,
                        moved_at=now,
                    )
                )
        kept = first_places(items)
        self._check_count(known.union(item.id for item in kept), known)
        if kept:
            await self.parts.store.notes.note(self.tenant, self.project, kept)
        return await self.read()

    def _check_count(self, after: set[str], before: set[str]) -> None:
        limit = self.parts.settings.max_handoff_items
        if (
            len(after) > limit and after != before
        ):  # what is on record can be moved to other lists all the same
            raise NoteTooLarge(len(after), limit, "items", "max_handoff_items")

    def _body(self, text: str, author: str) -> str:
        limit = self.parts.settings.max_memory_bytes
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > limit:
            raise NoteTooLarge(size, limit, "bytes", "max_memory_bytes")
        return as_json({"text": text, "by": author}, 2 * limit + 8192)

    def _ids(self, section: Section, text: str) -> list[str]:
        # An item is the same in whichever list it is; a decision that reads like it is another thing.
        group = "decision" if section is Section.DECISIONS else "item"
        return self.hiding.ids(identity_text(self.project, group, text))

    def _id(self, section: Section, text: str, known: set[str]) -> str:
        """Return an item's id; after a change of keys one that is on record keeps its own."""
        ids = self._ids(section, text)
        return next((one for one in ids if one in known), ids[0])

    async def _items(self) -> Sequence[ItemRecord]:
        return await self.parts.store.notes.items(self.tenant, self.project)

    async def read(self) -> Handoff:
        """Return how the project stands."""
        lists: dict[Section, list[HandoffItem]] = {section: [] for section in Section}
        for item in await self._items():
            lists[item.section].append(self._shown(item))
        return Handoff(
            project=self.project,
            done=tuple(lists[Section.DONE]),
            in_progress=tuple(lists[Section.IN_PROGRESS]),
            next=tuple(lists[Section.NEXT]),
            decisions=tuple(lists[Section.DECISIONS]),
        )

    def _shown(self, item: ItemRecord) -> HandoffItem:
        told: Any = json.loads(self.hiding.open(item.id, item.body, "body"))
        return HandoffItem(text=told["text"], by=told["by"], noted_at=item.created_at, moved_at=item.moved_at)

    async def is_done(self, text: str) -> bool:
        """Return whether an item is done."""
        (wanted,) = _texts(Section.DONE, [text])
        ids = self._ids(Section.DONE, wanted)
        return any(item.id in ids and item.section is Section.DONE for item in await self._items())

    async def forget(self, text: str) -> bool:
        """Delete an item, or a decision, that reads so; return whether there was one."""
        (wanted,) = _texts(Section.NEXT, [text])
        ids = [*self._ids(Section.NEXT, wanted), *self._ids(Section.DECISIONS, wanted)]
        return await self.parts.store.notes.strike(self.tenant, self.project, ids) > 0

    async def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the progress file; return where it is."""
        target = Path(os.path.abspath(path))  # noqa: ASYNC240, PTH100 - asks for no file, so it may be here
        text = (await self.read()).text
        timeout_s = self.parts.settings.reconcile_timeout_s
        try:
            await self.parts.runtime.ask(lambda told: _replace_file(target, told), text, timeout_s=timeout_s)
        except HandlerTimeout as error:
            message = f"writing {target} took longer than {timeout_s:g} s (Settings.reconcile_timeout)"
            raise TimeoutError(message) from error
        return target


def _texts(section: Section, texts: Any) -> list[str]:
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise InvalidCall(f"{section}= is {type(texts).__name__}", "give a list of texts; nothing ran")
    found: list[str] = []
    for text in texts:  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(text, str) or not named(text):
            raise InvalidCall(f"{section}= has an item that is no text", "give a list of texts; nothing ran")
        found.append(named(text))
    return found


def _replace_file(target: Path, text: str) -> None:
    """Write *text* so that whoever opens *target* finds all of the old or all of the new."""
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with draft.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            shutil.copymode(target, draft)
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
