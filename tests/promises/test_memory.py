"""STA-10, STA-12: what an agent remembers outside of its context, on every kind of ledger."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from holdfast import Ledger, Memory, Settings, SyncLedger, ToolCall
from holdfast.errors import InvalidCall, InvalidTool, LedgerClosed, NoteTooLarge
from promises.ledgers import Book, Place


class Remembering:
    """One namespace of a book's memories; every method is awaited."""

    def __init__(self, book: Book, *args: Any, **options: Any) -> None:
        self.book = book
        self.face = book.ledger.memory(*args, **options)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        return lambda *args, **options: self.book.do(getattr(self.face, name), *args, **options)

    async def texts(self, *args: Any, **options: Any) -> list[str]:
        return [each.text for each in await self.recall(*args, **options)]


async def test_each_kind_is_stored_and_retrieved_by_itself(book: Book) -> None:
    """STA-10."""
    memory = Remembering(book)
    texts = {
        "working": "the customer is on the line",
        "episodic": "the refund was refused on Monday",
        "semantic": "the customer prefers English",
        "procedural": "to refund, ask billing first",
    }
    for kind, text in texts.items():
        run = "run-1" if kind in {"working", "episodic"} else None
        kept = await memory.remember(text, kind=kind, workflow_id=run, tags=["crm"], data={"n": [1, None]})
        assert (kept.kind, kept.text, kept.workflow_id) == (kind, text, run)

    for kind, text in texts.items():
        assert await memory.texts(kind=kind) == [text]
    assert set(await memory.texts("customer")) == {texts["working"], texts["semantic"]}
    assert await memory.texts("customer", kind="semantic") == [texts["semantic"]]
    assert await memory.texts(workflow_id="run-1") == [texts["episodic"], texts["working"]]
    assert await memory.texts(tags=["other"]) == []
    [found] = await memory.recall("refund billing", kind="procedural")
    assert (found.tags, found.data, found.key, found.expires_at) == (("crm",), {"n": [1, None]}, None, None)


@pytest.mark.kinds("sqlite", "postgres", "sync-sqlite")
async def test_memories_survive_the_process_and_working_memory_its_run_only(place: Place, book: Book) -> None:
    """STA-10: separate lifetimes."""
    memory = Remembering(book)
    for kind in ("working", "episodic", "semantic", "procedural"):
        await memory.remember(f"a {kind} note", kind=kind, workflow_id="run-1")
    await book.close()
    later = Remembering(place.open())

    before = await later.texts("note")
    ended = await later.end("run-1")

    assert len(before) == 4
    assert ended == 1
    assert set(await later.texts("note")) == {"a episodic note", "a semantic note", "a procedural note"}


async def test_the_same_kind_and_key_replace_and_repeating_does_no_harm(book: Book) -> None:
    """STA-10: after a lost answer the same note is simply made again."""
    memory = Remembering(book)

    first = await memory.remember("Ada", key="name")
    for _ in range(3):
        again = await memory.remember("Ada Lovelace", key="name", data=1)
        await memory.remember("no key at all")
    await memory.remember("Ada of run 1", key="name", kind="episodic", workflow_id="run-1")
    await memory.remember("Ada of run 2", key="name", kind="episodic", workflow_id="run-2")
    await Remembering(book, "another agent").remember("Bob", key="name")

    assert (again.id, again.created_at) == (first.id, first.created_at)
    assert again.updated_at > first.updated_at
    assert sorted(await memory.texts()) == ["Ada Lovelace", "Ada of run 1", "Ada of run 2", "no key at all"]
    assert await memory.forget(first.id)
    assert not await memory.forget(first.id)
    assert await memory.texts("lovelace") == []


async def test_inside_a_run_its_id_comes_from_the_context(book: Book) -> None:
    """STA-10: and working memory is the run's own."""
    memory = Remembering(book)
    await memory.remember("of another run", kind="working", workflow_id="run-2")
    seen: list[Memory] = []

    def plain() -> None:
        seen.append(memory.face.remember("of this run", kind="working"))
        seen.extend(memory.face.recall())

    async def coroutine() -> None:
        seen.append(await memory.face.remember("of this run", kind="working"))
        seen.extend(await memory.face.recall())

    await book.run(ToolCall(workflow_id="run-1", tool="t"), plain if book.is_sync else coroutine)

    assert [(each.text, each.workflow_id) for each in seen] == [("of this run", "run-1")] * 2
    assert sorted(await memory.texts()) == ["of another run", "of this run"]
    assert await memory.texts(workflow_id="run-2") == ["of another run"]


@pytest.mark.parametrize("kind", ["working", "episodic"])
@pytest.mark.kinds("memory", "sync-memory")
async def test_what_belongs_to_a_run_is_refused_outside_of_one(book: Book, kind: str) -> None:
    """STA-10: with the reason and what to do."""
    with pytest.raises(InvalidCall, match="workflow_id="):
        await Remembering(book).remember("x", kind=kind)


async def test_notes_are_written_outside_the_context_and_read_after_a_reset(place: Place, book: Book) -> None:
    """STA-12: the next request to the model includes them."""
    await Remembering(book).remember(
        "users.sql is migrated; orders.sql is next", kind="episodic", workflow_id="w"
    )
    if place.store != "memory":
        await book.close()
        book = place.open()

    def request(notes: list[Memory]) -> list[dict[str, str]]:
        told = "\n".join(f"- {note.text}" for note in notes)
        return [{"role": "system", "content": f"Your notes:\n{told}"}, {"role": "user", "content": "go on"}]

    fresh = request(await Remembering(book).recall(workflow_id="w"))

    assert "users.sql is migrated; orders.sql is next" in fresh[0]["content"]


