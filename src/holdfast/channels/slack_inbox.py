"""Takes what people do in Slack: an ASGI endpoint for the interactivity request URL of an app.

Slack is answered at once, as it demands, and the work is done afterwards. Nothing that comes is believed but
who clicked, and what of: amounts, arguments and names are looked up.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol
from urllib.parse import parse_qs

from holdfast._core.approval import Approval
from holdfast.channels.asgi import (
    Receive,
    Refused,
    Scope,
    Send,
    answer,
    ask,
    body_of,
    headers_of,
    is_http,
    strict_json,
)
from holdfast.channels.item import item
from holdfast.channels.slack_blocks import (
    APPROVE,
    ASK,
    DENY,
    REASON,
    may_decide_here,
    meant_digest,
    read_value,
    text_view,
)
from holdfast.errors import ApprovalNotFound, HoldfastError
from holdfast.ports import Heard, Message
from holdfast.ports.channels import Desk

log = logging.getLogger("holdfast")
KIND: Final = "slack"
_OLDEST_S: Final = 300
_FUTURE_S: Final = 30
_TIME: Final = re.compile(r"[0-9]{1,12}")
_USER: Final = re.compile(r"[UW][0-9A-Z]{1,32}")
_LONGEST: Final = 2000
_NOT_DECIDED: Final = "Nothing was decided"
_SAID: Final = frozenset({DENY, ASK})
"""What takes words, which a dialogue asks for."""
_DECISIONS: Final[dict[str, Literal["approve", "deny", "ask"]]] = {
    APPROVE: "approve",
    DENY: "deny",
    ASK: "ask",
}
_DONE: Final = {APPROVE: "Your approval counts", DENY: "Denied", ASK: "The agent is asked"}


class Workspace(Protocol):
    """What is asked of Slack: :class:`holdfast.channels.slack.SlackChannel`."""

    app_id: str
    team: str
    secret: bytes

    def is_member(self, user: str) -> bool:
        """Whether somebody is a full member."""
        ...

    def whisper(self, room: str, user: str, text: str) -> None:
        """Tell one person something."""
        ...

    def open_view(self, trigger: str, view: dict[str, Any]) -> None:
        """Open a dialogue."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Click:
    """What somebody did.

    Attributes:
        id: The same when it comes again.
        team: Whose they are, which need not be the one where they clicked.
        room: Where; empty in a dialogue.
    """

    id: str
    user: str
    team: str
    room: str
    action: str
    value: Any
    trigger: str
    reason: str


