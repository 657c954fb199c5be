"""The service behind a model server: three wire formats over one script."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, cast

from holdfast.errors import InvalidCall
from holdfast.testing.faultscript import Fault
from holdfast.testing.faultserver.served import Done
from holdfast.testing.faultserver.wire import Answer, Payload, Request
from holdfast.testing.model import chat, messages, responses
from holdfast.testing.model.conversations import Conversations
from holdfast.testing.model.events import Event, EventStream, shaped
from holdfast.testing.model.played import Ids, Played
from holdfast.testing.model.reading import Json, Unfit
from holdfast.testing.model.refusals import Family, Headers, error_body, refused
from holdfast.testing.model.requests import Api, ModelRequest
from holdfast.testing.model.script import ScriptedModel
from holdfast.testing.model.turns import Failure, Said, Silence

_SECRETS: Final = frozenset({"authorization", "x-api-key", "cookie", "proxy-authorization"})
_ASKED: Final = {
    "/chat/completions": Api.CHAT,
    "/responses": Api.RESPONSES,
    "/messages": Api.MESSAGES,
}
_PREFIXES: Final = {Api.CHAT: "chatcmpl-", Api.RESPONSES: "resp_", Api.MESSAGES: "msg_"}
_LIMITED: Final = 429


class ModelService:
    """Answers requests of OpenAI's and Anthropic's clients. For one thread at a time.

    Args:
        model: Says what is answered.
        clock: What time it is (aware, UTC).
        api_key: The one key that is let in; ``None`` for any, and none.
        models: The names that there are; ``None`` for all that anybody asks for.
        seed: Another seed makes other ids of requests.
    """

    def __init__(
        self,
        model: ScriptedModel,
        *,
        clock: Callable[[], datetime],
        api_key: str | None,
        models: Sequence[str] | None,
        seed: int,
    ) -> None:
        self._model = model
        self._clock = clock
        self._api_key = api_key
        self._models = models
        self._seed = seed
        self._headers = Headers(clock)
        self._conversations = Conversations()
        self._number = 0
        self._refusals = itertools.count(1)  # next() of a count is atomic: faults befall in many threads

    def process(self, request: Request) -> Done:
        """Answer a request, or say why not."""
        self._number += 1
        path = request.path.removeprefix("/v1")
        if self._api_key is not None and _key(request) != self._api_key:
            return self._no(request, Failure(status=401))
        try:
            if request.method == "POST" and path in _ASKED:
                return self._asked(_ASKED[path], request)
            if request.method == "POST" and path == "/messages/count_tokens":
                counted = messages.read(_body(request), _text(request), counts=True)
                return self._done(request, messages.counted(counted))
            if request.method == "GET":
                return self._found(request, path)
        except Unfit as error:
            failure = Failure(status=error.status, message=error.message, code=error.code)
            return self._no(request, failure, error.param)
        return self._no(
            request, Failure(status=404, message=f"there is no {request.method} {request.path} here")
        )

    def refuse(
        self, request: Request | None, status: int, message: str, headers: Mapping[str, str]
    ) -> Payload:
        """Say no in the words of whoever was asked; the server's faults speak by this."""
        family = Family.OPENAI if request is None else _family(request)
        waits = headers.get("Retry-After", "")
        wait_s = (float(waits) if waits.isdecimal() else 1.0) if status == _LIMITED else None
        limits = self._headers.of(family, self._number, wait_s=wait_s)
        name = f"req_{Ids(self._seed, next(self._refusals)).make('refusal')}"
        return refused(family, Failure(status=status, message=message), {**limits, **headers}, name)

    def _asked(self, api: Api, request: Request) -> Done:
        body = _body(request)
        asked = replace(self._read(api, body, _text(request)), headers=_shown(request))
        if self._models is not None and asked.model not in self._models:
            return self._no(
                request, Failure(status=404, message=f"there is no model {asked.model!r}"), "model"
            )
        try:
            asked, turn = self._model.take(asked)
            self._model.told(turn)
        except InvalidCall as error:
            return self._no(request, Failure(status=400, message=str(error)))
        except Exception as error:  # noqa: BLE001 - a function of the script's; the model keeps it
            what = f"a function of the script raised {type(error).__name__}"
            return self._no(request, Failure(status=400, message=what))
        match turn:
            case Failure():
                return self._no(request, turn)
            case Silence():
                return Done(answer=Answer(status=504, body={}), fault=Fault.HANG_AFTER)
            case Said():
                played = self._model.play(turn, asked, int(self._clock().timestamp()))
                return self._played(request, asked, played)

    def _read(self, api: Api, body: Json, text: str) -> ModelRequest:
        match api:
            case Api.RESPONSES:
                return responses.read(body, text, self._conversations.items_before(body))
            case Api.MESSAGES:
                return replace(messages.read(self._conversations.whole_thread(body), text), body=body)
            case _:
                return chat.read(body, text)

    def _played(self, request: Request, asked: ModelRequest, played: Played) -> Done:
        body = dict(asked.body)
        if asked.api is Api.RESPONSES:
            self._conversations.keep_response(body, played)
        elif asked.api is Api.MESSAGES:
            self._conversations.keep_thread(body, played)
        if asked.streams:
            return Done(answer=self._stream(request, asked, played), made=_id(asked, played))
        return self._done(request, _whole(asked, played), made=_id(asked, played), played=played)

    def _stream(self, request: Request, asked: ModelRequest, played: Played) -> EventStream:
        how, family = played.stream, _family(request)
        failure = [] if how.failure is None else [_told(asked, how.failure, self._request_id())]
        events, odd = _events(asked, played)
        return EventStream(
            pieces=tuple(shaped(events, how, odd, failure)),
            headers=self._every(family, played),
            ends=how.ends_after is not None and how.failure is None,
            chunk_bytes=how.chunk_bytes,
        )

    def _found(self, request: Request, path: str) -> Done:
        names = self._models or ("scripted-model",)
        if path == "/models":
            return self._done(request, _list([_model(request, name) for name in names], request))
        if path.startswith("/models/") and (self._models is None or path[8:] in names):
            return self._done(request, _model(request, path[8:]))
        if path.startswith("/responses/") and (kept := self._conversations.response(path[11:])):
            return self._done(request, kept)
        return self._no(request, Failure(status=404, message=f"there is no {request.path}"))

    def _done(self, request: Request, body: Json, *, made: str = "", played: Played | None = None) -> Done:
        answer = Answer(status=200, body=body, headers=self._every(_family(request), played))
        return Done(answer=answer, made=made)

    def _no(self, request: Request, failure: Failure, param: str = "") -> Done:
        family = _family(request)
        wait_s = (failure.retry_after_s or 0.0) if failure.status == _LIMITED else None
        headers = self._headers.of(family, self._number, wait_s=wait_s) | self._headers.of_wait(failure)
        return Done(answer=refused(family, failure, headers, self._request_id(), param))

    def _every(self, family: Family, played: Played | None) -> dict[str, str]:
        usage = None if played is None else played.usage
        tokens = 0 if usage is None else usage.input_tokens + usage.output_tokens
        name = "request-id" if family is Family.ANTHROPIC else "x-request-id"
        return {name: self._request_id(), **self._headers.of(family, self._number, tokens=tokens)}

    def _request_id(self) -> str:
        return f"req_{Ids(self._seed, self._number).make('request')}"


