"""Takes answers by signed webhooks: an ASGI endpoint, to be mounted in any application."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

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
from holdfast.channels.signing import Forged, keys_of, verified
from holdfast.errors import (
    ApprovalNotFound,
    ApprovalVoid,
    HoldfastError,
    InvalidTool,
    PayloadConflict,
)
from holdfast.ports import Heard, Message
from holdfast.ports.channels import Desk

log = logging.getLogger("holdfast")
KIND: Final = "webhook"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_SENDER: Final = re.compile(r"[a-z0-9_-]{1,64}")
_FIELDS: Final = frozenset({"approval", "digest", "decision", "reason", "by"})
_LONGEST: Final = 2000
_DENIED: Final = frozenset({"not_allowed", "step_up"})


class WebhookInbox:
    """Takes ``{"approval", "digest", "decision", "reason", "by"}``, signed as Standard Webhooks says.

    Whoever has a secret speaks for *sender*; *by* is an account there. Whose account that is, the ledger's
    directory says: ``accounts={"webhook": "<sender>/<by>"}``. A name that is in no directory is nobody's.

    Args:
        desk: The ledger, of one tenant: a secret proves nothing about another one's questions.
        sender: The system that sends.
        secrets: ``whsec_…``; two while one takes the place of the other.
        shows_all: Where people decide there, they can read the whole payload; without it questions of high
            risk are not decided there.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        sender: str,
        secrets: Sequence[str],
        shows_all: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        given: Any = sender
        if not isinstance(given, str) or not _SENDER.fullmatch(given):
            raise InvalidTool("sender= of a webhook is no short name", "use small letters, digits, - and _")
        self._desk = desk
        self._sender = sender
        self._keys = keys_of(secrets)
        self._shows_all = shows_all
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if not await is_http(scope, receive, send):
            return
        try:
            status, told = await self._answered(scope, receive)
        except Refused as refused:
            status, told = refused.status, refused.told
        await answer(send, status, told)

    async def _answered(self, scope: Scope, receive: Receive) -> tuple[int, dict[str, Any]]:
        body = await body_of(scope, receive)
        now_s = self._clock()
        try:
            name = verified(self._keys, headers_of(scope), body, now_s)
        except Forged as forged:
            log.warning("a webhook for %s was refused: %s", self._sender, forged)
            raise Refused(401, error="not proved") from None
        message = self._message(name, body, now_s)
        try:
            heard: Heard = await ask(self._desk.hear, message)
        except ApprovalNotFound:
            raise Refused(404, error="approval-not-found") from None
        except (ApprovalVoid, PayloadConflict) as error:
            raise Refused(409, error=error.code) from None
        except HoldfastError as error:  # nothing was decided, or it will be found to have been
            log.warning("a webhook for %s could not be taken (%s)", self._sender, error.code)
            raise Refused(503, error=error.code) from None
        told = {"state": heard.state, "by": heard.by, "replayed": heard.replayed}
        if not heard.refused:
            return 200, told
        status = 403 if heard.refused in _DENIED else 409
        return status, {**told, "error": heard.refused, "why": heard.why}

    def _message(self, name: str, body: bytes, now_s: float) -> Message:
        try:
            said: Any = strict_json(body)
        except (ValueError, RecursionError):
            raise Refused(400, error="no JSON") from None
        if not isinstance(said, dict):
            raise Refused(400, error="no object")
        told = cast("dict[str, Any]", said)
        if not all(_is_short_text(value) for value in told.values()):
            raise Refused(400, error="no object of short texts")
        if not told.keys() <= _FIELDS or not {"approval", "digest", "decision", "by"} <= told.keys():
            raise Refused(400, error=f"send {', '.join(sorted(_FIELDS))}, and nothing else")
        if told["decision"] not in {"approve", "deny", "ask"} or not _DIGEST.fullmatch(told["digest"]):
            raise Refused(400, error="decision is approve, deny or ask, digest all 64 digits")
        if told["decision"] != "approve" and not told.get("reason", "").strip():
            raise Refused(400, error="say why, or what is asked: the agent is told")
        return Message(
            id=f"{self._sender}/{name}",
            kind=KIND,
            account=f"{self._sender}/{told['by']}",
            approval=told["approval"],
            digest=told["digest"],
            decision=told["decision"],
            reason=told.get("reason", ""),
            sees_all=self._shows_all,
            at=datetime.fromtimestamp(now_s, UTC),
        )


def _is_short_text(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > _LONGEST:
        return False
    return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
