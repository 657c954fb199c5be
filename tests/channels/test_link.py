"""E-mail and the like: the whole question, and a link that decides nothing."""

from __future__ import annotations

from typing import Any

import pytest

from channels.asked import Remembering, acharge, ask, call, told
from holdfast import Ledger, Settings, SyncLedger, ToolCall
from holdfast.channels import LinkChannel
from holdfast.channels.card import visible
from holdfast.errors import ApprovalRequired, InvalidCall, InvalidTool
from holdfast.ports import Ask

SETTINGS = Settings(console_url="https://ops.acme.example/")


async def test_whoever_gets_it_reads_all_and_is_led_to_the_page() -> None:
    """HIT-07"""
    sent: list[dict[str, str]] = []
    channel = LinkChannel(lambda **said: sent.append(said))
    async with Ledger("memory://", channels=[channel], settings=SETTINGS) as ledger:
        question = await ask(ledger)

    [mail] = sent
    assert mail["subject"] == f"Please decide: charge ({question.id[:8]})"
    assert mail["link"] == f"https://ops.acme.example/approvals/{question.id}"
    assert mail["id"] == f"{question.id}-1-mail"
    for part in ('{"amount":100,"to":"bob"}', question.digest, "bob was charged twice", mail["link"]):
        assert part in mail["text"]


async def test_the_link_has_nothing_in_it_that_decides() -> None:
    """Attack 32: a scanner that fetches it, or whoever it is forwarded to, has the page's address and no more."""
    sent: list[str] = []

    def send(link: str) -> None:
        sent.append(link)

    async with Ledger("memory://", channels=[LinkChannel(send)], settings=SETTINGS) as ledger:
        question = await ask(ledger)
        await told(ledger)

        assert sent == [f"https://ops.acme.example/approvals/{question.id}"]
        assert question.digest[:8] not in sent[0]
        assert (await ledger.approval(question.id)).state == "pending"


async def test_an_async_function_sends_as_well_and_not_for_a_sync_ledger() -> None:
    sent: list[str] = []

    async def send(subject: str, **other: Any) -> None:
        sent.append(f"{subject} {other['telling'].notice.kind}")

    async with Ledger("memory://", channels=[LinkChannel(send)]) as ledger:
        await ask(ledger)

    assert sent[0].endswith("asked")
    with pytest.raises(InvalidTool):
        SyncLedger("memory://", channels=[LinkChannel(send)])


async def test_a_subject_is_one_line_whatever_the_tool_is_called() -> None:
    """Nobody adds headers to a mail."""

    sent: list[str] = []

    def send(subject: str) -> None:
        sent.append(subject)

    channel = LinkChannel(send)
    tool_call = ToolCall(workflow_id="w", tool="x\u2028Bcc: eve@evil.example", args={})
    async with Ledger("memory://", channels=[channel]) as ledger:
        with pytest.raises(ApprovalRequired):
            await ledger.run(tool_call, acharge, requires_approval=True)

    assert sent[0].isprintable()
    assert "⟨U+2028⟩" in sent[0]


@pytest.mark.parametrize(
    "c", "\u202e\u2066\u200b\u00ad\x00\x1b\n\u3164\u2800\ufe0f\U000e0041\ud800\u00a0\ue000"
)
def test_what_cannot_be_seen_is_shown_by_its_number(c: str) -> None:
    assert visible(f"a{c}b") == f"a⟨U+{ord(c):04X}⟩b"


def test_what_can_be_seen_is_left_alone() -> None:
    said = 'Ünïcode 東京 {"a": 1} “quoted” 😀'
    assert visible(said) == said


@pytest.mark.parametrize(
    "channels",
    ["mail", [LinkChannel(print), LinkChannel(print)], [object()], [Remembering("Upper")], [Remembering("")]],
)
def test_channels_that_cannot_tell_anybody_are_refused_at_once(channels: Any) -> None:
    with pytest.raises(InvalidTool):
        Ledger("memory://", channels=channels)


def test_a_channel_that_says_nothing_of_doubt_is_refused() -> None:
    class Careless(Remembering):
        safety = "read"

    with pytest.raises(InvalidTool):
        Ledger("memory://", channels=[Careless()])


async def test_a_policy_that_denies_everything_keeps_nobody_from_being_told() -> None:
    """The library's own calls are nobody's to rule on; nobody else may use their names."""

    class AsksAlways:
        def needs(self, facts: Any) -> tuple[()]:
            del facts
            return ()

        def decide(self, facts: Any) -> Any:
            del facts
            return Ask("always")

    page = Remembering()
    async with Ledger("memory://", channels=[page], policy=AsksAlways()) as ledger:
        await ask(ledger, call())
        await told(ledger)
        assert page.kinds == ["asked"]
        with pytest.raises(InvalidCall):
            await ledger.run(ToolCall(workflow_id="w", tool="holdfast:tell", args={}), acharge)


async def test_no_call_of_an_agents_gets_between_people_and_what_they_are_told() -> None:
    """Attack 35: an agent knows its question's id; a call that stops a workflow must not stop that one."""
    page = Remembering()
    async with Ledger("memory://", channels=[page]) as ledger:
        question = await ask(ledger)
        for reserved in (f"holdfast:approval:{question.id}", "holdfast:backlog", "holdfast:alerts"):
            with pytest.raises(InvalidCall):
                await ledger.run(ToolCall(workflow_id=reserved, tool="charge", args={}), acharge)
        await ledger.deny(question.id, by="ana", reason="no")

    assert page.kinds == ["asked", "ended"]
