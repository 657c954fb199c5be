"""The official clients of model providers, sent through a ledger: everything that is HTTP.

What a call means for the ledger is decided in :mod:`holdfast.ledger.models`; here a client is copied so that
its requests go there, and what comes back becomes the client's own response again.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from holdfast._core.model_request import Asks, AsyncAsks
from holdfast.errors import InvalidTool

T = TypeVar("T")


def wrapped(
    client: T,
    asks: Asks | AsyncAsks,
    *,
    provider: str | None = None,
    others: Literal["refuse", "allow"] = "refuse",
) -> T:
    """Return *client* with its model calls made through *asks*.

    Raises:
        InvalidTool: It is no client that is known here.
    """
    del asks, provider, others
    kind: Any = type(client)
    fix = "give an official client of OpenAI or Anthropic, or a function with model='provider/model'"
    raise InvalidTool(f"a model of type {kind.__name__}", fix)
