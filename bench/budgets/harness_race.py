"""pydantic-ai-harness: its SpendLimits with one budget, and runs of an agent that all begin at once.

    python harness_race.py --runs 20 --usd 0.25 --cap 1.00

Prints one JSON line: what was spent, how many runs were refused.
"""

import argparse
import asyncio
import json
from decimal import Decimal

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai_harness.spend import Budget, SpendLimitExceeded, SpendLimits


async def race(runs: int, usd: Decimal, cap: Decimal) -> dict[str, object]:
    spent: list[Decimal] = []

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        await asyncio.sleep(0.05)  # a model takes its time, and the others do not wait for it
        spent.append(usd)
        return ModelResponse(parts=[TextPart("done")])

    limits = SpendLimits(budgets=[Budget(usd=cap, window="total")], price=lambda response: usd)
    agent = Agent(FunctionModel(answer), capabilities=[limits])
    told = await asyncio.gather(*(agent.run("go") for _ in range(runs)), return_exceptions=True)
    strange = [
        each for each in told if isinstance(each, BaseException) and not isinstance(each, SpendLimitExceeded)
    ]
    if strange:
        raise strange[0]
    refused = sum(isinstance(each, SpendLimitExceeded) for each in told)
    after = 0
    try:
        await agent.run("one more")
    except SpendLimitExceeded:
        after = 1
    return {"spent": str(sum(spent[:runs], Decimal())), "refused": refused, "refused_afterwards": after}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--usd", type=Decimal, default=Decimal("0.25"))
    parser.add_argument("--cap", type=Decimal, default=Decimal("1.00"))
    given = parser.parse_args()
    print(json.dumps(asyncio.run(race(given.runs, given.usd, given.cap))))
