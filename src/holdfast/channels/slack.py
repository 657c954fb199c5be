"""Asks people in Slack, through Slack's own SDK: one message for each question, kept up to date."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.error import URLError

from holdfast._core.approval import Approval
from holdfast._core.contract import SafetyName
from holdfast._core.model import Done, StillUnknown
from holdfast.channels.item import item, items
from holdfast.channels.slack_blocks import blocks_of, escaped, text_of
from holdfast.channels.slack_inbox import SlackInbox
from holdfast.errors import InvalidTool, MissingExtra, NotDone, Permanent
from holdfast.ports import Telling
from holdfast.ports.channels import Desk

try:
    from slack_sdk import WebClient
    from slack_sdk.errors import SlackApiError, SlackClientError
except ImportError as error:
    raise MissingExtra("slack", "slack_sdk") from error

_EVENT: Final = "holdfast_notice"
_SLACK: Final = "https://slack.com/api/"
_CODE: Final = re.compile(r"[a-z_]{1,64}")
_UNSURE: Final = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout", ""})
_HOPELESS: Final = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long"}
)
_PAGES: Final = 10
_PAGE: Final = 200
_LEEWAY_S: Final = 60.0
_BARRED: Final = ("deleted", "is_bot", "is_restricted", "is_ultra_restricted", "is_stranger")

_log = logging.getLogger("holdfast.channels.slack")
_log.setLevel(
    logging.CRITICAL
)  # the SDK writes whole messages and answers into the log; errors are raised anyway


class SlackUnsure(Exception):
    """Slack did not say what became of a request."""


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
        if not isinstance(mapping, Mapping) or not mapping:
            raise InvalidTool("rooms= of a Slack channel is no mapping", 'give {"default": "C0123456789"}')
        self.name = name
        self.app_id, self.team = app_id, team
        self.secret = signing_secret.encode()
        self._rooms = dict(rooms)
        # One retry layer: the ledger's. The SDK's own would repeat what may have been posted.
        self._client: Any = WebClient(
            token=token, base_url=base_url, timeout=timeout_s, retry_handlers=[], logger=_log
        )

    def __repr__(self) -> str:
        return f"SlackChannel(name={self.name!r}, team={self.team!r})"

    def inbox(self, desk: Desk, *, clock: Callable[[], float] = time.time) -> SlackInbox:
        """Return the ASGI application for the app's *Interactivity* request URL.

        Args:
            desk: The ledger, of one tenant.
        """
        return SlackInbox(desk, self, clock=clock)

    def tell(self, telling: Telling) -> Any:
        """Post, or bring what was posted up to date."""
        approval, handle = telling.approval, telling.handle
        if not isinstance(handle, dict):
            return self._post(telling, None)
        is_there = self._update(approval, handle, telling)
        if telling.notice.kind == "ended" or not is_there:
            return {"updated": is_there}
        return self._post(telling, str(handle["ts"]))

    def _post(self, telling: Telling, thread: str | None) -> dict[str, str]:
        approval = telling.approval
        answer = self._asked(
            self._client.chat_postMessage,
            channel=self._room(approval.tenant),
            text=text_of(approval, telling.notice.kind),
            blocks=blocks_of(approval, telling.link, self.secret) if thread is None else None,
            thread_ts=thread,
            metadata={"event_type": _EVENT, "event_payload": {"id": telling.id}},
            unfurl_links=False,
            unfurl_media=False,
            link_names=False,
            mrkdwn=False,
            parse="none",
        )
        return {"channel": str(answer["channel"]), "ts": str(answer["ts"])}

    def _update(self, approval: Approval, handle: Mapping[str, Any], telling: Telling) -> bool:
        """Bring the message up to date; return whether it is there still."""
        try:
            self._asked(
                self._client.chat_update,
                channel=str(handle["channel"]),
                ts=str(handle["ts"]),
                text=text_of(approval, "ended" if telling.notice.kind == "ended" else "asked"),
                blocks=blocks_of(approval, telling.link, self.secret),
                link_names=False,
                parse="none",
            )
        except NotDone as refused:
            if "message_not_found" not in str(refused):
                raise
            return False
        return True

    def _room(self, tenant: str) -> str:
        room = self._rooms.get(tenant)
        if room is None:
            msg = "this tenant has no room in Slack"
            raise Permanent(msg)
        return room

    def reconcile(self, effect: Any) -> Any:
        """Look in the room for a message that bears the notice's id."""
        if effect.args["kind"] == "ended":
            return NotDone  # to bring a message up to date twice changes nothing
        handle: Any = effect.args["handle"]
        room = self._room(effect.tenant)
        since = effect.first_attempted_at
        oldest = str((0.0 if since is None else since.timestamp()) - _LEEWAY_S)
        cursor = ""
        for _ in range(_PAGES):
            given: dict[str, Any] = {"channel": room, "limit": _PAGE, "include_all_metadata": True}
            given |= {"cursor": cursor} if cursor else {"oldest": oldest}
            if isinstance(handle, dict):
                page = self._asked(self._client.conversations_replies, ts=handle["ts"], **given)
            else:
                page = self._asked(self._client.conversations_history, **given)
            for one in items(item(page, "messages")):
                if self._is_it(one, effect.args["id"]):
                    return Done({"channel": room, "ts": item(one, "ts")})
            cursor = str(item(item(page, "response_metadata"), "next_cursor") or "")
            if not cursor:
                return NotDone
        return StillUnknown("the room has more messages than are looked through")

    def _is_it(self, one: Any, name: str) -> bool:
        metadata = item(one, "metadata")
        is_ours = item(metadata, "event_type") == _EVENT and item(one, "app_id") in {None, self.app_id}
        return is_ours and bool(item(item(metadata, "event_payload"), "id") == name)

    # For the inbox.

    def is_member(self, user: str) -> bool:
        """Whether *user* is a full member of the workspace: no guest, no bot, nobody of another one."""
        found = item(self._asked(self._client.users_info, user=user), "user")
        if item(found, "id") != user or item(found, "team_id") not in {None, self.team}:
            return False
        return not any(item(found, flag) for flag in _BARRED)

    def whisper(self, room: str, user: str, text: str) -> None:
        """Tell one person something in a room."""
        self._asked(
            self._client.chat_postEphemeral, channel=room, user=user, text=escaped(text), parse="none"
        )

    def open_view(self, trigger: str, view: dict[str, Any]) -> None:
        """Open a dialogue."""
        self._asked(self._client.views_open, trigger_id=trigger, view=view)

    def _asked(self, method: Callable[..., Any], **given: Any) -> Any:
        """Call a method of Slack's; what is raised tells what became of it, and nothing that was sent."""
        try:
            answer = method(**{name: value for name, value in given.items() if value is not None})
        except SlackApiError as error:
            raise _meant(error) from None
        except URLError as error:
            if isinstance(error.reason, ConnectionRefusedError):
                msg = "Slack could not be reached"
                raise NotDone(msg) from None
            msg = f"Slack could not be reached, or did not answer ({type(error.reason).__name__})"
            raise SlackUnsure(msg) from None
        except (SlackClientError, OSError, ValueError) as error:
            msg = f"Slack did not say what became of it ({type(error).__name__})"
            raise SlackUnsure(msg) from None
        return answer.data


def _meant(error: SlackApiError) -> Exception:
    response: Any = error.response
    told: Any = getattr(response, "data", response)
    code = item(told, "error") if item(told, "ok") is False else ""
    code = code if isinstance(code, str) and _CODE.fullmatch(code) else ""
    if code in _HOPELESS:
        return Permanent(f"Slack said no ({code})")
    if code in _UNSURE:
        return SlackUnsure("Slack did not say what became of it")
    return NotDone(f"Slack said no ({code})")
