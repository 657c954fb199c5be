"""Agents as people write them, a loop over an official SDK, whose model never comes to an end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from holdfast import Budget, Ended, Ledger, SyncLedger
from holdfast.errors import BudgetExceeded
from holdfast.prices import PriceBook, PriceRow, Usage, cost_of
from holdfast.testing.model import Api, ModelRequest, ScriptedModel, call, says
from testing.model_clients import Way

MODELS: Final = {
    Api.CHAT: "openai/gpt-example",
    Api.RESPONSES: "openai/gpt-example",
    Api.MESSAGES: "anthropic/claude-example",
}
PRICES: Final = PriceBook(  # per million tokens
    {
        "openai/gpt-example": {"input": "2.50", "output": "20"},
        "anthropic/claude-example": {"input": "3", "output": "15"},
    },
    bundled=False,
)
TASK: Final = "Find the cheapest flight. Do not stop before you have looked at every page."
WISHED: Final = 8_000
"""So long may each answer be, in tokens; the model thinks for half of that."""
LEAST: Final = 5_000
"""A step with less is of no use: it ends before the model calls a tool."""
PARAMETERS: Final = {"type": "object", "properties": {"page": {"type": "integer"}}}


class Runaway(ScriptedModel):
    """Looks at one more page for ever, and thinks about it; it counts what each answer used.

    Without tools on offer it answers with what it is asked to sum up.
    """

    def __init__(self, *, thinks: int = 4_000) -> None:
        super().__init__(then=self.looks)
        self.thinks = thinks
        self.used: list[Usage] = []

    def looks(self, request: ModelRequest) -> Any:
        if not request.tools:
            return says(f"So far: {request.question.count('page')} pages, no flight.")
        page = call("look", page=request.number)
        return says(f"To page {request.number}.", page, usage={"reasoning_tokens": self.thinks})

    def play(self, said: Any, request: ModelRequest, created: int = 0) -> Any:
        played = super().play(said, request, created)
        assert played.usage is not None
        self.used.append(Usage(uncached_input=played.usage.input_tokens, output=played.usage.output_tokens))
        return played

    def cost(self, row: PriceRow) -> int:
        """What the answers cost by the price book, in micro-units."""
        return sum(cost_of(usage, row).total.micros for usage in self.used)

    @property
    def tokens(self) -> int:
        return sum(usage.uncached_input + usage.output for usage in self.used)


@dataclass
class Agent:
    """An agent over one SDK: what it says goes on until it calls no tool.

    Attributes:
        pages: What the tool found, oldest first: the partial output.
    """

    way: Way
    sdk: Any
    ledger: Any
    pages: list[str] = field(default_factory=list)

    def look(self, page: int) -> str:
        self.pages.append(f"page {page}")
        return f"page {page}: no flight, there are more pages"

    def run(self, name: str, budget: Budget) -> Ended[str]:
        steps: list[list[Any]] = []

        def work() -> str:
            while True:
                text, calls, said = HEARD[self.way.api](self.ask(window(steps), tools=True))
                if not calls:
                    return text
                told = self.ledger.turn(calls, workflow_id=name, handlers={"look": self.look})
                steps.append([*said, *TOLD[self.way.api](told)])

        def sum_up(refused: BudgetExceeded) -> str:
            return HEARD[self.way.api](self.ask([self.last_question(refused)]))[0]

        ended: Ended[str] = self.ledger.within(name, budget, work, on_budget=sum_up)
        return ended

    async def run_async(self, name: str, budget: Budget) -> Ended[str]:
        steps: list[list[Any]] = []

        async def look(page: int) -> str:
            return self.look(page)

        async def work() -> str:
            while True:
                text, calls, said = HEARD[self.way.api](await self.ask_async(window(steps), tools=True))
                if not calls:
                    return text
                told = await self.ledger.turn(calls, workflow_id=name, handlers={"look": look})
                steps.append([*said, *TOLD[self.way.api](told)])

        async def sum_up(refused: BudgetExceeded) -> str:
            return HEARD[self.way.api](await self.ask_async([self.last_question(refused)]))[0]

        ended: Ended[str] = await self.ledger.within(name, budget, work, on_budget=sum_up)
        return ended

    def last_question(self, refused: BudgetExceeded) -> dict[str, str]:
        """What is asked at the end: short, for it is paid from what was kept."""
        found = ", ".join(self.pages)
        return {"role": "user", "content": f"The {refused.unit} are used up. You saw: {found}. Sum up."}

    def ask(self, talk: list[Any], *, tools: bool = False) -> Any:
        create, stream, arguments = self.asking(talk, tools=tools)
        if not self.way.streams:
            return create(**arguments)
        with stream(**arguments) as events:
            for _ in events:  # shown to somebody as it comes
                pass
            return final(self.way.api, events)

    async def ask_async(self, talk: list[Any], *, tools: bool = False) -> Any:
        create, stream, arguments = self.asking(talk, tools=tools)
        if not self.way.streams:
            return await create(**arguments)
        async with stream(**arguments) as events:
            async for _ in events:
                pass
            return await final(self.way.api, events)

    def asking(self, talk: list[Any], *, tools: bool) -> tuple[Any, Any, dict[str, Any]]:
        """How this SDK is asked: its two functions, and their arguments."""
        most, offered, words, place = SPELT[self.way.api](self.sdk)
        arguments = {
            "model": MODELS[self.way.api].partition("/")[2],
            words: talk,
            most: WISHED if tools else 300,
        }
        return place.create, place.stream, {**arguments, **({"tools": offered} if tools else {})}


def window(steps: list[list[Any]]) -> list[Any]:
    """The task and the last steps: the official clients take seconds to send hundreds of entries."""
    return [{"role": "user", "content": TASK}, *(entry for step in steps[-4:] for entry in step)]


def final(api: Api, events: Any) -> Any:
    names = {Api.CHAT: "get_final_completion", Api.RESPONSES: "get_final_response"}
    return getattr(events, names.get(api, "get_final_message"))()


def _spelt_chat(sdk: Any) -> Any:
    tool = {"type": "function", "function": {"name": "look", "parameters": PARAMETERS}}
    return "max_completion_tokens", [tool], "messages", sdk.chat.completions


def _spelt_responses(sdk: Any) -> Any:
    tool = {"type": "function", "name": "look", "parameters": PARAMETERS, "strict": False}
    return "max_output_tokens", [tool], "input", sdk.responses


def _spelt_messages(sdk: Any) -> Any:
    return "max_tokens", [{"name": "look", "input_schema": PARAMETERS}], "messages", sdk.messages


def _heard_chat(answer: Any) -> tuple[str, Any, list[Any]]:
    said = answer.choices[0].message
    return said.content or "", said.tool_calls, [said]


def _heard_responses(answer: Any) -> tuple[str, Any, list[Any]]:
    calls = [item for item in answer.output if item.type == "function_call"]
    return answer.output_text, calls, answer.output


def _heard_messages(answer: Any) -> tuple[str, Any, list[Any]]:
    calls = [block for block in answer.content if block.type == "tool_use"]
    text = "".join(block.text for block in answer.content if block.type == "text")
    return text, calls, [{"role": "assistant", "content": answer.content}]


def _told_chat(receipts: Any) -> list[Any]:
    return [{"role": "tool", "tool_call_id": one.call_id, "content": one.for_model()} for one in receipts]


def _told_responses(receipts: Any) -> list[Any]:
    kind = "function_call_output"
    return [{"type": kind, "call_id": one.call_id, "output": one.for_model()} for one in receipts]


def _told_messages(receipts: Any) -> list[Any]:
    kind = "tool_result"
    blocks = [{"type": kind, "tool_use_id": one.call_id, "content": one.for_model()} for one in receipts]
    return [{"role": "user", "content": blocks}]


SPELT: Final[dict[Api, Callable[[Any], Any]]] = {
    Api.CHAT: _spelt_chat,
    Api.RESPONSES: _spelt_responses,
    Api.MESSAGES: _spelt_messages,
}
HEARD: Final[dict[Api, Callable[[Any], tuple[str, Any, list[Any]]]]] = {
    Api.CHAT: _heard_chat,
    Api.RESPONSES: _heard_responses,
    Api.MESSAGES: _heard_messages,
}
TOLD: Final[dict[Api, Callable[[Any], list[Any]]]] = {
    Api.CHAT: _told_chat,
    Api.RESPONSES: _told_responses,
    Api.MESSAGES: _told_messages,
}


def ledger_of(way: Way, where: Any, **options: Any) -> Any:
    face: Any = Ledger if way.is_async else SyncLedger
    return face(where, prices=PRICES, **options)
