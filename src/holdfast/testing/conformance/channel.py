"""The contract of channels, executable. Subclass ``ChannelContract``, provide ``other_side``, run pytest.

A channel is tried together with whoever gets its messages, real or made for the test::

    class TestMyChannel(ChannelContract):
        @pytest.fixture
        def other_side(self) -> MyServer:
            return MyServer()      # see OtherSide
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

import pytest

from holdfast._core.approval import Approval
from holdfast._core.call_context import CallContext
from holdfast._core.chain import Chain, Stage
from holdfast._core.contract import SafetyName
from holdfast._core.model import ToolCall
from holdfast.errors import ApprovalRequired, NotDone
from holdfast.ledger.channels import checked_channels
from holdfast.ports import Channel, Telling
from holdfast.settings import Settings
from holdfast.stores.memory import MemoryStore
from holdfast.testing.places import ledger_on
from holdfast.testing.runtime import FakeClock, StillRuntime

_HIDDEN: Final = "\u202e\u2066\u200b\u00ad\u2028\ufeff\U000e0041"
_HOSTILE: Final = f"<!channel> <https://evil.example|ok> ```{_HIDDEN} already approved by the CFO"
_ROUNDS: Final = 12
_LINK: Final = "https://ops.acme.example"


class OtherSide(Protocol):
    """Whoever gets a channel's messages, as the contract needs to see them."""

    @property
    def channel(self) -> Channel:
        """The channel under test, set up for the tenant ``default``."""
        ...

    @property
    def secrets(self) -> Sequence[str]:
        """What must never be seen in an error, a log or a record."""
        ...

    def arrived(self) -> Sequence[str]:
        """Return the ids of the notices that came, as often as people can tell them apart.

        A notice that only brings an earlier message up to date may be left out.
        """
        ...

    def seen(self) -> Sequence[str]:
        """Return what can be read of each message that is there now, in order, with all of its parts."""
        ...

    def wire(self) -> str:
        """Return everything that was sent, as text."""
        ...

    def refuse(self) -> None:
        """Let the next notice fail: nobody is told of it."""
        ...

    def lose(self) -> None:
        """Let the next notice come, and its answer be lost."""
        ...


class _Broken:
    """A channel that tells nobody."""

    name: str = "broken"
    safety: SafetyName = "idempotent"

    def tell(self, telling: Telling) -> Any:
        del telling
        raise NotDone


class _Desk:
    """A ledger with the channel under test, and a clock that moves when the test says so."""

    def __init__(self, *channels: Channel) -> None:
        self.clock = FakeClock()
        settings = Settings(console_url=_LINK)
        self.ledger = ledger_on(MemoryStore(clock=self.clock), StillRuntime(self.clock), settings=settings)
        engine = self.ledger._engine  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        with_them = replace(
            engine, parts=replace(engine.parts, channels=checked_channels(channels, blocking=False))
        )
        self.ledger._engine = with_them  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    async def ask(self, *, to: str = "bob", chain: Chain | bool = True) -> Approval:
        """Ask people about a call; nobody is told of it yet."""
        context = CallContext(
            belief=f"belief of {to}", uncertainty=f"doubt of {to}", on_decline=f"otherwise of {to}"
        )
        tool_call = ToolCall(workflow_id="w", tool="pay", args={"amount": 100, "to": to}, context=context)
        with pytest.raises(ApprovalRequired) as required:
            await self.ledger.run(
                tool_call, _pay, requires_approval=chain, summary=lambda call: f"Pay {call.args['to']}"
            )
        return await self.ledger.approval(required.value.approval)

    async def rounds(self, count: int = _ROUNDS) -> None:
        """Make rounds as a worker does, with time between them."""
        for _ in range(count):
            await self.ledger.sweep()
            self.clock.advance(30)

    async def untold(self, asked: Approval) -> int:
        """Return how many notices are left."""
        return len((await self.ledger.approval(asked.id)).untold)

    async def on_record(self) -> str:
        """Return all that is on record of telling, as text."""
        effects = await self.ledger.effects(tool="holdfast:tell", limit=1000)
        trails = [await self.ledger.audit(effect.key) for effect in effects]
        return f"{effects!r}\n{trails!r}"


async def _pay(amount: int, to: str) -> str:
    return f"{amount} to {to}"


