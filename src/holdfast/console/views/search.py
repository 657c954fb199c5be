"""The search line: qualifiers such as ``status:failed``, and words that an id contains."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from holdfast._core.duration import seconds
from holdfast._core.states import WorkflowStatus
from holdfast.errors import HoldfastError

QUALIFIERS: Final = {
    "status": "how it stands: status:needs_review",
    "name": "the name of its code: name:support",
    "actor": "on whose behalf: actor:refund-desk",
    "queue": "in which queue: queue:mail",
    "parent": "begun by which workflow: parent:order-7",
    "tool": "it called this tool: tool:stripe.refund",
    "paused": "nobody may go on with it: paused:yes",
    "since": "touched within: since:2h",
}
"""What a search may be narrowed by, and an example of each."""

_QUALIFIED: Final = re.compile(r"([a-z]+):(.+)", re.DOTALL)
_LONGEST: Final = 500


@dataclass(frozen=True, slots=True)
class Search:
    """A search line, read.

    Attributes:
        words: Each is somewhere in the id, or in the name of the code.
        wanted: By qualifier; the last one counts.
        since: Touched at or after.
        problems: What could not be read; the rest counts all the same.
    """

    words: tuple[str, ...] = ()
    wanted: dict[str, str] = field(default_factory=dict[str, str])
    since: datetime | None = None
    problems: tuple[str, ...] = ()

    def of(self, qualifier: str) -> str | None:
        """Return what is wanted of *qualifier*; ``None`` for anything."""
        return self.wanted.get(qualifier)


def read_search(line: str, now: datetime) -> Search:
    """Read a search line; nothing in it is an error, for a page has to be shown."""
    words: list[str] = []
    wanted: dict[str, str] = {}
    problems: list[str] = []
    since = None
    for part in _parts(line[:_LONGEST]):
        if not part.isprintable():
            problems.append("No name has characters that cannot be seen: they are left out of the search.")
            continue
        found = _QUALIFIED.fullmatch(part)
        if found is None or found[1] not in QUALIFIERS:
            if found is not None:
                problems.append(f"There is no qualifier {found[1]}: use {', '.join(QUALIFIERS)}.")
            words.append(part)
        elif found[1] == "since":
            since = _since(found[2], now, problems)
        elif found[1] == "status" and found[2] not in set(WorkflowStatus):
            problems.append(f"No workflow is {found[2]}: use {', '.join(WorkflowStatus)}.")
        else:
            wanted[found[1]] = found[2]
    return Search(words=tuple(words), wanted=wanted, since=since, problems=tuple(problems))


def _parts(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a quotation mark that nothing closes
        return line.split()


def _since(text: str, now: datetime, problems: list[str]) -> datetime | None:
    try:
        return now - timedelta(seconds=seconds(text, name="since"))
    except (HoldfastError, OverflowError):
        problems.append(f"since:{text} is no length of time: say since:30m, since:2h or since:7d.")
        return None
