"""An agent: asks the model, runs the tool calls, hands their results back, until the model is done.

Run as ``python -m holdfast.demo.agent (--with | --without) --model URL --payments URL --order ID
--workflow ID [--asks SECONDS]``. Both kinds repeat a charge whose answer got lost, as a stubborn programmer
would; they differ in how the tool call is run. With holdfast the ledger is that of ``$HOLDFAST_URL``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeAlias

from openai import AsyncOpenAI
from openai.types.chat import (
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageFunctionToolCall,
    ChatCompletionMessageParam,
)

from holdfast import Done, Effect, Ledger, NotDone, ToolCall
from holdfast.demo.child import die_with_parent, say
from holdfast.demo.model import TOOL, request_text
from holdfast.demo.person import SHOWN_CENTS
from holdfast.demo.provider import Provider, ProviderUnreachable
from holdfast.errors import ApprovalDenied

AMOUNT_CENTS: Final = 4990
TOLD_CENTS: Final = 1_000_000
"""What something that the agent has read tells it to charge."""
CURRENCY: Final = "EUR"

_CHARGE_CARD: Final[ChatCompletionFunctionToolParam] = {
    "type": "function",
    "function": {
        "name": TOOL,
        "description": "Charge the customer's card on file for one order.",
        "parameters": {
            "type": "object",
            "properties": {
                "order_id": {"type": "string"},
                "amount_cents": {"type": "integer"},
                "currency": {"type": "string"},
            },
            "required": ["order_id", "amount_cents", "currency"],
            "additionalProperties": False,
        },
    },
}

RunTool: TypeAlias = Callable[[ChatCompletionMessageFunctionToolCall], Awaitable[Any]]


async def converse(client: AsyncOpenAI, order_id: str, run_tool: RunTool, cents: int = AMOUNT_CENTS) -> str:
    """Let the model charge *order_id* through *run_tool*; return its closing sentence."""
    messages: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": request_text(order_id, cents, CURRENCY)}
    ]
    while True:
        completion = await client.chat.completions.create(
            model="scripted", messages=messages, tools=[_CHARGE_CARD]
        )
        answer = completion.choices[0].message
        calls = [call for call in answer.tool_calls or () if call.type == "function"]
        if not calls:
            return answer.content or ""
        messages.append(
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.function.name, "arguments": call.function.arguments},
                    }
                    for call in calls
                ],
            }
        )
        for call in calls:
            say("tool_call", call_id=call.id)
            result = await _stubbornly(run_tool, call)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})


async def _stubbornly(run_tool: RunTool, call: ChatCompletionMessageFunctionToolCall) -> Any:
    """Run *call*; when its answer is lost, run it again. Harmless only if the first time is on record."""
    try:
        return await run_tool(call)
    except ProviderUnreachable:
        return await run_tool(call)


def take_money(provider: Provider, order_id: str, amount_cents: int, currency: str, reference: str) -> Any:
    """Charge at the provider, and let the audience know when its answer got lost."""
    try:
        return provider.charge(order_id, amount_cents, currency, reference=reference)
    except ProviderUnreachable:
        say("answer_lost")
        raise


async def without_holdfast(provider: Provider, call: ChatCompletionMessageFunctionToolCall) -> Any:
    """Run the tool call the usual way."""
    args = json.loads(call.function.arguments)
    return await asyncio.to_thread(take_money, provider, **args, reference=args["order_id"])


async def with_holdfast(
    provider: Provider,
    ledger: Ledger,
    workflow_id: str,
    patience_s: float | None,
    call: ChatCompletionMessageFunctionToolCall,
) -> Any:
    """Run the same tool call through the ledger.

    Args:
        patience_s: A person decides first, and is waited for so long; ``None``: nobody has to.
    """

    def charge_card(order_id: str, amount_cents: int, currency: str, *, effect: Effect) -> Any:
        return take_money(provider, order_id, amount_cents, currency, reference=effect.idem_key)

    async def find_charge(effect: Effect) -> Done | NotDone:
        charges = await asyncio.to_thread(provider.find, effect.idem_key)
        return Done(charges[0]) if charges else NotDone()

    if patience_s is None:
        return await ledger.run(call, handler=charge_card, workflow_id=workflow_id, reconcile=find_charge)
    say("asks", workflow_id=workflow_id)
    try:
        return await ledger.run(
            call,
            handler=charge_card,
            workflow_id=workflow_id,
            reconcile=find_charge,
            requires_approval=True,
            summary=_summary,
            wait=patience_s,
        )
    except ApprovalDenied as denied:
        return {"status": "denied", "why": denied.reason}


def _summary(call: ToolCall) -> str:
    """Say what a charge does, for the person who is asked."""
    return f"Charge {call.args['amount_cents'] / 100:,.2f} {call.args['currency']} to the card on file"


async def work(options: argparse.Namespace) -> str:
    """Do the whole conversation and return the model's closing sentence."""
    provider = Provider(options.payments)
    async with AsyncOpenAI(base_url=f"{options.model}/v1", api_key="demo", max_retries=0) as client:
        if not options.guarded:
            return await converse(client, options.order, partial(without_holdfast, provider))
        async with Ledger(actor=f"agent pid {os.getpid()}") as ledger:
            run_tool = partial(with_holdfast, provider, ledger, options.workflow, options.asks)
            if options.asks is None:
                return await converse(client, options.order, run_tool)
            first = await converse(client, options.order, run_tool, SHOWN_CENTS)
            return f"{first} {await converse(client, options.order, run_tool, TOLD_CENTS)}"


def main() -> None:
    """Work until the model is done, or until somebody kills us."""
    parser = argparse.ArgumentParser(prog="python -m holdfast.demo.agent")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--with", dest="guarded", action="store_true", help="charge through the ledger")
    kind.add_argument("--without", dest="guarded", action="store_false", help="charge directly")
    parser.add_argument("--model", required=True, help="URL of the model server")
    parser.add_argument("--payments", required=True, help="URL of the payments provider")
    parser.add_argument("--order", required=True, help="the order to charge")
    parser.add_argument("--workflow", required=True, help="names this agent's execution across restarts")
    parser.add_argument(
        "--asks", type=float, metavar="SECONDS", help="wait so long for a person before each charge"
    )
    options = parser.parse_args()
    die_with_parent()
    say("answer", text=asyncio.run(work(options)))


if __name__ == "__main__":
    main()
