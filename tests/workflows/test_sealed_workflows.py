"""STA-19: with a codec the store holds nothing of a workflow in plain, and it goes on in any process that has the key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from holdfast._core.advance import ForkExecution
from holdfast.codecs import AesGcmCodec
from holdfast.errors import HoldfastError, InvalidCall, PayloadSealed, WorkflowFailed
from promises.ledgers import Place
from workflows.crews import Shop
from workflows.sites import Process, Site
from workflows.worlds import Counted

KEY = AesGcmCodec.generate_key()
SECRET = "4242-4242-4242-4242"


def codec(key: bytes = KEY) -> AesGcmCodec:
    return AesGcmCodec({"2026": key})


def secretive(process: Process, world: Counted) -> Any:
    """The secret is in whatever can hold it."""
    charge = process.tool(lambda card: {"card": card}, name="charge")

    def broken(card: str) -> None:
        raise ValueError(f"card {card} is refused")

    async def child(ctx: Any, card: str) -> Any:
        return await ctx.step("echo", lambda card: card, card)

    declared = process.workflow(child)

    async def order(ctx: Any, card: str) -> Any:
        said = [await ctx.step("think", lambda card: f"about {card}", card), await charge(card=card)]
        try:
            await ctx.step("broken", broken, card, retries=0)
        except HoldfastError as error:
            said.append(str(error))
        await ctx.emit("told", {"card": card})
        said.append(await ctx.wait_for("reply"))
        said.append(await ctx.child(declared.declared, card=card))
        return said

    return process.workflow(order)


async def lived(process: Process, world: Counted) -> Any:
    flow = secretive(process, world)
    await flow.enqueue("w", card=SECRET)
    await process.drive("w")
    await process.signal("w", "reply", {"card": SECRET})
    return await flow.run("w", card=SECRET)


def dump(place: Place) -> str:
    """Everything that is stored, as somebody who got hold of the database sees it."""
    if place.store == "memory":
        kept: Any = place._kept
        executions = kept._executions
        return repr([vars(executions), dict(kept._effects)])
    if place.store == "sqlite":
        directory = Path(place.url.removeprefix("sqlite:///")).parent
        return "".join(path.read_bytes().decode("latin-1") for path in directory.iterdir())
    with psycopg.connect(place.url) as db:
        tables = db.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
        rows = [db.execute(f"SELECT t::text FROM {table} AS t").fetchall() for (table,) in tables]
    return str(rows)


async def test_nothing_of_a_workflow_is_stored_in_plain(place: Place) -> None:
    """STA-19: inputs, arguments, results, errors, signals, events, children and outputs."""
    shop = Shop(place, codec=codec())

    said = await lived(shop, Counted())

    assert [SECRET in str(each) for each in said] == [True] * 5
    assert SECRET not in dump(place)
    assert SECRET[:9] not in dump(place)


async def test_without_a_codec_the_dump_does_hold_it(place: Place) -> None:
    """The proof of the proof above."""
    await lived(Shop(place), Counted())

    assert SECRET in dump(place)


async def test_a_sealed_workflow_goes_on_in_another_process_and_is_told_in_plain(site: Site) -> None:
    """STA-19, DUR-02: resume works, and whoever has the key reads everything."""
    first = site.open(codec=codec())
    await secretive(first, Counted()).begun("w", card=SECRET)
    second = site.open(codec=codec())
    flow = secretive(second, Counted())
    await second.signal("w", "reply", SECRET)

    said = await flow.run("w", card=SECRET)
    assert (said[0], said[1], said[3], said[4]) == (f"about {SECRET}", {"card": SECRET}, SECRET, SECRET)
    assert (await second.execution("w")).input == f'{{"card":"{SECRET}"}}'
    assert {SECRET in str(event.result or event.error) for event in await second.told("w")} == {True}


@pytest.mark.parametrize("other", [None, AesGcmCodec({"2026": AesGcmCodec.generate_key()})])
async def test_who_has_not_the_key_does_not_go_on_and_does_no_harm(site: Site, other: Any) -> None:
    """STA-19, STA-15: an error that says so; the record is as it was for whoever has it."""
    first = site.open(codec=codec())
    await secretive(first, Counted()).begun("w", card=SECRET)
    stranger = site.open(codec=other)
    secretive(stranger, Counted())
    await first.signal("w", "reply", SECRET)

    with pytest.raises(HoldfastError):
        await stranger.driven("w")
    site.recover()
    site.clock.advance(120)

    assert (await first.execution("w")).status not in {"failed", "cancelled"}
    last = site.open(codec=codec())
    assert (await secretive(last, Counted()).run("w", card=SECRET))[3] == SECRET


async def test_the_error_of_a_workflow_is_sealed_too(place: Place) -> None:
    """STA-19: whoever runs it is told it in plain."""
    shop = Shop(place, codec=codec())

    async def fails(ctx: Any) -> Any:
        raise ValueError(SECRET)

    with pytest.raises(WorkflowFailed, match=SECRET):
        await shop.workflow(fails).run("w")
    assert SECRET not in dump(place)


class Bustling:
    """A store in which something happens to a record just before it is forked, so many times."""

    def __init__(self, inner: Any, happens: Callable[[], Awaitable[Any]], times: int) -> None:
        self._inner, self._happens, self.times = inner, happens, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def advance(self, op: Any) -> Any:
        if isinstance(op, ForkExecution) and self.times:
            self.times -= 1
            await self._happens()
        return await self._inner.advance(op)


def bustling(site: Site, times: int) -> tuple[Process, Bustling]:
    """Open a process that is sent a signal, by another one, whenever it is about to fork."""
    process, other = site.open(codec=codec()), site.open(codec=codec())

    async def happens() -> None:
        await other.signal("w", "more", {"card": SECRET})

    engine = process.ledger._engine
    store = Bustling(engine.parts.store, happens, times)
    process.ledger._engine = replace(engine, parts=replace(engine.parts, store=cast("Any", store)))
    return process, store


async def test_a_fork_of_a_sealed_workflow_is_sealed_to_its_own_name_and_goes_on(site: Site) -> None:
    """STA-19, DUR-14: steps, errors, signals and the input are those of its source, for whoever has the key."""
    world, first = Counted(), site.open(codec=codec())
    await secretive(first, world).begun("w", card=SECRET)
    await first.signal("w", "reply", SECRET)
    said = await secretive(site.open(codec=codec()), world).run("w", card=SECRET)

    process = site.open(codec=codec())
    flow = secretive(process, world)
    forked = await process.fork("w", "again", from_step="told")
    before = await process.told("again")

    assert (forked.status, forked.input) == ("queued", f'{{"card":"{SECRET}"}}')
    assert [event.name for event in before] == ["think", "charge", "broken"]
    assert SECRET in str(before[2].error)
    assert await flow.run("again", card=SECRET) == said
    rows = [await site._stores[0].journal("default", name) for name in ("w", "again")]
    texts = [{each.args for each in row.steps} | {row.execution.input} for row in rows if row is not None]
    assert not texts[0] & texts[1]
    assert SECRET not in str(rows)


async def test_a_fork_may_be_forked_and_restarted_as_any_other(site: Site) -> None:
    """STA-19, DUR-14."""
    process = site.open(codec=codec())
    flow = secretive(process, Counted())
    await flow.begun("w", card=SECRET)
    await process.fork("w", "x", from_step="broken")
    await process.driven("x")
    await process.fork("x", "y", from_step=3)
    await process.signal("y", "reply", SECRET)

    assert (await flow.run("y", card=SECRET))[3] == SECRET
    await process.cancel("x", by="ops", reason="enough")
    await process.restart("x")
    await process.signal("x", "reply", SECRET)
    assert (await flow.run("x", card=SECRET))[3] == SECRET


async def test_what_was_kept_before_there_was_a_codec_is_sealed_in_its_forks(site: Site) -> None:
    """STA-19: as is all else that is written from then on."""
    await secretive(site.open(), Counted()).begun("w", card=SECRET)
    process = site.open(codec=codec())
    flow = secretive(process, Counted())
    await process.fork("w", "again", from_step="broken")
    await process.signal("again", "reply", SECRET)

    kept = await site._stores[0].journal("default", "again")
    assert SECRET not in str(replace(kept, effects={}))  # those are its source's
    assert (await flow.run("again", card=SECRET))[3] == SECRET


@pytest.mark.parametrize("other", [None, AesGcmCodec({"2026": AesGcmCodec.generate_key()})])
async def test_who_has_not_the_key_forks_nothing(site: Site, other: Any) -> None:
    """STA-19: refused before anything is recorded; without a seal there is nothing against it."""
    sealed, plain = site.open(codec=codec()), site.open(tenant="plain")
    for process in (sealed, plain):
        await secretive(process, Counted()).begun("w", card=SECRET)

    with pytest.raises(PayloadSealed):
        await site.open(codec=other).fork("w", "again", from_step="broken")
    assert [row.workflow_id for row in await sealed.executions(parent="")] == ["w"]
    assert (await plain.fork("w", "again", from_step="broken")).status == "queued"


async def test_a_signal_that_comes_while_a_fork_is_sealed_is_the_forks_too(site: Site) -> None:
    """STA-19, DUR-12: what is copied is what was read: it is read again."""
    process, store = bustling(site, 2)
    flow = secretive(process, Counted())
    await flow.begun("w", card=SECRET)
    await process.signal("w", "reply", SECRET)

    await process.fork("w", "again", from_step="broken")

    kept = await site._stores[0].journal("default", "again")
    assert (store.times, kept is not None and len(kept.messages)) == (0, 3)
    assert (await flow.run("again", card=SECRET))[3] == SECRET


async def test_what_never_stands_still_is_not_forked_for_ever(site: Site) -> None:
    """STA-19: whoever asks is told what to do about it, and nothing is begun."""
    process, _ = bustling(site, 1000)
    await secretive(process, Counted()).begun("w", card=SECRET)

    with pytest.raises(InvalidCall, match="pause it"):
        await process.fork("w", "again", from_step="broken")
    assert [row.workflow_id for row in await process.executions(parent="")] == ["w"]
