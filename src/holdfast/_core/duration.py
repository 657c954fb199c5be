"""What a user may write for a length of time, and the seconds that it means."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Final, TypeAlias

from holdfast.errors import InvalidTool

Duration: TypeAlias = "timedelta | float | str"
"""A ``timedelta``, seconds, or text such as ``"250ms"``, ``"60s"``, ``"5m"``, ``"3d"``, ``"1h30m"``."""

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_LONGEST_S: Final = 100 * 366 * 86400.0
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_FIX: Final = "give a timedelta, seconds, or text like '250ms', '60s', '5m', '1h30m', '3d'"


def seconds(value: Duration, *, name: str) -> float:
    """Return *value* in seconds; *name* is the parameter's, for the error.

    Raises:
        InvalidTool: It is not a positive, finite length of time.
    """
    match value:
        case timedelta():
            total = value.total_seconds()
        case bool():
            total = math.nan
        case int() | float():
            total = float(value) if abs(value) <= _LONGEST_S else math.nan  # a huge integer is no float
        case str():
            total = _parse(value)
        case _:
            total = math.nan
    if not math.isfinite(total) or not 0 < total <= _LONGEST_S:
        what = f"{name}={value!r} is not a positive length of time of at most 100 years"
        raise InvalidTool(what, _FIX)
    return total


def _parse(text: str) -> float:
    compact = text.replace(" ", "")
    parts = _PART.findall(compact)
    if "".join(number + unit for number, unit in parts) != compact or not parts:
        return math.nan
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
