"""STA-19: with a codec the database holds no memory and no hand-off in plain, and both are found all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from holdfast import SyncLedger
from holdfast.codecs import AesGcmCodec
from holdfast.errors import InvalidTool, PayloadSealed
from promises.ledgers import Book, Place
from promises.test_handoff import Handing, lists
from promises.test_memory import Remembering

OLD, NEW = AesGcmCodec.generate_key(), AesGcmCodec.generate_key()
SECRETS = ("hunter2", "swordfish", "zanzibar", "quetzal", "ocelot", "axolotl")
"""One each for a text, a key, a tag, the data, an item and a decision."""


def dump(place: Place) -> str:
    """Everything that is stored, as somebody who got hold of the database sees it."""
    if place.store == "sqlite":
        directory = Path(place.url.removeprefix("sqlite:///")).parent
        return "".join(path.read_bytes().decode("latin-1") for path in directory.iterdir())
    with psycopg.connect(place.url) as db:
        tables = db.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
        rows = [db.execute(f"SELECT t::text FROM {table} AS t").fetchall() for (table,) in tables]
    return str(rows)


def sealed(place: Place, keys: dict[str, bytes] | None = None, active: str = "2026") -> Book:
    return place.open(codec=AesGcmCodec(keys or {"2026": OLD}, active=active))


def embed(texts: list[str]) -> list[list[float]]:
    return [[1.0, float(len(text))] for text in texts]


@pytest.mark.kinds("sqlite", "sync-sqlite", "postgres", "sync-postgres")
async def test_no_memory_and_no_hand_off_is_in_the_database_in_plain(place: Place) -> None:
    """STA-19: neither the texts, nor the words by which they are found, nor keys, tags, data and vectors."""
    book = sealed(place)
    text, key, tag, data, item, decision = SECRETS
    memory, handing = Remembering(book, embed=embed), Handing(book)
    await memory.remember(f"the password is {text}", key=key, tags=[tag], data={"animal": data})
    await handing.note(next=[item], decisions=[decision])
    await handing.note(done=[item])
    await handing.note(next=["plain to see"])

    stored = dump(place)

    assert '"enc"' in stored.replace('\\"', '"')
    assert [word for word in (*SECRETS, "password") if word in stored.lower()] == []
    [found] = await memory.recall("PASSWORD", tags=[tag])
    assert (found.text, found.key, found.tags) == (f"the password is {text}", key, (tag,))
    assert found.data == {"animal": data}
    assert await Remembering(book).texts("fish") == []
    assert lists(await handing.read())["done"] == [item]
    assert await handing.is_done(item)


@pytest.mark.kinds("memory", "sqlite", "postgres", "sync-sqlite")
async def test_after_a_change_of_keys_notes_are_found_replaced_and_finished(place: Place) -> None:
    """STA-19: what an older key hid keeps its identity."""
    before = sealed(place)
    kept = await Remembering(before).remember("prefers English", key="language", tags=["crm"])
    await Handing(before).note(next=["schema"])
    after = sealed(place, {"2026": OLD, "2027": NEW}, active="2027")
    memory, handing = Remembering(after), Handing(after)

    assert await memory.texts("english") == ["prefers English"]
    again = await memory.remember("prefers German", key="language")
    handoff = await handing.note(done=["schema"])

    assert (again.id, again.created_at) == (kept.id, kept.created_at)
    assert await memory.texts() == await memory.texts("german") == ["prefers German"]
    assert await memory.texts("english") == []
    assert (lists(handoff)["done"], lists(handoff)["next"]) == (["schema"], [])
    assert await handing.is_done("schema")


@pytest.mark.kinds("memory", "sqlite")
async def test_whoever_lacks_the_key_is_refused(place: Place) -> None:
    """STA-19: typed, and without a word of what is in it."""
    book = sealed(place)
    await Remembering(book).remember("hunter2")
    await Handing(book).note(done=["hunter2"])

    for stranger in (place.open(), sealed(place, {"other": NEW}, active="other")):
        for asked in (Remembering(stranger).recall(), Handing(stranger).read()):
            with pytest.raises(PayloadSealed) as refused:
                await asked
            assert "hunter2" not in str(refused.value)
        assert await Remembering(stranger).texts("hunter2") == []


@pytest.mark.kinds("memory", "sqlite")
async def test_what_was_noted_before_there_was_a_codec_stays_readable(place: Place) -> None:
    """STA-19: it is found by words again once it has been noted again."""
    before = place.open()
    await Remembering(before).remember("prefers English", key="language")
    await Handing(before).note(done=["schema"])
    after = sealed(place)

    assert await Remembering(after).texts() == ["prefers English"]
    assert await Remembering(after).texts("english") == []
    assert lists(await Handing(after).read())["done"] == ["schema"]


@pytest.mark.kinds("sqlite")
async def test_a_memory_that_was_moved_or_altered_does_not_open(place: Place) -> None:
    """STA-19: nobody can put one memory in another one's place."""
    book = sealed(place)
    memory = Remembering(book)
    await memory.remember("trust nobody", key="a")
    await memory.remember("trust everybody", key="b")
    place.sql("UPDATE holdfast_memory SET body = (SELECT max(body) FROM holdfast_memory)")

    with pytest.raises(PayloadSealed):
        await memory.recall()


class Rot13:
    """A codec as they were before notes: it seals, and makes no digests."""

    def seal(self, text: str, *, context: str) -> str:
        return text

    def open(self, text: str, *, context: str) -> str:
        return text


def test_a_codec_without_digests_is_refused_with_what_it_lacks() -> None:
    """STA-19: nothing that is sealed could be found again, and nothing readable is kept instead."""
    with SyncLedger("memory://", codec=Rot13()) as ledger:
        makers: list[Any] = [ledger.memory, lambda: ledger.handoff("p")]
        for make in makers:
            with pytest.raises(InvalidTool, match="digests"):
                make()


def test_digests_differ_by_key_place_and_text_and_fit_into_an_index() -> None:
    """STA-19: what is hidden in one namespace says nothing about another."""
    codec = AesGcmCodec({"a": OLD, "b": NEW}, active="b")
    digests = {
        digest
        for text, context in (("x", "p"), ("y", "p"), ("x", "q"), ("p/x", ""))
        for digest in codec.digests(text, context=context)
    }

    assert len(digests) == 8
    assert all((digest.isalnum() and digest.islower()) or digest.isdigit() for digest in digests)
    assert codec.digests("x", context="p")[1:] == AesGcmCodec({"a": OLD}).digests("x", context="p")