class SlackInbox:
    """Takes the clicks on one workspace's messages.

    Args:
        desk: The ledger, of one tenant.
    """

    def __init__(self, desk: Desk, slack: Workspace, *, clock: Callable[[], float]) -> None:
        self._desk = desk
        self._slack = slack
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, then do what it asks for."""
        if not await is_http(scope, receive, send):
            return
        try:
            click = await self._clicked(scope, receive)
        except Refused as refused:
            await answer(send, refused.status, refused.told)
            return
        await answer(send, 200, None)  # within three seconds, whatever comes of it
        if click is None:
            return
        try:
            await self._done(click)
        except Exception as error:  # noqa: BLE001 - nobody waits for it; whoever clicked sees the question still open
            log.warning("a click in Slack came to nothing (%s)", type(error).__qualname__)
            await self._say(click, f"{_NOT_DECIDED}, as something failed. Please try again.")

    async def _clicked(self, scope: Scope, receive: Receive) -> _Click | None:
        body = await body_of(scope, receive)
        if not self._is_proved(headers_of(scope), body):
            log.warning("a request that is not Slack's was refused")
            raise Refused(401, error="not proved")
        try:
            fields = parse_qs(body.decode(), strict_parsing=True, max_num_fields=8)
            if fields.get("ssl_check") == ["1"] and "payload" not in fields:
                return None  # Slack tries whether it reaches us
            [text] = fields["payload"]
            payload: Any = strict_json(text)
            if payload["api_app_id"] != self._slack.app_id or payload["team"]["id"] != self._slack.team:
                log.warning("a click of another app or workspace was refused")
                raise Refused(401, error="not proved")
            return _read(payload)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Refused(400, error="no click of ours") from None

    def _is_proved(self, headers: dict[str, str], body: bytes) -> bool:
        at, given = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
        if not _TIME.fullmatch(at) or not -_FUTURE_S <= self._clock() - int(at) <= _OLDEST_S:
            return False
        made = hmac.digest(self._slack.secret, f"v0:{at}:".encode() + body, "sha256").hex()
        return hmac.compare_digest(f"v0={made}".encode(), given.encode())

    async def _done(self, click: _Click) -> None:
        value = read_value(click.value)
        if value is None:
            await self._say(click, f"{_NOT_DECIDED}: this is no button of ours.")
            return
        name, nonce, short = value
        try:
            approval: Approval = await ask(self._desk.approval, name)
        except ApprovalNotFound:
            await self._say(click, f"{_NOT_DECIDED}: there is no such question.")
            return
        digest = None
        if approval.id == name:
            digest = meant_digest(approval, nonce, short, self._slack.secret)
        if click.action in _SAID and not click.reason and digest is not None:
            view = text_view(click.action, approval, f"{click.value} {click.room}")
            await asyncio.to_thread(self._slack.open_view, click.trigger, view)
            return
        await self._decide(click, approval, digest)

    async def _decide(self, click: _Click, approval: Approval, digest: str | None) -> None:
        barred = ""
        if digest is None:
            barred = "this button was not made for this question"
        elif not may_decide_here(approval):
            barred = "this is decided where all of it can be read: open its page"
        elif click.team != self._slack.team or not await asyncio.to_thread(self._slack.is_member, click.user):
            barred = "guests, bots and members of other workspaces decide nothing"
        message = Message(
            id=click.id,
            kind=KIND,
            account=f"{click.team}/{click.user}",
            approval=approval.id,
            digest=digest or "",
            decision=_DECISIONS[click.action],
            reason=click.reason,
            sees_all=False,
            at=datetime.fromtimestamp(self._clock(), UTC),
            barred=barred,
        )
        try:
            heard: Heard = await ask(self._desk.hear, message)
        except HoldfastError as error:
            await self._say(click, f"{_NOT_DECIDED} ({error.code}).")
            return
        if heard.refused:
            await self._say(click, f"{_NOT_DECIDED}: {heard.why}.")
        elif not heard.replayed:
            await self._say(click, f"{_DONE[click.action]}. The question is {heard.state}.")

    async def _say(self, click: _Click, text: str) -> None:
        """Tell whoever clicked; if that fails, the question shows how it stands all the same."""
        room = click.room or click.user
        try:
            await asyncio.to_thread(self._slack.whisper, room, click.user, text)
        except Exception as error:  # noqa: BLE001 - what was decided is decided
            log.info("somebody in Slack could not be told (%s)", type(error).__qualname__)


def _read(payload: Any) -> _Click | None:
    """Return what a payload says that somebody did; ``None`` for what needs nothing done."""
    user, team = payload["user"]["id"], payload["user"].get("team_id", payload["team"]["id"])
    if not isinstance(user, str) or not _USER.fullmatch(user) or not isinstance(team, str):
        raise ValueError
    if payload["type"] == "view_submission" and payload["view"]["callback_id"] in _SAID:
        view = payload["view"]
        reason = view["state"]["values"][REASON][REASON]["value"] or ""
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError
        value, _, room = view["private_metadata"].partition(" ")
        return _Click(
            id=f"{team}/{user}/view/{_short(view['id'])}",
            user=user,
            team=team,
            room=room,
            action=view["callback_id"],
            value=value,
            trigger="",
            reason=reason[:_LONGEST],
        )
    if payload["type"] != "block_actions":
        return None
    [action] = payload["actions"]
    if action["action_id"] not in _DECISIONS:
        return None
    room = item(item(payload, "channel"), "id")
    return _Click(
        id=f"{team}/{user}/{action['action_id']}/{_short(action['action_ts'])}",
        user=user,
        team=team,
        room=room if isinstance(room, str) else "",
        action=action["action_id"],
        value=action["value"],
        trigger=str(payload.get("trigger_id", "")),
        reason="",
    )


def _short(name: Any) -> str:
    if not isinstance(name, str) or not name.isascii() or not name.isprintable() or not 0 < len(name) <= 64:  # noqa: PLR2004
        raise ValueError
    return name
