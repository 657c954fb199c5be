"""Answers of models: as they are put on record and read from it, and what they say that they used."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeAlias, cast

from holdfast._core.budget import MOST, TOKENS
from holdfast._core.canonical import canonical
from holdfast._core.cost import cost_of
from holdfast._core.model_request import ModelAnswer
from holdfast._core.price import PriceRow
from holdfast._core.server_events import events_of
from holdfast._core.usage import Reading, UnknownUsage, Usage
from holdfast._core.usage_wire import WireFormat, usage_of, usage_of_stream
from holdfast._runtime.bill import Bill
from holdfast.errors import NotSerializable, UnpricedModel

UsageReader: TypeAlias = Callable[[ModelAnswer], Reading]
"""Reads what an answer used."""


def recorded(answer: ModelAnswer, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer as it is put on record."""
    told: dict[str, Any] = {"status": answer.status, "content_type": answer.content_type}
    told |= {"request_id": answer.request_id} if answer.request_id else {}
    told |= {"is_partial": True} if answer.is_partial else {}
    told |= {"sent": dict(changed)} if changed else {}
    try:
        parsed = json.loads(answer.text)
        canonical(parsed)
    except (ValueError, RecursionError, NotSerializable):  # what no record can hold as data is kept as text
        return told | {"text": answer.text}
    return told | {"json": parsed}


def answer_of(result: Mapping[str, Any]) -> ModelAnswer:
    """Return what is on record as an answer."""
    return ModelAnswer(
        status=result["status"],
        content_type=result["content_type"],
        text=result["text"] if "text" in result else json.dumps(result["json"], ensure_ascii=False),
        request_id=result.get("request_id", ""),
        is_partial=result.get("is_partial", False),
    )


def reading_of(wire: WireFormat, answer: ModelAnswer) -> Reading:
    """Return what an answer says that it used."""
    if answer.content_type.startswith("text/event-stream"):
        return usage_of_stream(wire, events_of(answer.text))
    try:
        return usage_of(wire, json.loads(answer.text))
    except (ValueError, RecursionError):
        return UnknownUsage("the answer is no JSON")


def put_usage(bill: Bill, reading: Reading, row: PriceRow | None, *, is_partial: bool = False) -> None:
    """Put on the bill what an answer used; where nobody knows, the bound counts."""
    if is_partial:
        bill.lose(_told({"unknown": "the stream was left before its end"}))
        return
    if not isinstance(reading, Usage):
        bill.lose(_told({"unknown": reading.why}))
        return
    used = {name: value for name, value in _fields(reading).items() if value}
    amounts = {TOKENS: min(reading.input + reading.output, MOST)}
    if row is not None:
        try:
            cost = cost_of(reading, row)
        except UnpricedModel as error:
            bill.lose(_told({"usage": used, "unpriced": str(error)}))
            return
        if cost.unpriced:
            bill.lose(_told({"usage": used, "unpriced": list(cost.unpriced)}))
            return
        amounts[row.currency.lower()] = min(cost.total.micros, MOST)
    bill.put(amounts, _told({"usage": used}))


def in_spite_of(gap: NotSerializable) -> ModelAnswer:
    """Return an answer that is too large to be kept: it was given all the same, and paid."""
    result: Any = gap.result
    if not isinstance(result, dict):
        raise gap
    return answer_of(cast("dict[str, Any]", result))


def _told(what: Mapping[str, Any]) -> str:
    return json.dumps(what, sort_keys=True, ensure_ascii=False)


def _fields(usage: Usage) -> dict[str, Any]:
    told = asdict(usage)
    told["other_tools"] = dict(usage.other_tools)
    return told
