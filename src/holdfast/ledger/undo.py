"""Which function undoes a tool's effects, and under which name and contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from holdfast._core.contract import Contract
from holdfast._core.declare import make_contract
from holdfast._core.states import Safety
from holdfast._runtime.compensate import Undoing
from holdfast._runtime.handler import shape_of
from holdfast.errors import InvalidTool
from holdfast.ports import Handler


@dataclass(frozen=True, slots=True)
class Registered:
    """A tool that was declared on this ledger."""

    handler: Handler
    contract: Contract


def check_undoing(
    tool: str, contract: Contract, tools: Mapping[str, Registered], *, blocking: bool = False
) -> None:
    """Refuse a compensation that could not be called when it is needed.

    Args:
        blocking: The ledger's handlers are plain functions.

    Raises:
        InvalidTool: It does not take the effect that it undoes, wants more than that, changes nothing, or
            cannot be called on this ledger.
    """
    how = contract.compensate
    if how is None:
        return
    name, function = _named(how)
    if name is not None:
        known = tools.get(name)
        if known is None or known.handler is not function:
            what = f"tool {tool!r}: its compensation {name!r} is declared on another ledger"
            raise InvalidTool(what, "declare both on the same ledger")
        if known.contract.safety is Safety.READ:
            what = f"tool {tool!r}: its compensation {name!r} is a read, which changes nothing"
            raise InvalidTool(what, "declare what it does to the world: unsafe, idempotent or local")
    shape = shape_of(function)
    if blocking and shape.is_async:
        what = f"tool {tool!r}: its compensation {shape.name} is async, and this is a SyncLedger"
        raise InvalidTool(what, "use Ledger, or a plain function")
    if shape.undone_param is None:
        what = f"tool {tool!r}: its compensation {shape.name} does not take the effect that it undoes"
        raise InvalidTool(what, "annotate one of its parameters with Undone")
    if shape.required:
        what = (
            f"tool {tool!r}: its compensation {shape.name} wants {', '.join(sorted(shape.required))} as well"
        )
        raise InvalidTool(what, "take everything from the Undone effect: its args and its result")


def undoing_of(tool: str, tools: Mapping[str, Registered]) -> Undoing | None:
    """Return how the effects of *tool* are undone; ``None`` when nothing is declared."""
    known = tools.get(tool)
    how = None if known is None else known.contract.compensate
    if how is None:
        return None
    name, function = _named(how)
    if name is not None:
        return Undoing(tool=name, handler=tools[name].handler, contract=tools[name].contract)
    own = f"{tool}:compensate"
    return Undoing(tool=own, handler=function, contract=make_contract(own))


def _named(how: Any) -> tuple[str | None, Handler]:
    """Return the name of a declared tool and its bare function; a plain function has no name here."""
    bare: Any = getattr(how, "unguarded", None)
    name: Any = getattr(how, "name", None)
    return (name, bare) if isinstance(name, str) and callable(bare) else (None, how)
