"""What rules may know of a tool's arguments: their types and what stands for those left out.

Only what can be checked before the first call is declared. A rule that touches anything else is refused when
it is loaded, so no rule is ever silently false.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from holdfast.policies.kinds import is_mapping, is_sequence

Kind: TypeAlias = Literal["int", "float", "bool", "string"]
KINDS: Final[dict[Any, Kind]] = {int: "int", float: "float", bool: "bool", str: "string"}
_NAMES: Final[dict[str, Kind]] = {"int": "int", "float": "float", "bool": "bool", "string": "string"}
_INT64: Final = range(-(2**63), 2**63)
_EXACT: Final = 2**53
MOST_ITEMS: Final = 1_000


@dataclass(frozen=True, slots=True)
class ArgType:
    """The type of one argument.

    Attributes:
        many: One value, a list of them, or a map from text to them.
        or_null: It may be null.
        among: The only values that there are; empty for any.
    """

    kind: Kind
    many: Literal["one", "list", "map"] = "one"
    or_null: bool = False
    among: tuple[Any, ...] = ()

    def misfit(self, value: Any) -> str:
        """Return what is wrong with *value*, without showing it; empty when nothing is."""
        if value is None:
            return "" if self.or_null else f"is null, not {self}"
        if self.many == "one":
            return self._misfit(value)
        items: Sequence[Any]
        if self.many == "list" and is_sequence(value):
            items = value
        elif self.many == "map" and is_mapping(value) and all(type(name) is str for name in value):
            items = tuple(value.values())
        else:
            return f"is {_called(value)}, not {self}"
        if len(items) > MOST_ITEMS:
            return f"has more than {MOST_ITEMS} items"
        return next((f"has an item that {wrong}" for wrong in map(self._misfit, items) if wrong), "")

    def plain(self, value: Any) -> Any:
        """Return a fitting *value* in the one form that expressions get."""
        if value is None:
            return None
        if self.many == "list":
            return [self._plain(item) for item in value]
        if self.many == "map":
            return {name: self._plain(item) for name, item in value.items()}
        return self._plain(value)

    def _plain(self, value: Any) -> Any:
        return float(value) if self.kind == "float" else value

    def _misfit(self, value: Any) -> str:
        # By exact type: True is an int to Python, and an int subclass may say anything of itself.
        found = _kind_of(value)
        if self.kind == "float" and found is int:
            return "" if -_EXACT <= value <= _EXACT else "is too large to be exact as a float"
        if KINDS.get(found) != self.kind:
            return f"is {_called(value)}, not {self.kind}"
        if found is int and value not in _INT64:
            return "does not fit into 64 bits"
        if found is float and value - value != 0:
            return "is no finite number"
        if found is float and not -_EXACT <= value <= _EXACT:
            return "is too large to be exact as a float"  # of larger ones a product would be infinite
        if self.among and value not in self.among:
            return "is none of the values that there are"
        return ""

    def __str__(self) -> str:
        text = {"one": "{}", "list": "list({})", "map": "map({})"}[self.many].format(self.kind)
        return f"{text} or null" if self.or_null else text


MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a tool, or a member of one.

    Attributes:
        path: The way to it, e.g. ``("customer", "country")``.
        type: ``None`` when no rule may touch it.
        why_not: Why no rule may.
        default: What stands for it when it is left out; :data:`MISSING` when a call has to bring it.
    """

    path: tuple[str, ...]
    type: ArgType | None
    why_not: str = ""
    default: Any = MISSING

    @property
    def name(self) -> str:
        """Its name in expressions."""
        return f"args.{'.'.join(self.path)}"


@dataclass(frozen=True, slots=True)
class ToolShape:
    """The arguments of a tool.

    Attributes:
        is_open: It takes arguments beyond these; no rule sees them.
        open_below: Members that do so as well.
    """

    arguments: Mapping[str, Argument] = field(default_factory=dict[str, Argument])
    is_open: bool = False
    open_below: frozenset[tuple[str, ...]] = frozenset()
    _known: Mapping[tuple[str, ...], frozenset[str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        known: dict[tuple[str, ...], set[str]] = {(): set()}
        for argument in self.arguments.values():
            for depth, step in enumerate(argument.path):
                known.setdefault(argument.path[:depth], set()).add(step)
        object.__setattr__(self, "_known", {path: frozenset(names) for path, names in known.items()})

    def values(self, args: Mapping[str, Any], wanted: AbstractSet[str]) -> tuple[dict[str, Any], str]:
        """Return the wanted arguments of a call as rules see them, and what is wrong (or nothing)."""
        wrong = self._strange(args)
        if wrong:
            return {}, wrong
        found: dict[str, Any] = {}
        for name, argument in self.arguments.items():
            if argument.type is None or name not in wanted:
                continue
            value = _at(args, argument.path)
            if value is MISSING:
                value = argument.default
            if value is MISSING:
                return {}, f"{name} is missing"
            wrong = argument.type.misfit(value)
            if wrong:
                return {}, f"{name} {wrong}"
            found[name] = argument.type.plain(value)
        return found, ""

    def _strange(self, args: Mapping[str, Any]) -> str:
        """Return what is wrong with the names of *args*: under another name a value would go unseen."""
        for path, known in self._known.items():
            here = _at(args, path)
            if here is MISSING:
                continue  # what has to be there is missed by its own name
            where = ".".join(("args", *path))
            if not is_mapping(here):
                return f"{where} is {_called(here)}, not an object"
            is_open = path in self.open_below if path else self.is_open
            if not is_open and not here.keys() <= known:
                return f"{where} brings a name that the tool does not declare"
        return ""


def _at(args: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = args
    for step in path:
        if not is_mapping(value) or step not in value:
            return MISSING
        value = value[step]
    return value


def _called(value: Any) -> str:
    if is_mapping(value):
        return "an object"
    if is_sequence(value):
        return "a list"
    return KINDS.get(_kind_of(value), "another type")


def _kind_of(value: object) -> object:
    return type(value)


def read_type(text: str) -> ArgType | None:
    """Return the type that a policy's file names: ``int``, ``list(string)``, ``int or null`` ..."""
    name, _, null = text.partition(" or ")
    or_null = null == "null"
    if null and not or_null:
        return None
    for many in ("list", "map"):
        if name.startswith(f"{many}(") and name.endswith(")"):
            inner = _NAMES.get(name[len(many) + 1 : -1])
            return None if inner is None or or_null else ArgType(inner, "list" if many == "list" else "map")
    kind = _NAMES.get(name)
    return None if kind is None else ArgType(kind, or_null=or_null)
