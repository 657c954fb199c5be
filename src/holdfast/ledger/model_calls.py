"""Model calls as effects: identified, held against budgets, sent once, priced, answered from the record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, TypeAlias, cast

from holdfast._core.budget import MOST, TOKENS
from holdfast._core.contract import Contract
from holdfast._core.cost import cost_of
from holdfast._core.declare import make_contract
from holdfast._core.fault import Fault, fault_of
from holdfast._core.model import Effect, EffectKey, Receipt, ToolCall
from holdfast._core.model_fit import Fitting, Manner, Quote
from holdfast._core.model_request import MODEL, AsyncSend, ModelAnswer, ModelRequest, ProviderRefused, Send
from holdfast._core.model_trace import (
    answered_attributes,
    asked_attributes,
    cost_attributes,
    steered_attributes,
    used_attributes,
)
from holdfast._core.price import PriceRow
from holdfast._core.request_bound import request_bound
from holdfast._core.server_events import events_of
from holdfast._core.usage import Reading, UnknownUsage, Usage
from holdfast._core.usage_wire import WireFormat, usage_of, usage_of_stream
from holdfast._core.wire import Object
from holdfast._core.worst_cost import Unbounded
from holdfast._runtime import context
from holdfast._runtime.bill import Bill
from holdfast._runtime.drive import run_sync
from holdfast._runtime.pipeline import Request
from holdfast.errors import EffectFailed, NotSerializable, UnpricedModel
from holdfast.ledger.engine import Engine
from holdfast.ledger.model_prices import Prices
from holdfast.ports.tracing import Told
from holdfast.prices.tokenizer import local_tokenizer

_TOKENIZED: Final = frozenset({"openai", "azure"})
_tokenizer: Final = lru_cache(maxsize=32)(local_tokenizer)
"""Counts closer than bytes do, for those whose data is on this machine already."""
_MOST_ARGS: Final = 0.9
"""So much of what arguments may take is left to a request; a larger one is named by its digest."""


UsageReader: TypeAlias = Callable[[ModelAnswer], Reading]
"""Reads what an answer used."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How the model calls of one client are made; see :meth:`holdfast.Ledger.model`."""

    workflow_id: str
    manner: Manner = field(default_factory=Manner)
    tool_rounds: int | None = None
    usage: UsageReader | None = None
    endless: str = ""
    contract: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class Sending:
    """One model call on its way: the handler of its effect, once for each attempt."""

    asked: ModelRequest
    fitting: Fitting
    send: Any
    calls: Calls
    usage: UsageReader | None = None

    def attempt(self, effect: Effect, url: str, request: Any) -> dict[str, Any]:
        """Send it, and say what it used."""
        del url, request
        if self.fitting.delay_s:
            run_sync(self.calls.engine.parts.runtime.sleep(self.fitting.delay_s))
        with self._traced(effect) as told:
            with _Billed(self, effect):
                answer: ModelAnswer = self.send(self.fitting.body)
            return self._recorded(effect, answer, told)

    async def attempt_async(self, effect: Effect, url: str, request: Any) -> dict[str, Any]:
        """Send it, and say what it used."""
        del url, request
        if self.fitting.delay_s:
            await self.calls.engine.parts.runtime.sleep(self.fitting.delay_s)
        with self._traced(effect) as told:
            with _Billed(self, effect):
                answer: ModelAnswer = await self.send(self.fitting.body)
            return self._recorded(effect, answer, told)

    def _traced(self, effect: Effect) -> AbstractContextManager[Told | None]:
        """Make what is sent visible to whoever traces: not its words."""
        fitting = self.fitting
        return self.calls.engine.parts.tracer.asking(
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
        bill, calls = _bill(self._effect), self._sending.calls
        if isinstance(error, Exception) and calls.is_free(error):
            bill.put({TOKENS: 0, "steps": 0, self._sending.fitting.needs.currency or TOKENS: 0})
        else:
            bill.lose()


class Calls:
    """The model calls of one client.

    Attributes:
        engine: Of the ledger.
    """

    def __init__(self, engine: Engine, prices: Prices, wishes: Wishes) -> None:
        self.engine = engine
        self._prices, self._wishes = prices, wishes
        self._contracts: dict[tuple[str, str], Contract] = {}
        self._counts: dict[str, int] = {}

    @property
    def is_coded(self) -> bool:
        """Whether a workflow's code makes the call."""
        life: Any = context.life.get()
        return life is not None and life.is_of(self.engine.tenant, "")

    def classified(self, error: Exception) -> Fault:
        """Return what an error says of trying again: asking a model changes nothing, whatever came back."""
        return replace(self._fault(error), may_have_acted=False)

    def is_free(self, error: Exception) -> bool:
        """Whether an attempt that ended so costs nothing: it was refused, or never sent."""
        return isinstance(error, ProviderRefused) or not self._fault(error).may_have_acted

    def _fault(self, error: Exception) -> Fault:
        return fault_of(error, now=self.engine.parts.runtime.now())

    def note_replay(self, receipt: Receipt) -> None:
        """Note in the current span that an answer is on record: nothing was sent, and nothing spent."""
        if receipt.replayed:
            model = receipt.tool.removeprefix(MODEL).partition("/")[2]
            told = {"holdfast.key": receipt.key, "holdfast.workflow_id": receipt.workflow_id}
            self.engine.parts.tracer.noted("holdfast.replayed", {**told, "gen_ai.request.model": model})

    def request(self, asked: ModelRequest, send: Any, *, is_async: bool) -> Request:
        """Return the call of a model as a call of a tool.

        Raises:
            InvalidCall: Its model is another provider's. Nothing was sent.
            UnpricedModel: It has no price, and the user's price book refuses that. Nothing was sent.
        """
        asked = self._named(asked)
        model = f"{asked.provider}/{asked.body.get('model', '')}"
        sending = Sending(asked, self._fitting(asked), send, self, self._wishes.usage)
        tool = f"{MODEL}{model}"
        args = self._args(asked)
        occurrence, branch = self._place(tool, args)
        return Request(
            tenant=self.engine.tenant,
            actor=self.engine.actor,
            call=ToolCall(
                workflow_id=context.workflow.get() or self._wishes.workflow_id, tool=tool, args=args
            ),
            contract=self._contract(tool, asked.host),
            handler=sending.attempt_async if is_async else sending.attempt,
            occurrence=occurrence,
            branch=branch,
            is_coded=True,
            flexible=sending.fitting,
        )

    def _named(self, asked: ModelRequest) -> ModelRequest:
        """Return the request with its provider's own name for the model."""
        model = str(asked.body.get("model") or "")
        name = self._prices.named(asked.provider, model.removeprefix(f"{asked.provider}/"))
        return asked if name == model else replace(asked, body={**asked.body, "model": name})

    def _fitting(self, asked: ModelRequest) -> Fitting:
        who = context.workflow.get() or self._wishes.workflow_id, self.engine.actor

        def quoted(body: Object) -> Quote:
            return self._quoted(asked, body)

        return Fitting(asked.wire, asked.body, quoted, self._wishes.manner, who)

    def _quoted(self, asked: ModelRequest, body: Object) -> Quote:
        name = str(body.get("model") or "")
        row, unpriced = self._prices.row(asked.provider, name, self.engine.parts.runtime.now())
        model = f"{asked.provider}/{name}"
        if self._wishes.endless:
            return Quote(model=model, bound=Unbounded((self._wishes.endless,)), row=row, unpriced=unpriced)
        window = None if row is None else row.context_window
        bound = request_bound(
            asked.wire,
            body,
            context_window=window,
            rounds=self._wishes.tool_rounds,
            count=_tokenizer(name) if asked.provider in _TOKENIZED else None,
        )
        return Quote(model=model, bound=bound, row=row, unpriced=unpriced)

    def _args(self, asked: ModelRequest) -> dict[str, Any]:
        """Return what is recorded of the request: all of it, or its digest where it is too large for that."""
        text = json.dumps(asked.body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        size = len(text.encode("utf-8", "surrogatepass"))
        if size <= _MOST_ARGS * self.engine.parts.settings.max_args_bytes:
            return {"url": asked.url, "request": asked.body}
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        named = {"model": asked.body.get("model"), "sha256": digest, "bytes": size}
        return {"url": asked.url, "request": named}

    def _place(self, tool: str, args: Mapping[str, Any]) -> tuple[int, str]:
        """Return which of equal requests it is, and where; in a handler, each attempt counts anew."""
        if self.is_coded:
            return 0, ""  # the workflow's code counts by itself
        origin = context.origin.get()
        counts, branch = (self._counts, "") if origin is None else (origin.counts, origin.name)
        text = json.dumps(args, sort_keys=True)
        name = hashlib.sha256(f"{tool}\n{text}".encode()).hexdigest()
        counts[name] = counts.get(name, -1) + 1
        return counts[name], branch

    def _contract(self, tool: str, host: str) -> Contract:
        known = self._contracts.get((tool, host))
        if known is None:
            known = make_contract(
                tool,
                safety="idempotent",
                dependency=host,
                classify=self.classified,
                **self._wishes.contract,
            )
            self._contracts[tool, host] = known
        return known


class LedgerAsks(Calls):
    """Makes the model calls of a client that waits; see :class:`holdfast._core.model_request.Asks`."""

    def ask(self, request: ModelRequest, send: Send) -> ModelAnswer:
        """See :meth:`holdfast._core.model_request.Asks.ask`."""
        made = self.request(request, send, is_async=False)
        try:
            receipt = run_sync(self.engine.asked(made).answer())
            self.note_replay(receipt)
            return answer_of(receipt.result)
        except NotSerializable as gap:
            return _in_spite_of(gap)
        except EffectFailed as failed:
            raise run_sync(_refusal(self.engine, failed)) from failed


class AsyncLedgerAsks(Calls):
    """Makes the model calls of a client that is awaited."""

    async def ask(self, request: ModelRequest, send: AsyncSend) -> ModelAnswer:
        """See :meth:`holdfast._core.model_request.AsyncAsks.ask`."""
        made = self.request(request, send, is_async=True)
        try:
            receipt: Receipt = await self.engine.asked(made).answer()
            self.note_replay(receipt)
            return answer_of(receipt.result)
        except NotSerializable as gap:
            return _in_spite_of(gap)
        except EffectFailed as failed:
            raise await _refusal(self.engine, failed) from failed


async def _refusal(engine: Engine, failed: EffectFailed) -> Exception:
    """Return what a failure on record was: a provider's refusal, or the failure itself."""
    found = (await engine.parts.store.find(engine.tenant, EffectKey(failed.key))).record
    if found is None or found.error is None or failed.error_type != ProviderRefused.__name__:
        return failed
    said: Mapping[str, Any] = json.loads(engine.parts.opened(found.tenant, found.key, found.error, "error"))
    status = said.get("status")
    if not isinstance(status, int):
        return failed
    text = json.dumps({"error": {"message": f"on record: {failed.error_message}", "type": "recorded"}})
    return ProviderRefused(status, {"content-type": "application/json"}, text)


def recorded(answer: ModelAnswer, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer as it is put on record."""
    told: dict[str, Any] = {"status": answer.status, "content_type": answer.content_type}
    told |= {"request_id": answer.request_id} if answer.request_id else {}
    told |= {"is_partial": True} if answer.is_partial else {}
    told |= {"sent": dict(changed)} if changed else {}
    try:
        return told | {"json": json.loads(answer.text)}
    except ValueError:
        return told | {"text": answer.text}


def answer_of(result: Mapping[str, Any]) -> ModelAnswer:
    """Return what is on record as an answer."""
    return ModelAnswer(
        status=result["status"],
        content_type=result["content_type"],
        text=result["text"] if "text" in result else json.dumps(result["json"], ensure_ascii=False),
        request_id=result.get("request_id", ""),
        is_partial=result.get("is_partial", False),
    )


def reading_of(wire: WireFormat, answer: ModelAnswer) -> Reading:
    """Return what an answer says that it used."""
    if answer.content_type.startswith("text/event-stream"):
        return usage_of_stream(wire, events_of(answer.text))
    try:
        return usage_of(wire, json.loads(answer.text))
    except ValueError:
        return UnknownUsage("the answer is no JSON")


def put_usage(bill: Bill, reading: Reading, row: PriceRow | None, *, is_partial: bool = False) -> None:
    """Put on the bill what an answer used; where nobody knows, the bound counts."""
    if is_partial:
        bill.lose(_told({"unknown": "the stream was left before its end"}))
        return
    if not isinstance(reading, Usage):
        bill.lose(_told({"unknown": reading.why}))
        return
    used = {name: value for name, value in _fields(reading).items() if value}
    amounts = {TOKENS: min(reading.input + reading.output, MOST)}
    if row is not None:
        try:
            cost = cost_of(reading, row)
        except UnpricedModel as error:
            bill.lose(_told({"usage": used, "unpriced": str(error)}))
            return
        if cost.unpriced:
            bill.lose(_told({"usage": used, "unpriced": list(cost.unpriced)}))
            return
        amounts[row.currency.lower()] = min(cost.total.micros, MOST)
    bill.put(amounts, _told({"usage": used}))


def _told(what: Mapping[str, Any]) -> str:
    return json.dumps(what, sort_keys=True, ensure_ascii=False)


def _fields(usage: Usage) -> dict[str, Any]:
    told = asdict(usage)
    told["other_tools"] = dict(usage.other_tools)
    return told


def _bill(effect: Effect) -> Bill:
    """Return the attempt's bill; whoever calls a handler by himself has none to keep."""
    return effect.bill if isinstance(effect.bill, Bill) else Bill()


def _in_spite_of(gap: NotSerializable) -> ModelAnswer:
    """Return an answer that is too large to be kept: it was given all the same, and paid."""
    result: Any = gap.result
    if not isinstance(result, dict):
        raise gap
    return answer_of(cast("dict[str, Any]", result))
