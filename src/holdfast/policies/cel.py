"""Expressions in CEL, by the CEL project's own evaluator: checked when they are loaded, and true or not true.

An evaluation that goes wrong gives a value back, an error, which is true to a careless ``if``. So a result
counts by its type, and whatever is not the wanted type is no answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from holdfast.errors import MissingExtra
from holdfast.policies.kinds import is_list
from holdfast.policies.shapes import ArgType

Wanted: TypeAlias = Literal["bool", "int", "string"]
MOST_CHARACTERS: Final = 2_000
_AT_ONCE: Final = 40
_FACTS: Final[dict[str, str]] = {
    "actor": "STRING",
    "confidence": "DOUBLE",
    "environment": "STRING",
    "intent": "STRING",
    "now": "TIMESTAMP",
    "reversal": "STRING",
    "safety": "STRING",
    "tenant": "STRING",
    "tool": "STRING",
    "undoes": "STRING",
    "workflow_id": "STRING",
}
_KINDS: Final = {"int": "INT", "float": "DOUBLE", "bool": "BOOL", "string": "STRING"}
_WRAPPERS: Final = {
    "int": "google.protobuf.Int64Value",
    "float": "google.protobuf.DoubleValue",
    "bool": "google.protobuf.BoolValue",
    "string": "google.protobuf.StringValue",
}
_LANGUAGE: Final = """
name: holdfast
stdlib:
  exclude_functions:
    - {name: dyn}
    - {name: "_/_", overloads: [{id: divide_double}]}
    - {name: double, overloads: [{id: string_to_double}]}
"""
"""What conditions may not say: what is not true then is not false either. By ``dyn`` a text is compared with
a number; and 0.0 / 0.0, as ``double("NaN")``, is neither above a limit nor below it.
"""
_INSTEAD: Final = {
    "'_/_'": "multiply instead: a > 2.0 * b; a quotient of floats may be no number",
    "'double'": "declare the argument as float: a text may say NaN",
    "'dyn'": "compare values of one type",
}
_STRINGS: Final = re.compile(
    r"""[rR]"[^"\n]*"|[rR]'[^'\n]*'|[bB]?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')""",
    re.DOTALL,
)
_COMMENTS: Final = re.compile(r"//[^\n]*")
_FACT_NAMES: Final = frozenset(_FACTS) | {"inferred"}
_WORD: Final = re.compile("[a-z_]+")
_NAME: Final = re.compile(r"(?<![\w.])(?:args|window)(?:\s*\.\s*[A-Za-z_]\w*)+")
_WHY: Final = re.compile(r"<input>:\d+:\d+: (.*?)(?: \(in container '[^']*'\))?(?:\n|$)")


def facts_in(text: str) -> frozenset[str]:
    """Return the facts, other than arguments and counts, whose names stand anywhere in *text*."""
    return frozenset(_WORD.findall(text)) & _FACT_NAMES