@pytest.mark.kinds("memory", "sync-memory")
async def test_what_is_too_large_or_no_note_is_refused_and_not_kept(place: Place) -> None:
    """STA-10: typed, and without the text in it."""
    book = place.open(settings=Settings(max_memory_bytes=200))
    memory = Remembering(book)

    with pytest.raises(NoteTooLarge) as large:
        await memory.remember("secret " * 100)
    for wrong in (
        {"text": 3},
        {"text": "x", "kind": "eternal"},
        {"text": "x", "key": ""},
        {"text": "x", "key": "a\x00b"},
        {"text": "x", "workflow_id": "\n"},
        {"text": "x", "tags": "secret"},
        {"text": "x", "tags": ["a"] * 5 + [f"t{n}" for n in range(40)]},
        {"text": "x", "data": object()},
        {"text": "x", "data": "secret" * 1000},
    ):
        with pytest.raises(InvalidCall) as refused:
            await memory.remember(**wrong)
        assert "secret" not in str(refused.value)
    for asked in ({"query": 3}, {"limit": 0}, {"kind": "eternal"}, {"tags": [1]}):
        with pytest.raises(InvalidCall):
            await memory.recall(**asked)

    assert (large.value.limit, large.value.unit) == (200, "bytes")
    assert "secret" not in str(large.value)
    assert await memory.texts() == []


@pytest.mark.kinds("memory", "sqlite", "postgres")
async def test_any_text_and_any_query_go_in_and_come_back(book: Book) -> None:
    """STA-10: NUL, half a surrogate pair, quotes, a megabyte of question."""
    memory = Remembering(book)
    text = "\x00 \ud800 'quoted' \"twice\" -- ; DROP %s :x 💳"

    await memory.remember(text, tags=["ü '\"{}"])

    assert await memory.texts("quoted") == [text]
    assert await memory.texts(tags=["ü '\"{}"]) == [text]
    assert await memory.texts("twice " + "x" * (1 << 20)) == [text]
    for nothing in ("", " -- ", "\x00", '"', "*", "AND NOT OR"):
        assert await memory.texts(nothing) == []


@pytest.mark.kinds("memory", "sqlite")
async def test_what_expires_is_not_found_any_more(book: Book) -> None:
    """STA-10."""
    memory = Remembering(book)
    kept = await memory.remember("for a day", expires_in="1d")
    await memory.remember("for a blink", expires_in=timedelta(microseconds=1))

    assert kept.expires_at - kept.updated_at == timedelta(days=1)
    assert await memory.texts() == ["for a day"]


def by_letters(texts: list[str]) -> list[list[float]]:
    """A vector of how often each letter comes: what is spelled alike is alike."""
    return [[float(text.lower().count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts]


async def by_letters_async(texts: list[str]) -> list[list[float]]:
    return by_letters(texts)


@pytest.mark.kinds("memory", "sqlite", "postgres", "sync-sqlite")
async def test_vectors_find_what_no_word_finds(book: Book) -> None:
    """STA-10: re-ranked here, without a vector service."""
    plain = Remembering(book)
    await plain.remember("kept without a vector: zzz")
    embed = by_letters if book.is_sync else by_letters_async
    memory = Remembering(book, embed=embed)
    for text in ("abandon abandon", "xylophone", "qqq zzz"):
        await memory.remember(text)

    assert (await memory.texts("abandoned"))[0] == "abandon abandon"
    assert await plain.texts("abandoned") == []
    assert (await memory.texts("zzz", limit=3))[0] == "qqq zzz"
    assert (await memory.texts("zzz"))[-1] == "kept without a vector: zzz"
    assert await memory.texts("abandoned", limit=1, tags=["none"]) == []


@pytest.mark.parametrize(
    "answer",
    [None, [], [[]], [[1.0], [2.0]], [["x"]], [[math.inf]], [[math.nan]], "vector", [[1.0] * 20_000]],
    ids=range(9),
)
@pytest.mark.kinds("memory", "sync-memory")
async def test_what_is_no_vector_is_refused_and_nothing_is_kept(book: Book, answer: Any) -> None:
    """STA-10."""
    memory = Remembering(book, embed=lambda texts: answer)

    with pytest.raises(InvalidTool, match="embed="):
        await memory.remember("x")

    assert await Remembering(book).texts() == []


def test_an_embed_function_that_cannot_be_asked_is_refused() -> None:
    """STA-10."""
    with SyncLedger("memory://") as ledger:
        for embed in (3, by_letters_async):
            with pytest.raises(InvalidTool, match="embed="):
                ledger.memory(embed=embed)


@pytest.mark.kinds("memory")
async def test_tenants_and_actors_have_memories_of_their_own(book: Book) -> None:
    """IDE-11: the default namespace is the actor."""
    await Remembering(book).remember("mine")

    assert await Remembering(book.scoped(tenant="other")).texts() == []
    assert await Remembering(book.scoped(actor="other")).texts() == []
    assert await Remembering(book.scoped(actor="other"), "agent").texts() == ["mine"]


async def test_a_closed_ledger_remembers_nothing() -> None:
    ledger = Ledger("memory://")
    memory, book = ledger.memory(), ledger.handoff("p")
    await ledger.close()

    for asked in (memory.recall(), memory.remember("x"), book.read(), book.note(done=["x"])):
        with pytest.raises(LedgerClosed):
            await asked
