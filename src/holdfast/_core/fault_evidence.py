"""What does an error, or a response, tell of its request? Status, headers, method, hidden repetitions.

Objects are read by their attributes, or items, and may be anything: what cannot be read tells nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from types import TracebackType
from typing import Any, Final, cast

from holdfast._core.fault_names import class_names

LONGEST_WAIT_S: Final = 86_400.0
"""What ``Retry-After`` asks for beyond one day is taken for one day."""

_FIRST_STATUS: Final = 100
_LAST_STATUS: Final = 599
_MOST_HEADERS: Final = 1000
_LONGEST_HEADER: Final = 100
_PAIR: Final = 2
_MILLISECONDS: Final = 1000.0
_BEFORE_PATH: Final = re.compile(r"^[^/]*//[^/]*")
_PATH_END: Final = re.compile(r"[?#]")
_SECONDS: Final = re.compile(r"\d+(\.\d+)?", re.ASCII)
_STATUS_FIELDS: Final = ("status_code", "status", "http_status", "HTTPStatusCode")
_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})

_UNCOUNTED: Final = frozenset({"azure", "google"})
"""Packages that repeat requests by themselves and do not say so in their errors."""

_AIOHTTP_REPEATS: Final = frozenset({"PUT", "DELETE"})
"""aiohttp sends these, but no POST and no PATCH, once more when a kept connection breaks under them."""

_STRIPE_UNDECIDED: Final = frozenset({401, 403, 409, 429})
"""Refusals that come before Stripe's idempotency layer; the others are the same for all repetitions."""

_QUESTIONS: Final = re.compile(
    r"/(completions|embeddings|moderations|count_tokens|rerank|graphql|_search|_msearch|_count)$|"
    # Not Mailgun's /v3/DOMAIN/messages: it sends.
    r"^(.*/v\d[\w.]*|.*/openai|.*/anthropic)?/(responses|messages)$|"
    r"/(v\d[\w.]*|api)/(chat|generate|embed)$|"
    r"/model/[^/]+/(invoke|converse)(-\w+)*$|"
    r":(generateContent|streamGenerateContent|countTokens|embedContent|batchEmbedContents|"
    r"predict|rawPredict|streamRawPredict)$"
)
"""Paths to which what changes nothing is sent by POST, whatever the client: questions to models, searches."""

_ASKING: Final = frozenset({"openai", "anthropic", "litellm", "groq", "mistralai", "cohere", "together"})
"""Packages whose business is questions: what they send is taken for one, wherever they send it.

They have writes too, such as uploads: the refusal of one proves nothing then, which is the safe side. litellm
makes up the requests that it tells of.
"""

_AWS_WRITE: Final = re.compile(
    r"(Put|Delete|Update|Create(?!Session)|Send|Publish|Start(?!Query)|Stop|Run|Terminate|Reboot|Modify|Copy|"
    r"Upload|Complete|Abort|Add|Remove|Attach|Detach|Associate|Disassociate|Tag|Untag|Set|Reset|Enable|"
    r"Disable|Register|Deregister|Cancel|Accept|Reject|Restore|Import|Write|TransactWrite|"
    r"Batch(Write|Put|Delete|Create|Update))(?=[A-Z]|$)|Invoke(Async)?$"
)
"""Names of AWS operations that are writes for certain; one that might be a read proves nothing."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the parts of one error tell of the request behind it.

    Attributes:
        methods: HTTP methods, in upper case; none when no part tells.
        may_be_repeated: Whether the client may have sent it before, with an outcome that nobody saw.
    """

    methods: frozenset[str]
    may_be_repeated: bool

    @property
    def is_one_write(self) -> bool:
        """Whether it was a write, sent once: only then is its refusal evidence that nothing was done."""
        return bool(self.methods) and self.methods <= _WRITES and not self.may_be_repeated


def told_by(parts: Iterable[object]) -> Told:
    """Return what *parts*, an error and those that it wraps, or a response, tell together."""
    methods: set[str] = set()
    may_be_repeated = False
    for part in parts:
        packages = frozenset(name.partition(".")[0] for name in class_names(part))
        found = set(_methods(part, packages))
        methods |= found
        may_be_repeated = may_be_repeated or _may_be_repeated(part, packages, found)
    return Told(frozenset(methods), may_be_repeated)


def look(source: object, field: str) -> object:
    """Return the attribute, or item of a mapping, called *field*; ``None`` when there is none to be had."""
    try:
        if isinstance(source, Mapping):
            return cast("Mapping[object, object]", source).get(field)
        return cast("object", getattr(source, field, None))
    except Exception:  # noqa: BLE001 - other people's properties raise anything; then they tell nothing
        return None


def status_of(source: object) -> int | None:
    """Return the HTTP status that *source*, or its response, carries."""
    response = look(source, "response")
    for holder in (source, response, look(response, "ResponseMetadata")):
        for field in _STATUS_FIELDS:
            value = look(holder, field)
            if isinstance(value, int):
                status = int.__index__(value)  # plain, whatever a subclass makes of its comparisons
                if _FIRST_STATUS <= status <= _LAST_STATUS:
                    return status
    return None