class Misspelt(Exception):
    """An expression cannot be used.

    Attributes:
        fix: How to mend it.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.fix = next((fix for name, fix in _INSTEAD.items() if name in what), "mend the expression")


class Undecided(Exception):
    """An expression has no answer for this call."""


def touched(text: str) -> frozenset[str]:
    """Return the names beginning with ``args.`` and ``window.`` in *text*, as they are written there."""
    bare = _COMMENTS.sub("", _STRINGS.sub('""', text))
    return frozenset(re.sub(r"\s", "", found) for found in _NAME.findall(bare))


class Expressions:
    """Compiles expressions over the facts of one tool's calls.

    Args:
        arguments: Types by name in expressions, e.g. ``args.amount``.
        windows: The names of what is counted.
    """

    def __init__(self, arguments: Mapping[str, ArgType], windows: frozenset[str]) -> None:
        self._cel = _cel()
        kinds = self._cel.Type
        shared = {name: getattr(kinds, kind) for name, kind in _FACTS.items()}
        shared |= {"inferred": kinds.List(kinds.STRING)}
        shared |= {f"window.{name}": kinds.INT for name in windows}
        strict = {name: self._strict(known) for name, known in arguments.items()}
        language = self._cel.NewEnvConfigFromYaml(_LANGUAGE)
        self._checking = self._cel.NewEnv(config=language, variables=shared | strict)
        self._working = self._checking
        if any(known.or_null for known in arguments.values()):
            # What may be null is checked as "an int or null", and given as a value that tells by itself:
            # the evaluator takes no plain values for the first.
            loose = {name: kinds.DYN for name, known in arguments.items() if known.or_null}
            self._working = self._cel.NewEnv(config=language, variables=shared | strict | loose)

    def _strict(self, known: ArgType) -> Any:
        kinds = self._cel.Type
        if known.or_null:
            return kinds(_WRAPPERS[known.kind])
        one = getattr(kinds, _KINDS[known.kind])
        if known.many == "list":
            return kinds.List(one)
        return kinds.Map(kinds.STRING, one) if known.many == "map" else one

    def compile(self, text: str, wanted: Wanted) -> Expression:
        """Return *text* ready to be asked.

        Raises:
            Misspelt: It is too long, no CEL, names what is not there, or is not of the wanted type.
        """
        if len(text) > MOST_CHARACTERS:
            msg = f"the expression is longer than {MOST_CHARACTERS} characters"
            raise Misspelt(msg)
        try:
            checked = self._checking.compile(text)
            found = checked.return_type()
            program = checked if self._working is self._checking else self._working.compile(text)
        except Exception as error:
            raise Misspelt(_why(str(error))) from error
        kind = getattr(self._cel.Type, _KINDS[wanted])
        if found != kind:
            msg = f"the expression is of type {str(found.name()).lower()}, not {wanted}"
            raise Misspelt(msg)
        return Expression(program, kind, {"bool": bool, "int": int, "string": str}[wanted])

    def together(self, texts: Sequence[str]) -> Conditions:
        """Return conditions, each of them compiled before, to be asked in as few evaluations as can be."""
        programs: list[tuple[range, Any]] = []
        for start in range(0, len(texts), _AT_ONCE):
            self._join(texts, range(start, min(start + _AT_ONCE, len(texts))), programs)
        return Conditions(programs)

    def _join(self, texts: Sequence[str], part: range, programs: list[tuple[range, Any]]) -> None:
        # A text that is an expression by itself is one in parentheses; its comment ends with the line.
        items = ", ".join(f"({texts[n]}\n) ? {n} : -1" for n in part)
        try:
            programs.append((part, self._working.compile(f"[{items}].filter(n, n >= 0)")))
        except Exception:  # noqa: BLE001 - too long or too deep together: in halves, and at last one by one
            if len(part) == 1:
                programs.append((part, None))
                return
            middle = len(part) // 2
            self._join(texts, part[:middle], programs)
            self._join(texts, part[middle:], programs)

    def given(self, values: Mapping[str, Any]) -> Any:
        """Return the facts of one call, for all expressions about it."""
        return self._working.Activation(values)


class Conditions:
    """Conditions that are asked together: to begin an evaluation takes longer than to make it."""

    __slots__ = ("_programs",)

    def __init__(self, programs: Sequence[tuple[range, Any]]) -> None:
        self._programs = programs

    def ask(self, given: Any, one_by_one: Callable[[int], bool]) -> list[int]:
        """Return the numbers of those that are true, in order.

        Args:
            one_by_one: Asks a condition by itself: where one of several has no answer, none of them is told.
        """
        found: list[int] = []
        for part, program in self._programs:
            told = None if program is None else _numbers(program, given)
            found += [n for n in part if one_by_one(n)] if told is None else told
        return found


def _numbers(program: Any, given: Any) -> list[int] | None:
    """Return a list of whole numbers; ``None`` for whatever else it is."""
    try:
        told: Any = program.eval(given).value()
        items: list[Any] = [item.value() for item in told] if is_list(told) else [None]
    except Exception:  # noqa: BLE001 - no answer; which condition it is, asking one by one will tell
        return None
    return items if all(type(item) is int for item in items) else None


class Expression:
    """An expression that can be asked."""

    __slots__ = ("_is", "_kind", "_program")

    def __init__(self, program: Any, kind: Any, is_: type) -> None:
        self._program = program
        self._kind = kind
        self._is = is_

    def ask(self, given: Any) -> Any:
        """Return its value.

        Raises:
            Undecided: It has none. Why is told in a word, for the evaluator's own text shows values.
        """
        try:
            found = self._program.eval(given)
            kind, value = found.type(), found.value()
        except Exception as error:
            raise Undecided(type(error).__name__) from error
        if kind != self._kind or type(value) is not self._is:
            told = re.match("[A-Z_]+(?=:)", str(value))
            raise Undecided(told[0].lower() if told else "no answer")
        return value


def _why(text: str) -> str:
    found = _WHY.search(text)
    told = found[1] if found else text.partition("\n")[0]
    return " ".join(told.split())[:300]


def _cel() -> Any:
    try:
        from cel_expr_python import cel  # type: ignore[import-untyped, unused-ignore] # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra("policy", "cel-expr-python") from error
    return cel
