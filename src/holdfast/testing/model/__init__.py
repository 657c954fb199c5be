"""A scripted model, and a server that speaks OpenAI's and Anthropic's formats with its voice.

    with ModelServer(call("charge", amount=100), "Charged.") as server:
        client = openai.OpenAI(base_url=server.openai_url, api_key="any")
        ...                                   # let your agent work
        assert server.model.requests[1].results == ('{"id": "ch_1"}',)

No provider, no key, no network: the real SDKs, the real wire formats, the answers that you wrote.
"""

from holdfast.testing.model.incidents import growing_context, ping_pong, poll, same_call
from holdfast.testing.model.requests import Api, ModelRequest, Spoken
from holdfast.testing.model.script import Line, ModelFailed, ScriptedModel, by_position
from holdfast.testing.model.server import ModelServer
from holdfast.testing.model.turns import (
    Call,
    Ending,
    Failure,
    Said,
    Silence,
    Streaming,
    Turn,
    UsageGiven,
    call,
    fails,
    filtered,
    overloaded,
    rate_limited,
    refuses,
    says,
    times_out,
)

__all__ = [
    "Api",
    "Call",
    "Ending",
    "Failure",
    "Line",
    "ModelFailed",
    "ModelRequest",
    "ModelServer",
    "Said",
    "ScriptedModel",
    "Silence",
    "Spoken",
    "Streaming",
    "Turn",
    "UsageGiven",
    "by_position",
    "call",
    "fails",
    "filtered",
    "growing_context",
    "overloaded",
    "ping_pong",
    "poll",
    "rate_limited",
    "refuses",
    "same_call",
    "says",
    "times_out",
]
