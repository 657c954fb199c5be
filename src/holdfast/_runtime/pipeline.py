"""The one path of a tool call. Read it top to bottom; there is no other.

identify -> guard in -> decide -> approve -> price -> claim -> execute -> classify -> guard out -> record
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from holdfast._core.change import NewEffect
from holdfast._core.contract import Contract
from holdfast._core.identity import Payload, identify, read_args
from holdfast._core.model import Finding, Receipt, ToolCall, Undone
from holdfast._core.needs import Flexible, needs_of_tool
from holdfast._core.states import Safety, State
from holdfast._core.value import value
from holdfast._runtime import context
from holdfast._runtime.claim import obtain
from holdfast._runtime.closing import drop, passing
from holdfast._runtime.deciding import decide
from holdfast._runtime.dependencies import give_back as give_back_probe
from holdfast._runtime.execute import execute, give_back
from holdfast._runtime.fall import Fell, told
from holdfast._runtime.fitting import kwargs_for
from holdfast._runtime.handler import shape_of
from holdfast._runtime.inspect import inspect_in
from holdfast._runtime.local import execute_local
from holdfast._runtime.parts import Held, Parts, Work
from holdfast._runtime.read import read, tries_so_far
from holdfast._runtime.stops import Outlasts
from holdfast._runtime.traffic import Patience
from holdfast.errors import (
    HoldfastError,
    InvalidCall,
    InvalidTool,
    OutcomeUnknown,
)
from holdfast.ports import Ask, Caller, Facts, Handler

_CALL_ID_LENGTH: Final = 256
RESERVED: Final = "holdfast:"
"""How the names of what holdfast does itself begin."""
_ANY_COMPENSATION: Final = f"{RESERVED}compensate"


@value
class Request:
    """What a caller asks for.

    Attributes:
        handler: The user's function; ``None`` when the caller executes it itself (``begin``).
        occurrence: Tells equal intents apart that are meant several times (0 for the first).
        branch: Of the workflow's code that makes the call; empty for the main one.
        is_coded: Code makes the call itself: in a workflow each counts, while a model's repetition does not.
        undone: The effect that the call compensates.
        is_own: The library makes it itself: its tool's name is a reserved one, and no rule or guard is asked.
        flexible: What it needs, and can do without; ``None`` for what its contract says.
    """

    tenant: str
    actor: str
    call: ToolCall
    contract: Contract
    handler: Handler | None
    wait_s: float | None = None
    occurrence: int = 0
    branch: str = ""
    is_coded: bool = False
    findings: tuple[Finding, ...] = ()
    undone: Undone | None = None
    is_own: bool = False
    flexible: Flexible | None = None


async def call(parts: Parts, request: Request) -> Receipt:
    """Execute the call's handler once, or answer from the record.

    Raises:
        HoldfastError: It was not executed, or nobody knows; the error says which.
        Exception: Whatever the handler raised, once that fact is recorded.
    """
    work = prepare(parts, request)

    async def claimed(caller: Caller) -> Receipt:
        caller.shield(on=True)
        async with passing(parts):
            parts.traffic.ensure_open()
            await parts.store.open()
            return await _persevering(parts, work, caller)

    parts.traffic.live += 1
    try:
        return await parts.runtime.shielded(claimed)
    finally:
        parts.traffic.live -= 1


async def _persevering(parts: Parts, work: Work, caller: Caller) -> Receipt:
    """Make one attempt after another, each with its own claim and its own record, until one is the last."""
    started, attempt, previous_s = parts.runtime.monotonic(), 1, 0.0
    fell: Fell | None = None
    while True:
        try:
            work = work if work.is_own else await decide(parts, work)  # 3
            if work.contract.safety is Safety.READ and not isinstance(work.verdict, Ask):
                ended = await read(parts, work, tries_so_far(parts, attempt, started, previous_s))
            else:
                ended = await _attempt(parts, work, caller)
        except OutcomeUnknown:
            if fell is None:
                raise
            raise await told(parts, work, fell.error, State.UNKNOWN, fell.fallen) from None
        except HoldfastError as refused:
            if fell is None:
                raise
            raise refused from fell.error  # why there is no further attempt, and what the last one met
        if isinstance(ended, Receipt):
            return ended
        if ended.again_s is None or caller.left:  # nobody waits for another attempt
            raise ended.error
        await _rested(parts, work, caller, ended, ended.again_s)
        fell, attempt, previous_s = ended, attempt + 1, ended.again_s


async def _rested(parts: Parts, work: Work, caller: Caller, fell: Fell, again_s: float) -> None:
    """Wait for the next attempt's time.

    Raises:
        Exception: What the last one met: this caller does not wait for so long, or the ledger was closed.
    """
    if parts.traffic.is_closed or not work.patience.covers(again_s):
        raise await _planned(parts, work, fell)
    work.patience.spend(again_s)
    caller.shield(on=False)  # nothing is under way: a caller that leaves ends it here
    await parts.runtime.sleep(again_s)
    caller.shield(on=True)
    if parts.traffic.is_closed:
        raise await _planned(parts, work, fell)


async def _planned(parts: Parts, work: Work, fell: Fell) -> Exception:
    """Return the error for a caller who gets no further attempt; the next stays planned on record."""
    found = (await parts.store.find(work.tenant, work.key)).record
    state = State.RETRYABLE if found is None else found.state
    return await told(parts, work, fell.error, state, fell.fallen)


async def _attempt(parts: Parts, work: Work, caller: Caller) -> Receipt | Fell:
    held = await obtain(parts, work, caller)  # 4 approve, 5 price, 6 claim: one transaction
    if isinstance(held, Receipt):
        return held
    work = work if held.work is None else held.work  # people may have changed the arguments
    is_acted_under = False
    try:
        return await _executed(parts, work, held, caller)
    except Outlasts as going:
        is_acted_under = True
        going.at_its_end(lambda _: drop(parts, held.live))
        raise going.stop from None
    finally:  # whatever stopped it: a claim that nobody works under must not be renewed
        if not is_acted_under:
            parts.heartbeat.drop(held.live)
        await give_back_probe(parts, work, held.probe)


async def _executed(parts: Parts, work: Work, held: Held, caller: Caller) -> Receipt | Fell:
    if caller.left:  # nothing ran yet, so nothing needs to run any more
        return await give_back(parts, work, held)
    if work.contract.safety is Safety.LOCAL:
        return await execute_local(parts, work, held)
    return await execute(parts, work, held)  # 7 execute, 8 classify, 9 guard out, 10 record


def prepare(parts: Parts, request: Request) -> Work:
    """Stages 1 and 2, both pure: identify the call, let guards look at it.

    Raises:
        InvalidCall: It cannot be understood. Nothing was recorded.
        NotSerializable: An argument has no JSON form. Nothing was recorded.
        PolicyDenied: A guard said no. Nothing was recorded.
    """
    shape = None if request.handler is None else shape_of(request.handler)
    if shape is not None and shape.is_async and parts.runtime.blocking:
        raise InvalidTool(
            f"handler {shape.name} is async, and this is a SyncLedger", "use Ledger, or a plain function"
        )
    payload, facts = _identified(parts, request)  # 1
    kwargs = kwargs_for(shape, facts, payload.args, request.undone)
    text, findings = (payload.text, ()) if request.is_own else inspect_in(parts, payload, facts)  # 2
    new = NewEffect(
        tenant=facts.tenant,
        key=facts.key,
        fingerprint=facts.fingerprint,
        workflow_id=facts.workflow_id,
        tool=facts.tool,
        intent=facts.contract.intent or facts.tool,
        safety=facts.contract.safety,
        args=text,
        call_id=_printable(request.call.call_id),
    )
    return Work(
        tenant=facts.tenant,
        actor=facts.actor,
        call=request.call,
        contract=facts.contract,
        handler=request.handler,
        shape=shape,
        kwargs=kwargs,
        payload=payload,
        new=new,
        facts=facts,
        patience=Patience(request.wait_s),
        findings=request.findings + findings,
        undone=request.undone,
        is_own=request.is_own,
        flexible=request.flexible,
    )


def _identified(parts: Parts, request: Request) -> tuple[Payload, Facts]:
    call, contract = request.call, request.contract
    if context.in_transaction.get():
        what = f"call of {call.tool!r} inside the handler of a local effect"
        raise InvalidCall(what, "its open transaction would wait for itself: call it after the local effect")
    workflow_id = call.workflow_id or context.workflow.get()
    if request.undone is None and not request.is_own and _is_reserved(call.tool):
        what = f"{call.tool[:80]!r} is named as what holdfast does itself"
        raise InvalidCall(what, f"give the tool a name that does not begin with {RESERVED!r}")
    if request.undone is None and not request.is_own and _is_reserved(workflow_id):
        # Else a call could stop the workflow in which people are told of it.
        what = f"workflow {workflow_id[:80]!r} is named as what holdfast does itself"
        raise InvalidCall(what, f"give it an id that does not begin with {RESERVED!r}")
    if not workflow_id:
        what = f"call of {call.tool!r} has no workflow_id, and there is no surrounding workflow"
        raise InvalidCall(what, "name the execution it belongs to: ToolCall(workflow_id=...)")
    payload = read_args(call.args, max_bytes=parts.settings.max_args_bytes)
    key, key_args = _chosen_key(call, contract)
    identity = identify(
        tenant=request.tenant,
        workflow_id=workflow_id,
        # What undoes an effect is one and the same, whatever it is called in this release or the last.
        tool=call.tool if request.undone is None else _ANY_COMPENSATION,
        payload=payload,
        key=key,
        key_args=key_args,
        ignore=contract.ignore,
        occurrence=request.occurrence,
        branch=request.branch,
    )
    return payload, Facts(
        tenant=request.tenant,
        actor=request.actor,
        workflow_id=workflow_id,
        tool=call.tool,
        key=identity.key,
        fingerprint=identity.fingerprint,
        args=payload.plain,
        call=call,
        contract=contract,
        environment=parts.settings.environment,
        now=parts.runtime.now(),
        undoes=None if request.undone is None else request.undone.key,
        needs=needs_of_tool(contract.cost) if request.flexible is None else request.flexible.needs,
        **_said(call),
    )


def _said(call: ToolCall) -> dict[str, Any]:
    """Return what the agent said of the call."""
    context = call.context
    if context is None:
        return {}
    return {"confidence": context.confidence, "inferred": tuple(context.inferred)}


def _is_reserved(tool: Any) -> bool:
    return isinstance(tool, str) and tool.startswith(RESERVED)


def _chosen_key(call: ToolCall, contract: Contract) -> tuple[str | None, Sequence[str] | None]:
    """Return the explicit key, or the arguments that make the identity; neither means all arguments."""
    rule = contract.key
    if call.key is not None:
        return call.key, None
    if rule is None or contract.safety is Safety.READ:
        return None, None  # a read is never answered from the record: all its arguments tell it apart
    if not callable(rule):
        return None, rule
    try:
        first, second = _evaluated(rule, call)
    except Exception as error:
        what = f"the key function of {call.tool!r} raised {type(error).__qualname__}"
        raise InvalidCall(what, "make it a pure function of the call's arguments; nothing ran") from error
    if not isinstance(first, str):
        what = f"the key function of {call.tool!r} gave {type(first).__name__}, not text"
        raise InvalidCall(what, "return the text that makes the identity")
    if first != second:
        what = f"the key function of {call.tool!r} gives different keys for the same call"
        raise InvalidCall(
            what, "build keys from stable identifiers only: no times, counters or random values"
        )
    return first, None


def _evaluated(rule: Callable[[ToolCall], Any], call: ToolCall) -> tuple[Any, Any]:
    return rule(call), rule(call)


def _printable(call_id: str | None) -> str | None:
    """Return a model's own id as it can be kept anywhere: it is a note, not an identity."""
    given: Any = call_id
    if given is not None and not isinstance(given, str):
        raise InvalidCall(
            f"call_id is {type(given).__name__}", "pass the model's own id as text, or leave it out"
        )
    if call_id is None or (call_id.isprintable() and len(call_id) <= _CALL_ID_LENGTH):
        return call_id
    return "".join(c if c.isprintable() else "?" for c in call_id[:_CALL_ID_LENGTH])
