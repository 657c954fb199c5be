"""A real HTTP server on loopback that speaks OpenAI's and Anthropic's formats, by a script."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime

from holdfast.errors import InvalidCall
from holdfast.testing.faultscript import Chances
from holdfast.testing.faultserver.host import Host, utc_now
from holdfast.testing.model.requests import ModelRequest
from holdfast.testing.model.script import Line, ScriptedModel
from holdfast.testing.model.service import ModelService

_ANY_KEY = "sk-scripted"


class ModelServer(Host):
    """A provider of models on loopback: ``with ModelServer(call("charge", amount=100), "Done.") as server:``.

    ``POST /v1/chat/completions`` and ``/v1/responses`` are OpenAI's, ``POST /v1/messages`` and
    ``/v1/messages/count_tokens`` are Anthropic's, each whole or as a stream; ``GET /v1/models`` is the one of
    whoever asks. The network breaks as :meth:`plan` and *chances* say. A request that a fault keeps away
    takes no line of the script; one whose answer is lost has taken it.

    Args:
        lines: The script; or one :class:`ScriptedModel`, which may be asked elsewhere as well.
        then: The line for every request after those, for ever.
        api_key: The one key that is let in; ``None`` for any, and none.
        models: The names of models that there are; ``None`` for all that anybody asks for.
        chances: What may befall requests, e.g. ``"drop_after=0.1,429=0.1:2*3"``; see :class:`FaultKind`.
        seed: Another seed is another story, with other ids.
        port: Which port of 127.0.0.1; 0 for a free one.
        log_path: A file that a line of JSON is appended to for each answer, before the client is answered.
        clock: What time it is (aware, UTC), for the dates in answers.

    Attributes:
        model: The scripted model, which knows what it was asked.

    Raises:
        InvalidCall: The chances cannot be read; or a model was given, and lines with it.
    """

    def __init__(
        self,
        *lines: Line | ScriptedModel,
        then: Line | None = None,
        api_key: str | None = None,
        models: Sequence[str] | None = None,
        chances: Chances = "",
        seed: int = 0,
        port: int = 0,
        log_path: str | os.PathLike[str] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.model = _model(lines, then, seed)
        self._api_key = api_key
        service = ModelService(self.model, clock=clock, api_key=api_key, models=models, seed=seed)
        super().__init__(
            service, service.refuse, chances=chances, seed=seed, port=port, log_path=log_path, clock=clock
        )

    @property
    def openai_url(self) -> str:
        """The ``base_url`` of OpenAI's clients."""
        return f"{self.url}/v1"

    @property
    def anthropic_url(self) -> str:
        """The ``base_url`` of Anthropic's clients."""
        return self.url

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which both SDKs find the server, and a key that it takes."""
        key = self._api_key or _ANY_KEY
        return {
            "OPENAI_BASE_URL": self.openai_url,
            "OPENAI_API_KEY": key,
            "ANTHROPIC_BASE_URL": self.anthropic_url,
            "ANTHROPIC_API_KEY": key,
        }

    @property
    def asked(self) -> tuple[ModelRequest, ...]:
        """What the model was asked, oldest first; what a fault kept away is not among it."""
        return self.model.requests


def _model(lines: tuple[Line | ScriptedModel, ...], then: Line | None, seed: int) -> ScriptedModel:
    models = [line for line in lines if isinstance(line, ScriptedModel)]
    if not models:
        script = [line for line in lines if not isinstance(line, ScriptedModel)]
        return ScriptedModel(*script, then=then, seed=seed)
    if len(lines) > 1 or then is not None:
        raise InvalidCall("a scripted model, and a script beside it", "give one of them")
    return models[0]
