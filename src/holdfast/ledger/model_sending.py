"""One model call on its way: what is sent in each attempt, and what goes on its bill."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from holdfast._core.budget import TOKENS
from holdfast._core.model import Effect
from holdfast._core.model_fit import Fitting
from holdfast._core.model_request import ModelAnswer, ModelRequest
from holdfast._core.model_trace import (
    answered_attributes,
    asked_attributes,
    cost_attributes,
    steered_attributes,
    used_attributes,
)
from holdfast._runtime.bill import Bill
from holdfast._runtime.drive import run_sync
from holdfast._runtime.parts import Parts
from holdfast.ledger.model_answers import UsageReader, put_usage, reading_of, recorded
from holdfast.ports.tracing import Told


@dataclass(slots=True)
class Sending:
    """One model call on its way: the handler of its effect, once for each attempt."""

    asked: ModelRequest
    fitting: Fitting
    send: Any
    parts: Parts
    is_free: Callable[[Exception], bool]
    usage: UsageReader | None = None

    def attempt(self, effect: Effect, url: str, request: Any) -> dict[str, Any]:
        """Send it, and say what it used."""
        del url, request
        if self.fitting.delay_s:
            run_sync(self.parts.runtime.sleep(self.fitting.delay_s))
        with self._traced(effect) as told:
            with _Billed(self, effect):
                answer: ModelAnswer = self.send(self.fitting.body)
            return self._recorded(effect, answer, told)

    async def attempt_async(self, effect: Effect, url: str, request: Any) -> dict[str, Any]:
        """Send it, and say what it used."""
        del url, request
        if self.fitting.delay_s:
            await self.parts.runtime.sleep(self.fitting.delay_s)
        with self._traced(effect) as told:
            with _Billed(self, effect):
                answer: ModelAnswer = await self.send(self.fitting.body)
            return self._recorded(effect, answer, told)

    def _traced(self, effect: Effect) -> AbstractContextManager[Told | None]:
        """Make what is sent visible to whoever traces: not its words."""
        fitting = self.fitting
        return self.parts.tracer.asking(
            lambda: asked_attributes(self.asked, fitting.body, effect) | steered_attributes(fitting.told)
        )

    def _recorded(self, effect: Effect, answer: ModelAnswer, told: Told | None) -> dict[str, Any]:
        reading = reading_of(self.asked.wire, answer) if self.usage is None else self.usage(answer)
        bill = _bill(effect)
        put_usage(bill, reading, self.fitting.row, is_partial=answer.is_partial)
        if told is not None:
            spent = bill.told()
            amounts = dict(() if spent is None else spent.amounts)
            told(answered_attributes(self.asked.wire, answer))
            told(used_attributes(reading))
            told(cost_attributes(amounts, self.fitting.needs.currency))
        return recorded(answer, self.fitting.changed)


class _Billed:
    """Puts on the bill what an attempt costs that fails: nothing if it was refused, else nobody knows."""

    def __init__(self, sending: Sending, effect: Effect) -> None:
        self._sending, self._effect = sending, effect

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        bill = _bill(self._effect)
        if isinstance(error, Exception) and self._sending.is_free(error):
            bill.put({TOKENS: 0, "steps": 0, self._sending.fitting.needs.currency or TOKENS: 0})
        else:
            bill.lose()


def _bill(effect: Effect) -> Bill:
    """Return the attempt's bill; whoever calls a handler by himself has none to keep."""
    return effect.bill if isinstance(effect.bill, Bill) else Bill()
