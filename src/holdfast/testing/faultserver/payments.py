"""The service behind the server: payments as Stripe has them, and things that echo, both with keys."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

from holdfast.testing.faultserver.served import Done, Event
from holdfast.testing.faultserver.wire import Answer, Request

Json: TypeAlias = "dict[str, Any]"

_NESTED: Final = re.compile(r"(\w+)\[(\w+)\]")
_PAGING: Final = frozenset({"limit", "starting_after", "ending_before"})
_MOST: Final = 100
_THINGS: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class _Known:
    """What a key was used for: the method, path and content of the first request, and its answer."""

    asked: tuple[str, str, Any]
    answer: Answer


@dataclass(slots=True)
class Payments:
    """Makes charges, refunds and things, in memory. For one thread at a time.

    The same requests in the same order make the same ids, events and answers.

    Attributes:
        deduplicates: Whether a known ``Idempotency-Key`` is answered from the record. If not, it is
            noted and otherwise ignored, as by many real interfaces.
        seed: Another seed makes other ids.
    """

    deduplicates: bool
    seed: int
    _charges: dict[str, Json] = field(default_factory=dict[str, Json])
    _refunds: dict[str, Json] = field(default_factory=dict[str, Json])
    _things: dict[str, Any] = field(default_factory=dict[str, Any])
    _known: dict[str, _Known] = field(default_factory=dict[str, _Known])
    _made: int = 0

    def process(self, request: Request) -> Done:
        """Do what is asked for, or say why not."""
        content = _content(request)
        key = request.key if self.deduplicates and request.changes else None
        asked = (request.method, request.path, content)
        if key is not None and (known := self._known.get(key)):
            if known.asked != asked:
                what = "This Idempotency-Key was used with other parameters."
                return _refused(400, what, kind="idempotency_error")
            return Done(answer=replace(known.answer, headers={"Idempotent-Replayed": "true"}))
        done = self._route(request, content)
        if key is not None and done.made and isinstance(done.answer, Answer):
            self._known[key] = _Known(asked, done.answer)
        return done

    def _route(self, request: Request, content: Any) -> Done:
        method = "GET" if request.method == "HEAD" else request.method
        match method, request.path.strip("/").split("/"):
            case "POST", ["v1", "charges"]:
                return self._charge(request.key, content)
            case "GET", ["v1", "charges"]:
                return _listed(self._charges, request)
            case "GET", ["v1", "charges", identifier]:
                return _found(self._charges, identifier)
            case "POST", ["v1", "charges", identifier, "refunds"] if identifier in self._charges:
                return self._refund(self._charges[identifier], request.key, content)
            case "GET", ["v1", "charges", identifier, "refunds"] if identifier in self._charges:
                mine = {name: one for name, one in self._refunds.items() if one["charge"] == identifier}
                return _listed(mine, request)
            case "POST" | "GET", ["v1", "charges", *_]:
                return _missing()
            case _, ["v1", "charges", *_]:
                return _refused(405, "Not allowed here.")
            case "GET", _:
                return _found(self._things, request.path)
            case _ if method in _THINGS:
                return self._thing(request, content)
            case _:
                return _refused(405, "Not allowed here.")

    def _charge(self, key: str | None, content: Any) -> Done:
        fields = _record(content)
        amount = _amount(fields)
        if not amount:
            return _refused(400, "amount must be a positive integer.", param="amount")
        charge: Json = {
            "currency": "usd",
            **fields,
            "id": self._next("ch"),
            "object": "charge",
            "amount": amount,
            "amount_refunded": 0,
            "status": "succeeded",
            "idempotency_key": key,
        }
        self._charges[charge["id"]] = charge
        return self._paid(charge, {"charge.processing": "processing", "charge.succeeded": "succeeded"})

    def _refund(self, charge: Json, key: str | None, content: Any) -> Done:
        fields = _record(content)
        left = charge["amount"] - charge["amount_refunded"]
        amount = _amount(fields) if "amount" in fields else left
        if not left:
            return _refused(400, "The charge has been refunded already.", code="charge_already_refunded")
        if not 0 < amount <= left:
            return _refused(400, "amount must be positive and at most what is left.", param="amount")
        refund: Json = {
            **fields,
            "id": self._next("re"),
            "object": "refund",
            "amount": amount,
            "charge": charge["id"],
            "currency": charge["currency"],
            "status": "succeeded",
            "idempotency_key": key,
        }
        self._refunds[refund["id"]] = refund
        self._charges[charge["id"]] = {**charge, "amount_refunded": charge["amount_refunded"] + amount}
        return self._paid(refund, {"charge.refunded": "succeeded"})

    def _paid(self, made: Json, told: Mapping[str, str]) -> Done:
        events = tuple(
            Event(id=self._id("evt", f"{made['id']}/{name}"), type=name, data={**made, "status": status})
            for name, status in told.items()
        )
        return Done(answer=Answer(status=200, body=made), made=made["id"], events=events)

    def _thing(self, request: Request, content: Any) -> Done:
        if request.method == "DELETE" and self._things.pop(request.path, None) is None:
            return _missing()
        made = self._next("th")
        echo = {
            "id": made,
            "object": "thing",
            "method": request.method,
            "path": request.path,
            "body": content,
            "idempotency_key": request.key,
        }
        if request.method != "DELETE":
            self._things[request.path] = echo
        return Done(answer=Answer(status=200, body=echo), made=made)

    def _next(self, prefix: str) -> str:
        self._made += 1
        return self._id(prefix, str(self._made))

    def _id(self, prefix: str, what: str) -> str:
        return f"{prefix}_{hashlib.sha256(f'{self.seed}/{prefix}/{what}'.encode()).hexdigest()[:24]}"


def _content(request: Request) -> Any:
    """What the body says: JSON or a form as it is, anything else as text."""
    text = request.body.decode("utf-8", "replace")
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return _fields(text)
    try:
        return json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return text


def _fields(encoded: str) -> Json:
    """Read a form or a query; ``metadata[order]=1`` is ``{"metadata": {"order": "1"}}``."""
    fields: Json = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        nested = _NESTED.fullmatch(name)
        if nested and isinstance(inner := fields.setdefault(nested[1], {}), dict):
            inner[nested[2]] = value
        else:
            fields[name] = value
    return fields


def _record(content: Any) -> Json:
    """The content if it has fields, else none."""
    return content if isinstance(content, dict) else {}  # pyright: ignore[reportUnknownVariableType] - JSON keys are str


def _amount(fields: Json) -> int:
    """The amount, from JSON or a form; 0 when there is none that could be charged."""
    amount = fields.get("amount")
    if isinstance(amount, str) and re.fullmatch(r"[0-9]{1,18}", amount):
        return int(amount)
    return amount if isinstance(amount, int) and not isinstance(amount, bool) and amount > 0 else 0


def _listed(those: Mapping[str, Json], request: Request) -> Done:
    """The newest first, as many as ``limit`` says, of those that have what the query asks for."""
    asked = _fields(request.query)
    wanted = {name: value for name, value in asked.items() if name not in _PAGING}
    found = [one for one in [*those.values()][::-1] if all(_has(one, *want) for want in wanted.items())]
    limit = int(asked["limit"]) if str(asked.get("limit", "")).isdecimal() else _MOST
    body = {"object": "list", "data": found[:limit], "has_more": len(found) > limit}
    return Done(answer=Answer(status=200, body=body))


def _has(one: Json, name: str, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        inner = _record(one.get(name))
        return all(str(inner.get(key)) == value for key, value in _record(wanted).items())
    return name in one and str(one[name]) == wanted


def _found(those: Mapping[str, Json], name: str) -> Done:
    return Done(answer=Answer(status=200, body=those[name])) if name in those else _missing()


def _missing() -> Done:
    return _refused(404, "There is no such thing.", code="resource_missing")


def _refused(status: int, message: str, *, kind: str = "invalid_request_error", **facts: str) -> Done:
    return Done(answer=Answer(status=status, body={"error": {"type": kind, "message": message, **facts}}))