def _id(asked: ModelRequest, played: Played) -> str:
    return f"{_PREFIXES.get(asked.api, '')}{played.id}"


def _whole(asked: ModelRequest, played: Played) -> Json:
    match asked.api:
        case Api.RESPONSES:
            return responses.whole(played, asked.body)
        case Api.MESSAGES:
            return messages.whole(played)
        case _:
            return chat.whole(played)


def _events(asked: ModelRequest, played: Played) -> tuple[list[Event], list[Event]]:
    match asked.api:
        case Api.RESPONSES:
            return list(responses.events(played, asked.body)), responses.odd()
        case Api.MESSAGES:
            return list(messages.events(played)), messages.odd()
        case _:
            return list(chat.events(played, asked.body)), chat.odd(played)


def _told(asked: ModelRequest, failure: Failure, request_id: str) -> Event:
    """An error inside of a stream, whose status was 200."""
    match asked.api:
        case Api.MESSAGES:
            return Event(error_body(Family.ANTHROPIC, failure, request_id), "error")
        case Api.RESPONSES:
            error = error_body(Family.OPENAI, failure, request_id)["error"]
            code = error["code"] or error["type"]
            told = {"type": "error", "code": code, "message": error["message"], "param": None}
            return Event({**told, "sequence_number": 0}, "error")
        case _:
            return Event(error_body(Family.OPENAI, failure, request_id))


def _model(request: Request, name: str) -> Json:
    if _family(request) is Family.ANTHROPIC:
        life = {"created_at": "1970-01-01T00:00:00Z", "deprecated_at": None, "retires_at": None}
        return {"type": "model", "id": name, "display_name": name, "lifecycle": "active", **life}
    return {"id": name, "object": "model", "created": 0, "owned_by": "holdfast"}


def _list(models: list[Json], request: Request) -> Json:
    if _family(request) is Family.ANTHROPIC:
        ends = {"first_id": models[0]["id"], "last_id": models[-1]["id"]}
        return {"data": models, "has_more": False, **ends}
    return {"object": "list", "data": models}


def _family(request: Request) -> Family:
    is_anthropic = request.path.removeprefix("/v1").startswith("/messages")
    return Family.ANTHROPIC if is_anthropic or "anthropic-version" in request.headers else Family.OPENAI


def _key(request: Request) -> str:
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    return request.headers.get("x-api-key", bearer)


def _shown(request: Request) -> dict[str, str]:
    """The headers without credentials (I8)."""
    return {name: value for name, value in request.headers.items() if name not in _SECRETS}


def _text(request: Request) -> str:
    try:
        return request.body.decode()
    except UnicodeDecodeError:
        raise Unfit("the body is no UTF-8") from None


def _body(request: Request) -> Json:
    try:
        read: object = json.loads(_text(request), parse_constant=_not_json)
    except (ValueError, RecursionError):
        raise Unfit("the body is no JSON") from None
    if not isinstance(read, dict):
        raise Unfit("the body is no JSON object")
    return cast("dict[str, Any]", read)


def _not_json(constant: str) -> float:
    del constant
    raise ValueError(math.nan)
