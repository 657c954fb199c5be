"""A case of hostile input, and what has to be so after every one of them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from holdfast import State, ToolCall
from holdfast.errors import HoldfastError, InvalidCall
from promises.ledgers import Book, Calls

GOOD = ToolCall(workflow_id="good", tool="good", args={"n": 1})


@dataclass(frozen=True, kw_only=True)
class Case:
    """Something that nobody should do.

    Attributes:
        do: Does it, with a ledger and a handler that must not run.
        error: What it has to raise.
        says: What the message has to say: what is wrong, and the fix.
        hides: What the message must not say.
    """

    id: str
    do: Callable[[Book, Calls], Awaitable[Any]]
    error: type[HoldfastError] = InvalidCall
    says: str = ""
    hides: str = ""


def cases(*table: Case) -> pytest.MarkDecorator:
    """Parametrise over a table of cases."""
    return pytest.mark.parametrize("case", table, ids=[case.id for case in table])


async def assert_refused(book: Book, case: Case) -> None:
    """Do it: a typed error names the fix, the handler never ran, nothing was recorded, all still works."""
    calls = Calls()

    with pytest.raises(HoldfastError) as refused:
        await case.do(book, calls)

    text = str(refused.value)
    assert type(refused.value) is case.error
    assert re.search(case.says, text), text
    assert len(text) < 1000
    assert "\0" not in text
    assert not case.hides or case.hides not in text
    assert calls.count == 0
    await assert_unharmed(book)


async def assert_unharmed(book: Book) -> None:
    """Nothing is on record; a good call works and is replayed; the audit chains are whole."""
    calls = Calls("fine")
    assert await book.effects() == []
    for _ in range(2):
        assert await book.run(GOOD, handler=book.handler(lambda n: calls(n=n))) == "fine"
    assert calls.count == 1
    [effect] = await book.effects()
    assert effect.state is State.SUCCEEDED
    assert (await book.verify()).ok
