"""Checks what a user declares of a tool, and makes its contract: a declaration holds, or it is refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, get_args

from holdfast._core.budget import MOST
from holdfast._core.chain import Chain
from holdfast._core.contract import (
    ApprovalRule,
    Classifier,
    Contract,
    KeyRule,
    Naming,
    Reconciler,
    Resources,
    ReversalName,
    SafetyName,
)
from holdfast._core.dependency import Dependency
from holdfast._core.duration import Duration, seconds
from holdfast._core.model import ToolCall
from holdfast._core.money import Money, amount_of
from holdfast._core.pattern import Pattern, Poll, Spawn
from holdfast._core.retry import DEFAULT_POLICY, RetryPolicy
from holdfast._core.states import Safety
from holdfast.errors import InvalidPrice, InvalidTool

_SAFETIES: Final = get_args(SafetyName)
_REVERSALS: Final = get_args(ReversalName)


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
    requires_approval: ApprovalRule = False,
    external: bool = False,
    supports_key: bool = False,
    retry: RetryPolicy | Literal[False] | None = None,
    dependency: str | Dependency | Literal[False] | None = None,
    probe: Reconciler | None = None,
    compensate: Callable[..., Any] | None = None,
    reversal: ReversalName | None = None,
    external_id: Naming | None = None,
    schema: Any = None,
    max_age: Duration | None = None,
    version: str | None = None,
    summary: Callable[[ToolCall], str] | None = None,
    resources: Resources | None = None,
    pattern: Pattern | None = None,
    cost: str | Money | None = None,
) -> Contract:
    """Check what a user declared of *tool* and return it as a contract.

    The options are described in docs/reference/contract.md. *external* demands that doubt is spoken of;
    *supports_key* implies *idempotent*; *retry* and *dependency* are ``False`` for none.

    Raises:
        InvalidTool: The declaration is inconsistent, or promises what cannot be held.
    """
    kind = _safety(tool, safety, reconcile, external=external, supports_key=supports_key)
    return Contract(
        safety=kind,
        intent=_text(tool, "intent", intent) or tool,
        key=key if key is None or callable(key) else _names(tool, "key", key),
        ignore=_names(tool, "ignore", ignore),
        timeout_s=None if timeout is None else seconds(timeout, name=f"tool {tool!r}: timeout"),
        reconcile=_callable(tool, "reconcile", reconcile),
        classify=_callable(tool, "classify", classify),
        requires_approval=_approval(tool, requires_approval),
        retry=_retry(tool, retry),
        is_retry_declared=retry is not None,
        dependency=_dependency(tool, kind, dependency),
        probe=_callable(tool, "probe", probe),
        compensate=_callable(tool, "compensate", compensate),
        reversal=_reversal(tool, kind, reversal, compensate),
        external_id=_naming(tool, external_id),
        schema=_schema(tool, schema),
        max_age_s=_max_age(tool, kind, max_age),
        version=_text(tool, "version", version),
        summary=_callable(tool, "summary", summary),
        resources=_callable(tool, "resources", resources),
        pattern=_pattern(tool, pattern),
        cost=_cost(tool, cost),
    )


def _safety(
    tool: str, safety: SafetyName | None, reconcile: Reconciler | None, *, external: bool, supports_key: bool
) -> Safety:
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
    return Safety(safety or ("idempotent" if supports_key else "unsafe"))


def _cost(tool: str, given: str | Money | None) -> Money | None:
    if given is None:
        return None
    try:
        money = amount_of(given)
    except InvalidPrice as error:
        raise InvalidTool(f"tool {tool!r}: {error}", 'give an amount and a currency: "0.02 USD"') from error
    if not 0 < money.micros <= MOST:
        raise InvalidTool(f"tool {tool!r} costs {money}", "give more than nothing, or leave cost out")
    return money


def _retry(tool: str, given: RetryPolicy | Literal[False] | None) -> RetryPolicy | None:
    found: Any = given
    if found is None:
        return DEFAULT_POLICY
    if found is not False and not isinstance(found, RetryPolicy):
        raise InvalidTool(f"tool {tool!r}: retry is {type(found).__name__}", "give RetryPolicy(...) or False")
    return found or None


def _dependency(
    tool: str, safety: Safety, given: str | Dependency | Literal[False] | None
) -> Dependency | None:
    found: Any = given
    if found is None:
        return None if safety is Safety.LOCAL else _own_dependency(tool)
    if isinstance(found, str):
        return Dependency(found)
    if found is not False and not isinstance(found, Dependency):
        what = f"tool {tool!r}: dependency is {type(found).__name__}"
        raise InvalidTool(what, "give the name of the system, Dependency(...) or False")
    return found or None


def _own_dependency(tool: Any) -> Dependency | None:
    try:
        return Dependency(tool)
    except InvalidTool:
        return None  # the name is refused where calls are read, in terms of the call


def _reversal(
    tool: str, safety: Safety, given: ReversalName | None, compensate: Callable[..., Any] | None
) -> ReversalName:
    if given is not None and given not in _REVERSALS:
        what = f"tool {tool!r}: reversal={given!r} is unknown"
        raise InvalidTool(what, f"use one of {', '.join(_REVERSALS)}")
    if compensate is not None and safety is Safety.READ:
        raise InvalidTool(
            f"tool {tool!r} is a read with a compensation", "a read changes nothing: leave it out"
        )
    if given == "irreversible" and compensate is not None:
        what = f"tool {tool!r} is irreversible and has a compensation"
        raise InvalidTool(what, "leave compensate out, or say what it achieves: reversible or compensable")
    if given in {"reversible", "compensable"} and compensate is None:
        raise InvalidTool(f"tool {tool!r} is {given}, but nothing says how", "declare compensate=...")
    return given or ("irreversible" if compensate is None else "compensable")


def _naming(tool: str, given: Naming | None) -> Naming | None:
    found: Naming | None = given if isinstance(given, str) else _callable(tool, "external_id", given)
    return found


def _pattern(tool: str, given: Pattern | None) -> Pattern | None:
    found: Any = given
    if found is not None and not isinstance(found, Poll | Spawn):
        what = f"tool {tool!r}: pattern is {type(found).__name__}"
        raise InvalidTool(what, "give Poll(...) or Spawn(), or leave it out")
    return given


def _schema(tool: str, given: Any) -> Callable[[dict[str, Any]], Any] | None:
    validate = getattr(given, "model_validate", None) or getattr(given, "validate_python", None)
    check: Callable[[dict[str, Any]], Any] | None = _callable(
        tool, "schema", validate if callable(validate) else given
    )
    return check


def _max_age(tool: str, safety: Safety, given: Duration | None) -> float | None:
    if given is None:
        return None
    if safety is not Safety.READ:
        what = f"tool {tool!r}: max_age is for reads, and this is {safety}"
        raise InvalidTool(what, 'declare safety="read", or leave max_age out: effects are always replayed')
    return seconds(given, name=f"tool {tool!r}: max_age")


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


def _approval(tool: str, rule: ApprovalRule) -> ApprovalRule:
    found: object = rule
    if not isinstance(found, bool | Chain) and not callable(found):
        what = f"tool {tool!r}: requires_approval is {type(found).__name__}"
        raise InvalidTool(what, "give True, False, a Chain or a function of the call")
    if inspect.iscoroutinefunction(found):
        raise InvalidTool(f"tool {tool!r}: requires_approval is async", "give a plain function of the call")
    return rule
