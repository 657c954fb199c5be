"""STA-19: with a codec the database holds no payload in plain, and everything works as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from holdfast import Done, Permanent, Settings, State, ToolCall
from holdfast.codecs import AesGcmCodec
from holdfast.errors import PayloadConflict, PayloadSealed
from promises.ledgers import HASTY, Book, Calls, Place

pytestmark = pytest.mark.kinds("memory", "sqlite", "sync-sqlite", "postgres")

OLD, NEW = AesGcmCodec.generate_key(), AesGcmCodec.generate_key()
SECRET = "4242-4242-4242-4242"
CALL = ToolCall(workflow_id="w", tool="charge", args={"card": SECRET}, key="k")


def dump(place: Place) -> str:
    """Everything that is stored, as somebody who got hold of the database sees it."""
    if place.store == "sqlite":
        directory = Path(place.url.removeprefix("sqlite:///")).parent
        return "".join(path.read_bytes().decode("latin-1") for path in directory.iterdir())
    with psycopg.connect(place.url) as db:
        tables = db.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
        rows = [db.execute(f"SELECT t::text FROM {table} AS t").fetchall() for (table,) in tables]
    return str(rows)


def sealed(place: Place, **options: Any) -> Book:
    return place.open(codec=AesGcmCodec({"2026": OLD}), **options)


@pytest.mark.kinds("sqlite", "sync-sqlite", "postgres", "sync-postgres")
async def test_no_payload_of_any_kind_is_in_the_database_in_plain(place: Place) -> None:
    """STA-19: arguments, results, errors, a person's result, and what a late worker brought."""
    book = sealed(place)

    def fail(card: str) -> None:
        raise Permanent(f"declined: {card}")

    await book.run(CALL, handler=book.handler(lambda card: {"charged": card}))
    for workflow_id, handler in (("failed", fail), ("lost", lambda card: 1 / 0)):
        call = ToolCall(workflow_id=workflow_id, tool="charge", args={"card": SECRET})
        with pytest.raises((Permanent, ZeroDivisionError)):
            await book.run(call, handler=book.handler(handler))
    [doubt] = await book.effects(state="unknown")
    await book.resolve(doubt.key, Done({"found": SECRET}), by="ann", reason=f"saw {SECRET}")

    stored = dump(place)

    assert '"enc"' in stored.replace('\\"', '"')
    assert SECRET not in stored
    assert (await book.effect(doubt.key)).result == {"found": SECRET}
    assert (await book.verify()).ok


async def test_a_later_ledger_with_the_keys_resumes_as_if_nothing_were_sealed(place: Place) -> None:
    """STA-19: replays, conflicts, failures and doubt, also after the sealing key was changed."""
    calls = Calls({"charged": SECRET})
    book = sealed(place, settings=HASTY)
    await book.run(CALL, handler=book.handler(lambda card: calls(card=card)))
    await book.close()

    rotated = place.open(codec=AesGcmCodec({"2026": OLD, "2027": NEW}, active="2027"), settings=HASTY)
    assert await rotated.run(CALL, handler=rotated.handler(calls)) == {"charged": SECRET}
    other = ToolCall(workflow_id="w", tool="charge", args={"card": "x"}, key="k")
    with pytest.raises(PayloadConflict, match=r"\$\.card"):
        await rotated.run(other, handler=rotated.handler(calls))
    another = ToolCall(workflow_id="w2", tool="charge", args={"card": SECRET})
    assert await rotated.run(another, handler=rotated.handler(calls)) == {"charged": SECRET}

    assert calls.count == 2
    assert {str(effect.args) for effect in await rotated.effects()} == {str({"card": SECRET})}
    assert (await rotated.verify()).ok


