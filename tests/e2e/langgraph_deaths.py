"""Threads of a LangGraph graph over PostgresSaver: each killed at one place, and gone on with by another process.

    python langgraph_deaths.py '{"url": ..., "directory": ..., "at_once": 4, "cases": [["sync", "exit", "recorded", true]]}'

A case is a face, a durability, the place at which the first life dies, and whether its tool is in the ledger. Both lives
of the place ``together`` live, at the same time. One interpreter starts; every life is a fork of it, taken before
anything was opened. A line of JSON is written for each case.

The model is a script that asks for one charge, under another call id each time it is asked, as real ones do. Checkpoints
and ledger share a database. What happens in the world is a line in a file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.prebuilt.tool_node import ToolCallRequest

from holdfast import Done, Effect, Ledger, NotDone, Settings, SyncLedger

TOLD: Final[dict[str, Any]] = json.loads(sys.argv[1])
URL: Final[str] = TOLD["url"]
logging.getLogger("holdfast").setLevel(logging.ERROR)  # what it warns of is what is tested here


@dataclass
class Life:
    """One process that goes through a thread.

    Attributes:
        thread: LangGraph's thread, and the ledger's workflow.
        dies_at: The place at which it kills itself; empty for none.
        is_together: Whether another life works on the thread at the same time.
    """

    thread: str
    face: str
    durability: str
    guarded: bool
    dies_at: str = ""
    is_together: bool = False

    @property
    def world(self) -> Path:
        return Path(TOLD["directory"]) / f"{self.thread}.world"

    @property
    def config(self) -> dict[str, Any]:
        return {"configurable": {"thread_id": self.thread}}

    @property
    def settings(self) -> Settings:
        # Who is at work together must not be taken for dead on a busy machine.
        lease, renew_every = (1.0, 0.3) if not self.is_together else (30.0, 1.0)
        return Settings(lease=lease, renew_every=renew_every, reconcile_skew=1e-6, store_patience=30)

    def reach(self, place: str) -> None:
        if place == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def arrive(self) -> None:
        """Say that this life is about to make the call."""
        with self.world.with_suffix(".met").open("a") as met:
            met.write(".")

    def meet(self) -> None:
        """Return once both lives are about to make the call."""
        while self.is_together and self.world.with_suffix(".met").stat().st_size < 2:
            time.sleep(0.01)

    def charge(self, amount: int) -> dict[str, int]:
        """Charge the customer's card."""
        self.meet()
        world = os.open(self.world, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(world, f"charge {amount}\n".encode())
        os.close(world)
        self.reach("handler-end")
        return {"charged": amount}

    async def acharge(self, amount: int) -> dict[str, int]:
        """Charge the customer's card."""
        return self.charge(amount)

    def evidence(self, effect: Effect) -> Done | NotDone:
        line = f"charge {effect.args['amount']}"
        is_done = self.world.exists() and line in self.world.read_text().splitlines()
        return Done({"charged": effect.args["amount"]}) if is_done else NotDone()

    def answer(self, receipt: Any) -> ToolMessage:
        self.reach("recorded")
        return ToolMessage(receipt.for_model(), tool_call_id=receipt.call_id)

    def bare(self, request: ToolCallRequest, execute: Any) -> Any:
        """The control: no ledger, the same place to die."""
        self.arrive()
        answered = execute(request)
        self.reach("recorded")
        return answered


def is_answered(messages: Sequence[Any]) -> bool:
    return any(isinstance(message, ToolMessage) for message in messages)


class MortalSaver(PostgresSaver):
    """LangGraph's own, with places to die before the tool's answer is in the database."""

    life: Life

    def put(self, config: Any, checkpoint: Any, *rest: Any) -> Any:
        if is_answered(checkpoint["channel_values"].get("messages", ())):
            self.life.reach("before-checkpoint")
        return super().put(config, checkpoint, *rest)

    def put_writes(self, config: Any, writes: Any, *rest: Any) -> None:
        if any(name == "messages" and is_answered(value) for name, value in writes):
            self.life.reach("before-writes")
        super().put_writes(config, writes, *rest)


class AsyncMortalSaver(AsyncPostgresSaver):
    """The same for asyncio."""

    life: Life

    async def aput(self, config: Any, checkpoint: Any, *rest: Any) -> Any:
        if is_answered(checkpoint["channel_values"].get("messages", ())):
            self.life.reach("before-checkpoint")
        return await super().aput(config, checkpoint, *rest)

    async def aput_writes(self, config: Any, writes: Any, *rest: Any) -> None:
        if any(name == "messages" and is_answered(value) for name, value in writes):
            self.life.reach("before-writes")
        await super().aput_writes(config, writes, *rest)


def model(state: MessagesState) -> dict[str, Any]:
    last = state["messages"][-1]
    if isinstance(last, ToolMessage):
        return {"messages": [AIMessage(f"answer: {last.content}")]}
    call = {"name": "charge", "args": {"amount": 100}, "id": f"call_{os.urandom(4).hex()}"}
    return {"messages": [AIMessage("", tool_calls=[call])]}


def graph_of(tools: ToolNode) -> StateGraph[Any]:
    graph = StateGraph(MessagesState)
    graph.add_node("model", model)
    graph.add_node("tools", tools)
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph


def given(begun: Any) -> Any:
    """What the graph is called with: nothing, once it has a checkpoint."""
    return None if begun is not None else {"messages": [HumanMessage("Charge me.", id="said-1")]}


def live(life: Life) -> dict[str, Any]:
    with SyncLedger(URL, settings=life.settings) as ledger:
        ledger.tool("charge", reconcile=life.evidence)(life.charge)

        def guarded(request: ToolCallRequest, execute: Any) -> Any:
            life.arrive()
            [receipt] = ledger.turn([request], workflow_id=request.runtime.execution_info.thread_id)
            return life.answer(receipt)

        tools = ToolNode([life.charge], wrap_tool_call=guarded if life.guarded else life.bare)
        with MortalSaver.from_conn_string(URL) as saver:
            saver.life = life
            graph = graph_of(tools).compile(checkpointer=saver)
            begun = saver.get_tuple(life.config)
            state: dict[str, Any] = graph.invoke(given(begun), life.config, durability=life.durability)
            return state


async def live_async(life: Life) -> dict[str, Any]:
    async with Ledger(URL, settings=life.settings) as ledger:
        ledger.tool("charge", reconcile=life.evidence)(life.acharge)

        async def guarded(request: ToolCallRequest, execute: Any) -> Any:
            [receipt] = await ledger.turn([request], workflow_id=request.runtime.execution_info.thread_id)
            return life.answer(receipt)

        tools = ToolNode([life.charge], awrap_tool_call=guarded)
        async with AsyncMortalSaver.from_conn_string(URL) as saver:
            saver.life = life
            graph = graph_of(tools).compile(checkpointer=saver)
            begun = await saver.aget_tuple(life.config)
            return await graph.ainvoke(given(begun), life.config, durability=life.durability)


def fork(life: Life, number: int) -> int:
    """Begin a life in a process of its own; what it tells lies in a file."""
    pid = os.fork()
    if not pid:
        _child(life, number)
    return pid


def _child(life: Life, number: int) -> NoReturn:
    code = 1
    try:
        state = live(life) if life.face == "sync" else asyncio.run(live_async(life))
        answers = [
            json.loads(str(each.content)) for each in state["messages"] if isinstance(each, ToolMessage)
        ]
        (Path(TOLD["directory"]) / f"{life.thread}.{number}").write_text(json.dumps(answers))
        code = 0
    except BaseException:  # noqa: BLE001 - told to whoever started this
        traceback.print_exc()
    finally:
        os._exit(code)


def tried(number: int, case: list[Any]) -> NoReturn:
    """Go through one case, in a process of its own; write its line."""
    face, durability, place, guarded = case
    is_together = place == "together"
    life = Life(f"thread-{number}", face, durability, guarded, is_together=is_together)
    life.dies_at = "" if is_together else place
    first = fork(life, 1)
    ends = [] if is_together else [os.waitpid(first, 0)[1]]
    life.dies_at = ""
    second = fork(life, 2)
    ends += [os.waitpid(pid, 0)[1] for pid in ((first, second) if is_together else (second,))]
    lives = [path for n in (1, 2) if (path := Path(TOLD["directory"]) / f"{life.thread}.{n}").exists()]
    line = {
        "case": case,
        "ends": [os.waitstatus_to_exitcode(end) for end in ends],
        "answers": [json.loads(path.read_text()) for path in lives],
        "world": life.world.read_text().splitlines(),
    }
    os.write(1, (json.dumps(line) + "\n").encode())
    os._exit(0)


def main() -> None:
    with PostgresSaver.from_conn_string(URL) as saver:
        saver.setup()
    under_way = 0
    for number, case in enumerate(TOLD["cases"]):
        if under_way == TOLD["at_once"]:
            os.wait()
            under_way -= 1
        if not os.fork():
            tried(number, case)
        under_way += 1
    for _ in range(under_way):
        os.wait()


if __name__ == "__main__":
    main()
