"""What is true of a tool, declared once, where the tool is defined."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from holdfast._core.chain import Chain
from holdfast._core.dependency import Dependency
from holdfast._core.fault import Fault
from holdfast._core.model import Done, Evidence, StillUnknown, ToolCall
from holdfast._core.money import Money
from holdfast._core.pattern import Pattern
from holdfast._core.retry import RetryPolicy
from holdfast._core.states import Safety
from holdfast.errors import NotDone

_NAME_LENGTH: Final = 512

SafetyName: TypeAlias = Literal["unsafe", "idempotent", "read", "local"]
KeyRule: TypeAlias = "Sequence[str] | Callable[[ToolCall], str]"
ApprovalRule: TypeAlias = "bool | Chain | Callable[[ToolCall], Any]"
"""Whether people have to decide first, and whom to ask; or a function of the call that says so."""
Resources: TypeAlias = "Callable[[ToolCall], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]"
Reconciler: TypeAlias = "Callable[[Any], Evidence | type[NotDone] | Awaitable[Evidence | type[NotDone]]]"
Classifier: TypeAlias = "Callable[[Exception], Evidence | Fault | type[NotDone] | None]"
ReversalName: TypeAlias = Literal["reversible", "compensable", "irreversible"]
Naming: TypeAlias = "str | Callable[[Any], str | None]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What the author declares of a tool.

    Attributes:
        safety: What executing it twice would mean.
        intent: What it is for, e.g. ``charge_card``; the tool's name when empty.
        key: Which arguments make the identity (all when ``None``), or a function of the call.
        ignore: Arguments that are not compared when the same key is seen again.
        timeout_s: How long one attempt may take; ``None`` for as long as it needs.
        reconcile: Finds evidence for an effect in doubt.
        classify: Reads evidence from a handler's error; ``None`` from it leaves the default.
        requires_approval: Whether a person has to decide first.
        retry: When a failed attempt is tried again; ``None`` for never.
        is_retry_declared: The author chose *retry*; else it is the default.
        dependency: The system outside that it depends on; ``None`` for one that nobody keeps count of.
        probe: Looks at the world before another attempt of what must not happen twice.
        compensate: Undoes an effect of the tool.
        reversal: What undoing can achieve.
        external_id: Finds in a result what the system outside calls the effect.
        schema: Checks arguments; what it raises goes back to the model.
        max_age_s: A read this young is answered from the record; ``None``: always looked at again.
        version: Stands for the tool's code in what people approve; empty for the code itself.
        summary: Says in the author's words what a call will do, for people who have to decide on it.
        resources: What an approval depends on besides the arguments: versions, balances, hashes of files.
        pattern: How it is meant to be called again, so that this is not taken for a loop.
        cost: The most that one attempt costs; ``None`` when it costs nothing.
    """

    safety: Safety = Safety.UNSAFE
    intent: str = ""
    key: tuple[str, ...] | Callable[[ToolCall], str] | None = None
    ignore: tuple[str, ...] = ()
    timeout_s: float | None = None
    reconcile: Reconciler | None = None
    classify: Classifier | None = None
    requires_approval: ApprovalRule = field(default=False)
    retry: RetryPolicy | None = None
    is_retry_declared: bool = False
    dependency: Dependency | None = None
    probe: Reconciler | None = None
    compensate: Callable[..., Any] | None = None
    reversal: ReversalName = "irreversible"
    external_id: Naming | None = None
    schema: Callable[[dict[str, Any]], Any] | None = None
    max_age_s: float | None = None
    version: str = ""
    summary: Callable[[ToolCall], str] | None = None
    resources: Resources | None = None
    pattern: Pattern | None = None
    cost: Money | None = None


def evidence(found: object, *, source: str) -> Evidence:
    """Read what a reconciler or classifier returned; anything else is no evidence."""
    if isinstance(found, Done | StillUnknown | NotDone):
        return found
    if found is NotDone:
        return NotDone()
    if found is StillUnknown or found is None:
        return StillUnknown(f"{source} found nothing either way")
    return StillUnknown(f"{source} returned {type(found).__name__}, not Done, NotDone or StillUnknown")


def name_outside(contract: Contract, result: Any) -> str | None:
    """Return what the system outside calls the effect, as its result tells; ``None`` when it does not."""
    rule = contract.external_id
    try:
        if callable(rule):
            found: Any = rule(result)
        else:
            found = result
            for part in (rule or "").split(".") if rule else ():
                found = found[part]
        # The ids of many systems are numbers.
        name = str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""
    except Exception:  # noqa: BLE001 - the effect is done, whatever its result looks like
        return None
    return name[:_NAME_LENGTH] if rule is not None and name and name.isprintable() else None
