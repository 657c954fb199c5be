"""What became of a request that ended with an error, and who is to blame? Any exception gets a verdict.

No client library is imported: errors are known by their status, headers and class names, so that whatever
handlers use is understood, and what is not understood is doubt.

The rule of evidence: a refusal proves that nothing was done only when it tells that the refused request was
a write, and that it was sent once. A handler may have written first and failed on a later read, or on a
database of its own; the refusal of that says nothing of the write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, cast

from holdfast._core.fault_evidence import look, told_by
from holdfast._core.fault_names import Meaning
from holdfast._core.fault_verdict import (
    Cause,
    Fault,
    FaultKind,
    answered,
    error_status,
    known_meaning,
    meant,
    shown_name,
    unknown,
    verdict_of,
)

__all__ = ["Cause", "Fault", "FaultKind", "fault_of", "fault_of_response"]

_GRAVITY: Final = tuple(FaultKind)  # from the one that means least to doubt, which wins over all
_MOST_ERRORS: Final = 200
_DEEPEST: Final = 20


def fault_of(error: BaseException, *, now: datetime) -> Fault:
    """Return the verdict on *error*, whatever it is; raises nothing.

    Args:
        now: What a date in ``Retry-After`` is measured from (aware).
    """
    try:
        return _Reader(now).fault(error)
    except Exception:  # noqa: BLE001 - an error that cannot even be read is doubt
        return unknown("an error that cannot be read")


def fault_of_response(response: object, *, now: datetime) -> Fault | None:
    """Return the verdict on an HTTP response; ``None`` below 400, and for what is no response."""
    try:
        status = error_status(response)
        if status is None:
            return None
        fault = answered(response, status, now)
        return fault if told_by([response]).is_one_write else replace(fault, may_have_acted=True)
    except Exception:  # noqa: BLE001 - a response that cannot be read is doubt
        return unknown("a response that cannot be read")


class _Reader:
    """Reads one error with all that it wraps and holds, in bounded time."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.left = _MOST_ERRORS

    def fault(self, error: BaseException) -> Fault:
        if self.left <= 0:
            return unknown("more errors within errors than can be read")
        if _is_group(error):
            return self._group(error)
        levels = self._levels(error)
        found = self._explained(levels)
        if found is None:
            return self._in_passing(error)
        if found.may_have_acted or self._is_proof(levels):
            return found
        return replace(found, may_have_acted=True)

    def _levels(self, error: BaseException) -> list[list[BaseException]]:
        """Return *error*, then what it wraps on purpose, then what that wraps, and so on; each once."""
        levels: list[list[BaseException]] = []
        seen: dict[int, BaseException] = {}  # the errors themselves, since only living ids are unique
        level = [error]
        while level and len(levels) < _DEEPEST and self.left > 0:
            seen.update((id(part), part) for part in level)
            self.left -= len(level)
            levels.append(level)
            inner = {id(wrapped): wrapped for part in level for wrapped in _wrapped_by(part)}
            level = [wrapped for key, wrapped in inner.items() if key not in seen]
        return levels

    def _explained(self, levels: list[list[BaseException]]) -> Fault | None:
        """Return what the outermost part that knows says, before it is asked whether that is a proof."""
        vague: Fault | None = None
        for level in levels:
            found: list[Fault] = []
            for part in level:
                meaning, status = known_meaning(part), error_status(part)
                if _is_group(part):
                    found.append(self._group(part))
                elif meaning is Meaning.WRAPPED and status is None:
                    vague = vague or meant(part, meaning)
                elif fault := verdict_of(part, meaning, status, self.now):
                    found.append(fault)
            if found:
                worst = _distrusted(_gravest(found), levels)
                outer = "" if level is levels[0] else f"{shown_name(levels[0][0])}, by "
                return replace(worst, why=outer + worst.why)
        return vague

    def _is_proof(self, levels: list[list[BaseException]]) -> bool:
        """Whether a refusal is evidence that the write was not done."""
        [[error], *_] = levels
        # An error of somebody's own may wrap the last of many requests; a library's wraps the only one.
        is_known = known_meaning(error) is not None or error_status(error) is not None
        parts = [part for level in levels for part in level]
        return is_known and told_by(parts).is_one_write and not self._is_doubted(parts)

    def _is_doubted(self, parts: list[BaseException]) -> bool:
        """Whether it was raised while another error was handled that leaves doubt, such as a first try's."""
        seen = {id(part): part for part in parts}
        todo = list(parts)
        while todo:
            before = look(todo.pop(), "__context__")
            if not isinstance(before, BaseException) or id(before) in seen:
                continue
            levels = self._levels(before)
            found = self._explained(levels)
            is_doubt = found is not None and found.is_recognised and found.kind is FaultKind.AMBIGUOUS
            if is_doubt or self.left <= 0:
                return True
            fresh = [part for level in levels for part in level if id(part) not in seen]
            seen.update((id(part), part) for part in fresh)
            todo += fresh
        return False

    def _in_passing(self, error: BaseException) -> Fault:
        """Return the verdict on an unknown error: that on what was being handled, if this is known."""
        before = look(error, "__context__")
        if isinstance(before, BaseException) and not look(error, "__suppress_context__"):
            fault = self.fault(before)
            if fault.is_recognised:
                return replace(fault, may_have_acted=True, why=f"{shown_name(error)}, after {fault.why}")
        return unknown(shown_name(error))

    def _group(self, group: BaseException) -> Fault:
        """Return the gravest member's verdict. It is no evidence: other work may have gone well, or on."""
        members = cast("Sequence[BaseException]", look(group, "exceptions"))
        faults: list[Fault] = []
        for member in members:
            is_last = self.left <= 0
            faults.append(self.fault(member))  # the last one is not read: doubt, which wins
            if is_last:
                break
            self.left -= 1
        worst = _gravest(faults)
        why = f"one of {len(members)} errors: {worst.why}"
        return replace(worst, may_have_acted=True, why=why)


def _wrapped_by(error: BaseException) -> Iterator[BaseException]:
    """Yield what *error* wraps on purpose: its cause, and what libraries keep elsewhere."""
    args = look(error, "args")
    candidates = [
        *(look(error, field) for field in ("__cause__", "reason", "original_error", "os_error", "orig")),
        look(look(error, "kwargs"), "error"),  # botocore
        *(cast("tuple[object, ...]", args)[:_DEEPEST] if isinstance(args, tuple) else ()),
    ]
    yield from (found for found in candidates if isinstance(found, BaseException))


def _is_group(error: BaseException) -> bool:
    return issubclass(type(error), BaseExceptionGroup)


def _distrusted(fault: Fault, levels: list[list[BaseException]]) -> Fault:
    """Return *fault*, or that there was no connection because of a certificate: that does not pass."""
    if fault.kind is not FaultKind.TRANSIENT:
        return fault
    parts = (part for level in levels for part in level)
    found = (part for part in parts if known_meaning(part) is Meaning.UNTRUSTED)
    return next((meant(part, Meaning.UNTRUSTED) for part in found), fault)


def _gravest(faults: Iterable[Fault]) -> Fault:
    """Return the gravest of *faults*, with the longest wait of all; what any may have done, all may have."""
    found = list(faults)
    worst = max(found, key=lambda fault: (_GRAVITY.index(fault.kind), fault.is_recognised))
    waits = [fault.retry_after_s for fault in found if fault.retry_after_s is not None]
    may_have_acted = any(fault.may_have_acted for fault in found)
    return replace(worst, may_have_acted=may_have_acted, retry_after_s=max(waits, default=None))
