"""Which of those that are due in a queue may be taken: the rules of ``Dequeue``, one by one. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from holdfast._core.advance import QueueRule
from holdfast._core.value import value


@value
class Candidate:
    """One that somebody may take.

    Attributes:
        is_new: Nobody ever worked on it.
    """

    workflow_id: str
    epoch: int
    limit_key: str
    is_new: bool


def is_full(rule: QueueRule, key: str, count: int) -> bool:
    """Whether *count* of a limit key are all that *rule* admits."""
    return key != "" and rule.per_key is not None and count >= rule.per_key


def admitted(
    due: Iterable[Candidate], rule: QueueRule, running: Mapping[str, int], started: int
) -> Iterator[Candidate]:
    """Yield those of *due* that *rule* admits, in their order; no more is looked at than is asked for.

    Args:
        running: How many run, by limit key.
        started: How many were started within ``rate_s``.
    """
    of_key = Counter(running)
    starts = None if rule.rate is None else rule.rate - started
    free = None if rule.concurrency is None else rule.concurrency - sum(running.values())
    if free is not None and free <= 0:
        return
    for candidate in due:
        if is_full(rule, candidate.limit_key, of_key[candidate.limit_key]):
            continue
        of_key[candidate.limit_key] += 1
        if candidate.is_new and starts is not None:
            if starts <= 0:
                continue
            starts -= 1
        yield candidate
        if free is not None:
            free -= 1
            if free <= 0:
                return