def header(source: object, name: str) -> str | None:
    """Return a header of *source*, or of its response, by its name in lower case."""
    response = look(source, "response")
    for holder in (look(response, "headers"), look(source, "headers"), _aws_metadata(source, "HTTPHeaders")):
        value = _find(holder, name)
        if value is not None:
            return value
    return None


def retry_after_s(source: object, now: datetime) -> float | None:
    """Return how many seconds *source* asks to wait, from 0 to one day; ``None`` when it does not say.

    ``retry-after-ms``, which the model providers send, is more exact than ``Retry-After`` and wins.
    """
    milliseconds = parse_retry_after(header(source, "retry-after-ms"), now, unit_s=1 / _MILLISECONDS)
    return parse_retry_after(header(source, "retry-after"), now) if milliseconds is None else milliseconds


def parse_retry_after(text: str | None, now: datetime, *, unit_s: float = 1.0) -> float | None:
    """Read a number of units, or a date in one of the three forms of HTTP, as seconds from *now*.

    A date that has passed is 0, more than a day is one day, and what is neither number nor date ``None``.
    """
    if text is None or len(text) > _LONGEST_HEADER:
        return None
    if _SECONDS.fullmatch(text):
        return min(float(text) * unit_s, LONGEST_WAIT_S)
    # Imported here: it is rarely needed, and `import holdfast` would wait for half of the email package.
    from email.utils import parsedate_to_datetime  # noqa: PLC0415

    try:
        date = parsedate_to_datetime(text)
        # RFC 9110, 5.6.7: a date without a zone (asctime) is in UTC
        wait_s = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(wait_s, 0.0), LONGEST_WAIT_S)


def aws_code(error: object) -> str:
    """Return the code in an AWS answer; empty when it is none."""
    code = look(look(look(error, "response"), "Error"), "Code")
    return code if isinstance(code, str) else ""


def _methods(part: object, packages: frozenset[str]) -> Iterator[str]:
    response = look(part, "response")
    requests = (look(part, "request"), look(response, "request"), look(part, "request_info"), response, part)
    for request in requests:
        method = look(request, "method")
        if isinstance(method, str) and method:
            yield "GET" if _is_question(request, packages) else method.upper()
    operation = look(part, "operation_name")
    if isinstance(operation, str) and "botocore" in packages:
        yield "POST" if _AWS_WRITE.match(operation) else "GET"
    if "stripe" in packages and header(part, "idempotency-key"):
        yield "POST"  # echoed for writes only


def _is_question(request: object, packages: frozenset[str]) -> bool:
    if not packages.isdisjoint(_ASKING):
        return True
    path = _path(look(request, "url"))
    return path is not None and bool(_QUESTIONS.search(path))


def _path(url: object) -> str | None:
    """Return the path of *url*, an object (httpx, aiohttp) or text (requests), without a slash at its end."""
    path = look(url, "path")
    if isinstance(url, str):
        path = _BEFORE_PATH.sub("", _PATH_END.split(url, maxsplit=1)[0])
    return str.__str__(path).rstrip("/") if isinstance(path, str) else None


def _may_be_repeated(part: object, packages: frozenset[str], methods: set[str]) -> bool:
    """Tell whether an earlier sending of the request may hide behind this part of an error."""
    if not packages.isdisjoint(_UNCOUNTED) or ("aiohttp" in packages and methods & _AIOHTTP_REPEATS):
        return True
    if "stripe" in packages:
        status = status_of(part)
        return status is None or status in _STRIPE_UNDECIDED
    if "botocore" in packages:
        return _aws_metadata(part, "RetryAttempts") != 0
    response = look(part, "response")
    if any(_count(look(holder, "request")) for holder in (part, response)):
        return True
    if any(_history(holder) for holder in (part, response)):
        return True
    return "urllib3.MaxRetryError" in class_names(part) and _depth_of_urlopen(part) != 1


def _count(request: object) -> bool:
    """OpenAI's and Anthropic's clients number their repetitions in a header of the request."""
    number = header(request, "x-stainless-retry-count")
    return number is not None and number != "0"


def _history(response: object) -> bool:
    """urllib3 keeps what it tried before the answer; requests keeps urllib3's response as ``raw``."""
    return any(look(look(holder, "retries"), "history") for holder in (response, look(response, "raw")))


def _depth_of_urlopen(error: object) -> int:
    """Count the attempts behind urllib3's ``MaxRetryError``, which does not say how many they were.

    Each one is a call within the one before. Without a traceback, as after pickling, nothing tells.
    """
    depth, step = 0, look(error, "__traceback__")
    while isinstance(step, TracebackType):
        depth += step.tb_frame.f_code.co_name == "urlopen"
        step = step.tb_next
    return depth


def _aws_metadata(error: object, field: str) -> object:
    return look(look(look(error, "response"), "ResponseMetadata"), field)


def _find(headers: Any, name: str) -> str | None:
    try:
        items: Iterable[object] = headers.items() if hasattr(headers, "items") else headers or ()
        for item in islice(items, _MOST_HEADERS):
            pair = cast("tuple[object, ...]", item) if isinstance(item, tuple | list) else ()
            if len(pair) == _PAIR and _text(pair[0]).lower() == name:
                return _text(pair[1]).strip()
    except Exception:  # noqa: BLE001 - headers that cannot be read are no headers
        return None
    return None


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return str(value)
    return str.__str__(value) if isinstance(value, str) else ""
