"""Calls Slack's Web API through its own SDK; what is raised says what became of a request, and no more."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.error import URLError

from holdfast.channels.item import item
from holdfast.errors import MissingExtra, NotDone, Permanent

try:
    from slack_sdk import WebClient
    from slack_sdk.errors import SlackApiError, SlackClientError
except ImportError as error:
    raise MissingExtra("slack", "slack_sdk") from error

_CODE: Final = re.compile(r"[a-z_]{1,64}")
_UNSURE: Final = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout", ""})
_TOO_MANY: Final = 429
_TOO_OFTEN: Final = frozenset({"ratelimited", "rate_limited"})
_UNTAKEN: Final = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long"}
)

_log = logging.getLogger("holdfast.channels.slack")
_log.setLevel(
    logging.CRITICAL
)  # the SDK writes whole messages and answers into the log; errors are raised anyway


class SlackUnsure(Exception):
    """Slack did not say what became of a request."""


class SlackRefused(NotDone):
    """Slack said no, and may say yes later.

    Attributes:
        code: Slack's own word for it.
    """

    def __init__(self, code: str) -> None:
        super().__init__(f"Slack said no ({code})")
        self.code = code


class SlackUntaken(Permanent):
    """Slack does not take a message of this form. Nothing was posted."""


class SlackBusy(Exception):
    """Slack takes no more for now. It has the form of an HTTP error, so that its patience is kept to.

    Attributes:
        status_code: 429.
        method: Of the request.
        headers: What it asks of retries.
    """

    status_code = _TOO_MANY
    method = "POST"

    def __init__(self, retry_after: str | None) -> None:
        super().__init__("Slack takes no more for now (429)")
        self.headers = {} if retry_after is None else {"retry-after": retry_after}


def client_to(base_url: str, token: str, timeout_s: int) -> Any:
    """Return the SDK's client.

    There is one retry layer, the ledger's: the SDK's own would repeat what may have been posted.
    """
    return WebClient(token=token, base_url=base_url, timeout=timeout_s, retry_handlers=[], logger=_log)


def asked(method: Callable[..., Any], **given: Any) -> Any:
    """Call a method of Slack's, without what is ``None``; return its answer.

    Raises:
        SlackRefused: It said no.
        SlackUntaken: It will never take this.
        SlackBusy: It will take it later.
        SlackUnsure: It did not say.
        NotDone: It could not be reached.
    """
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
    status = getattr(response, "status_code", None) or item(response, "status")
    if status == _TOO_MANY or code in _TOO_OFTEN:
        return SlackBusy(_retry_after(getattr(response, "headers", None) or item(response, "headers")))
    if code in _UNTAKEN:
        return SlackUntaken(f"Slack said no ({code})")
    if code in _UNSURE:
        return SlackUnsure("Slack did not say what became of it")
    return SlackRefused(code)


def _retry_after(headers: Any) -> str | None:
    found = headers.items() if hasattr(headers, "items") else ()
    return next((str(value) for name, value in found if str(name).lower() == "retry-after"), None)
