"""What objects hold, read without running a line of their code: no property, no ``__getattr__``, no proxy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any, Final, TypeGuard, TypeVar, cast

T = TypeVar("T")

# Asked of ``type`` itself, because a metaclass may answer for its classes, and raise.
_MRO: Final[Callable[[type], tuple[type, ...]]] = type.__dict__["__mro__"].__get__
_NAMESPACE: Final[Callable[[type], Mapping[str, object]]] = type.__dict__["__dict__"].__get__
_COPY: Final = cast("Callable[[object], dict[object, object]]", dict[object, object].copy)
_NAME: Final[Callable[[type], str]] = type.__dict__["__name__"].__get__


def is_a(thing: object, kind: type[T]) -> TypeGuard[T]:
    """Whether *thing* is of this type; ``isinstance`` would believe a ``__class__`` that is a property."""
    return kind in _MRO(type(thing))


def kinds(thing: object) -> tuple[type, ...]:
    """Return the type of *thing* and the types above it; of a type: itself and those above."""
    return _MRO(thing if is_a(thing, type) else type(thing))


def place_of(kind: type) -> str:
    """Return where a type comes from, such as ``openai._base_client.BaseClient``."""
    return f"{_NAMESPACE(kind).get('__module__', 'builtins')}.{_NAME(kind)}"


def name_of(kind: type) -> str:
    """Return the name of a type."""
    return _NAME(kind)


def declared(thing: object) -> dict[str, object]:
    """Return what the types of *thing* declare: methods, descriptors and class attributes, as they are."""
    found: dict[str, object] = {}
    for kind in reversed(kinds(thing)):
        found.update(_NAMESPACE(kind))
    return found


def stored(thing: object) -> dict[str, object]:
    """Return the attributes that *thing* itself holds, in its dict or in slots."""
    found: dict[str, object] = {}
    for kind in reversed(_MRO(type(thing))):
        for name, value in _NAMESPACE(kind).items():
            if type(value) is MemberDescriptorType or type(value) is GetSetDescriptorType:
                found.update(_held(thing, name, value))
    return found


def entries(thing: object) -> dict[object, object] | None:
    """Return what is in a dict, or ``None`` when it is none."""
    # A copy, made in one step: other threads may be at work on it.
    return _COPY(thing) if dict in _MRO(type(thing)) else None


def at(thing: object, *names: str) -> object:
    """Follow attributes from *thing*; ``None`` where one is missing."""
    for name in names:
        thing = stored(thing).get(name)
    return thing


def _held(thing: object, name: str, descriptor: Any) -> dict[str, object]:
    """Return what one descriptor of the interpreter's gives; other types' are never asked."""
    is_dict = name == "__dict__"
    if type(descriptor) is GetSetDescriptorType and not is_dict:  # computed, by whatever C code
        return {}
    try:
        held: object = descriptor.__get__(thing)
    except AttributeError:  # a slot that is empty
        return {}
    if not is_dict:
        return {name: held}
    return {key: value for key, value in (entries(held) or {}).items() if type(key) is str}
