"""Our own channels against the contract that we hand to others; HIT-07, HIT-15."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from channels.clicks import APP, ROOM, SECRET, TEAM
from channels.fake_slack import FakeSlack
from channels.receivers import Receiver
from channels.test_webhooks import NEW, channel_to
from holdfast import NotDone
from holdfast.channels import LinkChannel
from holdfast.channels.slack import SlackChannel
from holdfast.ports import Telling
from holdfast.testing.conformance.channel import ChannelContract


class Mailbox:
    """A mail server that knows a message by its Message-ID."""

    secrets = ("smtp-password",)

    def __init__(self) -> None:
        self.mails: dict[str, str] = {}
        self.next: list[str] = []
        self.channel = LinkChannel(self.send)

    def send(self, subject: str, text: str, telling: Telling, **other: Any) -> None:
        how = self.next.pop(0) if self.next else ""
        if how == "refuse":
            raise NotDone
        self.mails.setdefault(str(other["id"]), f"{subject}\n{text}\n{telling.link}")
        if how == "lose":
            raise TimeoutError

    def arrived(self) -> list[str]:
        return list(self.mails)

    def seen(self) -> list[str]:
        return list(self.mails.values())

    def wire(self) -> str:
        return "\n".join(self.mails.values())

    def refuse(self) -> None:
        self.next.append("refuse")

    def lose(self) -> None:
        self.next.append("lose")


class Hook:
    """A receiver of webhooks that knows a message by its ``webhook-id``."""

    secrets = (NEW, NEW.removeprefix("whsec_"))

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.channel = channel_to(receiver)
        self.unseen: set[int] = set()

    def _got(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for number, got in enumerate(self.receiver.got):
            if number not in self.unseen:
                found.setdefault(got.headers["webhook-id"], json.dumps(got.json, ensure_ascii=False))
        return found

    def arrived(self) -> list[str]:
        return list(self._got())

    def seen(self) -> list[str]:
        return list(self._got().values())

    def wire(self) -> str:
        return "".join(got.body.decode() for got in self.receiver.got)

    def refuse(self) -> None:
        self.unseen.add(len(self.receiver.got))
        self.receiver.answers.append((503, {}))

    def lose(self) -> None:
        self.receiver.answers.append((504, {}))


class Room:
    """A room in Slack, where each message is another one."""

    secrets = ("xoxb-t0p-secret", SECRET, "secret-in-body")

    def __init__(self, slack: FakeSlack) -> None:
        self.slack = slack
        self.channel = SlackChannel(
            token=self.secrets[0], signing_secret=SECRET, app_id=APP, team=TEAM, rooms={"default": ROOM},
            base_url=f"{slack.url}/api/",
        )  # fmt: skip

    def arrived(self) -> list[str]:
        return [one["metadata"]["event_payload"]["id"] for one in self.slack.messages.values()]

    def seen(self) -> list[str]:
        return [json.dumps(one, ensure_ascii=False) for one in self.slack.messages.values()]

    def wire(self) -> str:
        return "\n".join(json.dumps(given, ensure_ascii=False) for _, given in self.slack.calls)

    def refuse(self) -> None:
        self.slack.errors.setdefault("chat.postMessage", []).append("ratelimited")

    def lose(self) -> None:
        self.slack.errors.setdefault("chat.postMessage", []).append("after")


class TestLink(ChannelContract):
    @pytest.fixture
    def other_side(self) -> Mailbox:
        return Mailbox()


class TestWebhook(ChannelContract):
    @pytest.fixture
    def other_side(self) -> Iterator[Hook]:
        with Receiver().serving() as receiver:
            yield Hook(receiver)


class TestSlack(ChannelContract):
    @pytest.fixture
    def other_side(self) -> Iterator[Room]:
        with FakeSlack().serving() as slack:
            yield Room(slack)
