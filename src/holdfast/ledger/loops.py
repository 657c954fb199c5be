"""One agent's turns are watched for loops: it is told first, then its work ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from holdfast._core.contract import Contract
from holdfast._core.loop import LoopRules, LoopSign, Observed, ObservedTurn, sign_as_json, sign_of_json
from holdfast._core.loop_reading import observed, turn_as_json, turn_of_json
from holdfast._core.loop_signs import Watch
from holdfast._core.model import Finding, Receipt
from holdfast._runtime.life import Life
from holdfast._runtime.pipeline import Request
from holdfast._runtime.steps import made
from holdfast.errors import InvalidCall, LoopDetected

_STEP = "loop signs"


@dataclass(slots=True, eq=False)
class LoopWatch:
    """Watches the turns of one agent for loops: make one for each task, and give it to each of its turns.

    In a workflow's code what it saw is on record with each turn: whoever goes on has the same one.

    Attributes:
        rules: How often is too often.
        signs: What the last turn showed.
    """

    rules: LoopRules = field(default_factory=LoopRules)
    signs: tuple[LoopSign, ...] = field(default=(), init=False)
    _watch: Watch = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rules: Any = self.rules
        if not isinstance(rules, LoopRules):
            raise InvalidCall(f"rules of loops are {type(rules).__name__}", "give LoopRules(...)")
        self._watch = Watch(rules=self.rules)

    def judge(self, turn: ObservedTurn) -> tuple[LoopSign, ...]:
        """Return the signs that *turn* shows if it comes next; nothing is changed."""
        return self._watch.signs(turn)

    def add(self, turn: ObservedTurn, signs: Sequence[LoopSign]) -> None:
        """Go on to the next turn.

        Args:
            signs: What :meth:`judge` found, now or when the turn was put on record.
        """
        self.signs = tuple(signs)
        self._watch = self._watch.after(turn, signs)

    def check(self, workflow_id: str) -> None:
        """Go on if the last turn allows it.

        Raises:
            LoopDetected: The work ends here.
        """
        for sign in self.signs:
            if sign.stage == "stop":
                raise LoopDetected(workflow_id, sign.kind, sign.count, sign.evidence)


async def watched(
    watch: LoopWatch,
    life: Life | None,
    requests: Sequence[Request],
    receipts: Sequence[Receipt],
    *,
    distinct: bool,
) -> list[Receipt]:
    """Return the receipts of a turn, the last one with what was found; in a workflow this is put on record.

    Raises:
        LoopDetected: The agent was told before. All calls ran.
    """
    if not receipts:
        return []
    contracts = {request.call.tool: request.contract for request in requests}

    def judged() -> dict[str, Any]:
        turn = _observed(requests, receipts, distinct=distinct)
        return {"turn": turn_as_json(turn), "signs": [sign_as_json(sign) for sign in watch.judge(turn)]}

    said: Mapping[str, Any] = judged() if life is None else await made(life, _STEP, judged)
    _add(watch, said, contracts)
    watch.check(requests[-1].call.workflow_id if life is None else life.workflow_id)
    found = [
        Finding(code=sign.kind, message=sign.evidence)
        for sign in watch.signs
        if sign.kind != "duplicate_intent"  # the receipt of the second call says so already
    ]
    last = receipts[-1]
    return [*receipts[:-1], replace(last, findings=(*last.findings, *found))]


def _add(watch: LoopWatch, said: Mapping[str, Any], contracts: Mapping[str, Contract]) -> None:
    turn = turn_of_json(said["turn"], contracts)
    watch.add(turn, [sign_of_json(sign) for sign in said["signs"]])


def _observed(requests: Sequence[Request], receipts: Sequence[Receipt], *, distinct: bool) -> ObservedTurn:
    calls: list[Observed] = []
    for request, receipt in zip(requests, receipts, strict=True):
        call = request.call
        args = [dict(call.args), call.key]
        seen = observed(call.tool, args, receipt.for_model(), request.contract, at=receipt.observed_at)
        earlier = sum((other.tool, other.args.split("#")[0]) == (seen.tool, seen.args) for other in calls)
        calls.append(replace(seen, args=f"{seen.args}#{earlier}") if distinct and earlier else seen)
    return ObservedTurn(calls=tuple(calls))
