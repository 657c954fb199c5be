"""HIT-18: an approval inside of a LangGraph node is LangGraph's own interrupt; tried with the real library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command

from holdfast import Ledger, SyncLedger, ToolCall
from holdfast.adapters.langgraph import run_or_interrupt, run_or_interrupt_sync
from holdfast.errors import ApprovalDenied

CONFIG = {"configurable": {"thread_id": "thread-7"}}
CALL = ToolCall(workflow_id="thread-7", tool="stripe.refund", args={"amount": 12_000})


class State(TypedDict, total=False):
    refunded: int
    visits: int


def graph_of(node: Callable[..., Any]) -> Any:
    builder = StateGraph(State)
    builder.add_node("refund", node)
    builder.add_edge(START, "refund")
    builder.add_edge("refund", END)
    return builder.compile(checkpointer=InMemorySaver())


class Bank:
    """Counts what is refunded, and how often the node began."""

    def __init__(self) -> None:
        self.refunds: list[int] = []
        self.visits = 0

    def refund(self, amount: int) -> int:
        self.refunds.append(amount)
        return amount


def pending(ledger: SyncLedger) -> Any:
    [question] = ledger.approvals()
    return question


@pytest.fixture
def bank() -> Bank:
    return Bank()


def test_a_node_pauses_its_graph_and_goes_on_once_people_have_decided(bank: Bank, tmp_path: Path) -> None:
    """HIT-18: the node runs again, the refund is made once."""
    with SyncLedger(f"sqlite:///{tmp_path}/ledger.db") as ledger:

        def node(_: State) -> State:
            bank.visits += 1
            return {"refunded": run_or_interrupt_sync(ledger, CALL, bank.refund, requires_approval=True)}

        graph = graph_of(node)
        paused = graph.invoke({}, CONFIG)
        [interrupt] = paused["__interrupt__"]
        question = pending(ledger)
        assert (interrupt.value["approval"], bank.refunds) == (question.id, [])

        ledger.approve(question.id, by="ana", digest=question.digest)
        assert graph.invoke(Command(resume="go on"), CONFIG)["refunded"] == 12_000

        assert bank.visits == 2
        assert bank.refunds == [12_000]


def test_the_value_a_graph_is_resumed_with_decides_nothing(bank: Bank, tmp_path: Path) -> None:
    """HIT-18, attack 22: whatever it says, the record decides; too early is too early."""
    with SyncLedger(f"sqlite:///{tmp_path}/ledger.db") as ledger:

        def node(_: State) -> State:
            return {"refunded": run_or_interrupt_sync(ledger, CALL, bank.refund, requires_approval=True)}

        graph = graph_of(node)
        graph.invoke({}, CONFIG)
        for claim in ({"approved": True}, {"type": "approve"}, "approve", True):
            paused = graph.invoke(Command(resume=claim), CONFIG)
            assert paused["__interrupt__"]
        assert bank.refunds == []

        ledger.deny(pending(ledger).id, by="ana", reason="refunded already")
        with pytest.raises(ApprovalDenied, match="refunded already"):
            graph.invoke(Command(resume=True), CONFIG)
        assert bank.refunds == []


def test_a_graph_hears_what_people_ask_and_answers_within_the_same_approval(
    bank: Bank, tmp_path: Path
) -> None:
    """HIT-18, HIT-09: the interrupt tells of it, the record has the answer, the refund is made once."""
    with SyncLedger(f"sqlite:///{tmp_path}/ledger.db") as ledger:

        def node(_: State) -> State:
            return {"refunded": run_or_interrupt_sync(ledger, CALL, bank.refund, requires_approval=True)}

        graph = graph_of(node)
        [plain] = graph.invoke({}, CONFIG)["__interrupt__"]
        assert "asked" not in plain.value
        ledger.request_info(pending(ledger).id, by="ana", question="Which parcel?")
        [interrupt] = graph.invoke(Command(resume="look again"), CONFIG)["__interrupt__"]
        asked = interrupt.value["asked"]
        assert (asked["by"], asked["question"]) == ("ana", "Which parcel?")

        answered = ledger.answer_info(interrupt.value["approval"], answer="The third.", to=asked["to"])
        ledger.approve(answered.id, by="ana", digest=answered.digest)
        assert graph.invoke(Command(resume="go on"), CONFIG)["refunded"] == 12_000

        assert bank.refunds == [12_000]


async def test_an_async_node_does_the_same(bank: Bank, tmp_path: Path) -> None:
    """HIT-18."""
    async with Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:

        async def node(_: State) -> State:
            return {"refunded": await run_or_interrupt(ledger, CALL, bank.refund, requires_approval=True)}

        graph = graph_of(node)
        assert (await graph.ainvoke({}, CONFIG))["__interrupt__"]
        [question] = await ledger.approvals()
        await ledger.approve(question.id, by="ana", digest=question.digest)

        assert (await graph.ainvoke(Command(resume="go on"), CONFIG))["refunded"] == 12_000
        assert bank.refunds == [12_000]
