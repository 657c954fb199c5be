"""When a failed attempt is tried again, and after how long. Pure: chance and time are arguments.

The formulas are those of "Exponential Backoff And Jitter" (AWS Architecture Blog): full jitter draws from
``[0, cap]``, equal jitter from ``[cap / 2, cap]``, decorrelated jitter from ``[base, 3 * previous]``, capped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

from holdfast._core.duration import Duration, seconds
from holdfast._core.fault import Cause, Fault, FaultKind
from holdfast.errors import HoldfastError, InvalidTool

JitterName: TypeAlias = Literal["full", "equal", "decorrelated"]

_CAPS_S: Final = (1.0, 5.0, 30.0)
TABLE: Final[Mapping[Cause, tuple[float, ...]]] = {
    Cause.NETWORK: _CAPS_S,
    Cause.SERVER: _CAPS_S,
    Cause.THROTTLE: (*_CAPS_S, 30.0),  # the fifth refusal in a row opens the circuit
}
"""The default: per cause the cap, in seconds, of the draw before each further attempt. Other causes: none."""

MOST_ATTEMPTS: Final = 1 + max(len(caps) for caps in TABLE.values())
_LONGEST_INTERVAL_S: Final = 100.0  # times the first, as Temporal has it
_DEFAULT_ATTEMPTS: Final = 4
_STEEPEST: Final = 100
_CONFLICT: Final = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how soon a failed attempt is tried again; the budget is the effect's, not the caller's.

    Attempts are on record: they count over calls, processes and restarts. Left as it is, the policy is a
    table: network faults, 5xx, 408 and 425 are tried 3 times more, with full jitter up to 1, 5 and 30 s;
    429 is tried again after ``Retry-After`` until the circuit opens; anything else is not tried again, 409
    included. Setting an interval, the coefficient or the number of attempts replaces the table by exponential
    backoff for whatever is not refused for good; a 409 is not.

    Lengths of time are seconds, a ``timedelta`` or text such as ``"30s"``.

    Attributes:
        initial_interval: Cap of the first delay; default 1 second.
        backoff_coefficient: By what each cap grows.
        maximum_interval: What no cap exceeds; default a hundred times the first.
        maximum_attempts: Executions of one effect in all, the first included; default 4.
        non_retryable_error_types: Errors after which no attempt of the same call follows: classes, or class
            names with or without their module. Subclasses count. A new call may make the next attempt, until
            all are used up.
        jitter: ``full``, ``equal`` or ``decorrelated``.
        deadline: No attempt starts later than this after the effect was made; the last one is cut short by
            it.
        longest_wait: A caller waits no longer than this for one attempt. What the other side asks for beyond
            it (``Retry-After: 3600``) is kept on record, and later calls respect it.
        stop_on_auth: An authentication fault stops the whole workflow until a person lets it go on.
    """

    initial_interval: Duration | None = None
    backoff_coefficient: float | None = None
    maximum_interval: Duration | None = None
    maximum_attempts: int | None = None
    non_retryable_error_types: Sequence[str | type[BaseException]] = ()
    jitter: JitterName = "full"
    deadline: Duration | None = None
    longest_wait: Duration = 60.0
    stop_on_auth: bool = True

    def __post_init__(self) -> None:
        for name in ("initial_interval", "maximum_interval", "deadline", "longest_wait"):
            value: Any = getattr(self, name)
            if value is None and name == "longest_wait":
                raise InvalidTool("RetryPolicy.longest_wait=None", "give a length of time, such as '60s'")
            if value is not None:
                object.__setattr__(self, name, seconds(value, name=f"RetryPolicy.{name}"))
        attempts: Any = self.maximum_attempts
        if attempts is not None and (
            not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1
        ):
            what = f"RetryPolicy.maximum_attempts={attempts!r} is no count"
            raise InvalidTool(what, "give a whole number of at least 1; the first execution counts")
        factor: Any = self.backoff_coefficient
        is_number = isinstance(factor, int | float) and not isinstance(factor, bool)
        if factor is not None and not (is_number and 1 <= factor <= _STEEPEST):
            what = f"RetryPolicy.backoff_coefficient={factor!r} is out of range"
            raise InvalidTool(what, "give a number from 1 to 100")
        if self.jitter not in ("full", "equal", "decorrelated"):
            raise InvalidTool(
                f"RetryPolicy.jitter={self.jitter!r} is unknown", "use full, equal, decorrelated"
            )
        stops: Any = self.stop_on_auth
        if not isinstance(stops, bool):
            raise InvalidTool(f"RetryPolicy.stop_on_auth is {type(stops).__name__}", "give True or False")
        first, most = self.initial_interval, self.maximum_interval
        if first is not None and most is not None and _seconds(first) > _seconds(most):
            what = f"RetryPolicy.initial_interval={first:g} is longer than maximum_interval={most:g}"
            raise InvalidTool(what, "let the first delay be the shorter one")
        self._check_types()

    def _check_types(self) -> None:
        given: Any = self.non_retryable_error_types
        is_list = isinstance(given, Iterable) and not isinstance(given, str | type)
        if not is_list:
            what = "RetryPolicy.non_retryable_error_types is no list"
            raise InvalidTool(what, "give a list of error classes or of their names")
        kinds = tuple(cast("Iterable[Any]", given))  # a generator would be empty the second time
        object.__setattr__(self, "non_retryable_error_types", kinds)
        for kind in kinds:
            if not isinstance(kind, str) and not (isinstance(kind, type) and issubclass(kind, BaseException)):
                what = "RetryPolicy.non_retryable_error_types has something that is no error"
                raise InvalidTool(what, "give error classes, or their names")

    @property
    def is_table(self) -> bool:
        """Whether the table decides, not an exponential backoff of the user's."""
        given = (
            self.initial_interval,
            self.backoff_coefficient,
            self.maximum_interval,
            self.maximum_attempts,
        )
        return all(value is None for value in given)

    @property
    def most_attempts(self) -> int:
        """More than this an effect is never executed."""
        return MOST_ATTEMPTS if self.is_table else self.maximum_attempts or _DEFAULT_ATTEMPTS

    @property
    def deadline_s(self) -> float | None:
        """Seconds of *deadline*."""
        return None if self.deadline is None else _seconds(self.deadline)

    @property
    def longest_wait_s(self) -> float:
        """Seconds of *longest_wait*."""
        return _seconds(self.longest_wait)

    def forbids(self, error: BaseException) -> bool:
        """Whether *error* is one of those that are never tried again."""
        kinds = self.non_retryable_error_types
        return any(
            known in kinds
            for cls in type(error).__mro__
            for known in (cls, cls.__name__, f"{cls.__module__}.{cls.__qualname__}")
        )

    def cap_s(self, cause: Cause, attempt: int) -> float | None:
        """Return the cap of the draw after the *attempt*-th attempt (from 1); ``None``: not tried again."""
        if self.is_table:
            caps = TABLE.get(cause, ())
            return caps[attempt - 1] if attempt <= len(caps) else None
        if attempt >= self.most_attempts:
            return None
        first = _seconds(self.initial_interval or 1.0)
        most = _seconds(self.maximum_interval or first * _LONGEST_INTERVAL_S)
        factor = float(2.0 if self.backoff_coefficient is None else self.backoff_coefficient)
        growth = min(attempt - 1, 1000) if factor > 1 else 0
        try:
            return float(min(most, first * factor**growth))
        except OverflowError:
            return most


