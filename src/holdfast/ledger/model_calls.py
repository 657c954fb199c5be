"""Model calls as effects: identified, held against budgets, sent once, priced, answered from the record."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from holdfast._core.contract import Contract
from holdfast._core.declare import make_contract
from holdfast._core.fault import Fault, FaultKind, fault_of
from holdfast._core.model import EffectKey, Receipt, ToolCall
from holdfast._core.model_fit import Fitting, Manner, Quote
from holdfast._core.model_request import MODEL, AsyncSend, ModelAnswer, ModelRequest, ProviderRefused, Send
from holdfast._core.request_bound import request_bound
from holdfast._core.wire import Object
from holdfast._core.worst_cost import Unbounded
from holdfast._runtime import context
from holdfast._runtime.drive import run_sync
from holdfast._runtime.pipeline import Request
from holdfast.errors import EffectFailed, InvalidTool, NotSerializable
from holdfast.ledger.engine import Engine
from holdfast.ledger.model_answers import UsageReader, answer_of, in_spite_of
from holdfast.ledger.model_prices import Prices
from holdfast.ledger.model_sending import Sending
from holdfast.prices.tokenizer import local_tokenizer

_MAKERS: Final = frozenset({"openai", "azure", "anthropic"})
_TOKENIZED: Final = frozenset({"openai", "azure"})
_tokenizer: Final = lru_cache(maxsize=32)(local_tokenizer)
"""Counts closer than bytes do, for those whose data is on this machine already."""
_MOST_ARGS: Final = 0.9
"""So much of what arguments may take is left to a request; a larger one is named by its digest."""
_COUNTING: Final = threading.Lock()
"""Threads that ask the same thing at once ask it twice."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How the model calls of one client are made; see :meth:`holdfast.Ledger.model`.

    Attributes:
        workflow_id: The execution that calls outside of any workflow belong to.
        is_named: A user named that; if not, it is this client's, in this process.
    """

    workflow_id: str
    is_named: bool = False
    manner: Manner = field(default_factory=Manner)
    tool_rounds: int | None = None
    usage: UsageReader | None = None
    endless: str = ""
    contract: Mapping[str, Any] = field(default_factory=dict[str, Any])


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
        self._own, self._process = wishes.workflow_id, os.getpid()

    @property
    def is_coded(self) -> bool:
        """Whether a workflow's code makes the call."""
        life: Any = context.life.get()
        return life is not None and life.is_of(self.engine.tenant, "")

    def classified(self, error: Exception) -> Fault:
        """Return what an error says of trying again: asking a model changes nothing, whatever came back."""
        fault = replace(self._fault(error), may_have_acted=False)
        if isinstance(error, InvalidTool):  # another reply would be of the same kind, and paid again
            return replace(fault, kind=FaultKind.PERMANENT)
        return fault

    def is_free(self, error: Exception) -> bool:
        """Whether an attempt that ended so costs nothing: it was refused, or never sent."""
        if isinstance(error, ProviderRefused):
            return error.is_free
        return not self._fault(error).may_have_acted

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
            NotSerializable: It is no JSON. Nothing was sent.
            UnpricedModel: It has no price, and the user's price book refuses that. Nothing was sent.
        """
        asked = self._named(asked)
        model = f"{asked.provider}/{asked.body.get('model', '')}"
        sending = Sending(
            asked, self._fitting(asked), send, self.engine.parts, self.is_free, self._wishes.usage
        )
        tool = f"{MODEL}{model}"
        args = self._args(asked)
        occurrence, branch = self._place(tool, args)
        return Request(
            tenant=self.engine.tenant,
            actor=self.engine.actor,
            call=ToolCall(workflow_id=self._workflow_id(), tool=tool, args=args),
            contract=self._contract(tool, asked.host),
            handler=sending.attempt_async if is_async else sending.attempt,
            occurrence=occurrence,
            branch=branch,
            is_coded=True,
            flexible=sending.fitting,
        )

    def _workflow_id(self) -> str:
        """Return the workflow that calls belong to now; a process that was forked has another of its own."""
        around = context.workflow.get()
        if not around and not self._wishes.is_named and self._process != os.getpid():
            self._own, self._process = own_workflow(self.engine), os.getpid()
        return around or self._own

    def _named(self, asked: ModelRequest) -> ModelRequest:
        """Return the request with its provider's own name for the model."""
        model = str(asked.body.get("model") or "")
        name = self._prices.named(asked.provider, _own_name(asked.provider, model))
        return asked if name == model else replace(asked, body={**asked.body, "model": name})

    def _fitting(self, asked: ModelRequest) -> Fitting:
        who = self._workflow_id(), self.engine.actor

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
        try:
            text = json.dumps(asked.body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError) as error:
            raise NotSerializable("$.request", "is no JSON") from error
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
        with _COUNTING:
            occurrence = counts[name] = counts.get(name, -1) + 1
        return occurrence, branch

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
            return in_spite_of(gap)
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
            return in_spite_of(gap)
        except EffectFailed as failed:
            raise await _refusal(self.engine, failed) from failed


def own_workflow(engine: Engine) -> str:
    """Return a new name for the calls of one client in one process."""
    return f"model:{engine.parts.runtime.token().hex()}"


def _own_name(provider: str, model: str) -> str:
    """Return a maker's own name for a model; the names that routers have for theirs have slashes."""
    return model.removeprefix(f"{provider}/") if provider in _MAKERS else model


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
