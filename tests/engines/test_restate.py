"""On a real Restate server: deaths, slowness and losses lead to another drive, never to another effect."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from engines.restate_server import Cluster, call, until
from engines.shop import Shop, World
from engines.workers import Worker
from holdfast._core.execution import ENDED, ExecutionRecord
from holdfast.engines.restate import RestateEngine
from holdfast.errors import EngineUnavailable

PATIENCE_S = 90.0


@pytest.fixture(autouse=True)
async def closed_afterwards() -> AsyncIterator[None]:
    yield
    while Shop.opened:
        await Shop.opened.pop().ledger.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def either_url(request: pytest.FixtureRequest, url: str) -> str:
    return url if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))


class Trial:
    """A shop that is run on Restate: the client's side of it, and what came of it."""

    def __init__(self, home: Path, url: str, cluster: Cluster) -> None:
        self.shop = Shop(home, url, RestateEngine(*cluster.ingress_urls))

    async def found(self, workflow_id: str) -> ExecutionRecord:
        return await self.shop.ledger.execution(workflow_id)

    async def until(self, workflow_id: str, is_so: Callable[[ExecutionRecord], bool]) -> ExecutionRecord:
        deadline = time.monotonic() + PATIENCE_S
        while not is_so(found := await self.found(workflow_id)):
            assert time.monotonic() < deadline, f"still {found}; counts {self.shop.counts()}"
            await asyncio.sleep(0.05)
        return found

    async def ended(self, workflow_id: str) -> str | None:
        found = await self.until(workflow_id, lambda each: each.status in ENDED)
        assert str(found.status) == "succeeded", found
        return found.output

    async def waits(self, workflow_id: str) -> None:
        await self.until(workflow_id, lambda each: str(each.status) == "waiting")


def counted(shop: Shop, what: str, count: int) -> None:
    def trouble(text: str) -> Exception:
        return AssertionError(f"{text}: {shop.world.lines(what)}")

    until(lambda: len(shop.world.lines(what)) >= count, trouble, f"{count} {what}", PATIENCE_S)


async def test_a_workflow_runs_on_restate(restate_binary: Path, tmp_path: Path, url: str) -> None:
    with Cluster(restate_binary, tmp_path) as cluster, Worker("served", tmp_path, url) as worker:
        cluster.nodes[0].register(worker.url)
        trial = Trial(tmp_path, url, cluster)

        await trial.shop.order.enqueue("order-1", "o1")
        assert await trial.ended("order-1") == '"o1: paid=True"'
        await trial.shop.order.enqueue("order-1", "o1")  # woken again, it is found to have ended

        odd = "order/2 ?#%/é漢&"
        await trial.shop.order.enqueue(odd, "o2", rests_s=0.5)
        assert await trial.ended(odd) == '"o2: paid=True"'
        assert trial.shop.counts() == (2, 2, 2)


async def test_a_workflow_waits_for_others_without_being_looked_at(
    restate_binary: Path, tmp_path: Path, url: str
) -> None:
    with (
        Cluster(restate_binary, tmp_path) as cluster,
        Worker("served", tmp_path, url, ingress=cluster.ingress_urls) as worker,
    ):
        cluster.nodes[0].register(worker.url)
        trial = Trial(tmp_path, url, cluster)

        await trial.shop.basket.enqueue("basket-1", ["o1", "o2"])

        assert await trial.ended("basket-1") == '["o1: paid=True","o2: paid=True"]'
        assert trial.shop.counts() == (2, 2, 2)


def test_bare_restate_charges_again_for_a_dead_worker_and_for_a_slow_charge(
    restate_binary: Path, tmp_path: Path
) -> None:
    """The control experiment: what the same server does with the same misfortunes, and no ledger."""
    homes = {name: tmp_path / name for name in ("dead", "slow", "server")}
    for home in homes.values():
        home.mkdir()
    with Cluster(restate_binary, homes["server"]) as cluster:
        for misfortune, home, charges in (
            ("death-after-charge", homes["dead"], 2),
            ("slowness", homes["slow"], 3),
        ):
            (home / misfortune).touch()
            with Worker("bare", home, "") as worker:
                cluster.nodes[0].register(worker.url)
                call(f"{cluster.nodes[0].ingress}/bare/order/send", "o1")
                if charges == 2:
                    worker.wait_for_death()
                    worker.start()
                world = World(home)
                until(lambda: len(world.lines("charges")) == charges, AssertionError, "charges")  # noqa: B023


