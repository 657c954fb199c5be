"""What does one error, or one response, say by itself? The tables from status and meaning to verdict."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeAlias, cast

from holdfast._core.fault_evidence import aws_code, header, look, retry_after_s, status_of
from holdfast._core.fault_names import (
    AUTH_CODES,
    NETWORK_ERRNOS,
    THROTTLING_CODES,
    Meaning,
    class_names,
    meaning_of,
)
from holdfast.errors import InvalidTool


class FaultKind(StrEnum):
    """What a fault says of trying again."""

    TRANSIENT = "transient"  #: refused or never sent, for a reason that passes
    RATE_LIMITED = "rate_limited"  #: refused for now
    PERMANENT = "permanent"  #: refused, and will be refused again
    AUTH = "auth"  #: refused for want of credentials or rights
    SCHEMA = "schema"  #: what was sent or returned does not fit its schema
    AMBIGUOUS = "ambiguous"  #: it may or may not have happened


class Cause(StrEnum):
    """Where a fault comes from."""

    NETWORK = "network"
    SERVER = "server"
    THROTTLE = "throttle"
    CLIENT = "client"
    AUTH = "auth"
    SCHEMA = "schema"
    CODE = "code"  #: the handler's own code, or an error that nothing is known of


_Verdict: TypeAlias = tuple[FaultKind, Cause]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The verdict on an error.

    Attributes:
        kind: What it says of trying again.
        cause: Where it comes from.
        status: The HTTP status, when one was seen.
        retry_after_s: Seconds from now that the other side asks to wait, from 0 to one day.
        may_have_acted: Whether the world may have been changed all the same.
        why: For people and logs: class and status, never a value, an address or a message.
    """

    kind: FaultKind
    cause: Cause
    status: int | None = None
    retry_after_s: float | None = None
    may_have_acted: bool
    why: str

    def __post_init__(self) -> None:
        acted: Any = self.may_have_acted
        try:
            object.__setattr__(self, "kind", FaultKind(self.kind))
            object.__setattr__(self, "cause", Cause(self.cause))
        except ValueError as error:
            fix = f"use a FaultKind ({', '.join(FaultKind)}) and a Cause ({', '.join(Cause)})"
            raise InvalidTool(f"Fault(kind={self.kind!r}, cause={self.cause!r})", fix) from error
        if not isinstance(acted, bool):
            what = f"Fault.may_have_acted is {type(acted).__name__}"
            raise InvalidTool(what, "say True unless it is certain that nothing was done")
        wait: Any = self.retry_after_s  # from a classifier of the user's, or from a header: anything
        is_sound = isinstance(wait, int | float) and not isinstance(wait, bool) and 0 <= wait < math.inf
        object.__setattr__(self, "retry_after_s", min(float(wait), _LONGEST_WAIT_S) if is_sound else None)

    @property
    def is_recognised(self) -> bool:
        """Whether something is known of this kind of error."""
        return self.cause is not Cause.CODE

    @property
    def blames_dependency(self) -> bool:
        """Whether the system called is to blame: what a circuit breaker counts."""
        return self.cause in {Cause.NETWORK, Cause.SERVER, Cause.THROTTLE}


_DOUBT: Final[_Verdict] = (FaultKind.AMBIGUOUS, Cause.SERVER)
_UNANSWERED: Final[_Verdict] = (FaultKind.AMBIGUOUS, Cause.NETWORK)
_REFUSED: Final[_Verdict] = (FaultKind.PERMANENT, Cause.CLIENT)
_THROTTLED: Final[_Verdict] = (FaultKind.RATE_LIMITED, Cause.THROTTLE)
_UNAUTHORISED: Final[_Verdict] = (FaultKind.AUTH, Cause.AUTH)
_BUSY: Final[_Verdict] = (FaultKind.TRANSIENT, Cause.SERVER)
_UNSENT: Final[_Verdict] = (FaultKind.TRANSIENT, Cause.NETWORK)

