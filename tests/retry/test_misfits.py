"""The model is told where its arguments do not fit and what is wrong there; no value is repeated."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest
from pydantic_core import PydanticCustomError

from holdfast import SyncLedger, ToolCall
from holdfast.errors import SchemaMismatch

SECRET = "4111-1111-1111-1111"


class Holder(pydantic.BaseModel):
    name: str
    born: int


class Payment(pydantic.BaseModel):
    card: str
    holders: dict[str, Holder] = {}
    kinds: list[str] = []
    note: str = ""

    @pydantic.field_validator("card")
    @classmethod
    def is_card(cls, value: str) -> str:
        if value.startswith("5"):
            raise PydanticCustomError("no_card", "{value} is no card", {"value": value})
        assert not value.startswith("6"), f"{value} is no card"
        if value.startswith("4"):
            msg = f"{value} is no card"
            raise ValueError(msg)
        return value


def told(schema: Any, **args: Any) -> str:
    """What is said of *args*."""
    with SyncLedger("memory://") as ledger:
        ledger.tool("pay", schema=schema)(lambda **given: None)
        with pytest.raises(SchemaMismatch) as refused:
            ledger.run(ToolCall(workflow_id="order-1", tool="pay", args=args))
    return str(refused.value)


@pytest.mark.parametrize(("card", "what"), [("4", "value_error"), ("5", "no_card"), ("6", "assertion_error")])
def test_a_validators_own_words_are_not_repeated(card: str, what: str) -> None:
    """RET-07: they may hold the value; their type is told."""
    said = told(Payment, card=f"{card}{SECRET}")

    assert SECRET not in said
    assert f"card: {what}" in said


@pytest.mark.parametrize("schema", [Payment, pydantic.TypeAdapter(Payment)], ids=["model", "adapter"])
def test_a_key_that_may_be_data_is_not_repeated(schema: Any) -> None:
    """RET-07: declared names are, at every depth, and places in lists."""
    said = told(schema, card="1", holders={SECRET: {"name": 7}}, kinds=["a", 7])

    assert SECRET not in said
    assert "holders.*.name: Input should be a valid string" in said
    assert "holders.*.born: Field required" in said
    assert "kinds.1: Input should be a valid string" in said


class Mismatch(Exception):
    """An error as jsonschema raises it."""

    validator = "type"
    absolute_path = ("holders", SECRET, "born")
    absolute_schema_path = ("properties", "holders", "additionalProperties", "properties", "born", "type")


class Odd(Exception):
    """An error of a library that nobody knows."""


@pytest.mark.parametrize(
    ("error", "what"), [(Mismatch(SECRET), "$.holders.*.born does not keep 'type'"), (Odd(SECRET), "Odd")]
)
def test_other_libraries_are_told_of_without_their_words(error: Exception, what: str) -> None:
    """RET-07: jsonschema by its rule and place, all else by the error's type."""

    def check(args: dict[str, Any]) -> None:
        raise error

    said = told(check, holders={SECRET: {"born": "x"}})

    assert SECRET not in said
    assert f"do not fit its schema: {what}" in said
