"""A ledger with people, and a Slack that it speaks to."""

from __future__ import annotations

from typing import Any, Self

from channels.asked import PEOPLE, ask, told, with_channels
from channels.clicks import APP, ROOM, SECRET, TEAM, form, headers
from channels.fake_slack import FakeSlack
from channels.receivers import post
from holdfast import Ledger, Settings
from holdfast.channels.slack import SlackChannel
from holdfast.stores.memory import MemoryStore
from holdfast.testing import FakeClock
from holdfast.testing.places import ledger_on
from holdfast.testing.runtime import StillRuntime

TOKEN = "xoxb-t0p-secret"
SETTINGS = Settings(console_url="https://ops.acme.example")


def channel_to(slack: FakeSlack, **options: Any) -> SlackChannel:
    given = {
        "token": TOKEN,
        "signing_secret": SECRET,
        "app_id": APP,
        "team": TEAM,
        "rooms": {"default": ROOM},
    }
    return SlackChannel(**{**given, "base_url": f"{slack.url}/api/", **options})


class Office:
    """A ledger with people, a Slack and its endpoint."""

    def __init__(self, slack: FakeSlack, where: Any = "memory://", **options: Any) -> None:
        self.slack = slack
        self.channel = channel_to(slack)
        migrate = isinstance(where, str) and where.startswith("postgres")
        self.ledger = Ledger(
            where, people=PEOPLE, channels=[self.channel], settings=SETTINGS, migrate=migrate, **options
        )
        self.app = self.channel.inbox(self.ledger)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.ledger.close()

    async def ask(self, *args: Any, **options: Any) -> Any:
        question = await ask(self.ledger, *args, **options)
        await told(self.ledger)
        return question

    def buttons(self) -> dict[str, Any]:
        """What the newest message offers, by action."""
        blocks = next(one for one in reversed(self.slack.messages.values()) if one.get("blocks"))["blocks"]
        found = [button for block in blocks if block["type"] == "actions" for button in block["elements"]]
        return {button["action_id"]: button for button in found}

    @property
    def value(self) -> str:
        return str(self.buttons()["holdfast_approve"]["value"])

    async def send(self, payload: Any, **signing: Any) -> int:
        body = form(payload)
        status, _ = await post(self.app, body, headers(body, **signing))
        await told(self.ledger)
        return status

    @property
    def whispers(self) -> list[str]:
        return [str(given["text"]) for given in self.slack.of("chat.postEphemeral")]

    async def refusals(self, question: Any) -> list[Any]:
        trail = await self.ledger.audit(question.key)
        return [entry.details["refused"] for entry in trail if "refused" in (entry.details or {})]


def texts(blocks: Any, kind: str | None = None) -> list[str]:
    """Every text in a message; of one kind of object, if it is named."""
    if isinstance(blocks, list):
        return [text for block in blocks for text in texts(block, kind)]
    if not isinstance(blocks, dict):
        return []
    own = (
        [blocks["text"]] if isinstance(blocks.get("text"), str) and kind in {None, blocks.get("type")} else []
    )
    return own + [text for inner in blocks.values() for text in texts(inner, kind)]


class Day:
    """A ledger whose clock moves when the test says so, with its channels."""

    def __init__(self, *channels: Any, **parts: Any) -> None:
        self.clock = FakeClock()
        self.alerts: list[Any] = []
        self.kept = MemoryStore(clock=self.clock)
        ledger = ledger_on(self.kept, StillRuntime(self.clock), settings=SETTINGS)
        self.ledger = with_channels(ledger, *channels, **parts)
        self.ledger._engine.parts.alerts.listeners.append(self.alerts.append)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.ledger.close()

    async def ask(self, *args: Any, **options: Any) -> Any:
        question = await ask(self.ledger, *args, **options)
        await told(self.ledger)
        return question

    async def goes_on(self, for_s: float, *, every_s: float = 10.0) -> None:
        """Let time pass, with rounds as a worker makes them."""
        for _ in range(int(for_s / every_s)):
            self.clock.advance(every_s)
            await told(self.ledger)

    async def untold(self, question: Any) -> int:
        return len((await self.ledger.approval(question.id)).untold)


def said(message: Any) -> str:
    """What a message in Slack says, as text."""
    return "\n".join(texts(message["blocks"]))