_NO_TUNNEL: Final = "Tunnel connection failed:"
"""What ``http.client`` says when a proxy refuses the way through it; there is no class for that."""

_FIRST_ERROR: Final = 400
_FIRST_SERVER_ERROR: Final = 500
_FORBIDDEN: Final = 403
_BY_STATUS: Final[dict[int, _Verdict]] = {
    **dict.fromkeys((401, _FORBIDDEN, 407), _UNAUTHORISED),
    # The server, or a proxy before it, gave up on a request that it had begun to read.
    **dict.fromkeys((408, 460, 499), _DOUBT),
    409: (FaultKind.TRANSIENT, Cause.CLIENT),  # e.g. the same idempotency key is being worked on
    425: _BUSY,
    429: _THROTTLED,
    **dict.fromkeys((501, 505), (FaultKind.PERMANENT, Cause.SERVER)),
}
_BY_MEANING: Final[dict[Meaning, _Verdict]] = {
    Meaning.UNSENT: _UNSENT,
    Meaning.UNTRUSTED: (FaultKind.PERMANENT, Cause.NETWORK),
    Meaning.UNANSWERED: _UNANSWERED,
    Meaning.WRAPPED: _UNANSWERED,
    Meaning.SENSELESS: _DOUBT,
    Meaning.UNUSABLE: _REFUSED,
    Meaning.ABANDONED: _REFUSED,
    Meaning.THROTTLED: _THROTTLED,
    Meaning.UNAUTHORISED: _UNAUTHORISED,
    Meaning.MISFIT: (FaultKind.SCHEMA, Cause.SCHEMA),
}
_PROVING: Final = frozenset({Meaning.UNSENT, Meaning.UNTRUSTED, Meaning.UNUSABLE, Meaning.THROTTLED})
"""With these the request was refused or never sent; the others say nothing of a write."""

_BY_SQLSTATE: Final[dict[str, _Verdict]] = {
    "08": _UNANSWERED, "57P": _UNANSWERED, "28": _UNAUTHORISED, "25P": _DOUBT, "40003": _DOUBT,
    **dict.fromkeys(("40", "53", "55P03", "57014"), _BUSY),
    **dict.fromkeys(("0A", "21", "22", "23", "25", "2B", "3D", "3F", "42", "44", "54", "P0"), _REFUSED),
}  # fmt: skip
"""PostgreSQL's codes by their beginning, the longest counts. What is not listed is doubt."""

_SQLSTATE: Final = re.compile(r"[0-9A-Z]{5}")
_TOO_MANY: Final = re.compile(r"too many (\d{3}) error responses")
_ODD: Final = re.compile(r"[^\w.]")
_LONGEST_NAME: Final = 80
_LONGEST_WAIT_S: Final = 86_400.0


def known_meaning(part: object) -> Meaning | None:
    """Return what the kind of error that *part* is means; ``None`` for an unknown kind."""
    names = class_names(part)
    if meaning := meaning_of(names):
        return meaning
    if type(part) is OSError and str(part).startswith(_NO_TUNNEL):
        return Meaning.UNSENT
    if "urllib3.ResponseError" in names:
        return Meaning.ABANDONED  # too many redirects; with a status that one counts
    if "psycopg.OperationalError" in names:
        # psycopg gives the connection along only when it was being made.
        return Meaning.UNANSWERED if look(part, "pgconn") is None else Meaning.UNSENT
    if "builtins.OSError" in names and look(part, "errno") in NETWORK_ERRNOS:
        return Meaning.UNANSWERED
    return None


