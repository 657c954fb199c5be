"""One text per JSON value: RFC 8785, with exact integers and normalised strings.

Published in docs/reference/identity.md and frozen by a golden file: a change here is a new ``v2:``.
"""

from __future__ import annotations

import re
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import islice
from json import JSONEncoder
from math import isfinite
from types import NoneType
from typing import Any, Final
from unicodedata import is_normalized, normalize
from uuid import UUID

from holdfast._core.model import JSON
from holdfast.errors import NotSerializable

MAX_DEPTH: Final = 100  # levels of objects and lists in a payload; deeper, or cyclic, is refused
MAX_DIGITS: Final = 4300  # of one number: Python's default, here whatever the interpreter is set to
_LEVELS: Final = MAX_DEPTH + 16  # an entry of the ledger may wrap a payload of full depth
_MAX_SHOWN: Final = 40  # characters of a hostile key
_MAX_PATHS: Final = 20
_INT_BOUND: Final = 10**MAX_DIGITS
_SHORT_INT: Final = 10**18
SURROGATES: Final = re.compile("[\ud800-\udfff]")

_NEWER: Final = re.compile(
    # What Unicode 15 to 18 added that normalisation would move or compose. Keys must not depend on the
    # interpreter's Unicode tables, so these characters are left alone, as Unicode 14.0 leaves them.
    "([\u05c8\u05c9\u0897\u1acf-\u1af0\U000105c9\U000105d2\U000105da\U000105e4\U00010d69-\U00010d6d"
    "\U00010ecb-\U00010ecf\U00010ef0-\U00010efb\U00010efd-\U00010eff\U00011382-\U00011385\U0001138b"
    "\U0001138e\U00011390\U00011391\U000113b8\U000113bb\U000113c2\U000113c5\U000113c7-\U000113c9"
    "\U000113ce-\U000113d0\U00011f41\U00011f42\U0001611e-\U00016129\U0001612f\U00016d63"
    "\U00016d67-\U00016d6a\U0001d127\U0001d128\U0001d250-\U0001d252\U0001d25b\U0001d25c\U0001d25f"
    "\U0001d280\U0001d281\U0001e08f\U0001e4ec-\U0001e4ef\U0001e5ee\U0001e5ef\U0001e6e3\U0001e6e6"
    "\U0001e6ee\U0001e6ef\U0001e6f5])"
)

_SORTED: Final = JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, sort_keys=True, separators=(",", ":")
)


class Refused(Exception):
    """A value has no JSON form; the way to it is added while the walk unwinds."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        self.steps: list[str | int] = []  # innermost first

    def add(self, step: str | int) -> None:
        """Note the key or index under which the value sits."""
        self.steps.append(step)

    def located(self) -> NotSerializable:
        """Return the public error."""
        return NotSerializable(path(self.steps[::-1]), self.why)


NOT_FINITE: Final = "is not a finite number"
LONG_DECIMAL: Final = f"is a decimal of more than {MAX_DIGITS} digits"
NANOSECONDS: Final = "has nanoseconds, which would be lost"
NOT_JSON: Final = "is not JSON"
TOO_DEEP: Final = f"is nested more than {MAX_DEPTH} levels deep, or contains itself"
SURROGATE: Final = "has a lone surrogate, which is not text"
TWICE: Final = "has two keys that are the same text"


def canonical(value: JSON) -> str:
    """Return the one text that equal JSON values share.

    Raises:
        NotSerializable: *value* is not JSON as `holdfast` reads it. Tells why, but not where.
    """
    try:
        # The C encoder writes the same text wherever it need not sort or print in ECMAScript's way.
        return _SORTED.encode(value) if _is_simple(value, _LEVELS) else _written(value, _LEVELS)
    except Refused as refused:
        raise refused.located() from None


def nfc(text: str) -> str:
    """Return *text* in Unicode's normal form C, the same on every Python version."""
    if text.isascii():
        return text
    pieces = _NEWER.split(text)
    pieces[::2] = [normalize("NFC", piece) for piece in pieces[::2]]
    return "".join(pieces)


def is_settled(text: str) -> bool:
    """Tell whether *text* is encodable and in normal form C, as all its parts then are."""
    return text.isascii() or (is_normalized("NFC", text) and SURROGATES.search(text) is None)


def is_short(value: int) -> bool:
    """Tell whether *value* needs no second look: its few digits always print."""
    return -_SHORT_INT < value < _SHORT_INT


def integer(value: int) -> str:
    """Return all digits of *value*; refuse more than 4300, or more than this interpreter prints."""
    most = MAX_DIGITS
    if -_INT_BOUND < value < _INT_BOUND:
        try:
            return int.__repr__(value)
        except ValueError:  # sys.set_int_max_str_digits() was lowered
            most = sys.get_int_max_str_digits()
    why = f"is an integer of more than {most} digits"
    raise Refused(why)


def number(value: float) -> str:
    """Return *value* as ECMAScript prints it, which RFC 8785 asks for."""
    if not isfinite(value):
        raise Refused(NOT_FINITE)
    if value == 0:
        return "0"
    # Python finds the same shortest digits as ECMAScript; only their layout differs.
    mantissa, _, exponent = float.__repr__(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) if whole != "0" else len(digits) - len(fraction)
    digits = digits.rstrip("0")
    sign = "-" if value < 0 else ""
    if len(digits) <= point <= 21:  # noqa: PLR2004 - ECMAScript's own bounds, as is -6
        return f"{sign}{digits:0<{point}}"
    if 0 < point <= 21:  # noqa: PLR2004
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:  # noqa: PLR2004
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if digits[1:] else ""
    return f"{sign}{digits[0]}{rest}e{point - 1:+d}"