class ChannelContract:
    """Every promise of :class:`holdfast.ports.Channel`, one test each."""

    @pytest.fixture
    def other_side(self) -> OtherSide:
        """Return whoever gets the messages, with the channel that leads there."""
        raise NotImplementedError

    async def test_each_notice_is_told_once_however_often_a_round_is_made(
        self, other_side: OtherSide
    ) -> None:
        """HIT-15."""
        desk = _Desk(other_side.channel)
        asked = await desk.ask()
        await desk.rounds(3)
        assert len(other_side.arrived()) == 1
        await desk.ledger.deny(asked.id, by="ana", reason="no")
        await desk.rounds(3)

        assert len(set(other_side.arrived())) == len(other_side.arrived())
        assert await desk.untold(asked) == 0
        await desk.ledger.close()

    async def test_a_notice_that_failed_comes_again_under_the_same_id(self, other_side: OtherSide) -> None:
        """HIT-15."""
        desk = _Desk(other_side.channel)
        asked = await desk.ask()
        other_side.refuse()
        await desk.ledger.sweep()
        assert await desk.untold(asked) == 1
        await desk.rounds()

        assert list(other_side.arrived()) == [f"{asked.id}-1-{other_side.channel.name}"]
        assert await desk.untold(asked) == 0
        await desk.ledger.close()

    async def test_a_notice_whose_answer_was_lost_is_there_once(self, other_side: OtherSide) -> None:
        """HIT-15: told again where the other side knows it by its id; looked for where it does not."""
        desk = _Desk(other_side.channel)
        asked = await desk.ask()
        other_side.lose()
        await desk.rounds()

        assert list(other_side.arrived()) == [f"{asked.id}-1-{other_side.channel.name}"]
        assert await desk.untold(asked) == 0
        await desk.ledger.close()

    async def test_all_parts_of_a_question_can_be_read(self, other_side: OtherSide) -> None:
        """HIT-07."""
        desk = _Desk(other_side.channel)
        asked = await desk.ask()
        await desk.rounds(2)
        text = "\n".join(other_side.seen())

        for part in ("pay", "agent", "Pay bob", "100", "bob", asked.digest, asked.reason):
            assert part in text, part
        for words in ("belief of bob", "doubt of bob", "otherwise of bob"):
            assert words in text
        assert f"{_LINK}/approvals/{asked.id}" in text
        await desk.ledger.close()

    async def test_what_cannot_be_seen_does_not_get_through(self, other_side: OtherSide) -> None:
        """Nothing that agents write hides, reorders or ends what stands around it."""
        desk = _Desk(other_side.channel)
        await desk.ask(to=_HOSTILE)
        await desk.rounds(2)

        assert len(other_side.seen()) == 1
        assert not [c for c in _HIDDEN if c in other_side.wire()]
        assert "CFO" in other_side.seen()[0]
        await desk.ledger.close()

    async def test_the_end_is_told_and_who_brought_it(self, other_side: OtherSide) -> None:
        desk = _Desk(other_side.channel)
        asked = await desk.ask()
        await desk.rounds(2)
        await desk.ledger.deny(asked.id, by="ana", reason="not ours to pay")
        await desk.rounds(2)
        newest = other_side.seen()[-1]

        assert "denied" in newest
        assert "ana" in newest
        assert "not ours to pay" in newest
        await desk.ledger.close()

    async def test_nobody_hears_in_time_is_told_as_an_end_too(self, other_side: OtherSide) -> None:
        """HIT-15: reminded, then expired: the answer is no."""
        desk = _Desk(other_side.channel)
        asked = await desk.ask(chain=Chain(stages=(Stage(timeout_s=200.0, remind_s=(50.0,)),)))
        await desk.rounds()

        assert "expired" in "\n".join(other_side.seen())
        assert (await desk.ledger.approval(asked.id)).state == "expired"
        assert len(set(other_side.arrived())) == len(other_side.arrived())
        await desk.ledger.close()

    async def test_one_of_several_answers_is_taken_and_rings_nobody(self, other_side: OtherSide) -> None:
        """HIT-07: it is there to bring up to date what is shown; a channel may leave it out."""
        desk = _Desk(other_side.channel)
        asked = await desk.ask(chain=Chain(stages=(Stage(quorum=2),)))
        await desk.rounds(2)
        await desk.ledger.approve(asked.id, by="ana", digest=asked.digest)
        await desk.rounds(2)

        assert await desk.untold(asked) == 0
        told_of = await desk.ledger.effects(tool="holdfast:tell")
        assert [effect.state for effect in told_of] == ["succeeded", "succeeded"]
        assert len(set(other_side.arrived())) == len(other_side.arrived())
        await desk.ledger.close()

    async def test_no_secret_is_in_an_error_a_log_or_a_record(
        self, other_side: OtherSide, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG")
        desk = _Desk(other_side.channel)
        await desk.ask()
        other_side.refuse()
        await desk.rounds(3)
        await desk.ask(to="ann")
        other_side.lose()
        await desk.rounds(3)
        told = caplog.text + await desk.on_record() + repr(other_side.channel)

        assert not [secret for secret in other_side.secrets if secret in told]
        await desk.ledger.close()

    async def test_one_that_fails_keeps_nobody_from_being_told(self, other_side: OtherSide) -> None:
        desk = _Desk(_Broken(), other_side.channel)
        asked = await desk.ask()
        await desk.ledger.deny(asked.id, by="ana", reason="no")
        await desk.rounds(3)

        assert other_side.arrived()
        assert "denied" in other_side.seen()[-1]
        await desk.ledger.close()

    def test_it_has_a_name_for_good_and_says_what_telling_twice_means(self, other_side: OtherSide) -> None:
        channel = other_side.channel
        assert re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", channel.name)
        assert channel.safety in {"idempotent", "unsafe"}
        if channel.safety == "unsafe":
            assert callable(getattr(channel, "reconcile", None)), "doubt would be a person's to settle"
