"""What is true of a tool, declared once, where the tool is defined."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, get_args

from holdfast._core.duration import Duration, seconds
from holdfast._core.model import Done, Evidence, StillUnknown, ToolCall
from holdfast._core.states import Safety
from holdfast.errors import InvalidTool, NotDone

SafetyName: TypeAlias = Literal["unsafe", "idempotent", "read", "local"]
KeyRule: TypeAlias = "Sequence[str] | Callable[[ToolCall], str]"
Approval: TypeAlias = "bool | Callable[[ToolCall], bool]"
Reconciler: TypeAlias = "Callable[[Any], Evidence | type[NotDone] | Awaitable[Evidence | type[NotDone]]]"
Classifier: TypeAlias = "Callable[[Exception], Evidence | type[NotDone] | None]"

_SAFETIES: Final = get_args(SafetyName)


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
    """

    safety: Safety = Safety.UNSAFE
    intent: str = ""
    key: tuple[str, ...] | Callable[[ToolCall], str] | None = None
    ignore: tuple[str, ...] = ()
    timeout_s: float | None = None
    reconcile: Reconciler | None = None
    classify: Classifier | None = None
    requires_approval: Approval = field(default=False)


def make_contract(
    tool: str,
    *,
    safety: SafetyName | None = None,
    intent: str | None = None,
    key: KeyRule | None = None,
    ignore: Sequence[str] = (),
    timeout: Duration | None = None,
    reconcile: Reconciler | None = None,
    classify: Classifier | None = None,
    requires_approval: Approval = False,
    external: bool = False,
    supports_key: bool = False,
) -> Contract:
    """Check what a user declared of *tool* and return it as a contract.

    Args:
        external: The tool changes a system outside; it must then say how doubt is settled.
        supports_key: The outside system deduplicates by ``effect.idem_key`` (implies *idempotent*).

    Raises:
        InvalidTool: The declaration is inconsistent, or promises what cannot be held.
    """
    if safety is not None and safety not in _SAFETIES:
        what, fix = f"tool {tool!r}: safety={safety!r} is unknown", f"use one of {', '.join(_SAFETIES)}"
        raise InvalidTool(what, fix)
    if supports_key and safety in {"unsafe", "read", "local"}:
        what = f"tool {tool!r}: supports_key=True contradicts safety={safety!r}"
        raise InvalidTool(what, 'use safety="idempotent", or leave safety out')
    if external and safety is None and not supports_key and reconcile is None:
        what = f"tool {tool!r} is external but says nothing about doubt"
        fix = "declare supports_key=True, or reconcile=..., or safety='unsafe' to leave doubt to a person"
        raise InvalidTool(what, fix)
    return Contract(
        safety=Safety(safety or ("idempotent" if supports_key else "unsafe")),
        intent=_text(tool, "intent", intent) or tool,
        key=key if key is None or callable(key) else _names(tool, "key", key),
        ignore=_names(tool, "ignore", ignore),
        timeout_s=None if timeout is None else seconds(timeout, name=f"tool {tool!r}: timeout"),
        reconcile=_callable(tool, "reconcile", reconcile),
        classify=_callable(tool, "classify", classify),
        requires_approval=_approval(tool, requires_approval),
    )


def evidence(found: object, *, source: str) -> Evidence:
    """Read what a reconciler or classifier returned; anything else is no evidence."""
    if isinstance(found, Done | StillUnknown | NotDone):
        return found
    if found is NotDone:
        return NotDone()
    if found is StillUnknown or found is None:
        return StillUnknown(f"{source} found nothing either way")
    return StillUnknown(f"{source} returned {type(found).__name__}, not Done, NotDone or StillUnknown")


def _names(tool: str, name: str, value: Sequence[str]) -> tuple[str, ...]:
    found: object = value
    names: list[Any] = [*found] if isinstance(found, list | tuple) else [None]
    if not all(isinstance(item, str) and item for item in names) or (name == "key" and not names):
        raise InvalidTool(
            f"tool {tool!r}: {name}={value!r} is not a list of argument names", f"give {name}=[...]"
        )
    return tuple(value)


def _text(tool: str, name: str, value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise InvalidTool(f"tool {tool!r}: {name} is {type(value).__name__}", "give it a string")
    if value and not value.isprintable():
        raise InvalidTool(f"tool {tool!r}: {name} is not printable", "leave control characters out")
    return value or ""


def _callable(tool: str, name: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise InvalidTool(f"tool {tool!r}: {name} is {type(value).__name__}", "give it a function")
    return value


def _approval(tool: str, rule: Approval) -> Approval:
    found: object = rule
    if not isinstance(found, bool) and not callable(found):
        what = f"tool {tool!r}: requires_approval is {type(found).__name__}"
        raise InvalidTool(what, "give True, False or a function of the call")
    if inspect.iscoroutinefunction(found):
        raise InvalidTool(f"tool {tool!r}: requires_approval is async", "give a plain function of the call")
    return rule
