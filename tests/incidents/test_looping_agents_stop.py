"""An agent that loops for ever, through the official SDKs, stops at its caps; what it found is not lost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from holdfast import Budget, Ended
from holdfast.errors import BudgetExceeded
from holdfast.stores.memory import MemoryStore
from holdfast.testing.model import ModelServer
from incidents.runaway import LEAST, MODELS, PRICES, WISHED, Agent, Runaway, ledger_of
from testing.model_clients import PLAIN, STREAMS, WAYS, Way

each_way = pytest.mark.parametrize("way", WAYS, ids=str)


def ran(way: Way, model: Runaway, budget: Budget, where: Any = None) -> tuple[Ended[str], Agent, int]:
    """Let an agent run until it ends; return how, the agent, and how many requests its provider got."""
    place = MemoryStore() if where is None else where
    with ModelServer(model) as server:
        if way.is_async:
            ended, agent = asyncio.run(_ran_async(way, server, budget, place))
            return ended, agent, server.requests
        with (
            ledger_of(way, place) as ledger,
            ledger.model(way.client(server), least_output=LEAST) as sdk,
        ):
            agent = Agent(way, sdk, ledger)
            return agent.run("flights", budget), agent, server.requests


async def _ran_async(way: Way, server: ModelServer, budget: Budget, where: Any) -> tuple[Ended[str], Agent]:
    async with (
        ledger_of(way, where) as ledger,
        ledger.model(way.client(server), least_output=LEAST) as sdk,
    ):
        agent = Agent(way, sdk, ledger)
        return await agent.run_async("flights", budget), agent


def row_of(way: Way) -> Any:
    return PRICES.row(MODELS[way.api], at=datetime(2026, 1, 1, tzinfo=UTC))


def least_needed(refused: BudgetExceeded, per_token: int) -> int:
    """What the refused call would have needed for the shortest answer that is of use."""
    return refused.needed - (WISHED - LEAST) * per_token


@each_way
def test_it_stops_at_exactly_fifty_steps(way: Way) -> None:
    """COS-04, COS-10: 49 of them looked, and the fiftieth, which was kept for that, summed up."""
    model = Runaway(thinks=10)

    ended, agent, requests = ran(way, model, Budget(steps=50, reserve=Budget(steps=1)))

    assert requests == 50
    assert (ended.status, ended.output) == ("budget_exhausted", "So far: 49 pages, no flight.")
    assert len(agent.pages) == 49
    assert ended.refused is not None
    assert (ended.refused.unit, ended.refused.used, ended.refused.cap) == ("steps", 49, 49)


@pytest.mark.parametrize("way", [PLAIN[0], PLAIN[-1], STREAMS[2], STREAMS[3]], ids=str)
def test_without_a_reserve_all_fifty_steps_look(way: Way) -> None:
    """COS-04: nothing is left to sum up, and what was found is there all the same."""
    ended, agent, requests = ran(way, Runaway(thinks=10), Budget(steps=50))

    assert (requests, len(agent.pages)) == (50, 50)
    assert (ended.status, ended.output) == ("budget_exhausted", None)


@each_way
def test_it_stops_at_two_dollars(way: Way) -> None:
    """COS-03, COS-10: by what the provider's own usage costs; not even the shortest call of use fitted."""
    model, row = Runaway(), row_of(way)

    ended, agent, requests = ran(way, model, Budget(usd="2.00", reserve=Budget(usd="0.05")))

    refused = ended.refused
    assert refused is not None
    summary = model.used.pop()
    looked = model.cost(row)
    per_token = 15 if way.is_anthropic else 20
    assert (refused.unit, refused.used, refused.cap) == ("usd", looked, 1_950_000)
    assert looked + least_needed(refused, per_token) > 1_950_000
    assert ended.status == "budget_exhausted"
    assert ended.output == f"So far: {len(agent.pages)} pages, no flight."
    assert requests == len(agent.pages) + 1
    model.used.append(summary)
    assert 1_700_000 < model.cost(row) <= 2_000_000


@each_way
def test_it_stops_at_fifty_thousand_tokens(way: Way) -> None:
    """COS-01, COS-10: the refusal names what is used, held and capped."""
    model = Runaway()

    ended, agent, requests = ran(way, model, Budget(tokens=50_000, reserve=Budget(tokens=2_000)))

    refused = ended.refused
    assert refused is not None
    summary = model.used.pop()
    assert (refused.unit, refused.used, refused.held, refused.cap) == ("tokens", model.tokens, 0, 48_000)
    assert model.tokens + least_needed(refused, 1) > 48_000
    assert (ended.status, ended.output) == (
        "budget_exhausted",
        f"So far: {len(agent.pages)} pages, no flight.",
    )
    assert requests == len(agent.pages) + 1
    model.used.append(summary)
    assert 35_000 < model.tokens <= 50_000


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
@pytest.mark.parametrize("way", [PLAIN[0], STREAMS[-1]], ids=str)
def test_it_stops_on_every_store(way: Way, store: str, request: pytest.FixtureRequest, tmp_path: Any) -> None:
    """COS-03, COS-04: and a second agent of the same name in another process has what is left, nothing."""
    url = request.getfixturevalue("ledger_url") if store == "postgres" else f"sqlite:///{tmp_path}/ledger.db"
    budget = Budget(steps=6, reserve=Budget(steps=1))

    first, agent, requests = ran(way, Runaway(thinks=10), budget, url)
    again, other, more = ran(way, Runaway(thinks=10), budget, url)

    assert (first.output, len(agent.pages), requests) == ("So far: 5 pages, no flight.", 5, 6)
    assert (again.status, again.output, other.pages, more) == ("budget_exhausted", None, [], 0)
