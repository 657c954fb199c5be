"""What traces tell of a model call, in the names of OpenTelemetry's conventions for generative AI.

Their version is 0.1.0. What they have no name for begins with ``holdfast.``. No words of a request or an
answer are among it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from holdfast._core.model import Effect
from holdfast._core.model_request import ModelAnswer, ModelRequest
from holdfast._core.server_events import events_of
from holdfast._core.usage import Reading, Usage, is_count
from holdfast._core.usage_wire import WireFormat
from holdfast._core.wire import Object, is_object, object_of, objects_of

Attribute: TypeAlias = str | bool | int | float | tuple[str, ...]
"""What a span can be told."""

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
MODEL: Final = "gen_ai.request.model"
ANSWERED_BY: Final = "gen_ai.response.model"
INPUT: Final = "gen_ai.usage.input_tokens"
OUTPUT: Final = "gen_ai.usage.output_tokens"
ADDRESS: Final = "server.address"
PORT: Final = "server.port"
ERROR: Final = "error.type"

_PROVIDERS: Final[Mapping[str, str]] = {
    # As ledgers and prices call them, and as the conventions do.
    "aws": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "google": "gcp.gen_ai",
    "mistral": "mistral_ai",
    "moonshotai": "moonshot_ai",
    "vertex_ai": "gcp.vertex_ai",
    "x-ai": "x_ai",
    "xai": "x_ai",
}
_PORTS: Final = {"http": 80, "https": 443}
_LIMITS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_SETTINGS: Final = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
}
_COUNTS: Final = {"top_k": "gen_ai.request.top_k", "seed": "gen_ai.request.seed"}
_USED: Final = {
    "cache_read": "gen_ai.usage.cache_read.input_tokens",
    "reasoning": "gen_ai.usage.reasoning.output_tokens",
}
_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


def asked_attributes(asked: ModelRequest, body: Object, effect: Effect) -> dict[str, Attribute]:
    """Return what is known of an attempt before it is sent.

    Args:
        asked: As the client asked it.
        body: As it is sent.
    """
    told: dict[str, Attribute] = {
        OPERATION: "chat",
        PROVIDER: _PROVIDERS.get(asked.provider, asked.provider),
        "holdfast.tenant": effect.tenant,
        "holdfast.workflow_id": effect.workflow_id,
        "holdfast.key": effect.key,
        "holdfast.attempt": effect.attempt,
        **_server(asked),
    }
    told |= {MODEL: str(body["model"])} if body.get("model") else {}
    told |= {"gen_ai.request.stream": True} if asked.streams else {}
    limit = next((body[name] for name in _LIMITS if is_count(body.get(name))), None)
    told |= {} if limit is None else {"gen_ai.request.max_tokens": limit}
    told |= {name: float(body[field]) for field, name in _SETTINGS.items() if _is_number(body.get(field))}
    told |= {name: body[field] for field, name in _COUNTS.items() if is_count(body.get(field))}
    if is_count(choices := body.get("n")) and choices > 1:
        told["gen_ai.request.choice.count"] = choices
    return told


def answered_attributes(wire: WireFormat, answer: ModelAnswer) -> dict[str, Attribute]:
    """Return what an answer says of itself: who made it, and why it ended there."""
    if answer.content_type.lower().startswith("text/event-stream"):
        said = _gathered(wire, events_of(answer.text))
    else:
        said = _whole(answer.text)
    reasons = ("error",) if answer.is_partial else _reasons(said)
    told: dict[str, Attribute] = {}
    for name, found in (("gen_ai.response.id", said.get("id")), (ANSWERED_BY, said.get("model"))):
        told |= {name: found} if isinstance(found, str) and found else {}
    return told | ({"gen_ai.response.finish_reasons": reasons} if reasons else {})


def used_attributes(reading: Reading) -> dict[str, Attribute]:
    """Return what an answer used; nothing where nobody knows."""
    if not isinstance(reading, Usage):
        return {}
    told: dict[str, Attribute] = {INPUT: reading.input, OUTPUT: reading.output}
    kept = reading.cache_write_short + reading.cache_write_long
    told |= {"gen_ai.usage.cache_write.input_tokens": kept} if kept else {}
    return told | {name: count for field, name in _USED.items() if (count := getattr(reading, field))}


def cost_attributes(amounts: Mapping[str, int], currency: str) -> dict[str, Attribute]:
    """Return what an attempt cost, in micro-units of its currency; nothing where nobody knows."""
    spent = amounts.get(currency) if currency else None
    return {} if spent is None else {"holdfast.cost.micros": spent, "holdfast.cost.currency": currency}


def steered_attributes(told: Mapping[str, Any]) -> dict[str, Attribute]:
    """Return what was done otherwise for want of money, and by which budget."""
    budget, route = object_of(told.get("budget")), object_of(told.get("route"))
    found: dict[str, Attribute] = {}
    if budget:
        found["holdfast.budget"] = f"{budget.get('account')}/{budget.get('unit')}"
    if route:
        found["holdfast.route.from"] = str(route.get("from"))
    return found


def _server(asked: ModelRequest) -> dict[str, Attribute]:
    place = urlsplit(asked.url)
    if place.scheme not in _PORTS or not place.hostname:
        return {}  # a function: nobody knows whom it asks
    try:
        port = place.port
    except (ValueError, RecursionError):
        port = None
    return {ADDRESS: asked.host, PORT: port or _PORTS[place.scheme]}


def _whole(text: str) -> Object:
    try:
        said: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    told = object_of(said)
    reply = told.get("reply")
    return reply if is_object(reply) else told  # a function's answer is its reply


def _gathered(wire: WireFormat, events: Iterable[Any]) -> Object:
    """Return of a stream what its whole answer would say."""
    said: dict[str, Any] = {}
    reasons: list[Any] = []
    for event in filter(is_object, events):
        match wire:
            case "chat":
                said |= {name: event[name] for name in ("id", "model") if event.get(name)}
                reasons += [
                    choice["finish_reason"]
                    for choice in objects_of(event.get("choices"))
                    if choice.get("finish_reason")
                ]
            case "responses":
                said |= object_of(event.get("response")) if event.get("type") in _ENDS else {}
            case "messages":
                said |= object_of(event.get("message")) if event.get("type") == "message_start" else {}
                said |= object_of(event.get("delta")) if event.get("type") == "message_delta" else {}
    return said | {"choices": [{"finish_reason": reason} for reason in reasons]} if reasons else said


def _reasons(said: Object) -> tuple[str, ...]:
    found = [choice.get("finish_reason") for choice in objects_of(said.get("choices"))]
    details = object_of(said.get("incomplete_details"))
    found += [said.get("stop_reason"), details.get("reason") or said.get("status")]
    return tuple(reason for reason in found if isinstance(reason, str) and reason)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
