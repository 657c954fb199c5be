"""What providers keep between requests: OpenAI's responses, and Anthropic's threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from holdfast.testing.model import messages, responses
from holdfast.testing.model.played import Played
from holdfast.testing.model.reading import Json, Unfit, mapping, objects, string


@dataclass(frozen=True, slots=True)
class _Response:
    """A response that later ones may go on from: all items up to its own, and itself."""

    items: list[Json]
    body: Json


class Conversations:
    """Goes on from what was said in earlier requests. For one thread at a time."""

    def __init__(self) -> None:
        self._responses: dict[str, _Response] = {}
        self._threads: dict[str, Json] = {}
        self._continued: set[str] = set()

    def items_before(self, body: Mapping[str, Any]) -> list[Json]:
        """Return the items that OpenAI's ``previous_response_id`` stands for.

        Raises:
            Unfit: There is no such response.
        """
        before = string(body.get("previous_response_id"))
        if before and before not in self._responses:
            what = f"previous_response_id: there is no response {before!r}"
            raise Unfit(what, "previous_response_id", code="previous_response_not_found")
        return self._responses[before].items if before else []

    def response(self, name: str) -> Json | None:
        """Return a response that was kept."""
        kept = self._responses.get(name)
        return None if kept is None else kept.body

    def whole_thread(self, body: Json) -> Json:
        """Return a request to Anthropic with all that its thread stands for.

        Raises:
            Unfit: There is no such thread, or somebody has gone on from there.
        """
        thread = mapping(body.get("thread"))
        if thread.get("type") != "continue":
            return body
        before = string(thread.get("previous_message_id"))
        if before not in self._threads:
            raise Unfit(f"thread: nothing is known of {before!r}", status=404, code="thread_not_found")
        if before in self._continued:
            raise Unfit(f"thread: {before!r} has been continued", code="thread_already_continued")
        kept = self._threads[before]
        return {**kept, **body, "messages": [*kept["messages"], *objects(body.get("messages"))]}

    def keep_response(self, body: Json, played: Played) -> None:
        """Keep an answer to OpenAI's client, unless it says not to."""
        if body.get("store") is False:
            return
        items = [*self.items_before(body), *responses.given(body), *responses.output(played, body)]
        self._responses[responses.response_id(played)] = _Response(items, responses.whole(played, body))

    def keep_thread(self, body: Json, played: Played) -> None:
        """Keep an answer to Anthropic's client, if it asks for that."""
        thread = mapping(body.get("thread"))
        if not thread:
            return
        whole, said = self.whole_thread(body), messages.whole(played)
        self._continued.add(string(thread.get("previous_message_id")))
        history = [*objects(whole.get("messages")), {"role": "assistant", "content": said["content"]}]
        fields: Json = {name: whole[name] for name in ("system", "tools") if name in whole}
        self._threads[said["id"]] = {**fields, "messages": history}
