"""Asks people in Slack, through Slack's own SDK: one message for each question, kept up to date."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from holdfast._core.contract import SafetyName
from holdfast._core.model import Done, StillUnknown
from holdfast.channels.item import item, items
from holdfast.channels.slack_api import SlackRefused, SlackUntaken, asked, client_to
from holdfast.channels.slack_blocks import Block, blocks_of, escaped, short_blocks, text_of
from holdfast.channels.slack_inbox import SlackInbox
from holdfast.errors import InvalidTool, NotDone, Permanent
from holdfast.ports import Telling
from holdfast.ports.channels import Desk

_EVENT: Final = "holdfast_notice"
_SLACK: Final = "https://slack.com/api/"
_ROOM: Final = re.compile(r"[CGD][0-9A-Z]{1,32}")
_GONE: Final = frozenset({"message_not_found", "channel_not_found", "is_archived", "is_inactive"})
_FIXED: Final = frozenset({"cant_update_message", "edit_window_closed"})
_NO_THREAD: Final = frozenset({"thread_not_found", *_GONE})
_PAGES: Final = 10
_PAGE: Final = 200
_LEEWAY_S: Final = 600.0
"""Messages bear Slack's own time; a clock that is further off than this loses what Slack signs as well."""
_BARRED: Final = ("deleted", "is_bot", "is_restricted", "is_ultra_restricted", "is_stranger")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a message is."""

    room: str
    ts: str


class _Was(Enum):
    """What became of a message that was to be brought up to date."""

    REDRAWN = auto()
    FIXED = auto()  #: it is there, and cannot be changed
    GONE = auto()


class SlackChannel:
    """Posts each question into the room of its tenant; buttons come back to :meth:`inbox`.

    Args:
        token: The bot's, ``xoxb-…``, with the scopes ``chat:write``, ``users:read`` and ``channels:history``
            (or ``groups:history``).
        signing_secret: The app's: Slack signs with it what comes back, and we what buttons carry.
        app_id: ``A…``. What comes from another app is refused.
        team: ``T…``. So is what comes from another workspace.
        rooms: By tenant, the id of the conversation: ``C…``.

    Raises:
        InvalidTool: Something is missing.
        MissingExtra: The extra ``slack`` is not installed.
    """

    safety: SafetyName = "unsafe"

    def __init__(
        self,
        *,
        token: str,
        signing_secret: str,
        app_id: str,
        team: str,
        rooms: Mapping[str, str],
        name: str = "slack",
        base_url: str = _SLACK,
        timeout_s: int = 8,
    ) -> None:
        needed: dict[str, Any] = {
            "token": token,
            "signing_secret": signing_secret,
            "app_id": app_id,
            "team": team,
        }
        for what, given in needed.items():
            if not isinstance(given, str) or not given.strip():
                raise InvalidTool(
                    f"{what}= of a Slack channel is no text", "see the settings of your Slack app"
                )
        mapping: Any = rooms
        if not isinstance(mapping, Mapping) or not mapping or not all(map(_is_room, rooms.items())):
            what = "rooms= of a Slack channel names no room for each tenant"
            raise InvalidTool(what, 'give ids, as {"default": "C0123456789"}')
        self.name = name
        self.app_id, self.team = app_id, team
        self.secret = signing_secret.encode()
        self._rooms = dict(rooms)
        self._client: Any = client_to(base_url, token, timeout_s)

    def __repr__(self) -> str:
        return f"SlackChannel(name={self.name!r}, team={self.team!r})"

    def inbox(self, desk: Desk, *, clock: Callable[[], float] = time.time) -> SlackInbox:
        """Return the ASGI application for the app's *Interactivity* request URL.

        Args:
            desk: The ledger, of one tenant.
        """
        return SlackInbox(desk, self, clock=clock)

    def tell(self, telling: Telling) -> Any:
        """Post, or bring what was posted up to date; return where the message is if it is a new one."""
        room, at = self._room(telling.approval.tenant), _place_of(telling.handle)
        if at is None:
            return self._posted(telling, room)
        has_moved, kind = at.room != room, telling.notice.kind
        was = self._redrawn(telling, at, asks=not has_moved)
        if kind == "answered" or (kind == "ended" and was is not _Was.FIXED):
            return None
        if (has_moved or was is _Was.GONE) and kind != "ended":
            return self._posted(telling, room)
        self._post(telling, at.room, thread_ts=at.ts)
        return None

    def _posted(self, telling: Telling, room: str) -> dict[str, str]:
        approval, link = telling.approval, telling.link
        try:
            return self._post(telling, room, blocks=blocks_of(approval, link, self.secret))
        except SlackUntaken:
            return self._post(telling, room, blocks=short_blocks(approval, link))

    def _post(self, telling: Telling, room: str, **more: Any) -> dict[str, str]:
        answer = asked(
            self._client.chat_postMessage,
            channel=room,
            text=text_of(telling.approval, telling.notice.kind),
            metadata={"event_type": _EVENT, "event_payload": {"id": telling.id}},
            unfurl_links=False,
            unfurl_media=False,
            link_names=False,
            mrkdwn=False,
            parse="none",
            **more,
        )
        return {"channel": str(answer["channel"]), "ts": str(answer["ts"])}

    def _redrawn(self, telling: Telling, at: _Place, *, asks: bool) -> _Was:
        approval, link = telling.approval, telling.link
        try:
            try:
                self._update(telling, at, blocks_of(approval, link, self.secret, asks=asks))
            except SlackUntaken:
                self._update(telling, at, short_blocks(approval, link))
        except SlackUntaken:
            return _Was.FIXED
        except SlackRefused as refused:
            if refused.code not in _GONE | _FIXED:
                raise
            return _Was.GONE if refused.code in _GONE else _Was.FIXED
        return _Was.REDRAWN

    def _update(self, telling: Telling, at: _Place, blocks: list[Block]) -> None:
        asked(
            self._client.chat_update,
            channel=at.room,
            ts=at.ts,
            text=text_of(telling.approval, "ended" if telling.notice.kind == "ended" else "asked"),
            blocks=blocks,
            link_names=False,
            parse="none",
        )

    def _room(self, tenant: str) -> str:
        room = self._rooms.get(tenant)
        if room is None:
            msg = "this tenant has no room in Slack"
            raise Permanent(msg)
        return room

    def reconcile(self, effect: Any) -> Any:
        """Look in the room, and in the thread, for a message that bears the notice's id."""
        room, at = self._room(effect.tenant), _place_of(effect.args["handle"])
        if effect.args["kind"] == "answered" and at is not None:
            return NotDone  # to bring a message up to date twice changes nothing
        since = effect.first_attempted_at
        oldest = str((0.0 if since is None else since.timestamp()) - _LEEWAY_S)
        name = effect.args["id"]
        try:
            found = self._looked_for(name, self._client.conversations_history, channel=room, oldest=oldest)
            if isinstance(found, str):
                return Done({"channel": room, "ts": found})
            return found if found is not NotDone or at is None else self._replied(name, at, oldest)
        except NotDone as refused:  # of the looking: it says nothing of the message
            return StillUnknown(f"the room could not be looked through: {refused}")

    def _replied(self, name: str, at: _Place, oldest: str) -> Any:
        replies = self._client.conversations_replies
        try:
            found = self._looked_for(name, replies, channel=at.room, ts=at.ts, oldest=oldest)
        except SlackRefused as refused:
            if refused.code not in _NO_THREAD:
                raise
            return NotDone
        return Done(None) if isinstance(found, str) else found

    def _looked_for(self, name: str, method: Callable[..., Any], **where: Any) -> Any:
        """Return the ``ts`` of the message with the notice's id, ``NotDone``, or that nobody knows."""
        cursor = None
        for _ in range(_PAGES):
            page = asked(method, limit=_PAGE, include_all_metadata=True, cursor=cursor, **where)
            for one in items(item(page, "messages")):
                if self._is_it(one, name):
                    return str(item(one, "ts"))
            cursor = item(item(page, "response_metadata"), "next_cursor") or None
            if cursor is None:
                return NotDone
        return StillUnknown("the room has more messages than are looked through")

    def _is_it(self, one: Any, name: str) -> bool:
        metadata = item(one, "metadata")
        is_ours = item(metadata, "event_type") == _EVENT and item(one, "app_id") in {None, self.app_id}
        return is_ours and bool(item(item(metadata, "event_payload"), "id") == name)

    # For the inbox.

    def is_member(self, user: str) -> bool:
        """Whether *user* is a full member of the workspace: no guest, no bot, nobody of another one."""
        found = item(asked(self._client.users_info, user=user), "user")
        if item(found, "id") != user or item(found, "team_id") not in {None, self.team}:
            return False
        return not any(item(found, flag) for flag in _BARRED)

    def whisper(self, room: str, user: str, text: str) -> None:
        """Tell one person something in a room."""
        asked(self._client.chat_postEphemeral, channel=room, user=user, text=escaped(text), parse="none")

    def open_view(self, trigger: str, view: dict[str, Any]) -> None:
        """Open a dialogue."""
        asked(self._client.views_open, trigger_id=trigger, view=view)


def _is_room(given: tuple[Any, Any]) -> bool:
    tenant, room = given
    return isinstance(tenant, str) and bool(tenant) and isinstance(room, str) and bool(_ROOM.fullmatch(room))


def _place_of(handle: Any) -> _Place | None:
    room, ts = item(handle, "channel"), item(handle, "ts")
    return _Place(room, ts) if isinstance(room, str) and isinstance(ts, str) else None
