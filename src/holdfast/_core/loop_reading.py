"""What is seen of a turn: the calls that a model made, and what it was told of them, without any values.

Answers are compared by what they say; how a tool failed is compared by the words of its error, which are
what is on record, with names, numbers and keys left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, cast

from holdfast._core.contract import Contract
from holdfast._core.loop import Observed, ObservedTurn
from holdfast._core.model import is_utf8
from holdfast._core.pattern import Poll, progress_of
from holdfast._core.states import Safety

_LONGEST_ERROR: Final = 2000
_DIGITS: Final = 32
_PARTICULARS: Final = re.compile(
    # What tells two errors of one kind apart: quoted names, keys and hashes, numbers but statuses of HTTP.
    r"'[^']*'|\"[^\"]*\"|\b[0-9a-f]{8,}\b|\b(?![45]\d\d\b)\d+",
    re.IGNORECASE,
)


def observed(
    tool: str, args: object, told: str, contract: Contract | None, *, at: datetime | None = None
) -> Observed:
    """Return what is seen of one call.

    Args:
        args: Its arguments, as JSON.
        told: What the model was told of it, as a receipt tells.
        contract: What is declared of its tool; ``None``: nothing.
        at: When the answer was learnt, if the text does not say.
    """
    said = _object(told)
    pattern = None if contract is None else contract.pattern
    is_error = "result" not in said
    down = said.get("dependency") if is_error else None
    if is_error:
        answer: Any = [said.get("status"), _PARTICULARS.sub("#", str(said.get("error"))[:_LONGEST_ERROR])]
    else:
        result = said["result"]
        answer = progress_of(pattern, result) if isinstance(pattern, Poll) else result
    return Observed(
        tool=tool,
        args=digest(args),
        answer=digest(answer),
        is_error=is_error,
        safety=Safety.UNSAFE if contract is None else contract.safety,
        pattern=pattern,
        at_s=_seconds(said.get("observed_at"), at),
        down=down if isinstance(down, str) else "",
    )


def digest(said: object) -> str:
    """Return what is equal for equal JSON."""
    text = json.dumps(said, sort_keys=True, default=repr)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def noted(told: str, notes: Sequence[str]) -> str:
    """Return what a model is told of a call, with *notes* among its findings."""
    said = _object(told)
    return _text({**said, "findings": [*said.get("findings", []), *notes]})


def dated(told: str, at: datetime) -> str:
    """Return what a model is told of a call, with the time when its answer was learnt."""
    return _text({**_object(told), "observed_at": at.isoformat()})


def turn_as_json(turn: ObservedTurn) -> dict[str, Any]:
    """Return a turn as it is put on record."""
    calls = [
        [each.tool, each.args, each.answer, each.is_error, each.safety.value, each.at_s]
        + ([each.down] if each.down else [])
        for each in turn.calls
    ]
    return {"calls": calls, "tokens": turn.tokens, "news": turn.has_other_news}


def turn_of_json(said: Mapping[str, Any], contracts: Mapping[str, Contract]) -> ObservedTurn:
    """Return the turn that :func:`turn_as_json` told of."""
    calls = [
        Observed(
            tool=tool,
            args=args,
            answer=answer,
            is_error=is_error,
            safety=Safety(safety),
            pattern=contracts[tool].pattern if tool in contracts else None,
            at_s=at_s,
            down=down[0] if down else "",
        )
        for tool, args, answer, is_error, safety, at_s, *down in said["calls"]
    ]
    return ObservedTurn(calls=tuple(calls), tokens=said["tokens"], has_other_news=said["news"])


def _object(told: str) -> dict[str, Any]:
    """Return what a text tells; a text that is none of a receipt's is a result."""
    try:
        said: Any = json.loads(told)
    except ValueError:
        said = told
    return cast("dict[str, Any]", said) if isinstance(said, dict) else {"status": "", "result": said}


def _text(said: Mapping[str, Any]) -> str:
    text = json.dumps(said, ensure_ascii=False)
    return text if is_utf8(text) else json.dumps(said)


def _seconds(said: Any, at: datetime | None) -> float | None:
    moment = datetime.fromisoformat(said) if isinstance(said, str) else at
    return None if moment is None else moment.timestamp()
