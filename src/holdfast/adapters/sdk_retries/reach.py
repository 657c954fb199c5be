"""Which clients a function can reach: what it closes over, what it names, what its object holds.

Everything is read as it lies in memory: no property is asked, no code of the user's runs.
"""

from __future__ import annotations

import dis
import functools
import sysconfig
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import PurePath
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Final, cast

from holdfast.adapters.sdk_retries.clients import ClientRetries, client_retries, used
from holdfast.adapters.sdk_retries.stored import at, declared, entries, is_a, kinds, stored

_STEPS: Final = 2
"""Attributes of attributes are looked at, and no further."""
_ENOUGH: Final = 2000
"""Objects that are looked at for one function, at most."""
_ITEMS: Final = 100
"""Items of one container that are looked at, at most."""
_OURS: Final = __name__.partition(".")[0]
_LIBRARIES: Final = ("site-packages", "dist-packages")
_STDLIB: Final = sysconfig.get_path("stdlib")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A client that a function can reach.

    Attributes:
        path: How, in the function's words, such as ``self.gateway``.
    """

    path: str
    client: object
    retries: ClientRetries


def clients_in(namespace: Mapping[str, object] | Iterable[object]) -> list[tuple[str, ClientRetries]]:
    """Return the clients among the values of a mapping, such as ``vars(module)``, or in an iterable.

    Those that do not retry are among them, with 0. What an iterable holds is named by its type.
    """
    named: Iterable[tuple[str, object]] = (
        cast("Mapping[str, object]", namespace).items()
        if isinstance(namespace, Mapping)
        else (("", value) for value in namespace)
    )
    known = [(name, client_retries(value)) for name, value in named]
    return [(name or retries.client, retries) for name, retries in known if retries is not None]


def clients_of(handler: Callable[..., object]) -> list[tuple[str, ClientRetries]]:
    """Return the clients that a tool's function can reach, with the path to each. Never raises.

    Looks at what the function closes over, its defaults, the globals that its code names (and the code of
    your own functions and methods that it names), what its object or ``functools.partial`` holds, and two
    attributes deep into each. Not seen is what the function makes or imports while it runs.
    """
    return [(reached.path, reached.retries) for reached in reach(handler)]


def reach(handler: object) -> list[Reached]:
    """Return the clients that *handler* can reach, nearest first."""
    walk = _Walk(home=_root(_module_of(handler)))
    walk.add(_Place(path="", value=handler, names=frozenset({"__call__"})))
    return list(walk.clients())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Something to look at.

    Attributes:
        steps: How many attributes away from a function's own it is.
        names: What the code that reaches it names: its methods are followed by these.
        owner: Whose methods a function finds at its ``self``.
    """

    path: str
    value: object
    steps: int = 0
    names: frozenset[str] = frozenset()
    owner: object = None


@dataclass(slots=True)
class _Walk:
    """What is still to be looked at, and what was."""

    home: str
    waiting: deque[_Place] = field(default_factory=deque[_Place])
    seen: dict[int, object] = field(default_factory=dict[int, object])

    def add(self, place: _Place) -> None:
        """Put something in line."""
        self.waiting.append(place)

    def clients(self) -> Iterator[Reached]:
        """Look at everything in line, and at what that leads to."""
        while self.waiting and len(self.seen) < _ENOUGH:
            place = self.waiting.popleft()
            if place.names:
                self.waiting.extend(_named_methods(place.value, place.path, place.names))
            if id(place.value) in self.seen:
                continue
            self.seen[id(place.value)] = place.value  # kept, lest another object gets its id
            retries = client_retries(place.value)
            if retries is None:
                self.waiting.extend(self._onwards(place))
            else:
                yield Reached(path=place.path, client=place.value, retries=retries)

    def _onwards(self, place: _Place) -> Iterator[_Place]:
        value = place.value
        if is_a(value, FunctionType):
            yield from self._of_function(value, place)
        elif is_a(value, MethodType):
            yield _Place(path="self", value=value.__self__, names=_names(value.__func__))
            yield _Place(path=place.path, value=value.__func__, owner=value.__self__)
        elif functools.partial in kinds(value):
            yield from _of_partial(value, place)
        elif type(value) in {dict, list, tuple, set, frozenset}:
            yield from _items(value, place)
        elif place.steps < _STEPS and not is_a(value, ModuleType):
            yield from _attributes(value, place)

    def _of_function(self, function: FunctionType, place: _Place) -> Iterator[_Place]:
        names = _names(function)
        for name, value in _bound(function):
            yield _Place(path=name, value=value, names=names)
        if not _is_own(function, self.home):
            return
        yield from _named_methods(place.owner, "self", names)
        for name, *attributes in _globals_named(function.__code__):
            path, value = name, function.__globals__.get(name)
            while is_a(value, ModuleType) and attributes:
                path, value = f"{path}.{attributes[0]}", used(value, attributes.pop(0))
                if is_a(value, ModuleType) and client_retries(value) is not None:
                    break  # the module's own client is what this uses
            yield _Place(path=path, value=value, names=names)