async def test_a_worker_killed_after_its_effect_is_followed_by_another_that_looks_first(
    restate_binary: Path, tmp_path: Path, either_url: str
) -> None:
    with Cluster(restate_binary, tmp_path) as cluster, Worker("served", tmp_path, either_url) as worker:
        cluster.nodes[0].register(worker.url)
        trial = Trial(tmp_path, either_url, cluster)
        trial.shop.world.arrange("death-after-charge")

        await trial.shop.order.enqueue("order-1", "o1")
        await asyncio.to_thread(worker.wait_for_death)
        worker.start()

        assert await trial.ended("order-1") == '"o1: paid=True"'
        assert trial.shop.counts() == (1, 1, 1)


async def test_an_effect_slower_than_the_engines_attempts_is_joined_by_the_next_one(
    restate_binary: Path, tmp_path: Path, url: str
) -> None:
    with (
        Cluster(restate_binary, tmp_path, attempt="500ms") as cluster,
        Worker("served", tmp_path, url) as worker,
    ):
        cluster.nodes[0].register(worker.url)
        trial = Trial(tmp_path, url, cluster)
        trial.shop.world.arrange("slowness-after-charge")

        await trial.shop.order.enqueue("order-1", "o1")
        assert await trial.ended("order-1") == '"o1: paid=True"'
        assert trial.shop.counts() == (1, 1, 1)
        assert (await trial.found("order-1")).epoch == 1, "who goes on is who began"
        assert "the 'abort timeout' (500ms) fired" in cluster.nodes[0].log()


async def test_a_server_that_dies_meanwhile_finds_the_effect_under_way(
    restate_binary: Path, tmp_path: Path, url: str
) -> None:
    with Cluster(restate_binary, tmp_path) as cluster, Worker("served", tmp_path, url) as worker:
        cluster.nodes[0].register(worker.url)
        trial = Trial(tmp_path, url, cluster)
        trial.shop.world.arrange("slowness-after-charge")

        await trial.shop.order.enqueue("order-1", "o1")
        await asyncio.to_thread(counted, trial.shop, "charges", 1)
        cluster.kill()
        await asyncio.to_thread(cluster.start)

        assert await trial.ended("order-1") == '"o1: paid=True"'
        assert trial.shop.counts() == (1, 1, 1)
        assert (await trial.found("order-1")).epoch == 1, "who goes on is who began"


async def test_a_worker_that_is_stopped_brings_its_effect_to_an_end(
    restate_binary: Path, tmp_path: Path, url: str
) -> None:
    with (
        Cluster(restate_binary, tmp_path, attempt="60s") as cluster,
        Worker("served", tmp_path, url, processes=1) as worker,
    ):
        cluster.nodes[0].register(worker.url)
        trial = Trial(tmp_path, url, cluster)
        trial.shop.world.arrange("slowness-after-charge")

        await trial.shop.order.enqueue("order-1", "o1")
        await asyncio.to_thread(counted, trial.shop, "charges", 1)
        await asyncio.to_thread(worker.stop)
        (charge,) = await trial.shop.ledger.effects(tool="charge")
        assert charge.state == "succeeded"
        await asyncio.to_thread(worker.start)

        assert await trial.ended("order-1") == '"o1: paid=True"'
        assert trial.shop.counts() == (1, 1, 1)


async def test_what_was_called_at_an_address_that_is_gone_can_be_called_at_another(
    restate_binary: Path, tmp_path: Path, url: str
) -> None:
    """What docs/how-to/run-on-an-engine.md says about addresses."""
    with Cluster(restate_binary, tmp_path) as cluster, Worker("served", tmp_path, url) as worker:
        (node,) = cluster.nodes
        node.register(worker.url)
        trial = Trial(tmp_path, url, cluster)
        trial.shop.world.arrange("death-after-charge")
        await trial.shop.order.enqueue("order-1", "o1")
        await asyncio.to_thread(worker.wait_for_death)

        with Worker("served", tmp_path, url) as elsewhere:
            node.register(elsewhere.url)
            (stuck,) = [each["id"] for each in node.invocations() if each["status"] != "completed"]
            call(f"{node.admin}/invocations/{stuck}/pause", method="PATCH")
            until(lambda: node.invocations()[0]["status"] == "paused", AssertionError, "a pause")
            call(f"{node.admin}/invocations/{stuck}/resume?deployment=latest", method="PATCH")

            assert await trial.ended("order-1") == '"o1: paid=True"'
        assert trial.shop.counts() == (1, 1, 1)


