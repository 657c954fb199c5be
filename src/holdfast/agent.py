"""A minimal agent: observe, think, act, over any chat function, inside a durable workflow.

Each model call is a recorded step, and so is each turn of tool calls, whose effects happen once by their own
keys: what the model asks for again, after a crash or turns later, is answered from the record.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeAlias, Unpack, overload

from holdfast._core.duration import Duration
from holdfast._core.reply import (
    Message,
    as_json,
    read_reply,
    tokens,
    tokens_read,
    told,
    with_notes,
)
from holdfast._core.retry import RetryPolicy
from holdfast._runtime.drive import run_sync
from holdfast.agent_parts import (
    Acts,
    AgentOptions,
    answerable,
    blocking,
    concluded,
    heard,
    is_async,
    judged,
    name_of,
    offered,
    seen,
    shortened,
    summarised,
    taken,
    watch_of,
)
from holdfast.errors import AgentStuck, BudgetExceeded, InvalidCall
from holdfast.ledger.workflow_context import SyncWorkflow, Workflow

__all__ = ["AgentOptions", "agent"]

Chat: TypeAlias = Callable[[list[Message], list[dict[str, Any]]], Any]
# A worker that closes, a store that is away, a workflow that a person has stopped: a turn waits for all that.
_PATIENT: Final = RetryPolicy(initial_interval=12, maximum_interval=60, maximum_attempts=9999, jitter="equal")


@overload
def agent(
    ctx: Workflow, chat: Chat, task: str | list[Message], /, **options: Unpack[AgentOptions]
) -> Awaitable[str]: ...
@overload
def agent(
    ctx: SyncWorkflow, chat: Chat, task: str | list[Message], /, **options: Unpack[AgentOptions]
) -> str: ...
def agent(
    ctx: Any, chat: Chat, task: str | list[Message], /, **options: Unpack[AgentOptions]
) -> Awaitable[str] | str:
    """Let a model work on *task* with tools until it answers without calling any; return its text.

    Args:
        ctx: Of the workflow whose code this is.
        chat: Given messages and tools, returns the model's message, as OpenAI, Anthropic or litellm have it.
        task: What to do; or the messages of a conversation, a list that has all of it afterwards.
        options: See :class:`AgentOptions`.

    Raises:
        AgentStuck: It came to no end within its limits. What was done stands.
        BudgetExceeded: A budget has no room for the next model call, and there is no *on_budget*. What was
            done stands, and *task*, if that is a list, has the conversation so far.
        LoopDetected: It went on in a loop after it was told so. What was done stands.
        StepFailed: The model cannot be asked, or called a tool twice with arguments that do not fit.
    """
    if strange := options.keys() - AgentOptions.__annotations__.keys():
        raise InvalidCall(f"agent: unknown option {min(strange)!r}", "see holdfast.agent.AgentOptions")
    if not task:
        raise InvalidCall("an agent without a task", "say what is to be done, or pass messages")
    work = _Agent(ctx, chat, task, options).run()
    return run_sync(work) if isinstance(ctx, SyncWorkflow) else work


class _Agent:
    def __init__(self, ctx: Any, chat: Chat, task: str | list[Message], options: AgentOptions) -> None:
        self.ctx, self.chat, self.options = ctx, chat, options
        self.history = task if isinstance(task, list) else [{"role": "user", "content": task}]
        self.tools = {tool.name: tool for tool in options.get("tools", ())}
        self.waits = {
            f"wait_for_{signal}": (signal, limit) for signal, limit in options.get("waits", {}).items()
        }
        self.unasked = self.offered = offered(self.tools, self.waits)
        self.asking = {"retries": options.get("retries"), "timeout": options.get("timeout", "2m")}
        self.loops = watch_of(options.get("loops"))
        self.notes, self.window = options.get("notes", ""), options.get("window")

    async def run(self) -> str:
        try:
            return await self.worked()
        except BudgetExceeded as refused:
            on_budget = self.options.get("on_budget")
            if on_budget is None:
                raise
            conclude = partial(concluded, on_budget, self.history, refused)
            said: str = await self.step("conclude", conclude, on_budget, **self.asking)
            return said

    async def worked(self) -> str:
        """Think and act until there is an answer; return it."""
        steps = self.options.get("steps", 25)
        slow = next(filter(is_async, (self.options.get("summarise"), self.notes)), self.chat)
        notes = await self.step("notes", self.noted, self.notes) if callable(self.notes) else self.notes
        for n in range(1, steps + 1):
            if self.window and self.size(notes, self.history) > self.window:
                fitted = await self.step(
                    f"compact {n}", partial(self.fitted, self.window), slow, **self.asking
                )
                self.history[:], notes = fitted["messages"], fitted["notes"]
            first = [self.history] if n == 1 else []  # what comes later is on record as it comes
            thought = partial(self.thought, notes)
            said = await self.step(f"think {n}", thought, self.chat, *first, **self.asking)
            reply, read = read_reply(said), tokens_read(said) or tokens(self.history)
            self.history.extend(reply.messages)
            if not reply.calls:
                return reply.text
            answers, refused = await self.acted(n, reply.calls, read)
            self.history.extend(reply.results(answers))
            if refused is not None and "on_budget" in self.options:
                raise refused
            self.offered = answerable(self.unasked, map(name_of, reply.calls), answers)
            if self.loops is not None:
                self.loops.check(self.ctx.workflow_id)
        raise AgentStuck(self.ctx.workflow_id, "steps", steps)

    async def step(self, name: str, function: Callable[..., Any], calls: Any, *args: Any, **how: Any) -> Any:
        """Take a recorded step; it is as plain, or as async, as *calls*: the function that takes its time."""
        name = f"{self.options['name']}: {name}" if "name" in self.options else name
        is_plain = isinstance(self.ctx, SyncWorkflow) or not is_async(calls)
        step = self.ctx.step(name, blocking(function) if is_plain else function, *args, **how)
        return await step if inspect.isawaitable(step) else step

    async def thought(self, notes: str, *_: Any) -> Any:
        """Ask the model; what cannot be understood is not put on record."""
        said = as_json(await heard(self.chat, with_notes(self.history, notes), self.offered))
        read_reply(said)
        return said

    async def acted(self, n: int, calls: list[Message], read: int) -> tuple[list[str], BudgetExceeded | None]:
        """Make the calls, then wait for what is to be waited for; return what the model is told.

        A call that no budget has room for is told of as well.

        Args:
            read: How many tokens the model had to read for them.
        """
        waits = [self.waits.get(name_of(call)) for call in calls]
        own = [call for call, wait in zip(calls, waits, strict=True) if wait is None]
        turn = partial(taken, self.tools, self.ctx.workflow_id, own)
        observe = partial(seen, self.tools, own, read, is_more=len(own) < len(calls))
        turn = partial(judged, turn, observe, self.loops)
        acts = Acts.read(await self.step(f"act {n}", turn, taken, retries=_PATIENT) if own else [])
        if self.loops is not None:
            self.loops.add(observe(acts.told), acts.signs)
        answers = iter(acts.told)
        texts = [next(answers) if wait is None else await self.waited(*wait) for wait in waits]
        return texts, acts.refused

    async def waited(self, signal: str, limit: Duration | None) -> str:
        try:
            wait = self.ctx.wait_for(signal, timeout=limit)
            return told("succeeded", result=await wait if inspect.isawaitable(wait) else wait)
        except TimeoutError as error:
            return told("timeout", error=str(error))

    async def noted(self) -> str:
        return await heard(self.notes) if callable(self.notes) else self.notes

    async def fitted(self, window: int) -> dict[str, Any]:
        """Make a history that fits, and the notes of now."""
        notes, ask = await self.noted(), partial(heard, self.chat)
        summarise = self.options.get("summarise") or partial(
            summarised, lambda request: ask(request, self.offered), lambda m: self.size("", m) <= window
        )
        kept = await shortened(self.history, window, partial(self.size, notes), summarise)
        return {"messages": kept, "notes": notes}

    def size(self, notes: str, messages: list[Message]) -> int:
        return self.options.get("count", tokens)(with_notes(messages, notes)) + tokens(self.offered)
