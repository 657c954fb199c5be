"""A tool whose system is down does not keep an agent asking its model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from holdfast import Dependency, LoopWatch, SyncLedger, ToolCall
from holdfast.agent import agent
from holdfast.errors import CircuitOpen, LoopDetected, WorkflowFailed, WorkflowWaiting
from holdfast.testing import ModelServer
from holdfast.testing.model import ModelRequest, Said, call, says
from testing.model_clients import WAYS

STRIPE = Dependency("stripe", minimum_calls=1, throttled_in_a_row=1, open_for="5m")
CLIENT = WAYS[0]
TASK = "Charge all orders, and keep me posted."


def stubborn(request: ModelRequest) -> Said:
    """Charges the next order in each turn, and reads news meanwhile."""
    return says(call("charge", order=request.turns), call("news", page=request.turns))


class Shop:
    """A shop whose payments are down."""

    def __init__(self, path: Path) -> None:
        self.charged: list[int] = []
        self.clients = ExitStack()
        self.is_down = True
        self.ledger = SyncLedger(f"sqlite:///{path}/ledger.db", migrate=True)
        self.charge = self.ledger.tool(name="charge", safety="idempotent", dependency=STRIPE, retry=False)(
            self._charge
        )
        self.news = self.ledger.tool(name="news", safety="read")(lambda page: f"page {page}")

    def close(self) -> None:
        self.clients.close()
        self.ledger.close()

    def _charge(self, order: int) -> str:
        self.charged.append(order)
        if self.is_down:
            request = httpx.Request("POST", "http://pay.test/charges")
            response = httpx.Response(429, request=request)
            raise httpx.HTTPStatusError("busy", request=request, response=response)
        return f"ch_{order}"

    def chat(self, server: ModelServer) -> Callable[..., Any]:
        """Asks the model through the ledger, by the official client."""
        client: openai.OpenAI = self.clients.enter_context(self.ledger.model(CLIENT.client(server)))

        def ask(messages: list[Any], tools: list[Any]) -> Any:
            functions: Any = [{"type": "function", "function": tool} for tool in tools]
            said = client.chat.completions.create(model="m", messages=messages, tools=functions)
            return said.model_dump(mode="json")

        return ask

    def agent(self, server: ModelServer, **options: Any) -> Any:
        """A workflow that is an agent's work."""
        chat = self.chat(server)

        @self.ledger.workflow(name="charging")
        def charging(ctx: Any) -> str:
            return agent(ctx, chat, TASK, tools=[self.charge, self.news], **options)

        return charging


def test_an_agent_whose_tool_is_down_is_told_at_once_and_ended_within_five_requests(tmp_path: Path) -> None:
    """COS-07: although each turn brings news; one charge was sent, and the reason is on record."""
    shop = Shop(tmp_path)
    with closing(shop), ModelServer(then=stubborn) as server:
        with pytest.raises(WorkflowFailed, match=r"LoopDetected.*dependency_open.*'stripe' is in trouble"):
            shop.agent(server).run("run-1")

        assert shop.charged == [0]
        assert len(server.asked) == 5  # one whose charge was sent, and four turns in which it was not
        told = server.asked[-1].results
        assert any("'stripe' is in trouble" in text for text in told)
        assert any("calling again will not mend it" in text for text in told)
        models = [each for each in shop.ledger.effects(workflow_id="run-1") if each.tool == "model:openai/m"]
        assert len(models) == 5


def test_an_agent_that_heeds_what_it_is_told_gives_its_answer(tmp_path: Path) -> None:
    """COS-07: telling is no end."""
    shop = Shop(tmp_path)

    def wise(request: ModelRequest) -> Said:
        return says("It is down.") if request.turns >= 2 else stubborn(request)

    with closing(shop), ModelServer(then=wise) as server:
        assert shop.agent(server).run("run-1") == "It is down."

        assert len(server.asked) == 3


def test_a_turn_in_a_workflows_code_waits_for_the_dependency_and_asks_no_model(tmp_path: Path) -> None:
    """COS-07: paused, and the reason is told."""
    shop = Shop(tmp_path)
    with closing(shop), ModelServer(then=stubborn) as server:
        chat = shop.chat(server)

        @shop.ledger.workflow
        def own_loop(ctx: Any) -> None:
            watch, talk = LoopWatch(), [{"role": "user", "content": TASK}]
            for n in range(50):
                said = ctx.step(f"think {n}", partial(chat, list(talk), []))
                said = said["choices"][0]["message"]
                talk.append(said)
                calls = [ToolCall(tool="charge", args={"order": n})]
                receipts = shop.ledger.turn(calls, loops=watch)
                talk += [
                    {
                        "role": "tool",
                        "tool_call_id": said["tool_calls"][0]["id"],
                        "content": receipts[0].for_model(),
                    },
                    {"role": "tool", "tool_call_id": said["tool_calls"][1]["id"], "content": "nothing"},
                ]

        for _ in range(3):
            with pytest.raises(WorkflowWaiting) as waiting:
                own_loop.options(wait=0.001).run("run-1")

        assert waiting.value.waits_for == "stripe to answer"
        assert len(server.asked) == 2
        assert shop.charged == [0]


def test_a_loop_outside_of_workflows_is_ended_as_well(tmp_path: Path) -> None:
    """COS-07."""
    shop, watch = Shop(tmp_path), LoopWatch()
    with closing(shop.ledger):
        ended = None
        for order in range(50):
            calls = [
                ToolCall(workflow_id="w", tool="charge", args={"order": order}),
                ToolCall(workflow_id="w", tool="news", args={"page": order}),
            ]
            try:
                receipts = shop.ledger.turn(calls, loops=watch)
            except LoopDetected as stuck:
                ended = stuck
                break

    assert isinstance(receipts[0].error, CircuitOpen)
    assert ended is not None
    assert (ended.why, ended.limit, order) == ("dependency_open", 4, 4)