async def test_a_signal_is_waited_for_over_a_restart_of_the_server(
    restate_binary: Path, tmp_path: Path, url: str
) -> None:
    with Cluster(restate_binary, tmp_path) as cluster, Worker("served", tmp_path, url) as worker:
        cluster.nodes[0].register(worker.url)
        trial = Trial(tmp_path, url, cluster)
        for number in (1, 2):
            await trial.shop.order.enqueue(f"order-{number}", f"o{number}", waits=True)
            await trial.waits(f"order-{number}")

        cluster.kill()
        away = Shop(tmp_path, url)  # says it to the ledger alone, as if it had died before it woke anybody
        assert await away.ledger.signal("order-1", "approved")
        with pytest.raises(EngineUnavailable):
            await trial.shop.order.enqueue("order-3", "o3")
        await asyncio.to_thread(cluster.start)

        await trial.shop.ledger.signal("order-2", "approved")
        await trial.shop.order.enqueue("order-1", "o1", waits=True)
        await trial.shop.order.enqueue("order-3", "o3")
        for number in (1, 2, 3):
            assert await trial.ended(f"order-{number}") == f'"o{number}: paid=True"'
        assert trial.shop.counts() == (3, 3, 3)


async def test_what_nobody_tells_the_engine_is_found_by_looking(
    restate_binary: Path, tmp_path: Path, url: str
) -> None:
    with (
        Cluster(restate_binary, tmp_path) as cluster,
        Worker("served", tmp_path, url, look_every="1s") as worker,
    ):
        cluster.nodes[0].register(worker.url)
        trial = Trial(tmp_path, url, cluster)
        await trial.shop.order.enqueue("order-1", "o1", waits=True)
        await trial.waits("order-1")

        await Shop(tmp_path, url).ledger.signal("order-1", "approved")

        assert await trial.ended("order-1") == '"o1: paid=True"'


async def test_many_wake_ups_leave_one_look_to_come(restate_binary: Path, tmp_path: Path, url: str) -> None:
    with (
        Cluster(restate_binary, tmp_path) as cluster,
        Worker("served", tmp_path, url, look_every="1s") as worker,
    ):
        (node,) = cluster.nodes
        node.register(worker.url)
        trial = Trial(tmp_path, url, cluster)
        await trial.shop.order.enqueue("order-1", "o1", waits=True)
        await trial.waits("order-1")

        for number in range(20):
            await trial.shop.ledger.signal("order-1", "something else", number)

        def comes_to_one() -> bool:
            known = node.invocations()
            coming = [each for each in known if each["status"] == "scheduled"]
            return len(known) > 40 and len(coming) == 1

        await asyncio.to_thread(until, comes_to_one, AssertionError, "one look to come")
        await trial.shop.ledger.signal("order-1", "approved")
        assert await trial.ended("order-1") == '"o1: paid=True"'


async def test_who_runs_it_embedded_and_restate_share_one_execution(
    restate_binary: Path, tmp_path: Path, url: str
) -> None:
    with Cluster(restate_binary, tmp_path) as cluster, Worker("served", tmp_path, url) as worker:
        cluster.nodes[0].register(worker.url)
        trial = Trial(tmp_path, url, cluster)
        trial.shop.world.arrange("slowness-after-charge")

        embedded = asyncio.create_task(Shop(tmp_path, url).order.run("order-1", "o1"))
        await asyncio.to_thread(counted, trial.shop, "charges", 1)
        await trial.shop.order.enqueue("order-1", "o1")

        assert await embedded == "o1: paid=True"
        assert await trial.ended("order-1") == '"o1: paid=True"'
        assert trial.shop.counts() == (1, 1, 1)


@pytest.mark.parametrize(("lost", "either_url"), [(0, "postgres"), (2, "sqlite")], indirect=["either_url"])
async def test_one_of_three_nodes_is_lost(
    restate_binary: Path, tmp_path: Path, either_url: str, lost: int
) -> None:
    with (
        Cluster(restate_binary, tmp_path, size=3) as cluster,
        Worker("served", tmp_path, either_url) as worker,
    ):
        cluster.nodes[1].register(worker.url)
        trial = Trial(tmp_path, either_url, cluster)
        before = [f"before-{number}" for number in range(8)]
        for number, name in enumerate(before):
            await trial.shop.order.enqueue(name, name, waits=number % 2 == 0, rests_s=number % 2 * 3)
        for name in before:
            await trial.waits(name)

        cluster.nodes[lost].kill()
        after = [f"after-{number}" for number in range(8)]
        for name in after:
            await trial.shop.order.enqueue(name, name)
        for name in before[::2]:
            await trial.shop.ledger.signal(name, "approved")

        for name in before + after:
            assert await trial.ended(name) == f'"{name}: paid=True"'
        assert trial.shop.counts() == (16, 16, 16)
        assert sorted(trial.shop.world.lines("charges")) == sorted(before + after)