async def test_a_ledger_without_the_key_says_so_and_executes_nothing(place: Place) -> None:
    """STA-19: typed, whether it has another key or no codec at all."""
    book, calls = sealed(place), Calls()
    done = await book.call(CALL, handler=book.handler(lambda card: {"charged": card}))
    failed = ToolCall(workflow_id="failed", tool="charge", args={"card": SECRET})
    with pytest.raises(Permanent):
        await book.run(failed, handler=book.handler(decline))

    for codec in (AesGcmCodec({"2026": NEW}), AesGcmCodec({"other": NEW}), None):
        stranger = place.open(codec=codec)
        for call in (CALL, failed):
            with pytest.raises(PayloadSealed, match="with the codec and the key") as told:
                await stranger.run(call, handler=stranger.handler(calls))
            assert SECRET not in str(told.value)
        effect = await stranger.effect(done.key)
        assert (effect.args, effect.result) == (None, None)
        report = await stranger.verify()
        assert (report.chains, report.unreadable) == (2, 2)
        assert report.ok is (
            codec is None
        )  # the chains are whole; a key that does not fit may mean tampering

    assert calls.count == 0
    assert (await book.effect(done.key)).state is State.SUCCEEDED


def decline(card: str) -> None:
    raise Permanent("declined")


@pytest.mark.kinds("sqlite", "sync-postgres")
async def test_a_ciphertext_that_was_moved_to_another_effect_cannot_be_opened(place: Place) -> None:
    """STA-19: it is bound to its place, so nobody can answer one call with another one's result."""
    book, calls = sealed(place), Calls()
    keys = []
    for workflow_id in ("mine", "theirs"):
        call = ToolCall(workflow_id=workflow_id, tool="charge", args={"card": SECRET})
        keys.append((await book.call(call, handler=book.handler(lambda card: {"charged": card}))).key)
    mine, theirs = keys
    place.sql(
        f"UPDATE holdfast_effect SET result = (SELECT result FROM holdfast_effect WHERE key = '{theirs}') "
        f"WHERE key = '{mine}'"
    )

    call = ToolCall(workflow_id="mine", tool="charge", args={"card": SECRET})
    with pytest.raises(PayloadSealed, match=r"sealed.*altered, or belongs to another place"):
        await book.run(call, handler=book.handler(calls))

    assert calls.count == 0
    report = await book.verify()
    assert {problem.key for problem in report.problems} == {mine}


@pytest.mark.kinds("sqlite", "sync-postgres")
async def test_a_ciphertext_that_was_moved_to_another_column_cannot_be_opened(place: Place) -> None:
    """STA-19: nobody can answer a call with its own arguments."""
    book, calls = sealed(place), Calls()
    call = ToolCall(workflow_id="mine", tool="charge", args={"card": SECRET})
    key = (await book.call(call, handler=book.handler(lambda card: {"charged": card}))).key
    place.sql(f"UPDATE holdfast_effect SET result = args WHERE key = '{key}'")

    with pytest.raises(PayloadSealed, match=r"altered, or belongs to another place"):
        await book.run(call, handler=book.handler(calls))

    assert calls.count == 0


async def test_what_was_stored_before_the_codec_was_set_can_still_be_read(place: Place) -> None:
    """STA-19, INT-11: encryption may be adopted late."""
    calls, book = Calls({"charged": "x"}), place.open()
    await book.run(CALL, handler=book.handler(calls))
    await book.close()

    later = sealed(place)

    assert await later.run(CALL, handler=later.handler(calls)) == {"charged": "x"}
    assert calls.count == 1
    assert (await later.verify()).ok


async def test_an_audit_key_is_needed_to_forge_the_chain_and_to_check_it(place: Place) -> None:
    """STA-19: the chain of a ledger with an audit key is an HMAC; another key does not fit."""
    keyed = place.open(settings=Settings(audit_key="a" * 32))
    await keyed.run(CALL, handler=keyed.handler(Calls("ok")))

    assert (await keyed.verify()).ok
    assert not (await place.open(settings=Settings(audit_key="b" * 32)).verify()).ok