def _int(value: int) -> int:
    exact = int.__int__(value)
    integer(exact)
    return exact


def _float(value: float) -> float:
    if not isfinite(value):
        raise Refused(NOT_FINITE)
    return float.__float__(value)


def _decimal(value: Decimal) -> str:
    if not Decimal.is_finite(value):
        raise Refused(NOT_FINITE)
    if not Decimal.__bool__(value):
        return "0"
    exponent = Decimal.as_tuple(value).exponent
    if Decimal.adjusted(value) >= MAX_DIGITS or -int(exponent) > MAX_DIGITS:
        raise Refused(LONG_DECIMAL)
    text = Decimal.__format__(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _datetime(value: datetime) -> str:
    if getattr(value, "nanosecond", 0):  # pandas: two moments must not become one
        raise Refused(NANOSECONDS)
    if datetime.utcoffset(value) is None:
        return datetime.isoformat(value)
    return datetime.isoformat(datetime.astimezone(value, UTC)).removesuffix("+00:00") + "Z"


LEAVES: Final[Sequence[tuple[type | tuple[type, ...], Callable[[Any], bool | int | float | str | None]]]] = (
    (NoneType, lambda _: None),
    (bool, bool),
    (int, _int),
    (float, _float),
    (datetime, _datetime),  # before date, of which it is a kind
    (date, date.isoformat),
    (time, time.isoformat),
    (Decimal, _decimal),
    (UUID, UUID.__str__),
    ((bytes, bytearray), lambda value: b64encode(value).decode()),
)
"""The types that stand for one JSON value, and how."""


def path(steps: Sequence[str | int]) -> str:
    """Return the place that *steps* lead to, e.g. ``$.items[2].sku``; hostile keys are made safe."""
    return "$" + "".join(_step(step) for step in steps)


def shown(name: str) -> str:
    """Return *name* short and printable: quoted and escaped unless it is an identifier."""
    short = name if len(name) <= _MAX_SHOWN else f"{name[: _MAX_SHOWN - 1]}…"
    return short if short.isidentifier() else repr(short)


def _step(step: str | int) -> str:
    name = shown(step) if isinstance(step, str) else str(step)
    return f".{name}" if name.isidentifier() else f"[{name}]"


def differing_paths(recorded: JSON, offered: JSON, *, ignore: Sequence[str] = ()) -> tuple[str, ...]:
    """Name where two payloads differ, e.g. ``$.items[2].sku``: at most 20 places, sorted.

    Values are compared in canonical form: ``1`` and ``1.0`` are equal, as are two spellings of ``é``.
    """
    skipped = {nfc(name) for name in ignore}
    found = (steps for steps in _differences(recorded, offered, ()) if not steps or steps[0] not in skipped)
    return tuple(sorted(path(steps) for steps in islice(found, _MAX_PATHS)))


def _differences(
    recorded: JSON, offered: JSON, steps: tuple[str | int, ...]
) -> Iterator[tuple[str | int, ...]]:
    left, right = _members(recorded), _members(offered)
    if type(recorded) is not type(offered) or len(steps) > _LEVELS or left is None or right is None:
        if not _is_same(recorded, offered):
            yield steps
        return
    for step in sorted(left.keys() | right.keys()):
        if step in left and step in right:
            yield from _differences(left[step], right[step], (*steps, step))
        else:
            yield (*steps, step)


def _members(value: JSON) -> dict[Any, JSON] | None:
    if isinstance(value, Mapping):
        return {nfc(name): item for name, item in value.items()}
    return dict(enumerate(value)) if isinstance(value, list | tuple) else None


def _is_same(recorded: JSON, offered: JSON) -> bool:
    try:
        return canonical(recorded) == canonical(offered)
    except NotSerializable:  # damaged in the database: nobody can say that it is the same
        return False


def _is_simple(value: Any, levels: int) -> bool:
    kind = type(value)  # pyright: ignore[reportUnknownVariableType] - anything may come
    if kind is str:
        return is_settled(value)
    if kind is int:
        return is_short(value)
    if kind is dict and levels:
        for key, item in value.items():
            if type(key) is not str or not key.isascii() or not _is_simple(item, levels - 1):
                return False
        return True
    if kind is list and levels:
        return all(_is_simple(item, levels - 1) for item in value)
    if kind is float:
        return isfinite(value) and float.__repr__(value) == number(value)
    return value is None or kind is bool


def _written(value: JSON, levels: int) -> str:
    if value is None or isinstance(value, bool):
        return _SORTED.encode(value)
    if isinstance(value, str):
        return _string(nfc(value))
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, float):
        return number(value)
    if not levels:
        raise Refused(TOO_DEEP)
    if isinstance(value, Mapping):
        return _object(value, levels)
    if isinstance(value, list | tuple):
        return f"[{','.join([_written(item, levels - 1) for item in value])}]"
    raise Refused(NOT_JSON)


def _object(value: Mapping[Any, JSON], levels: int) -> str:
    members: dict[str, str] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise Refused(NOT_JSON)
        name = nfc(key)
        if name in members:
            raise Refused(TWICE)
        members[name] = f"{_string(name)}:{_written(item, levels - 1)}"
    names = sorted(members, key=lambda name: name.encode("utf-16-be"))
    return f"{{{','.join([members[name] for name in names])}}}"


def _string(text: str) -> str:
    if SURROGATES.search(text):
        raise Refused(SURROGATE)
    return _SORTED.encode(text)
