"""What a service behind a server is: it gets requests, and says what became of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from holdfast.testing.faultscript import Fault
from holdfast.testing.faultserver.wire import Payload, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a webhook tells.

    Attributes:
        id: ``evt_…``
        type: E.g. ``charge.succeeded``.
        data: The object that it is about, as it was then, with its ``idempotency_key``.
    """

    id: str
    type: str
    data: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return it as it is delivered; the consumer may change what it gets."""
        return {"id": self.id, "type": self.type, "data": copy.deepcopy(self.data)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of a request in the service.

    Attributes:
        answer: What the client is to be told.
        made: The id of what was made; empty when nothing was changed.
        events: What webhooks are told about it.
        fault: What befalls the answer by the service's own will; what the script plans comes first.
    """

    answer: Payload
    made: str = ""
    events: tuple[Event, ...] = ()
    fault: Fault = Fault.OK


class Service(Protocol):
    """Does what is asked for. For one thread at a time."""

    def process(self, request: Request) -> Done:
        """Do what is asked for, or say why not."""
        ...


class Refusal(Protocol):
    """How a service says that something is wrong with a request, or with itself."""

    def __call__(
        self, request: Request | None, status: int, message: str, headers: Mapping[str, str]
    ) -> Payload:
        """Return the answer.

        Args:
            request: ``None`` when it could not be read.
            status: The HTTP status.
            message: For people.
            headers: Besides those that every answer has, ``Retry-After`` among them.
        """
        ...
