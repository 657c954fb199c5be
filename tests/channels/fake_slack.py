"""Slack's Web API on the loopback interface, as far as we speak it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from channels.receivers import Answer, Got, Receiver
from holdfast.testing.runtime import START

_JSON = {"content-type": "application/json"}
_HTML = {"content-type": "text/html"}
_GONE = {"ok": False, "error": "message_not_found"}


class FakeSlack(Receiver):
    """Slack in its real form: JSON or forms in, ``ok`` or ``error`` out.

    Attributes:
        calls: Each method that was called, with what it was given.
        messages: By ``ts``, as they stand.
        users: What ``users.info`` says, by id.
        errors: What to answer with, by method, one after another: an error's code; a status; ``after`` (it
            acts, and the answer is lost in a proxy); ``lost`` (it acts, and the connection is closed);
            ``closed`` (the connection is closed); a whole answer; ``None`` for the ordinary one.
        archived: Rooms in which nothing can be written any more.
        most: How many messages a page of a room has at most.
        began_s: When its first message is written, in seconds of its own clock.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.messages: dict[str, dict[str, Any]] = {}
        self.users: dict[str, dict[str, Any]] = {}
        self.errors: dict[str, list[Any]] = {}
        self.archived: set[str] = set()
        self.most = 200
        self.began_s = int(START.timestamp())
        self._written = 0
        self.reply = self._slack

    def of(self, method: str) -> list[dict[str, Any]]:
        return [given for name, given in self.calls if name == method]

    @property
    def methods(self) -> list[str]:
        """The methods that were called, in order."""
        return [name for name, _ in self.calls]

    def in_room(self, room: str) -> list[dict[str, Any]]:
        return [one for one in self.messages.values() if one["channel"] == room]

    def _slack(self, got: Got) -> Answer | None:
        path = urlsplit(got.path)
        method = path.path.removeprefix("/api/")
        given = dict(parse_qsl(path.query))
        if got.headers.get("content-type", "").startswith("application/json"):
            given |= json.loads(got.body or b"{}")
        else:
            given |= dict(parse_qsl(got.body.decode()))
        for name in ("blocks", "metadata", "view"):
            if isinstance(given.get(name), str):
                given[name] = json.loads(given[name])
        self.calls.append((method, given))
        failing = self.errors.get(method)
        error = failing.pop(0) if failing else None
        if error == "closed":
            return None
        if isinstance(error, tuple):
            return error
        if isinstance(error, int):
            return error, _HTML, b"<html>secret-in-body</html>"
        if error not in {None, "after", "lost"}:
            return 200, _JSON, json.dumps({"ok": False, "error": error}).encode()
        told = getattr(self, f"_{method.replace('.', '_')}", lambda given: {})(given)
        if error == "lost":
            return None
        if error == "after":
            return 504, _HTML, b"<html></html>"
        return 200, _JSON, json.dumps({"ok": True, **told}).encode()

    def _chat_postMessage(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["channel"] in self.archived:
            return {"ok": False, "error": "is_archived"}
        ts = f"{self.began_s + self._written}.000100"
        self._written += 1
        self.messages[ts] = given
        return {"channel": given["channel"], "ts": ts}

    def _chat_update(self, given: dict[str, Any]) -> dict[str, Any]:
        known = self.messages.get(given["ts"])
        if known is None or known["channel"] != given["channel"]:
            return _GONE
        if given["channel"] in self.archived:
            return {"ok": False, "error": "is_archived"}
        self.messages[given["ts"]] = {**known, **given}
        return {"channel": given["channel"], "ts": given["ts"]}

    def _conversations_history(self, given: dict[str, Any]) -> dict[str, Any]:
        found = {ts: one for ts, one in self.messages.items() if "thread_ts" not in one}
        return self._page(found, given)

    def _conversations_replies(self, given: dict[str, Any]) -> dict[str, Any]:
        of = self.messages.get(given["ts"])
        if of is None or of["channel"] != given["channel"]:
            return {"ok": False, "error": "thread_not_found"}
        found = {ts: one for ts, one in self.messages.items() if one.get("thread_ts") == given["ts"]}
        return self._page(found, given)

    def _page(self, found: dict[str, dict[str, Any]], given: dict[str, Any]) -> dict[str, Any]:
        """Return one page, the newest message first, as Slack does."""
        oldest, start = float(given.get("oldest", 0)), int(given.get("cursor", 0))
        mine = [
            {**one, "ts": ts}
            for ts, one in reversed(found.items())
            if one["channel"] == given["channel"] and float(ts) > oldest
        ]
        most = min(self.most, int(given.get("limit", 100)))
        more = start + most < len(mine)
        told = {"messages": mine[start : start + most], "has_more": more}
        return {**told, "response_metadata": {"next_cursor": str(start + most)}} if more else told

    def _users_info(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"user": {"id": given["user"], **self.users.get(given["user"], {})}}
