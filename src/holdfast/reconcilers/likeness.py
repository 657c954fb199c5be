"""Whether what was found is what was wanted: values are compared as the ledger would record them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypeGuard

from holdfast._core.canonical import canonical
from holdfast._core.identity import read_result
from holdfast._core.model import Effect, StillUnknown
from holdfast.errors import NotSerializable

Fields: TypeAlias = "Mapping[str, str] | Callable[[Effect], Mapping[str, Any]]"
"""Paths with the names of the arguments that belong there, or a function that returns the values wanted."""

_ABSENT: Final = object()
_LEAVES: Final = (str, bytes, bytearray, bool, int, float)
_MAX_BYTES: Final = 1 << 24  # of one value that is compared
_MAX_SHOWN: Final = 5
_MAX_PATH: Final = 80  # characters


@dataclass(frozen=True, slots=True)
class Wanted:
    """A value, and where it is to be found."""

    steps: tuple[str, ...]
    value: Any


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where what was found is not as wanted.

    Attributes:
        path: Such as ``spec.replicas``.
        kind: Another value, none at all, or one without a JSON form, which cannot be compared.
    """

    path: str
    kind: Literal["other", "absent", "opaque"]


def wanted_by(fields: Fields, effect: Effect) -> Sequence[Wanted] | StillUnknown:
    """Return what *effect* wants, or why nobody can tell.

    Raises:
        NotSerializable: The user's function wants a value that has no JSON form.
    """
    if callable(fields):
        pairs: list[tuple[tuple[str, ...], Any]] = [((name,), item) for name, item in fields(effect).items()]
    else:
        missing = {name for name in fields.values() if name not in effect.args}
        if missing:  # left to a default of the handler's, or misspelt: there is nothing to compare with
            return StillUnknown(f"the call has no argument {shown(missing)} to compare with")
        pairs = [(tuple(path.split(".")), effect.args[name]) for path, name in fields.items()]
    if not pairs:
        return StillUnknown("nothing was expected, so anything would have fitted")
    return [Wanted(steps, read_result(item, max_bytes=_MAX_BYTES).plain) for steps, item in pairs]


def differences(found: Any, wanted: Sequence[Wanted]) -> list[Difference]:
    """Return where *found* is not as *wanted*. What it has besides does not count; lists count as a whole."""
    return [each for want in wanted for each in _compare(_at(found, want.steps), want.value, want.steps)]


def shown(paths: Iterable[str]) -> str:
    """Return some names for a note: sorted, short, not too many."""
    names = sorted(set(paths))
    more = f" and {len(names) - _MAX_SHOWN} more" if len(names) > _MAX_SHOWN else ""
    return ", ".join(name[:_MAX_PATH] for name in names[:_MAX_SHOWN]) + more


def _compare(found: Any, wanted: Any, steps: tuple[str, ...]) -> Iterator[Difference]:
    if found is _ABSENT:
        yield Difference(".".join(steps), "absent")
    elif _is_object(wanted) and wanted and _has_members(found):  # an empty one would fit anything
        for name, item in wanted.items():
            yield from _compare(_member(found, name), item, (*steps, name))
    elif _is_list(wanted) and _is_list(found) and len(found) == len(wanted):
        for index, item in enumerate(wanted):
            yield from _compare(found[index], item, (*steps, str(index)))
    else:
        text = _text(found)
        if text != canonical(wanted):
            yield Difference(".".join(steps), "opaque" if text is None else "other")


def _text(found: Any) -> str | None:
    try:
        return canonical(read_result(found, max_bytes=_MAX_BYTES).plain)
    except NotSerializable:
        return None


def _at(thing: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        thing = _member(thing, step)
    return thing


def _member(thing: Any, name: str) -> Any:
    if _is_object(thing):
        return thing.get(name, _ABSENT)
    if _is_list(thing):
        return thing[int(name)] if name.isdecimal() and int(name) < len(thing) else _ABSENT
    return getattr(thing, name, _ABSENT) if _has_members(thing) else _ABSENT


def _has_members(thing: Any) -> bool:
    return thing is not None and not _is_list(thing) and not isinstance(thing, _LEAVES)


def _is_object(thing: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(thing, Mapping)


def _is_list(thing: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(thing, list | tuple)
