"""What an agent is made of besides its loop: its options, the tools of a turn, the functions it is given."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import update_wrapper
from typing import Any, Final, Literal, TypeAlias, TypedDict, cast

from holdfast._core.budgeting import CONCURRENCY
from holdfast._core.contract import Contract
from holdfast._core.definition import definition, wait_definition, with_answer
from holdfast._core.duration import Duration
from holdfast._core.loop import LoopRules, LoopSign, Observed, ObservedTurn, sign_as_json, sign_of_json
from holdfast._core.loop_reading import dated, noted, observed
from holdfast._core.model import Receipt
from holdfast._core.pattern import Poll
from holdfast._core.reply import (
    Message,
    as_json,
    asks_for_more,
    intent,
    opening,
    summary,
    summary_request,
    told,
)
from holdfast._core.retry import RetryPolicy
from holdfast._core.toolcall import read_tool_call
from holdfast._core.value import value
from holdfast._runtime.drive import run_sync
from holdfast._runtime.fit import fit
from holdfast._runtime.handler import shape_of
from holdfast._runtime.purses import opened_reserve, refusal_of, told_of
from holdfast.errors import (
    BudgetExceeded,
    InvalidCall,
    InvalidTool,
    LedgerClosed,
    NotSerializable,
    PolicyDenied,
    SchemaMismatch,
    StoreError,
    WorkflowStopped,
)
from holdfast.ledger.loops import LoopWatch
from holdfast.ledger.tools import SyncTool, Tool

AnyTool: TypeAlias = "Tool[..., Any] | SyncTool[..., Any]"
Text: TypeAlias = "str | Awaitable[str]"
_REFUSED: Final = (InvalidCall, NotSerializable, PolicyDenied)
"""Nothing ran, and the model is told why."""
_PASSING: Final = (LedgerClosed, StoreError, WorkflowStopped)
"""They say nothing of the call: it is made later, or by another worker."""
_NOTHING_RAN: Final = "Nothing ran. Correct the call, or do it another way."


class AgentOptions(TypedDict, total=False):
    """How an agent works.

    Attributes:
        tools: What it may use: declared tools of one ledger.
        waits: Signals that it may wait for, and how long (``None``: as long as it takes). A tool
            ``wait_for_...`` is offered for each; nothing is held meanwhile.
        name: Tells the agents of one workflow apart.
        steps: So many model calls at most; default 25.
        loops: When it is told that it is in a loop, and when its work ends; default ``LoopRules()``, and
            ``False`` for never.
        window: So many tokens at most make a request; what is older is summarised then.
        count: How many tokens messages are; default a third of their bytes.
        summarise: Makes a text of older messages; default the model.
        notes: Text for the first message, or a function that is asked for it, anew whenever older messages
            were summarised.
        retries: Of one model call, as in ``ctx.step``.
        timeout: Of one model call; default 2 minutes.
        on_budget: Makes the answer when a budget has no room for the next model call, or had none for one
            of a tool: given the conversation and the refusal, and inside of ``ledger.reserve()``. Default:
            the refusal of a model call leaves the agent, and the model is told of that of a tool.
    """

    tools: Sequence[AnyTool]
    waits: Mapping[str, Duration | None]
    name: str
    steps: int
    loops: LoopRules | Literal[False]
    window: int
    count: Callable[[list[Message]], int]
    summarise: Callable[[list[Message]], Text]
    notes: str | Callable[[], Text]
    retries: int | RetryPolicy
    timeout: Duration
    on_budget: Callable[[list[Message], BudgetExceeded], Text]


def offered(tools: Mapping[str, AnyTool], waits: Mapping[str, tuple[str, object]]) -> list[dict[str, Any]]:
    """Return what the model is told of its tools.

    Args:
        waits: The signals that it may wait for, and how long, by the names of the tools that do.

    Raises:
        InvalidTool: The tools are those of several ledgers.
    """
    engines = [_engine(tool) for tool in tools.values()]
    if any(engine.shared is not engines[0].shared for engine in engines):
        raise InvalidTool("an agent's tools are declared on several ledgers", "declare them on one")
    found: list[dict[str, Any]] = []
    for tool, engine in zip(tools.values(), engines, strict=True):
        shape, schema = shape_of(tool.unguarded), engine.shared.tools[tool.name].contract.schema
        found.append(definition(tool.name, tool.unguarded, schema, {shape.effect_param, shape.undone_param}))
    return [*found, *(wait_definition(name, signal) for name, (signal, _) in waits.items())]


def answerable(
    tools: list[dict[str, Any]], called: Iterable[str], answers: Iterable[str]
) -> list[dict[str, Any]]:
    """Return *tools* as the model is told of them after a turn: of some calls people ask for more.

    Args:
        called: The tools of the turn's calls, and what the model was told of each in *answers*.
    """
    asked = {name for name, answer in zip(called, answers, strict=True) if asks_for_more(answer)}
    return [with_answer(tool) if tool["name"] in asked else tool for tool in tools]


async def taken(
    tools: Mapping[str, AnyTool],
    workflow_id: str,
    calls: Sequence[Message],
    refused: list[BudgetExceeded] | None = None,
) -> list[str]:
    """Make the calls of a turn; return what the model is told of each. May be repeated: effects happen once.

    Args:
        refused: Is given what budgets had no room for; not for want of a seat, which comes free.

    Raises:
        SchemaMismatch: Arguments did not fit, for the second time.
        ConnectionError: Nothing can be said now; the turn should be taken again.
    """
    try:
        read = [read_tool_call(call, workflow_id=workflow_id) for call in calls]
        unknown = [call.tool[:80] for call in read if call.tool not in tools]
        if unknown:
            raise InvalidCall(f"there is no tool {unknown[0]!r}", f"use one of {', '.join(tools) or 'none'}")
        engine = _engine(next(iter(tools.values())))
        receipts = await engine.turn(read, {}, None, distinct=False, wait=None)
    except SchemaMismatch:
        raise
    except _REFUSED as error:
        if len(calls) == 1:
            return [told("invalid", error=str(error), meaning=_NOTHING_RAN)]
        return [text for call in calls for text in await taken(tools, workflow_id, [call], refused)]
    except _PASSING as error:
        raise ConnectionError(str(error)) from error
    for receipt in receipts:
        if isinstance(receipt.error, _PASSING):
            raise ConnectionError(str(receipt.error)) from receipt.error
        if (
            refused is not None
            and isinstance(receipt.error, BudgetExceeded)
            and receipt.error.unit != CONCURRENCY
        ):
            refused.append(receipt.error)
    known = engine.shared.tools
    return [_told(receipt, known[call.tool].contract) for call, receipt in zip(read, receipts, strict=True)]


@value
class Acts:
    """What became of the calls of a turn, as it is put on record.

    Attributes:
        told: What the model is told of each.
        signs: The signs of a loop that it is told of, in the last one.
        refused: What a budget had no room for, if there was something.
    """

    told: list[str]
    signs: tuple[LoopSign, ...] = ()
    refused: BudgetExceeded | None = None

    def as_json(self) -> Any:
        """Return the form on record: mere texts where there is nothing else."""
        signs = [sign_as_json(sign) for sign in self.signs]
        said = {"told": self.told, "signs": signs} if signs or self.refused else self.told
        return {**said, "budget": told_of(self.refused)} if isinstance(said, dict) and self.refused else said

    @classmethod
    def read(cls, said: Any) -> Acts:
        """Read the form on record."""
        if isinstance(said, list):
            return cls(told=cast("list[str]", said))
        signs = tuple(sign_of_json(sign) for sign in said["signs"])
        return cls(told=said["told"], signs=signs, refused=refusal_of(said))


async def judged(
    act: Callable[..., Awaitable[list[str]]],
    observe: Callable[[Sequence[str]], ObservedTurn],
    watch: LoopWatch | None,
) -> Any:
    """Take a turn; return what is put on record of it: what the model is told, signs of loops included."""
    refused: list[BudgetExceeded] = []
    texts = await act(refused=refused)
    signs = () if watch is None else watch.judge(observe(texts))
    # Of equal calls in one turn its receipt tells.
    notes = [sign.evidence for sign in signs if sign.kind != "duplicate_intent"]
    if notes:
        texts[-1] = noted(texts[-1], notes)
    return Acts(told=texts, signs=signs, refused=next(iter(refused), None)).as_json()


async def concluded(
    on_budget: Callable[[list[Message], BudgetExceeded], Text],
    history: list[Message],
    refused: BudgetExceeded,
    *_: Any,
) -> str:
    """Make the answer of an agent that a budget has no more room for, of what the budget keeps for that."""
    with opened_reserve():
        said: str = await heard(on_budget, history, refused)
    return said


def seen(
    tools: Mapping[str, AnyTool], calls: Sequence[Message], read: int, texts: Sequence[str], *, is_more: bool
) -> ObservedTurn:
    """Return what a watch sees of a turn.

    Args:
        read: How many tokens the model had to read for it.
        is_more: It waited for something as well.
    """
    found: list[Observed] = []
    for call, text in zip(calls, texts, strict=True):
        name = name_of(call)
        tool = tools.get(name)
        contract = None if tool is None else _engine(tool).shared.tools[name].contract
        found.append(observed(name, intent(call), text, contract))
    return ObservedTurn(calls=tuple(found), tokens=read, has_other_news=is_more)


def watch_of(loops: Any) -> LoopWatch | None:
    """Return what watches an agent with these rules; ``None`` for nothing."""
    return None if loops is False else LoopWatch(LoopRules() if loops is None else loops)


def _told(receipt: Receipt, contract: Contract) -> str:
    """Return what the model is told of a call; of a poll with a pace also when it looked."""
    if not isinstance(contract.pattern, Poll) or contract.pattern.every is None:
        return receipt.for_model()
    return dated(receipt.for_model(), receipt.observed_at)


def name_of(call: Message) -> str:
    """Return the name of the tool that *call* asks for; empty when it cannot be read."""
    try:
        return read_tool_call(call).tool
    except InvalidCall:
        return ""


async def shortened(
    history: list[Message],
    window: int,
    count: Callable[[list[Message]], int],
    summarise: Callable[[list[Message]], Text],
) -> list[Message]:
    """Return a history that fits: the task and the newest messages stay, what is between becomes a summary.

    Raises:
        WindowExceeded: What has to stay is too large alone.
    """
    at = opening(history)
    head, rest = history[:at], history[at:]
    fits = await fit(rest, limit=window, count=lambda kept: count([*head, *kept]), summarise=summarise)
    return [*head, *fits]


async def summarised(
    ask: Callable[[list[Message]], Awaitable[Any]],
    fits: Callable[[list[Message]], bool],
    older: list[Message],
) -> str:
    """Let the model itself summarise *older* messages.

    Raises:
        InvalidCall: It gave no summary.
    """
    return summary(as_json(await ask(summary_request(older, fits))))


def is_async(function: Any) -> bool:
    """Whether *function*, or an object that is called like one, is async."""
    call = getattr(function, "__call__", None)  # noqa: B004 - an object may have an async one
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def blocking(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return an async function that never waits as a plain one: it goes to a thread where there are any."""

    def plain(*args: Any) -> Any:
        return run_sync(function(*args))

    return update_wrapper(plain, function)


async def heard(function: Callable[..., Any], *args: Any) -> Any:
    """Return what *function*, plain or async, returns.

    Raises:
        InvalidTool: It is plain and returns an awaitable: where it runs, nothing can be waited for.
    """
    said = function(*args)
    if not inspect.isawaitable(said):
        return said
    if not is_async(function):
        getattr(said, "close", lambda: None)()
        name = getattr(function, "__qualname__", type(function).__qualname__)
        raise InvalidTool(f"{name} is plain and returns an awaitable", "declare it with `async def`")
    return await said


def _engine(tool: AnyTool) -> Any:
    return tool._engine  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - a tool knows its ledger