DEFAULT_POLICY: Final = RetryPolicy()


@dataclass(frozen=True, slots=True)
class Again:
    """Try again.

    Attributes:
        delay_s: Seconds to wait first, at least.
    """

    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not try again by itself.

    Attributes:
        why: ``refused``: the same would be refused again. ``unrecognised``: nothing says that it would help.
            ``spent``: attempts or time are used up. ``later``: the other side asks for more patience than
            callers have; *delay_s* says how much. ``off``: no policy.
        delay_s: When another call may try, in seconds from now; ``None``: at any time.
    """

    why: Literal["refused", "unrecognised", "spent", "later", "off"]
    delay_s: float | None = None


def after_fault(
    policy: RetryPolicy | None,
    fault: Fault,
    error: BaseException,
    *,
    attempt: int,
    elapsed_s: float,
    draw: float,
    previous_s: float,
    is_declared: bool,
) -> Again | GiveUp:
    """Decide whether an attempt that ended with *fault* is followed by another.

    Args:
        policy: ``None`` when retries are off.
        attempt: How many attempts the present budget has seen, this one included.
        elapsed_s: Seconds since the budget began.
        draw: A random number in [0, 1).
        previous_s: The delay before this attempt, for decorrelated jitter; 0 when there was none.
        is_declared: The author chose a policy: then errors that nothing is known of are tried again as well.
    """
    if policy is None:
        return GiveUp("off")
    if policy.forbids(error) or fault.kind in _REFUSED or issubclass(type(error), HoldfastError):
        return GiveUp("refused")
    if policy.is_table and fault.status == _CONFLICT and fault.cause is Cause.CLIENT:
        return GiveUp("refused", fault.retry_after_s)  # an answer: who comes later may find the conflict over
    if not fault.is_recognised and not is_declared:
        return GiveUp("unrecognised")
    cause = fault.cause if fault.is_recognised and fault.cause in TABLE else Cause.NETWORK
    cap_s = policy.cap_s(cause, attempt)
    if cap_s is None:
        return GiveUp("spent")
    delay_s = min(jittered(policy, cap_s, draw=draw, previous_s=previous_s), policy.longest_wait_s)
    if fault.retry_after_s is not None:
        # Never sooner than asked; the draw on top keeps those who were told the same from coming together.
        delay_s = fault.retry_after_s + draw * min(cap_s, max(fault.retry_after_s, 1.0))
    if policy.deadline_s is not None and elapsed_s + delay_s >= policy.deadline_s:
        return GiveUp("spent")
    if fault.retry_after_s is not None and delay_s > policy.longest_wait_s:
        return GiveUp("later", delay_s)
    return Again(delay_s)


def jittered(policy: RetryPolicy, cap_s: float, *, draw: float, previous_s: float) -> float:
    """Return the delay that *draw*, in [0, 1), stands for."""
    match policy.jitter:
        case "full":
            return draw * cap_s
        case "equal":
            return cap_s / 2 + draw * cap_s / 2
        case _:
            base = min(_seconds(policy.initial_interval or 1.0), cap_s)
            top = max(3 * (previous_s or base), base)
            most = (
                _seconds(policy.maximum_interval)
                if policy.maximum_interval is not None
                else max(cap_s, _CAPS_S[-1] if policy.is_table else cap_s)
            )
            return min(most, base + draw * (top - base))


_REFUSED: Final = frozenset({FaultKind.PERMANENT, FaultKind.AUTH, FaultKind.SCHEMA})


def _seconds(value: Duration) -> float:
    return value if isinstance(value, float) else seconds(value, name="length")