def error_status(part: object) -> int | None:
    """Return the HTTP status of an answer that is an error, 400 to 599."""
    cause = look(part, "__cause__")
    if isinstance(cause, BaseException) and known_meaning(cause) is Meaning.UNANSWERED:
        return None  # aiohttp says 400 of an answer that it cannot read
    status = status_of(part)
    args = look(part, "args")
    if status is None and "urllib3.ResponseError" in class_names(part) and isinstance(args, tuple):
        text = str(cast("tuple[object, ...]", args)[:1])
        status = int(found[1]) if (found := _TOO_MANY.search(text)) else None
    return status if status is not None and status >= _FIRST_ERROR else None


def verdict_of(part: object, meaning: Meaning | None, status: int | None, now: datetime) -> Fault | None:
    """Return what *part* by itself says, given its meaning and its error status; ``None`` for nothing.

    It says ``may_have_acted=False`` where it is a refusal. Whether that is evidence is another question.
    """
    if status is not None:
        return answered(part, status, now)
    if code := aws_code(part):
        verdict = _by_aws_code(code) or _DOUBT
        return _fault(part, verdict, "refused by AWS", proves=verdict is not _DOUBT)
    state = look(part, "sqlstate") or look(part, "pgcode")
    if isinstance(state, str) and _SQLSTATE.fullmatch(state):
        found = (_BY_SQLSTATE[state[:length]] for length in (5, 3, 2) if state[:length] in _BY_SQLSTATE)
        # A database's refusal says nothing of what was written elsewhere.
        return _fault(part, next(found, _DOUBT), f"SQLSTATE {state}", proves=False)
    return None if meaning is None else meant(part, meaning)


def answered(part: object, status: int, now: datetime) -> Fault:
    """Return what an answer with the error *status* says."""
    kind, cause = _by_answer(part, status)
    # An idempotency key that was used before, with other parameters: what did that request do?
    is_refusal = status < _FIRST_SERVER_ERROR and "stripe.IdempotencyError" not in class_names(part)
    fault = _fault(part, (kind, cause), f"status {status}", proves=is_refusal)
    return replace(fault, status=status, retry_after_s=retry_after_s(part, now))


def _by_answer(part: object, status: int) -> _Verdict:
    """Read the status, and the few answers whose status says too little."""
    if status == 429 and "insufficient_quota" in (look(part, "code"), look(part, "type")):  # noqa: PLR2004
        return _REFUSED  # waiting does not fill an account
    if by_code := _by_aws_code(aws_code(part)):
        return by_code
    if status == _FORBIDDEN and (header(part, "retry-after") or header(part, "x-ratelimit-remaining") == "0"):
        return _THROTTLED  # GitHub's way
    if "stripe.RateLimitError" in class_names(part):
        return _THROTTLED  # some of them have status 400
    return _BY_STATUS.get(status, _REFUSED if status < _FIRST_SERVER_ERROR else _DOUBT)


def _by_aws_code(code: str) -> _Verdict | None:
    if code.startswith(THROTTLING_CODES):
        return _THROTTLED
    if code.startswith(AUTH_CODES):
        return _UNAUTHORISED
    return _DOUBT if code.startswith("RequestTimeout") else None


def meant(part: object, meaning: Meaning) -> Fault:
    """Return what an error of this *meaning* says."""
    return _fault(part, _BY_MEANING[meaning], meaning.value, proves=meaning in _PROVING)


def _fault(part: object, verdict: _Verdict, what: str, *, proves: bool) -> Fault:
    kind, cause = verdict
    may_have_acted = not proves or kind is FaultKind.AMBIGUOUS
    return Fault(kind=kind, cause=cause, may_have_acted=may_have_acted, why=f"{shown_name(part)}: {what}")


def unknown(what: str) -> Fault:
    """Return the verdict on an error that nothing is known of: doubt."""
    return Fault(
        kind=FaultKind.AMBIGUOUS, cause=Cause.CODE, may_have_acted=True, why=f"{what}: not recognised"
    )


def shown_name(part: object) -> str:
    """Return the name of the class of *part* as it may be shown to people."""
    return _ODD.sub("?", class_names(part)[0])[:_LONGEST_NAME]
