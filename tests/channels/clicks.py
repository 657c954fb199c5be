"""What Slack sends when somebody clicks, signed as Slack signs."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import urlencode

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"  # the example of Slack's own documentation
APP, TEAM, ROOM = "A0HOLDFAST", "T1", "C1"


def clicked(
    value: Any, *, action: str = "holdfast_approve", user: str = "UANA", **other: Any
) -> dict[str, Any]:
    """A click on a button, in the form in which Slack tells of it."""
    return {
        "type": "block_actions",
        "user": {"id": user, "username": "ana", "name": "ana", "team_id": TEAM},
        "api_app_id": APP,
        "token": "legacy-token",
        "container": {"type": "message", "message_ts": "1700000000.000100", "channel_id": ROOM},
        "trigger_id": "12321423423.333649436676.d8c1bb837935619ccad0f624c448ffb3",
        "team": {"id": TEAM, "domain": "acme"},
        "enterprise": None,
        "is_enterprise_install": False,
        "channel": {"id": ROOM, "name": "approvals"},
        "response_url": "https://169.254.169.254/latest/meta-data",
        "actions": [
            {
                "action_id": action,
                "block_id": "b1",
                "text": {"type": "plain_text", "text": "Approve once"},
                "value": value,
                "type": "button",
                "action_ts": "1700000001.000200",
            }
        ],
        **other,
    }


def submitted(
    told: Any,
    reason: Any = "not ours to pay",
    *,
    user: str = "UANA",
    view: str = "V1",
    callback: str = "holdfast_deny",
) -> dict[str, Any]:
    """The dialogue sent off."""
    return {
        "type": "view_submission",
        "team": {"id": TEAM, "domain": "acme"},
        "user": {"id": user, "username": "ana", "name": "ana", "team_id": TEAM},
        "api_app_id": APP,
        "trigger_id": "1.2.3",
        "view": {
            "id": view,
            "team_id": TEAM,
            "type": "modal",
            "private_metadata": told,
            "callback_id": callback,
            "state": {"values": {"reason": {"reason": {"type": "plain_text_input", "value": reason}}}},
        },
        "response_urls": [],
    }


def form(payload: Any) -> bytes:
    return urlencode({"payload": payload if isinstance(payload, str) else json.dumps(payload)}).encode()


def headers(body: bytes, *, at: Any = None, secret: str = SECRET) -> dict[str, str]:
    stamp = str(int(time.time())) if at is None else str(at)
    made = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": f"v0={made}",
    }
