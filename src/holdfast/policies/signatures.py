"""What a tool's own code says of its arguments: annotations, defaults, pydantic's models."""

from __future__ import annotations

import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from holdfast._core.contract import Contract
from holdfast._core.model import Effect, Undone
from holdfast.policies.shapes import KINDS, MISSING, ArgType, Argument, Kind, ToolShape

_MOST_LEVELS: Final = 4


def shape_of_tool(given: Any) -> ToolShape:
    """Return what a tool's own code says of its arguments.

    Args:
        given: The handler, a tool that a ledger declared, its ``Registered``, or a pydantic model.
    """
    model = _model_of(given)
    if model is not None:
        return _of_model(model)
    contract = getattr(given, "contract", None)
    if not isinstance(contract, Contract):
        return _of_function(getattr(given, "unguarded", given))
    shape = _of_function(given.handler)
    model = _model_of(contract.schema)
    return shape if model is None else _known_better(shape, _of_model(model))


def _known_better(shape: ToolShape, schema: ToolShape) -> ToolShape:
    """Return the handler's arguments, with the types of a schema where the handler does not tell.

    What a call leaves out is what the handler's default says, not the schema's.
    """
    needed = {one.path[0] for one in shape.arguments.values() if one.type is None and one.default is MISSING}
    found = {name: one for name, one in shape.arguments.items() if one.path[0] not in needed}
    taken = {one.path[0] for one in found.values()}
    for name, one in schema.arguments.items():
        is_beyond = shape.is_open and one.path[0] not in taken and one.default is MISSING
        if one.path[0] in needed or is_beyond:
            found[name] = one
    known = {one.path[0] for one in found.values()}
    found |= {name: one for name, one in shape.arguments.items() if one.path[0] not in known}
    return ToolShape(found, shape.is_open, schema.open_below)


def _model_of(schema: Any) -> Any:
    owner = getattr(schema, "__self__", schema)  # Model, or Model.model_validate
    is_model = isinstance(owner, type) and isinstance(getattr(owner, "model_fields", None), dict)
    return owner if is_model else None


def _of_function(function: Callable[..., Any]) -> ToolShape:
    signature = inspect.signature(function)
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # noqa: BLE001 - an annotation names what is not there: nothing is known of the types
        hints = {}
    found: dict[str, Argument] = {}
    is_open = False
    open_below: set[tuple[str, ...]] = set()
    for name, parameter in signature.parameters.items():
        hint = hints.get(name, MISSING)
        if parameter.kind is parameter.VAR_KEYWORD:
            is_open = True
        elif not (_injected(name, hint) or parameter.kind is parameter.VAR_POSITIONAL):
            default = MISSING if parameter.default is parameter.empty else parameter.default
            _add(found, open_below, (name,), hint, default)
    return ToolShape(found, is_open, frozenset(open_below))


def _injected(name: str, hint: Any) -> bool:
    kinds = (hint, *typing.get_args(hint))
    untyped = hint is MISSING or hint is Any or hint is object
    return Effect in kinds or Undone in kinds or (name in {"effect", "undone"} and untyped)


def _of_model(model: Any) -> ToolShape:
    found: dict[str, Argument] = {}
    open_below: set[tuple[str, ...]] = set()
    _add_members(found, open_below, (), model)
    return ToolShape(found, () in open_below, frozenset(open_below))


def _add_members(
    found: dict[str, Argument], open_below: set[tuple[str, ...]], path: tuple[str, ...], model: Any
) -> None:
    if model.model_config.get("extra") == "allow":
        open_below.add(path)
    for name, member in model.model_fields.items():
        here = (*path, name)
        alias = getattr(member, "validation_alias", None) or getattr(member, "alias", None)
        if alias is not None and alias != name:
            # Under two names one of them would go unseen.
            for known in {name, alias} if isinstance(alias, str) else {name}:
                _never(found, (*path, known), "has another name in calls (an alias)")
        elif member.default_factory is not None:
            _never(found, here, "is made up when a call leaves it out")
        else:
            _add(
                found,
                open_below,
                here,
                member.annotation,
                MISSING if member.is_required() else member.default,
            )


def _never(found: dict[str, Argument], path: tuple[str, ...], why: str) -> None:
    found[f"args.{'.'.join(path)}"] = Argument(path, None, why)


def _add(
    found: dict[str, Argument],
    open_below: set[tuple[str, ...]],
    path: tuple[str, ...],
    hint: Any,
    default: Any,
) -> None:
    model = _model_of(hint)
    if model is not None and len(path) < _MOST_LEVELS and default is MISSING and model.model_fields:
        _add_members(found, open_below, path, model)
        return
    known = _type_of(hint)
    if isinstance(default, enum.Enum):
        default = default.value
    if known is None:
        why = "has no annotation" if hint is MISSING else "is of a type whose parts cannot be checked"
        found[f"args.{'.'.join(path)}"] = Argument(path, None, why, default)
    elif default is not MISSING and known.misfit(default):
        found[f"args.{'.'.join(path)}"] = Argument(path, None, "has a default of another type", default)
    else:
        found[f"args.{'.'.join(path)}"] = Argument(path, known, "", default)


def _type_of(hint: Any) -> ArgType | None:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _type_of(inner[0])
    if hint in KINDS.keys():  # noqa: SIM118 - a hint may be unhashable, which a dictionary would not take
        return ArgType(KINDS[hint])
    if origin in {typing.Union, types.UnionType}:
        rest = [one for one in inner if one is not type(None)]
        known = _type_of(rest[0]) if len(rest) == 1 else None
        if known is None or known.many != "one" or len(rest) == len(inner):
            return None
        return ArgType(known.kind, or_null=True, among=known.among)
    if origin is Literal:
        return _among(inner)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _among(tuple(member.value for member in hint))
    return _type_of_many(origin, inner)


def _among(options: tuple[Any, ...]) -> ArgType | None:
    kinds: set[Kind | None] = {KINDS.get(type(option)) for option in options}
    kind = kinds.pop() if len(kinds) == 1 else None
    return None if kind is None else ArgType(kind, among=options)


def _type_of_many(origin: Any, inner: tuple[Any, ...]) -> ArgType | None:
    if origin is list or origin is Sequence:
        known = _type_of(inner[0])
        many: Literal["list", "map"] = "list"
    elif origin is tuple and len(inner) == 2 and inner[1] is ...:  # noqa: PLR2004
        known, many = _type_of(inner[0]), "list"
    elif (origin is dict or origin is Mapping) and inner[0] is str:
        known, many = _type_of(inner[1]), "map"
    else:
        return None
    if known is None or known.many != "one" or known.or_null:
        return None
    return ArgType(known.kind, many, among=known.among)
