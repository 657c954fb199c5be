"""A LangGraph graph with its own checkpoints in PostgreSQL, and its tools in the ledger beside them.

DATABASE_URL=postgresql://... python examples/langgraph/refund_graph.py thread-7 --die
DATABASE_URL=postgresql://... python examples/langgraph/refund_graph.py thread-7

The first dies (kill -9) when the tool is done and no checkpoint of LangGraph's knows it; the second goes on.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.prebuilt.tool_node import ToolCallRequest

from holdfast import Done, Effect, NotDone, SyncLedger

BANK = Path("bank.log")  # stands for somebody else's system
ledger = SyncLedger(os.environ["DATABASE_URL"], migrate=True)


def find_refund(effect: Effect) -> Done | NotDone:
    order_id, cents = effect.args["order_id"], effect.args["cents"]
    is_done = BANK.exists() and f"{order_id} {cents}\n" in BANK.read_text()
    return Done({"refunded": cents}) if is_done else NotDone()


@ledger.tool(reconcile=find_refund)
def refund(order_id: str, cents: int) -> dict[str, Any]:
    """Pay money back to the customer's card."""
    with BANK.open("a") as bank:
        print(order_id, cents, file=bank)
    return {"refunded": cents}


def through_the_ledger(request: ToolCallRequest, execute: Callable[..., Any]) -> ToolMessage:
    thread = request.runtime.execution_info.thread_id
    [receipt] = ledger.turn([request], workflow_id=thread)
    if "--die" in sys.argv:
        print("the tool is done, no checkpoint knows it; now kill -9", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return ToolMessage(receipt.for_model(), tool_call_id=receipt.call_id)


def model(state: MessagesState) -> dict[str, Any]:  # stands for a chat model, ids and all
    print("the model is asked", flush=True)
    last = state["messages"][-1]
    if isinstance(last, ToolMessage):
        told = json.loads(str(last.content))
        return {"messages": [AIMessage(f"{told['result']['refunded']} cents are on their way.")]}
    call = {"name": "refund", "args": {"order_id": "o-1", "cents": 500}, "id": f"call_{os.urandom(4).hex()}"}
    return {"messages": [AIMessage("", tool_calls=[call])]}


def main() -> None:
    graph = StateGraph(MessagesState)
    graph.add_node("model", model)
    graph.add_node("tools", ToolNode([refund.unguarded], wrap_tool_call=through_the_ledger))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    config = {"configurable": {"thread_id": sys.argv[1]}}
    with PostgresSaver.from_conn_string(os.environ["DATABASE_URL"]) as saver, ledger:
        saver.setup()
        begun = saver.get_tuple(config) is not None
        given = None if begun else {"messages": [HumanMessage("I want my money back.")]}
        state = graph.compile(checkpointer=saver).invoke(given, config)
    print(state["messages"][-1].content)
    print("refunds at the bank:", len(BANK.read_text().splitlines()))


if __name__ == "__main__":
    main()
