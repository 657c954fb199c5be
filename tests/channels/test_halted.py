"""HIT-16, HIT-15: who is halted runs nothing; people are told of its questions all the same, and answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from channels.asked import PEOPLE, Remembering, with_channels
from channels.clicks import clicked, form, headers
from channels.fake_slack import FakeSlack
from channels.office import channel_to, texts
from channels.receivers import post
from holdfast import Chain, Stage
from holdfast.testing.places import places
from promises.ledgers import KINDS
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted

CHAIN = Chain(stages=(Stage(timeout_s=3600, remind_s=(600.0,)), Stage(timeout_s=3600)))


@pytest.fixture(params=KINDS)
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """A store of the test's own on a clock that stands still, and both faces."""
    kind: str = request.param
    where = kind.removeprefix("sync-")
    if where == "postgres":
        where = f"{request.getfixturevalue('ledger_url')}%20-csynchronous_commit%3Doff"
    site = Site(kind, places(where, tmp_path, blocking=kind.startswith("sync-"))())
    yield site
    await site.close()


def opened(site: Site, *channels: Any) -> Process:
    process = site.open()
    with_channels(process.ledger, *channels, people=PEOPLE)
    return process


async def settled(process: Process) -> None:
    """Make rounds, as a worker does, until there is nothing left that people have to hear of."""
    for _ in range(100):
        await process.sweep()
        await asyncio.sleep(0)  # what is told beside the callers has its turn
        if not any(one.untold for one in await process.approvals(state=None)):
            return
    msg = "people are not told"
    raise AssertionError(msg)


def ordering(process: Process, world: Counted, flow: Mapping[str, Any] = {}) -> Flow:
    """A workflow whose one call is decided on by two people, one after the other."""
    known: dict[str, Any] = {"requires_approval": CHAIN, "version": "1"}
    charge = process.tool(world.step("charge", {"id": "ch_1"}), name="charge", **known)

    async def order(ctx: Any) -> Any:
        del ctx
        return await charge(amount=100)

    return process.workflow(order, name="order", **flow)


@pytest.mark.parametrize("whose", ["agent", None])
async def test_people_are_told_and_answer_while_an_agent_or_everybody_is_halted(
    site: Site, whose: str | None
) -> None:
    """HIT-16: nothing runs before it is let go on, and nobody has to be asked again then."""
    world, page = Counted(), Remembering()
    first = opened(site, page)
    await ordering(first, world).begun("w")
    await settled(first)
    [asked] = await first.approvals()
    await first.halt(whose, by="ops", reason="stop")

    site.clock.advance(700)
    await settled(first)
    await first.approve(asked.id, by="ana", digest=asked.digest)
    await first.approve(asked.id, by="ben", digest=asked.digest)
    await settled(first)
    second = opened(site, page)
    ordering(second, world)
    await second.driven("w")

    assert page.kinds == ["asked", "reminded", "asked", "ended"]
    assert (await second.approval(asked.id)).untold == ()
    assert "charge" not in world.calls
    await second.unhalt(whose, by="ops", reason="go on")
    third = opened(site, page)
    flow = ordering(third, world)
    await third.driven("w")
    assert await flow.run("w") == {"id": "ch_1"}
    assert page.kinds == ["asked", "reminded", "asked", "ended"]


async def test_a_question_of_a_halted_agent_expires_as_any_other(site: Site) -> None:
    """HIT-15: to be halted is no yes, and people hear that nobody answered."""
    world, page = Counted(), Remembering()
    first = opened(site, page)
    await ordering(first, world).begun("w")
    await settled(first)
    await first.halt("agent", by="ops", reason="stop")
    site.clock.advance(4000)
    await settled(first)
    await settled(first)

    [asked] = await first.approvals(state=None)
    assert asked.state == "expired"
    assert page.kinds[-1] == "ended"
    assert "charge" not in world.calls


async def test_a_click_counts_while_everybody_is_halted(site: Site, slack: FakeSlack) -> None:
    """HIT-16, HIT-07: and the message says so."""
    world, channel = Counted(), channel_to(slack)
    first = opened(site, channel)
    await ordering(first, world).begun("w")
    await settled(first)
    await first.halt(by="ops", reason="stop")
    [asked] = await first.approvals()
    [message] = slack.messages.values()
    value = next(one for one in message["blocks"] if one["type"] == "actions")["elements"][0]["value"]
    body = form(clicked(value))
    assert (await post(channel.inbox(first.ledger), body, headers(body)))[0] == 200
    await settled(first)

    after = await first.approval(asked.id)
    assert [vote.person for vote in after.votes] == ["ana"]
    assert "approved by ana" in "\n".join(texts(next(iter(slack.messages.values()))["blocks"]))
    assert "charge" not in world.calls