def _module_of(handler: object) -> str:
    """Return the module that a handler says it is from; a decorator copies its function's."""
    while type(handler) is MethodType or functools.partial in kinds(handler):
        handler = at(handler, "__func__" if type(handler) is MethodType else "func")
    holder = stored(handler) if is_a(handler, FunctionType) else declared(handler)
    module = holder.get("__module__")
    return module if is_a(module, str) else ""


def _is_own(function: FunctionType, home: str) -> bool:
    """Whether a function is the user's, and not a library's."""
    name = function.__globals__.get("__name__")
    root = _root(name) if is_a(name, str) else ""
    file = function.__code__.co_filename
    is_installed = file.startswith(_STDLIB) or not set(_LIBRARIES).isdisjoint(PurePath(file).parts)
    return root != _OURS and (root == home or not is_installed)


def _root(module: str) -> str:
    return module.partition(".")[0]


def _bound(function: FunctionType) -> Iterator[tuple[str, object]]:
    """What a function has with it: the variables that it closes over, its defaults, what it wraps."""
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # an empty cell
            yield name, cell.cell_contents
    defaults = function.__defaults__ or ()
    yield from zip(code.co_varnames[code.co_argcount - len(defaults) :], defaults, strict=False)
    yield from (function.__kwdefaults__ or {}).items()
    yield "__wrapped__", function.__dict__.get("__wrapped__")


def _of_partial(partial: object, place: _Place) -> Iterator[_Place]:
    yield _Place(path=place.path, value=at(partial, "func"))
    yield from _items(at(partial, "args"), replace(place, path="args"))
    for name, value in (entries(at(partial, "keywords")) or {}).items():
        yield _Place(path=str(name), value=value)


def _items(container: object, place: _Place) -> Iterator[_Place]:
    """Look into a container. Keys are not shown: people keep clients by tenant, and by secret."""
    items = entries(container)
    values = cast("Iterable[object]", container) if items is None else items.values()
    for n, value in enumerate(islice(values, _ITEMS)):
        yield replace(place, path=f"{place.path}[{n if items is None else '...'}]", value=value)


def _attributes(thing: object, place: _Place) -> Iterator[_Place]:
    # What all objects of a class share; not its methods and properties, which would have to be called.
    shared = {name: value for name, value in declared(thing).items() if "__get__" not in declared(value)}
    for name, value in {**shared, **stored(thing)}.items():
        yield _Place(
            path=f"{place.path or 'self'}.{name}", value=value, steps=place.steps + 1, names=place.names
        )


def _named_methods(thing: object, path: str, names: frozenset[str]) -> Iterator[_Place]:
    """Return the methods of an object that code names."""
    for name, method in declared(thing).items():
        function = at(method, "__func__") if type(method) in {staticmethod, classmethod} else method
        if name in names and is_a(function, FunctionType):
            yield _Place(path=f"{path}.{name}", value=function, owner=thing)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if is_a(constant, CodeType):
            yield from _codes(constant)


def _names(function: object) -> frozenset[str]:
    """Return the names in a function's code, of attributes among others."""
    if not is_a(function, FunctionType):
        return frozenset()
    return frozenset(name for code in _codes(function.__code__) for name in code.co_names)


def _globals_named(code: CodeType) -> Iterator[list[str]]:
    """Return each global that code names, with the attributes that are asked of it: ``a.b.c`` as a, b, c."""
    for part in _codes(code):
        chain: list[str] = []
        for step in dis.get_instructions(part):
            if chain and step.opname in {"LOAD_ATTR", "LOAD_METHOD"}:
                chain.append(step.argval)
                continue
            if chain:
                yield chain
            chain = [step.argval] if step.opname in {"LOAD_GLOBAL", "LOAD_NAME"} else []
