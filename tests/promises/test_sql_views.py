"""OBS-03: arguments, results, times and states can be queried by SQL, as the docs say."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from holdfast import Permanent, ToolCall
from holdfast.codecs import AesGcmCodec
from promises.ledgers import Book, Calls, Place

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "query-with-sql.md").read_text(
    encoding="utf-8"
)
QUERIES = re.findall(r"^(\S[^\n]*\?)\n\n```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
DOCUMENTED = {
    name
    for line in PAGE.splitlines()
    if line.startswith("| `")
    for name in re.findall(r"`(\w+)`", line.split("|")[1])
}


def fail(amount: int) -> None:
    raise Permanent("card is stolen")


def lose_the_answer(amount: int) -> None:
    raise ConnectionResetError("peer went away")


async def fill(book: Book) -> None:
    """Three charges that went well, one that failed, one in doubt, and a mail."""
    for amount in (100, 250, 50):
        call = ToolCall(workflow_id="order-123", tool="stripe.charge", args={"amount": amount})
        await book.run(call, handler=book.handler(Calls().charge))
    for workflow_id, handler in (("order-7", fail), ("order-8", lose_the_answer)):
        call = ToolCall(workflow_id=workflow_id, tool="stripe.charge", args={"amount": 1})
        with pytest.raises((Permanent, ConnectionResetError)):
            await book.run(call, handler=book.handler(handler))
    mail = ToolCall(workflow_id="order-123", tool="mail", args={"to": "ada@example.org"})
    await book.run(mail, handler=book.handler(lambda to: {"queued": to}), intent="send_email")


@pytest.mark.kinds("sqlite", "postgres")
@pytest.mark.parametrize("query", [sql for _, sql in QUERIES], ids=[question for question, _ in QUERIES])
async def test_every_query_of_the_docs_runs_and_finds_something(place: Place, query: str) -> None:
    """OBS-03."""
    await fill(place.open())

    assert place.sql(query.rstrip().rstrip(";"))


@pytest.mark.kinds("sqlite", "postgres")
async def test_the_queries_of_the_docs_tell_what_happened(place: Place) -> None:
    """OBS-03: inputs, outputs, status and timing."""
    answers = dict(QUERIES)
    await fill(place.open())

    charged = place.sql(answers["How much was charged?"])
    doubt = place.sql(answers["What is in doubt, oldest first?"])
    review = place.sql(answers["Which workflows need a person?"])
    fails = place.sql(answers["What fails, and how?"])
    slow = place.sql(answers["Which tools are slow?"])
    tools = place.sql(answers["How does each tool fare?"])

    assert charged == [(3, 400)]
    assert [(tool, workflow) for _, tool, workflow, *_ in doubt] == [("stripe.charge", "order-8")]
    assert [row[:2] for row in review] == [("order-8", 1)]
    assert set(fails) == {("stripe.charge", "ConnectionResetError", 1), ("stripe.charge", "Permanent", 1)}
    assert {row[0] for row in slow} == {"stripe.charge", "mail"}
    assert all(isinstance(ms, int | float | Decimal) and ms >= 0 for _, _, *times in slow for ms in times)
    assert ("stripe.charge", "succeeded", 3, 1) in tools


@pytest.mark.kinds("sqlite", "postgres")
async def test_the_view_has_the_documented_columns_and_no_others(place: Place) -> None:
    """OBS-03: `idem_key` is explained there, and is no column."""
    await fill(place.open())
    if place.store == "postgres":
        found = place.sql(
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_name = 'holdfast_effects_v' AND table_schema = current_schema()"
        )
    else:
        found = place.sql("SELECT name FROM pragma_table_info('holdfast_effects_v')")

    assert {name for (name,) in found} == DOCUMENTED - {"idem_key"}


ODD: dict[str, Any] = {
    "nul": "a\0b",
    "minus-zero": -0.0,
    "huge": 10**400,
    "quotes": "'\"\\",
    "nothing": None,
}


@pytest.mark.kinds("sqlite", "postgres")
async def test_no_payload_breaks_the_view(place: Place) -> None:
    """OBS-03: jsonb knows no U+0000; one odd row must not hide the others."""
    book = place.open()
    for name, value in ODD.items():
        await book.run(
            ToolCall(workflow_id=name, tool="t", args={"v": value}), handler=book.handler(Calls(value))
        )
    sealed = place.open(codec=AesGcmCodec({"k": b"k" * 32}))
    await sealed.run(ToolCall(workflow_id="sealed", tool="t"), handler=sealed.handler(Calls("secret")))

    rows = place.sql("SELECT workflow_id, args, result FROM holdfast_effects_v")

    assert {row[0] for row in rows} == {*ODD, "sealed"}


@pytest.mark.kinds("sqlite", "postgres")
async def test_times_in_the_view_are_those_of_the_api(place: Place) -> None:
    """OBS-03: to the millisecond, in UTC."""
    book = place.open()
    await fill(book)

    told = {effect.key: effect.created_at for effect in await book.effects()}
    for key, created_at in place.sql("SELECT key, created_at FROM holdfast_effects_v"):
        moment = datetime.fromisoformat(created_at) if isinstance(created_at, str) else created_at
        assert abs((moment.astimezone(UTC) - told[key]).total_seconds()) < 0.0011
