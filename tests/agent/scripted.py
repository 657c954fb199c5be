"""A model that answers as a test has planned, and the office in which its agent works."""

from __future__ import annotations

import copy
import inspect
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.agent import agent
from holdfast.errors import WorkflowWaiting
from promises.ledgers import Place

_IDS = itertools.count(1)


def call(tool: str, **args: Any) -> dict[str, Any]:
    """One tool call as OpenAI sends it; each time it is said it has a new id."""
    function = {"name": tool, "arguments": json.dumps(args)}
    return {"id": f"call_{next(_IDS)}", "type": "function", "function": function}


def says(*calls: dict[str, Any], text: str | None = None) -> dict[str, Any]:
    """An assistant's message."""
    return {"role": "assistant", "content": text, **({"tool_calls": list(calls)} if calls else {})}


def heard(messages: list[dict[str, Any]]) -> list[Any]:
    """What the model was told of its calls, in order."""
    return [json.loads(message["content"]) for message in messages if message["role"] == "tool"]


def into(kept: list[Any], argument: str) -> Callable[..., None]:
    """A tool that keeps what it is called with."""

    def keep(**args: Any) -> None:
        kept.append(args[argument])

    return keep


class Model:
    """Answers each request by the next answer; the last one for ever.

    Attributes:
        requests: The messages of each request.
        tools: The definitions that came with the last one.
    """

    def __init__(self, *answers: Any) -> None:
        self.requests: list[list[dict[str, Any]]] = []
        self.tools: list[dict[str, Any]] = []
        self._answers = list(answers)

    def __call__(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> Any:
        self.requests.append(copy.deepcopy(messages))
        self.tools = tools
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(messages) if inspect.isfunction(answer) else answer

    @property
    def count(self) -> int:
        """How often it was asked."""
        return len(self.requests)

    @property
    def told(self) -> list[Any]:
        """What it was told of its calls in the last request."""
        return heard(self.requests[-1])


class Office:
    """A place where agents work. A ledger opened here is what a new process would see."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.book: Any = place.open()

    @property
    def ledger(self) -> Any:
        """The ledger of either face."""
        return self.book.ledger

    def restart(self) -> None:
        """Open a new ledger, as a new process does; tools and agents are declared anew."""
        self.book = self.place.open()

    def tool(self, function: Callable[..., Any], **options: Any) -> Any:
        """Declare *function* as a tool."""
        return self.ledger.tool(**options)(function)

    def agent(self, chat: Callable[..., Any], name: str = "support", **options: Any) -> Any:
        """Declare a workflow that is an agent's work on a task; *chat* is plain under either face."""
        if self.book.is_sync:

            def plain(ctx: Any, task: Any) -> Any:
                return agent(ctx, chat, task, **options)

            return self.ledger.workflow(plain, name=name)

        async def coroutine(ctx: Any, task: Any) -> Any:
            return await agent(ctx, chat, task, **options)

        return self.ledger.workflow(coroutine, name=name)

    async def run(self, workflow: Any, task: Any = "help", workflow_id: str = "ticket-1") -> Any:
        """Run a workflow to its end."""
        return await self.book.do(workflow.run, workflow_id, task=task)

    async def wake(self, workflow: Any, task: Any = "help", workflow_id: str = "ticket-1") -> str:
        """Run a workflow until it waits for something; return what for."""
        with pytest.raises(WorkflowWaiting) as waiting:
            await self.run(workflow.options(wait=0.001), task, workflow_id)
        return waiting.value.waits_for

    async def steps(self, workflow_id: str = "ticket-1") -> list[str]:
        """The names of the steps on record, in order."""
        return [event.name for event in await self.events(workflow_id) if event.kind != "end"]

    async def events(self, workflow_id: str = "ticket-1") -> list[Any]:
        """What is on record of a workflow, in order."""
        events = self.ledger.events(workflow_id, follow=False)
        return list(events) if self.book.is_sync else [event async for event in events]
