"""A language model whose answers are scripted: a server speaking OpenAI's chat-completions format.

Run as ``python -m holdfast.demo.model``. It listens on a free loopback port, reports it as a JSON line
on stdout, and ends when its stdin is closed.

What it says depends on the conversation alone: asked to charge an order, it calls the tool
``charge_card``; once a tool's result is in the conversation, it closes with one sentence that quotes
the result's status. As with any real model, asking again gives the same intent under a *new* tool call id,
and the arguments in another order and spacing.
"""

from __future__ import annotations

import itertools
import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from typing import Any, Final

from holdfast.demo.child import JsonHandler, serve

TOOL: Final = "charge_card"
"""The one tool that this model knows how to use."""

_REQUEST: Final = re.compile(r"order (?P<order>\S+): (?P<cents>[0-9]+) cents in (?P<currency>[A-Z]{3})")


def request_text(order_id: str, amount_cents: int, currency: str) -> str:
    """Phrase a customer's request so that the scripted model understands it."""
    return f"Please charge the card on file for order {order_id}: {amount_cents} cents in {currency}."


def reply(messages: Sequence[Mapping[str, Any]], sampling: int) -> dict[str, Any] | None:
    """Return the assistant's next message, or ``None`` when the conversation is not understood.

    Args:
        messages: The conversation so far, as the client sent it.
        sampling: Counts the answers given; varies how a tool call is spelt, never what it says.
    """
    last = messages[-1]
    match last.get("role"), last.get("content"):
        case "tool", str(content):
            return {"role": "assistant", "content": _closing_sentence(content)}
        case "user", str(content) if asked := _REQUEST.search(content):
            args = {
                "order_id": asked["order"],
                "amount_cents": int(asked["cents"]),
                "currency": asked["currency"],
            }
            return {"role": "assistant", "content": None, "tool_calls": [_tool_call(args, sampling)]}
        case _:
            return None


def _tool_call(args: dict[str, Any], sampling: int) -> dict[str, Any]:
    if sampling % 2:
        arguments = json.dumps(dict(reversed(args.items())), separators=(",", ":"))
    else:
        arguments = json.dumps(args)
    return {
        "id": f"call_{uuid.uuid4().hex[:24]}",
        "type": "function",
        "function": {"name": TOOL, "arguments": arguments},
    }


def _closing_sentence(tool_result: str) -> str:
    try:
        match json.loads(tool_result):
            case {"status": str(status), "charge_id": str(charge_id), "order_id": str(order_id)}:
                return f"The charge for order {order_id} has {status} ({charge_id})."
            case {"status": str(status)}:
                return f"I could not confirm the charge: its status is {status}."
            case _:
                return "I could not confirm the charge: the tool gave no status."
    except ValueError:
        return "I could not confirm the charge: the tool's answer was not JSON."


def completion(message: dict[str, Any], model: str) -> dict[str, Any]:
    """Wrap *message* in the envelope of a chat completion."""
    finish_reason = "tool_calls" if message.get("tool_calls") else "stop"
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex[:24]}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }


class ModelHandler(JsonHandler):
    """One request to the model."""

    def __init__(self, samplings: Iterator[int], *args: Any, **kwargs: Any) -> None:
        self._samplings = samplings
        super().__init__(*args, **kwargs)  # handles the request before it returns

    def do_POST(self) -> None:  # noqa: N802 - the standard library\'s name
        """Answer ``/v1/chat/completions``."""
        body = self.read_json()
        if self.path != "/v1/chat/completions":
            self._refuse(HTTPStatus.NOT_FOUND, f"there is no {self.path} here")
            return
        match body:
            case {"stream": True}:
                self._refuse(HTTPStatus.BAD_REQUEST, "this model does not stream")
                return
            case {"model": str(model), "messages": [_, *_] as messages}:
                message = reply(messages, next(self._samplings))
            case _:
                self._refuse(HTTPStatus.BAD_REQUEST, "expected model and messages")
                return
        if message is None:
            self._refuse(HTTPStatus.BAD_REQUEST, "the script has no answer to this conversation")
            return
        self.answer(HTTPStatus.OK, completion(message, model))

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
        self.answer(status, {"error": error})


def main() -> None:
    """Serve until the parent is gone."""
    # next() of a count is atomic, so the request threads need no lock for it.
    serve(ThreadingHTTPServer(("127.0.0.1", 0), partial(ModelHandler, itertools.count())))


if __name__ == "__main__":
    main()
